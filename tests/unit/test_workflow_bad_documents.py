"""Bad workflows: refused with every problem at its node and field, in bounded time and memory."""

import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from fakes.effort import effort
from fakes.workflows import LANGUAGE, PAINTER, given, known, published, ref, workflow
from hypothesis import given as drawn_from
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from serve.domain.workflow import MAX_NESTING, WorkflowSpec
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.compiling.findings import MAX_PROBLEMS
from serve.workflow.facts import PublishedWorkflow
from serve.workflow.problems import Code, Problem

ADD = "op:number.calculate"
TEMPLATE = "op:text.template"
INPUTS = {
    "x": "number",
    "word": "text",
    "pic": "image",
    "pics": "list[image]",
    "flag": "boolean",
    "style": "adapter",
    "llm": "model",
    "maybe": {"type": "number", "optional": True},
}
GOOD = {"type": ADD, "inputs": {"a": 1, "b": 1}}


def errors(
    nodes: Mapping[str, Any], workflows: Mapping[str, PublishedWorkflow] | None = None, **more: Any
) -> list[Problem]:
    """Of a workflow whose output is the node `ok`, which is right."""
    spec = workflow({"ok": GOOD, **nodes}, {"out": ["ok", "result"]}, INPUTS, **more)
    compiled = compile_workflow(spec, known(workflows))
    assert (compiled.graph is None) == bool(compiled.errors)
    return compiled.errors


def placed(problems: list[Problem]) -> list[tuple[str, str | None, str | None]]:
    return [(one.code.value, one.node, one.field) for one in problems]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "inputs": inputs}


