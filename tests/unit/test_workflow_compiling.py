"""Documents become graphs: order, types, lists, sub-graphs, targets; and valid ones of every shape have no errors."""

from typing import Any

import pytest
from fakes.effort import effort
from fakes.workflows import (
    EMBEDDER,
    LANGUAGE,
    PAINTER,
    Drawn,
    given,
    known,
    published,
    ref,
    workflow,
    workflows,
)
from hypothesis import given as drawn_from
from hypothesis import settings
from hypothesis import strategies as st

from serve.domain.port_types import parse_type
from serve.domain.task import Task
from serve.domain.workflow import WorkflowSpec
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.compiling.pinning import is_pinned, pinned, workflows_named
from serve.workflow.compiling.references import parts_of, read_source
from serve.workflow.facts import Known
from serve.workflow.graph import Composite, Graph, Literal, NodeKind, OfInput, OfNode
from serve.workflow.problems import Code

ADD = "op:number.calculate"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "$ref", "$input", "$literal", "$schema"]), inner, max_size=2)
    ),
    max_leaves=8,
)


def graph_of(spec: WorkflowSpec, **more: Any) -> Graph:
    workflows = more.pop("workflows", None)
    compiled = compile_workflow(spec, known(workflows), **more)
    assert compiled.errors == []
    assert compiled.graph is not None
    return compiled.graph


def output_type(nodes: dict[str, Any], port: str = "value") -> str:
    """Of the node `it`, seen by others."""
    return str(graph_of(workflow(nodes, {"out": ["it", port]})).output_types["out"])


def test_nodes_come_after_what_they_need_however_the_document_lists_them() -> None:
    nodes = {
        "last": {"type": ADD, "inputs": {"a": ref("mid", "result"), "b": ref("first", "result")}},
        "mid": {"type": ADD, "inputs": {"a": ref("first", "result"), "b": 1}},
        "first": {"type": ADD, "inputs": {"a": given("x"), "b": 1}},
    }
    graph = graph_of(workflow(nodes, {"out": ["last", "result"]}, {"x": "number"}))
    assert list(graph.nodes) == ["first", "mid", "last"]
    assert graph.nodes["first"].inputs == {"a": OfInput("x"), "b": Literal(1)}
    assert graph.outputs == {"out": OfNode("last", "result")}
    assert (graph.num_steps, graph.depth) == (3, 0)


@settings(max_examples=60, deadline=None)
@drawn_from(workflows())
def test_a_valid_document_compiles_into_an_order_that_respects_its_references(drawn: Drawn) -> None:
    compiled = compile_workflow(drawn.spec, drawn.known)
    assert compiled.errors == []
    assert compiled.graph is not None
    seen: set[str] = set()
    for name, node in compiled.graph.nodes.items():
        sources = [*node.inputs.values(), node.when]
        needed = {part.node for source in sources for _, part in parts_of(source) if isinstance(part, OfNode)}
        assert needed <= seen
        seen.add(name)
    assert seen == drawn.spec.nodes.keys()
    assert {name: str(one) for name, one in compiled.graph.output_types.items()} == drawn.types


@settings(max_examples=200, deadline=None)
@drawn_from(JSON)
def test_any_value_is_read_or_told_to_be_wrong_and_references_leave_holes(value: Any) -> None:
    source, wrong = read_source(value)
    for place, _ in source.parts if isinstance(source, Composite) else ():
        hole = source.template
        for step in place:
            hole = hole[step]
        assert hole is None
    if not wrong and isinstance(source, Literal):
        assert "$ref" not in str(value) or "$literal" in str(value)


def test_references_are_found_at_any_depth_and_literals_hide_them() -> None:
    value = {"a": [1, ref("n", "p")], "b": {"$literal": {"$ref": "#/defs"}}, "c": given("x")}
    source, wrong = read_source(value)
    assert wrong == []
    assert source == Composite(
        {"a": [1, None], "b": {"$ref": "#/defs"}, "c": None}, ((("a", 1), OfNode("n", "p")), (("c",), OfInput("x")))
    )


@pytest.mark.parametrize(
    ("node", "outputs"),
    [
        ({"type": f"model:{PAINTER}", "inputs": {"prompt": "a cat"}}, {"image": "image", "images": "list[image]"}),
        ({"type": f"model:{LANGUAGE}", "inputs": {"prompt": "hello"}}, {"text": "text", "finish_reason": "text"}),
        ({"type": f"model:{EMBEDDER}", "inputs": {"input": "hello"}}, {"embedding": "embedding"}),
        ({"type": "task:text_to_image", "inputs": {"model": PAINTER, "prompt": "a cat"}}, {"image": "image"}),
        ({"type": "task:chat", "inputs": {"model": given("llm"), "prompt": "hello"}}, {"text": "text"}),
    ],
    ids=["painter", "language", "embedding", "task", "task-of-any-model"],
)
def test_a_model_is_a_node_with_the_ports_of_its_card(node: dict[str, Any], outputs: dict[str, str]) -> None:
    graph = graph_of(workflow({"gen": node}, {"out": ["gen", next(iter(outputs))]}, {"llm": "model"}))
    made = graph.nodes["gen"]
    assert made.kind is NodeKind.MODEL
    assert {name: str(made.outputs[name]) for name in outputs} == outputs


