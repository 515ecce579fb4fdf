"""What has changed from one workflow to another: told as people would, and complete."""

from typing import Any

import pytest
from fakes.effort import effort
from fakes.workflows import Drawn, given, ref, workflow, workflows
from hypothesis import given as drawn_from
from hypothesis import settings
from hypothesis import strategies as st

from serve.domain.workflow import WorkflowSpec
from serve.workflow.library.differences import Change, Difference, differences

ADD = "op:number.calculate"
NODES: dict[str, Any] = {
    "first": {"type": ADD, "inputs": {"a": given("x"), "b": 1}},
    "mid": {"type": ADD, "inputs": {"a": ref("first", "result"), "b": 2}},
    "last": {"type": ADD, "inputs": {"a": ref("mid", "result"), "b": ref("first", "result")}},
}
OUTPUTS = {"out": ["last", "result"]}


def spec_of(nodes: dict[str, Any], outputs: Any = None, inputs: Any = None, **more: Any) -> WorkflowSpec:
    return workflow(nodes, outputs or OUTPUTS, inputs or {"x": "number"}, **more)


BEFORE = spec_of(NODES)


def told(found: list[Difference]) -> list[tuple[Change, str | None, str | None]]:
    return [(one.kind, one.node, one.field) for one in found]


def renamed_in(spec: WorkflowSpec, names: dict[str, str]) -> WorkflowSpec:
    """The same workflow with nodes under other names."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, dict):
            if set(value) == {"$ref"}:
                return {"$ref": [names.get(value["$ref"][0], value["$ref"][0]), value["$ref"][1]]}
            return {key: walk(item) for key, item in value.items()}
        return value

    plain = spec.model_dump(mode="json", by_alias=True)
    plain["nodes"] = {names.get(name, name): walk(node) for name, node in plain["nodes"].items()}
    for output in plain["interface"]["outputs"]:
        output["from"][0] = names.get(output["from"][0], output["from"][0])
    return WorkflowSpec.model_validate(plain)


def test_the_same_workflow_has_no_differences() -> None:
    assert differences(BEFORE, spec_of(dict(reversed(NODES.items())))) == []


def test_an_input_that_changed_is_told_with_both_values() -> None:
    after = spec_of(NODES | {"mid": {"type": ADD, "inputs": {"a": ref("first", "result"), "b": 3}}})
    (one,) = differences(BEFORE, after)
    assert (one.kind, one.node, one.field, one.before, one.after) == (Change.NODE_CHANGED, "mid", "inputs.b", 2, 3)
    assert one.sentence == "mid: inputs.b is 3, and was 2"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"policy": {"retries": 2}}, "policy.retries"),
        ({"when": given("x")}, "when"),
        ({"map": ["b"]}, "map"),
        ({"type": "op:other"}, "type"),
        ({"inputs": {"a": ref("first", "result"), "b": 2.0}}, "inputs.b"),
        ({"inputs": {"a": ref("first", "result")}}, "inputs.b"),
    ],
    ids=["policy", "when", "map", "type", "number", "removed"],
)
def test_everything_that_a_node_says_is_compared(change: dict[str, Any], field: str) -> None:
    after = spec_of(NODES | {"mid": NODES["mid"] | change})
    assert told(differences(BEFORE, after)) == [(Change.NODE_CHANGED, "mid", field)]


def test_nodes_come_and_go() -> None:
    after = spec_of({**NODES, "extra": {"type": "op:constant", "inputs": {"value": 1}}})
    assert told(differences(BEFORE, after)) == [(Change.NODE_ADDED, "extra", None)]
    assert told(differences(after, BEFORE)) == [(Change.NODE_REMOVED, "extra", None)]


def test_a_renamed_node_is_told_as_such_and_its_users_have_not_changed() -> None:
    after = renamed_in(BEFORE, {"mid": "sum", "first": "start"})
    assert told(differences(BEFORE, after)) == [
        (Change.NODE_RENAMED, "start", None),
        (Change.NODE_RENAMED, "sum", None),
    ]


def test_a_renamed_node_that_changed_too_is_known_by_its_use() -> None:
    plain = renamed_in(BEFORE, {"mid": "sum"}).model_dump(mode="json", by_alias=True)
    plain["nodes"]["sum"]["inputs"]["b"] = 7
    assert told(differences(BEFORE, WorkflowSpec.model_validate(plain))) == [
        (Change.NODE_RENAMED, "sum", None),
        (Change.NODE_CHANGED, "sum", "inputs.b"),
    ]


def test_a_node_of_another_kind_in_the_same_place_is_no_renamed_one() -> None:
    nodes = {name: NODES[name] for name in ("first",)} | {
        "other": {"type": "op:number.round", "inputs": {"value": ref("first", "result")}},
        "last": {"type": ADD, "inputs": {"a": ref("other", "result"), "b": ref("first", "result")}},
    }
    assert told(differences(BEFORE, spec_of(nodes))) == [
        (Change.NODE_REMOVED, "mid", None),
        (Change.NODE_ADDED, "other", None),
        (Change.NODE_CHANGED, "last", "inputs.a"),
    ]


def test_the_interface_is_compared_by_name() -> None:
    inputs = {"x": {"type": "number", "default": 3}, "y": "text"}
    after = spec_of(NODES, {"total": ["last", "result"], "out": ["mid", "result"]}, inputs)
    assert told(differences(BEFORE, after)) == [
        (Change.INPUT_ADDED, None, "interface.inputs.y"),
        (Change.INPUT_CHANGED, None, "interface.inputs.x.default"),
        (Change.OUTPUT_ADDED, None, "interface.outputs.total"),
        (Change.OUTPUT_CHANGED, None, "interface.outputs.out.from"),
    ]


def test_the_order_of_inputs_is_part_of_the_interface() -> None:
    one, other = (spec_of(NODES, None, {name: "number" for name in names}) for names in ("xy", "yx"))
    assert told(differences(one, other)) == [(Change.INPUT_CHANGED, None, "interface.inputs")]


def test_words_and_layout_are_told_apart() -> None:
    titled = {"x": {"type": "number", "title": "How many", "ui": {"widget": "slider"}}}
    after = spec_of(NODES, None, titled, title="Sum", layout={"nodes": {"first": {"x": 10}}})
    found = differences(BEFORE, after)
    assert told(found) == [
        (Change.WORDS, None, "title"),
        (Change.WORDS, None, "interface.inputs.x.title"),
        (Change.WORDS, None, "interface.inputs.x.ui"),
        (Change.LAYOUT, None, "layout.nodes"),
    ]
    assert not any(one.is_meaning for one in found)
    assert after.digest() == BEFORE.digest()


@settings(max_examples=60, deadline=None)
@drawn_from(workflows(is_nesting=False), workflows(is_nesting=False))
def test_there_are_differences_of_meaning_exactly_where_digests_differ(one: Drawn, other: Drawn) -> None:
    assert any(d.is_meaning for d in differences(one.spec, other.spec)) == (one.spec.digest() != other.spec.digest())
    assert differences(one.spec, one.spec) == []


@settings(max_examples=60, deadline=None)
@drawn_from(workflows(is_nesting=False), st.data())
def test_nodes_that_are_only_renamed_are_never_taken_for_others(drawn: Drawn, data: st.DataObject) -> None:
    """Twins that feed different nodes may go by each other's names; none is gone, new or of another kind."""
    chosen = data.draw(st.sets(st.sampled_from(list(drawn.spec.nodes)), min_size=1))
    names = {name: f"new_{name}" for name in chosen}
    found = differences(drawn.spec, renamed_in(drawn.spec, names))
    renamed = [one for one in found if one.kind is Change.NODE_RENAMED]
    assert {one.before for one in renamed} == chosen
    assert {one.after for one in renamed} == set(names.values())


def test_two_large_workflows_that_share_nothing_are_compared_in_a_moment() -> None:
    chain = {
        f"a{i}": {"type": ADD, "inputs": {"a": ref(f"a{i - 1}", "result") if i else 1, "b": i}} for i in range(500)
    }
    other = {
        f"b{i}": {"type": ADD, "inputs": {"a": ref(f"b{i - 1}", "result") if i else 1, "b": -i}} for i in range(500)
    }
    one, two = spec_of(chain, {"out": ["a499", "result"]}), spec_of(other, {"out": ["b499", "result"]})
    with effort() as spent:
        assert differences(one, two)
    assert spent.seconds < 2