PAINT, CHAT = f"model:{PAINTER}", f"model:{LANGUAGE}"
ONE_PROBLEM: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown model": (node("model:gone", prompt="a"), "unknown_model", "type"),
    "unknown task": (node("task:dance", model=PAINTER), "unknown_task", "type"),
    "task of another model": ({**node(CHAT, prompt="a"), "task": "text_to_image"}, "unknown_task", "task"),
    "model that does not do the task": (node("task:chat", model=PAINTER, prompt="a"), "unknown_task", "inputs.model"),
    "unknown model of a task": (node("task:chat", model="gone", prompt="a"), "unknown_model", "inputs.model"),
    "unknown operation": (node("op:os.system", command="ls"), "unknown_operation", "type"),
    "unknown workflow": (node("workflow:gone@1"), "unknown_workflow", "type"),
    "imported node": (node("comfy:KSampler"), "unsupported_node", "type"),
    "ref to no node": (node(ADD, a=ref("gone", "x"), b=1), "unknown_node", "inputs.a"),
    "ref to no port": (node(ADD, a=ref("ok", "sum"), b=1), "unknown_port", "inputs.a"),
    "ref to no input": (node(ADD, a=given("gone"), b=1), "unknown_input", "inputs.a"),
    "input that there is not": (node(ADD, a=1, b=1, c=1), "unknown_input", "inputs.c"),
    "missing input": (node(ADD, b=1), "missing_input", "inputs.a"),
    "null is nothing": (node(ADD, a=None, b=1), "missing_input", "inputs.a"),
    "none of many": (node("op:list.make"), "missing_input", "inputs.item_1"),
    "optional input for what is needed": (node(ADD, a=given("maybe"), b=1), "missing_input", "inputs.a"),
    "text for a number": (node(ADD, a="3", b=1), "wrong_type", "inputs.a"),
    "boolean for a number": (node(ADD, a=True, b=1), "wrong_type", "inputs.a"),
    "number beyond a float": (node(ADD, a=10**400, b=1), "wrong_type", "inputs.a"),
    "text that flows into a number": (node(ADD, a=given("word"), b=1), "wrong_type", "inputs.a"),
    "image for a mask": (node("op:mask.invert", mask=given("pic")), "wrong_type", "inputs.mask"),
    "list for one": (node("op:image.info", image=given("pics")), "wrong_type", "inputs.image"),
    "one for a list": (node("op:image.grid", images=given("pic")), "wrong_type", "inputs.images"),
    "one of a list": (
        node("op:image.grid", images=[given("pic"), given("x")]),
        "wrong_type",
        "inputs.images.1",
    ),
    "list in a list": (node("op:image.grid", images=[given("pics")]), "wrong_type", "inputs.images.0"),
    "written item": (node("op:image.grid", images=[given("pic"), "cat.png"]), "wrong_type", "inputs.images.1"),
    "no asset": (node("op:image.info", image="file:///etc/passwd"), "wrong_type", "inputs.image"),
    "mixed T": (
        node("op:condition", **{"if": True, "then": given("pic"), "else": given("x")}),
        "wrong_type",
        "inputs.else",
    ),
    "lists of lists": (node("op:list.make", item_1=given("pics")), "wrong_type", "inputs.item_1"),
    "reference within a text": (node(TEMPLATE, template={"a": given("word")}), "wrong_type", "inputs.template"),
    "out of bounds": (node(PAINT, prompt="a", steps=0), "invalid_value", "inputs.steps"),
    "not one of": (node(ADD, operation="eval", a=1, b=1), "invalid_value", "inputs.operation"),
    "beside a reference": (node(ADD, a={"$ref": ["ok", "result"], "x": 1}, b=1), "invalid_value", "inputs.a"),
    "malformed reference": (node(ADD, a={"$ref": "ok.result"}, b=1), "invalid_value", "inputs.a"),
    "malformed within": (node("op:constant", value={"a": [{"$input": 1}]}), "invalid_value", "inputs.value.a.0"),
    "code in a template": (
        node(TEMPLATE, template="{a.__class__.__mro__}", value_a=1),
        "invalid_expression",
        "inputs.template",
    ),
    "call in a template": (node(TEMPLATE, template="{print(1)}"), "invalid_expression", "inputs.template"),
    "format in a template": (node(TEMPLATE, template="{a:>99999999}"), "invalid_expression", "inputs.template"),
    "code in a path": (
        node("op:json.path", value={}, path="$[?(@.a == __import__('os').system('ls'))]"),
        "invalid_expression",
        "inputs.path",
    ),
    "computed adapter": (
        node(PAINT, prompt="a", adapters=[ref("pick", "value")]),
        "not_static",
        "inputs.adapters.0",
    ),
    "adapter by a bad name": (node(PAINT, prompt="a", adapters=["../x"]), "invalid_value", "inputs.adapters.0"),
    "adapter too strong": (
        node(PAINT, prompt="a", adapters=[{"name": "s", "scale": 99}]),
        "invalid_value",
        "inputs.adapters.0",
    ),
    "computed scale": (
        node(PAINT, prompt="a", adapters=[{"name": "s", "scale": given("x")}]),
        "invalid_value",
        "inputs.adapters.0",
    ),
    "condition that is a number": ({**GOOD, "when": given("x")}, "wrong_type", "when"),
    "condition from nowhere": ({**GOOD, "when": ref("gone", "x")}, "unknown_node", "when"),
    "map of no input": ({**GOOD, "map": ["c"]}, "unknown_input", "map.0"),
    "map of nothing": ({**node("op:number.round", value=1), "map": ["multiple"]}, "missing_input", "map.0"),
    "map of what takes a list": (
        {**node("op:image.grid", images=given("pics")), "map": ["images"]},
        "wrong_type",
        "map.0",
    ),
    "map of one": ({**node(ADD, a=given("x"), b=1), "map": ["a"]}, "wrong_type", "inputs.a"),
    "map twice": ({**node(ADD, a=[1], b=1), "map": ["a", "a"]}, "duplicate_name", "map.1"),
    "lists of two lengths": ({**node(ADD, a=[1], b=[1, 2]), "map": ["a", "b"]}, "invalid_value", "map"),
    "more items than are allowed": (
        {**node(ADD, a=[1, 2, 3], b=1), "map": ["a"], "maxItems": 2},
        "too_large",
        "inputs.a",
    ),
    "itself": (node(ADD, a=ref("bad", "result"), b=1), "cycle", "inputs.a"),
    "itself as a condition": ({**GOOD, "when": ref("bad", "result")}, "cycle", "when"),
    "deep value": (
        node("op:constant", value=[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]),
        "too_deep",
        "inputs.value" + ".0" * 16,
    ),
}
PICK = node("op:condition", **{"if": given("flag"), "then": given("style"), "else": given("style")})