def test_a_model_of_several_tasks_is_used_for_the_one_that_has_these_inputs() -> None:
    picture = {"image": "asset:018f", "prompt": "a dog"}
    nodes = {
        "draw": {"type": f"model:{PAINTER}", "inputs": {"prompt": "a cat"}},
        "edit": {"type": f"model:{PAINTER}", "inputs": picture},
    }
    graph = graph_of(workflow(nodes, {"a": ["draw", "image"], "b": ["edit", "image"]}))
    assert [node.task for node in graph.nodes.values()] == [Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE]


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({"if": True, "then": given("pic"), "else": given("pic2")}, "image"),
        ({"if": True, "then": given("pic"), "else": given("spot")}, "image"),
        ({"if": True, "then": given("x"), "else": given("words")}, "text"),
        ({"if": True, "then": given("flag"), "else": given("x")}, "json"),
        ({"if": True, "then": given("pics"), "else": given("pics")}, "list[image]"),
        ({"if": True, "then": 1, "else": 2}, "number"),
        ({"if": True, "then": "a", "else": "b"}, "text"),
        ({"if": True, "then": "a", "else": given("words")}, "text"),
    ],
    ids=["same", "mask-as-image", "number-as-text", "only-json", "lists", "written", "words", "both"],
)
def test_what_t_stands_for_is_found_from_the_inputs(inputs: dict[str, Any], wanted: str) -> None:
    types = {
        "pic": "image",
        "pic2": "image",
        "spot": "mask",
        "x": "number",
        "words": "text",
        "flag": "boolean",
        "pics": "list[image]",
    }
    graph = graph_of(workflow({"it": {"type": "op:condition", "inputs": inputs}}, {"out": ["it", "value"]}, types))
    assert str(graph.output_types["out"]) == wanted


def test_an_operation_can_say_itself_what_it_puts_out() -> None:
    assert output_type({"it": {"type": "op:constant", "inputs": {"value": 3}}}) == "number"
    assert output_type({"it": {"type": "op:constant", "inputs": {"value": ["a", "b"]}}}) == "list[text]"
    path = {"value": {"a": 1}, "path": "$.a", "type": "number"}
    assert output_type({"it": {"type": "op:json.path", "inputs": path}}) == "number"


def test_a_node_that_is_run_over_a_list_takes_and_gives_lists() -> None:
    nodes = {
        "gen": {"type": f"model:{PAINTER}", "inputs": {"prompt": given("prompts"), "steps": 4}, "map": ["prompt"]},
        "grid": {"type": "op:image.grid", "inputs": {"images": ref("gen", "image")}},
    }
    graph = graph_of(workflow(nodes, {"out": ["grid", "image"]}, {"prompts": "list[text]"}))
    gen = graph.nodes["gen"]
    assert str(gen.outputs["image"]) == "list[image]"
    assert "images" not in gen.outputs  # lists do not nest
    assert gen.ports["prompt"].type == parse_type("text")
    assert (gen.map, gen.max_items, graph.num_steps) == (("prompt",), 16, 18)


def test_a_written_list_says_how_many_items_there_are() -> None:
    node = {"type": ADD, "inputs": {"a": [1, 2, given("x")], "b": 1}, "map": ["a"]}
    graph = graph_of(workflow({"it": node}, {"out": ["it", "result"]}, {"x": "number"}))
    assert graph.num_steps == 4


def test_workflows_are_nodes_and_are_compiled_once() -> None:
    inner = workflow({"n": {"type": ADD, "inputs": {"a": given("x"), "b": 1}}}, {"y": ["n", "result"]}, {"x": "number"})
    nodes = {
        "one": {"type": "workflow:inner@1", "inputs": {"x": 1}},
        "all": {"type": "workflow:inner@1", "inputs": {"x": [1, 2]}, "map": ["x"]},
    }
    spec = workflow(nodes, {"a": ["one", "y"], "b": ["all", "y"]})
    graph = graph_of(spec, workflows=published(inner=inner))
    assert {name: str(one) for name, one in graph.output_types.items()} == {"a": "number", "b": "list[number]"}
    assert graph.nodes["one"].graph is graph.nodes["all"].graph
    assert (graph.num_steps, graph.depth) == (2 + 5, 1)