@pytest.mark.parametrize("case", ONE_PROBLEM)
def test_a_problem_is_told_at_its_node_and_field(case: str) -> None:
    bad, code, field = ONE_PROBLEM[case]
    found = errors({"bad": bad, "pick": PICK})
    assert placed(found)[0] == (code, "bad", field)
    assert len(found) == 1 or code == "cycle"
    assert found[0].message
    assert len(found[0].message) < 500


def test_all_problems_come_at_once_in_the_order_of_the_document() -> None:
    found = errors(
        {
            "one": node(ADD, a="x", c=2),
            "two": node("op:nothing"),
            "three": node(ADD, a=ref("one", "result"), b=ref("two", "anything")),
            "four": node(PAINT, prompt=1, steps=0),
        }
    )
    assert placed(found) == [
        ("wrong_type", "one", "inputs.a"),
        ("unknown_input", "one", "inputs.c"),
        ("unknown_operation", "two", "type"),
        ("wrong_type", "four", "inputs.prompt"),
        ("invalid_value", "four", "inputs.steps"),
    ]


def test_what_hangs_on_a_node_in_doubt_is_not_blamed_for_it() -> None:
    nodes = {
        "bad": node("model:gone"),
        "next": node("op:condition", **{"if": True, "then": ref("bad", "image"), "else": ref("bad", "image")}),
        "last": node("op:image.info", image=ref("next", "value")),
    }
    assert placed(errors(nodes)) == [("unknown_model", "bad", "type")]


def test_every_knot_of_nodes_is_told_once_with_its_path() -> None:
    nodes = {
        "a": node(ADD, a=ref("b", "result"), b=1),
        "b": node(ADD, a=1, b=ref("c", "result")),
        "c": node(ADD, a=ref("a", "result"), b=ref("e", "result")),
        "d": node(ADD, a=ref("e", "result"), b="wrong, too"),
        "e": node(ADD, a=ref("d", "result"), b=1),
        "behind": node(ADD, a=ref("a", "result"), b=1),
    }
    found = errors(nodes)
    told = {(one.node, one.field): one.message for one in found if one.code is Code.CYCLE}
    assert told == {
        ("a", "inputs.a"): "these nodes wait for one another: a -> b -> c -> a",
        ("d", "inputs.a"): "these nodes wait for one another: d -> e -> d",
    }
    assert placed([one for one in found if one.code is not Code.CYCLE]) == [("wrong_type", "d", "inputs.b")]


INTERFACE: dict[str, tuple[dict[str, Any], str, str]] = {
    "no outputs": ({"outputs": []}, "no_outputs", "interface.outputs"),
    "output of no node": ({"outputs": [{"name": "o", "from": ["x", "y"]}]}, "unknown_node", "interface.outputs.0.from"),
    "output of no port": (
        {"outputs": [{"name": "o", "from": ["ok", "y"]}]},
        "unknown_port",
        "interface.outputs.0.from",
    ),
    "two outputs of a name": (
        {"outputs": [{"name": "o", "from": ["ok", "result"]}] * 2},
        "duplicate_name",
        "interface.outputs.1.name",
    ),
    "two primary outputs": (
        {"outputs": [{"name": n, "from": ["ok", "result"], "primary": True} for n in "ab"]},
        "invalid_value",
        "interface.outputs.1.primary",
    ),
    "two inputs of a name": (
        {"inputs": [{"name": "x", "type": "number"}] * 2},
        "duplicate_name",
        "interface.inputs.1.name",
    ),
    "default of another type": (
        {"inputs": [{"name": "x", "type": "number", "default": "3"}]},
        "wrong_type",
        "interface.inputs.0.default",
    ),
    "default out of bounds": (
        {"inputs": [{"name": "x", "type": "number", "default": 3, "constraints": {"maximum": 2}}]},
        "invalid_value",
        "interface.inputs.0.default",
    ),
    "bounds that exclude all": (
        {"inputs": [{"name": "x", "type": "number", "constraints": {"minimum": 3, "maximum": 2}}]},
        "invalid_value",
        "interface.inputs.0.constraints.minimum",
    ),
    "choice of another type": (
        {"inputs": [{"name": "x", "type": "text", "constraints": {"enum": ["a", 2]}}]},
        "wrong_type",
        "interface.inputs.0.constraints.enum.1",
    ),
    "default of no model": (
        {"inputs": [{"name": "x", "type": "model", "default": "gone"}]},
        "unknown_model",
        "interface.inputs.0.default",
    ),
}


@pytest.mark.parametrize("case", INTERFACE)
def test_a_problem_of_the_interface_is_told_at_its_field(case: str) -> None:
    interface, code, field = INTERFACE[case]
    whole = {"outputs": [{"name": "out", "from": ["ok", "result"]}]} | interface
    spec = WorkflowSpec.model_validate({"interface": whole, "nodes": {"ok": GOOD}})
    found = compile_workflow(spec, known()).errors
    assert placed(found) == [(code, None, field)]


def calling(*names: str) -> WorkflowSpec:
    """A workflow that calls these."""
    nodes = {f"n{index}": {"type": f"workflow:{name}@1"} for index, name in enumerate(names)}
    return workflow({"own": GOOD, **nodes}, {"out": ["own", "result"]})


def test_workflows_that_call_each_other_are_refused_where_they_are_called() -> None:
    there = published(a=calling("b"), b=calling("c"), c=calling("a"), fine=calling())
    found = errors({"sub": node("workflow:a@1"), "fine": node("workflow:fine@1")}, there)
    assert placed(found) == [("cycle", "sub", "type")]
    assert "a@1 -> b@1 -> c@1 -> a@1" in found[0].message


def test_workflows_nest_to_a_limit() -> None:
    names = [f"w{depth}" for depth in range(MAX_NESTING + 1)]
    there = published(**{name: calling(*names[index + 1 : index + 2]) for index, name in enumerate(names)})
    assert placed(errors({"sub": node("workflow:w0@1")}, there)) == [("too_deep", "sub", "type")]
    assert errors({"sub": node("workflow:w1@1")}, there) == []


def test_a_workflow_that_cannot_run_any_more_says_why() -> None:
    broken = workflow({"gen": node("model:gone", prompt="a")}, {"out": ["gen", "image"]})
    found = errors({"sub": node("workflow:old@1")}, published(old=broken))
    assert placed(found) == [("unknown_model", "sub", "type")]
    assert "old@1" in found[0].message
    assert "nodes.gen.type" in found[0].message


def test_workflows_that_multiply_are_refused_before_they_are_counted_out() -> None:
    """500 nodes that are each 500 nodes that ...: 62 thousand million steps."""
    many = {f"n{index}": {"type": "workflow:b@1"} for index in range(400)}
    middle = {f"n{index}": {"type": "workflow:c@1"} for index in range(499)}
    outputs = {"out": ["own", "result"]}
    inner = workflow({f"n{index}": GOOD for index in range(499)} | {"own": GOOD}, outputs)
    there = published(b=workflow({"own": GOOD, **middle}, outputs), c=inner)
    with effort() as spent:
        found = errors(many, there)
    assert spent.seconds < 1
    assert {one.code for one in found} == {Code.TOO_LARGE}
    assert {one.field for one in found} == {"type"}


def test_lists_that_multiply_are_refused_at_the_node_with_the_most_steps() -> None:
    nodes = {f"n{index}": {**node(ADD, a=given("xs"), b=1), "map": ["a"], "maxItems": 256} for index in range(20)}
    spec = workflow({"ok": GOOD, **nodes}, {"out": ["ok", "result"]}, {"xs": "list[number]"})
    found = compile_workflow(spec, known()).errors
    assert placed(found) == [("too_large", "n0", "maxItems")]


def test_labels_have_a_length() -> None:
    long = "n" * 40
    inner = workflow({long: GOOD}, {"out": [long, "result"]})
    assert placed(errors({"s" * 40: node("workflow:inner@1")}, published(inner=inner))) == [
        ("too_deep", "s" * 40, "type")
    ]
    assert errors({"s" * 39: node("workflow:inner@1")}, published(inner=inner)) == []


def refusal(document: Any) -> tuple[str, str, float]:
    """Place, sentence and effort of what the document itself refuses."""
    with effort() as spent, pytest.raises(ValidationError) as raised:
        WorkflowSpec.model_validate(document)
    first = raised.value.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"], spent.seconds


def test_a_million_nodes_cost_nothing() -> None:
    nodes = dict.fromkeys((f"n{index}" for index in range(1_000_000)), GOOD)
    tracemalloc.start()
    try:
        _, sentence, seconds = refusal({"nodes": nodes})
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert "at most 500 nodes, and this one has 1000000" in sentence
    assert seconds < 3