def test_an_adapter_is_written_down_or_an_input() -> None:
    adapters = ["stripes", {"name": "acme/dots", "scale": 0.5}, given("style")]
    nodes = {"gen": {"type": f"model:{PAINTER}", "inputs": {"prompt": "a cat", "adapters": adapters}}}
    graph = graph_of(workflow(nodes, {"out": ["gen", "image"]}, {"style": "adapter"}))
    assert [place for place, _ in parts_of(graph.nodes["gen"].inputs["adapters"])] == [(2,)]


def test_an_input_that_may_be_left_out_goes_where_nothing_is_needed() -> None:
    node = {"type": f"model:{PAINTER}", "inputs": {"prompt": "a cat", "seed": given("seed")}}
    seed = {"type": "number", "optional": True}
    graph_of(workflow({"gen": node}, {"out": ["gen", "image"]}, {"seed": seed}))


def test_targets_are_the_outputs_and_only_what_they_need_must_be_right() -> None:
    nodes = {
        "good": {"type": ADD, "inputs": {"a": 1, "b": 1}},
        "next": {"type": ADD, "inputs": {"a": ref("good", "result"), "b": 1}},
        "bad": {"type": "op:nothing", "inputs": {"a": ref("gone", "x")}},
    }
    spec = workflow(nodes, {"out": ["bad", "x"]})
    graph = graph_of(spec, targets=["next", "good.result"])
    assert graph.outputs == {"next.result": OfNode("next", "result"), "good.result": OfNode("good", "result")}
    assert list(graph.nodes) == ["good", "next"]
    wrong = compile_workflow(spec, known(), targets=["gone", "good.x"]).problems
    assert [(one.code, one.field) for one in wrong] == [
        (Code.UNKNOWN_NODE, "targets.0"),
        (Code.UNKNOWN_PORT, "targets.1"),
    ]


def test_what_nothing_needs_is_a_warning() -> None:
    nodes = {
        "used": {"type": ADD, "inputs": {"a": given("x"), "b": 1}},
        "spare": {"type": ADD, "inputs": {"a": given("y"), "b": 1}},
    }
    compiled = compile_workflow(workflow(nodes, {"out": ["used", "result"]}, {"x": "number", "y": "number"}), known())
    assert compiled.graph is not None
    assert [(one.code, one.node, one.field) for one in compiled.problems] == [
        (Code.UNUSED_INPUT, None, "interface.inputs.1"),
        (Code.UNREACHABLE_NODE, "spare", None),
    ]


def test_aliases_are_for_drafts_and_are_pinned_to_numbers() -> None:
    inner = published(
        inner=workflow({"n": {"type": ADD, "inputs": {"a": 1, "b": 1}}}, {"y": ["n", "result"]}),
    )
    there = {"inner@prod": inner["inner@1"], "inner@1": inner["inner@1"]}
    draft = workflow({"sub": {"type": "workflow:inner@prod"}}, {"out": ["sub", "y"]})
    graph_of(draft, workflows=there, for_draft=True)
    refused = compile_workflow(draft, known(there)).errors
    assert [(one.code, one.node, one.field) for one in refused] == [(Code.UNKNOWN_WORKFLOW, "sub", "type")]
    assert workflows_named(draft) == {"inner@prod"}
    fixed = pinned(draft, {"inner@prod": 1})
    assert workflows_named(fixed) == {"inner@1"}
    assert workflows_named(draft) == {"inner@prod"}
    graph_of(fixed, workflows=there)
    assert is_pinned("inner@1")
    assert not is_pinned("inner@latest")
    assert not is_pinned("inner")


def test_five_hundred_nodes_compile_in_milliseconds() -> None:
    nodes = {
        f"n{i}": {"type": ADD, "inputs": {"a": ref(f"n{i - 1}", "result") if i else 1, "b": given("x")}}
        for i in range(500)
    }
    spec = workflow(nodes, {"out": ["n499", "result"]}, {"x": "number"})
    taken = []
    for _ in range(5):
        with effort() as spent:
            graph_of(spec)
        taken.append(spent.seconds)
    assert min(taken) < 0.2  # a tenth of it on a quiet core; what grows with the square of the nodes takes more


def test_a_hole_of_a_template_without_its_input_is_told_before_anything_runs():
    nodes = {"say": {"type": "op:text.template", "inputs": {"template": "a {style} {shape}", "value_style": "round"}}}
    interface = {"outputs": [{"name": "text", "from": ["say", "text"]}]}
    spec = WorkflowSpec.model_validate({"nodes": nodes, "interface": interface})
    (problem,) = compile_workflow(spec, Known({})).problems
    assert (problem.code, problem.node, problem.field) == (Code.MISSING_INPUT, "say", "inputs.value_shape")