@pytest.mark.parametrize("depth", [65, 1000, 20_000])
def test_a_value_that_goes_on_forever_is_refused_at_its_field(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    where, sentence, seconds = refusal({"nodes": {"gen": node("op:constant", value=value)}})
    assert where == "nodes.gen.inputs.value"
    assert "more than 64 levels" in sentence
    assert seconds < 2


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"nodes": {"Bad Name": GOOD}}, "nodes.Bad Name.[key]"),
        ({"nodes": {"a": {"type": "shell:rm"}}}, "nodes.a.type"),
        ({"nodes": {"a": {"type": "op:x", "code": "import os"}}}, "nodes.a.code"),
        ({"nodes": {"a": {"type": "op:x", "maxItems": 10**9}}}, "nodes.a.maxItems"),
        ({"nodes": {"a": {"type": "op:x", "policy": {"retries": 99}}}}, "nodes.a.policy.retries"),
        ({"nodes": {"a": {"type": "op:x", "inputs": dict.fromkeys(map(str, range(200)), 1)}}}, "nodes.a.inputs"),
        ({"interface": {"inputs": [{"name": "x", "type": "list[list[image]]"}]}}, "interface.inputs.0.type"),
        ({"format": "workflow/v2"}, "format"),
    ],
    ids=["name", "prefix", "field", "items", "retries", "inputs", "type", "format"],
)
def test_what_is_no_document_is_refused_at_its_field(document: dict[str, Any], where: str) -> None:
    assert refusal(document)[0] == where


def test_the_problems_of_a_hostile_document_are_bounded() -> None:
    key = "k" * 1000
    wrong = {f"{key}{index}": {"$ref": [key, "x"]} for index in range(20)}
    nodes = {f"n{index}": {"type": "op:constant", "inputs": wrong} for index in range(499)}
    with effort() as spent:
        found = errors(nodes)
    assert spent.seconds < 4
    assert len(found) == MAX_PROBLEMS + 1
    assert sum(len(one.message) + len(one.field or "") for one in found) < 400_000


def test_five_hundred_nodes_that_all_need_one_another_are_one_knot() -> None:
    names = [f"n{index}" for index in range(499)]
    nodes = {name: node("op:list.make", **{f"item_{i}": ref(names[i], "items") for i in range(30)}) for name in names}
    with effort() as spent:
        found = errors(nodes)
    assert spent.seconds < 3
    assert [one.code for one in found].count(Code.CYCLE) == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "$input", "$literal", "name", "scale", "a"]), inner, max_size=2)
        | st.tuples(st.sampled_from(["ok", "bad", "gone"]), st.sampled_from(["result", "x"])).map(lambda p: ref(*p))
        | st.sampled_from(list(INPUTS)).map(given)
    ),
    max_leaves=6,
)
TYPES = [ADD, TEMPLATE, "op:condition", "op:switch", "op:constant", "op:list.make", "op:json.path", "op:image.grid"]
NAMES = ["a", "b", "operation", "template", "value", "if", "then", "else", "cases", "case_1", "item_1", "path", "type"]
NAMES += ["prompt", "steps", "seed", "adapters", "messages", "model", "images", "labels"]


@settings(max_examples=150, deadline=None)
@drawn_from(
    st.sampled_from([*TYPES, PAINT, CHAT, "task:chat", "task:text_to_image", "comfy:X", "workflow:x@1"]),
    st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=5),
    st.lists(st.sampled_from(NAMES[:4]), max_size=2),
    ANYTHING,
)
def test_whatever_a_node_says_it_compiles_or_has_problems(
    kind: str, inputs: dict[str, Any], over: list[str], when: Any
) -> None:
    bad = {"type": kind, "inputs": inputs, "map": over, "when": when}
    for problem in errors({"bad": bad}):
        assert problem.node == "bad"
        assert problem.field is not None


def test_a_nested_workflow_is_not_tried_again_as_a_whole() -> None:
    inner = published(inner=workflow({"own": GOOD}, {"out": ["own", "result"]}))
    again = {"sub": node("workflow:inner@1") | {"policy": {"retries": 2}}}
    assert placed(errors(again, inner)) == [("invalid_value", "sub", "policy.retries")]
