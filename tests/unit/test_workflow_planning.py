"""Plans: what runs, and under which keys results are kept."""

from collections.abc import Mapping
from typing import Any

import pytest
from fakes.workflows import given, known, published, ref, workflow

from serve.domain.media import Asset
from serve.domain.names import AssetId
from serve.domain.run import ModelTerms, WorkflowTerms
from serve.domain.workflow import WorkflowSpec
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.execution.planning import Given, Planner
from serve.workflow.execution.wiring import Planned, Scope

LANGUAGE, PAINTER = "smollm2-135m-instruct", "shapes-sd"
TERMS: dict[str, Any] = {"models": {LANGUAGE: ModelTerms(digest="sha256:l"), PAINTER: ModelTerms(digest="sha256:p")}}


def add(a: Any, b: Any, **more: Any) -> dict[str, Any]:
    return {"type": "op:number.calculate", "inputs": {"operation": "add", "a": a, "b": b}, **more}


def chat(prompt: Any, **inputs: Any) -> dict[str, Any]:
    return {"type": f"model:{LANGUAGE}", "task": "chat", "inputs": {"prompt": prompt, **inputs}}


def plan(
    spec: WorkflowSpec,
    inputs: Mapping[str, Any] | None = None,
    *,
    workflows: Mapping[str, Any] | None = None,
    assets: Mapping[str, Asset] | None = None,
    **terms: Any,
) -> tuple[Planner, Scope]:
    facts = known(workflows)
    compiled = compile_workflow(spec, facts)
    assert compiled.graph is not None, compiled.problems
    planner = Planner(Given(WorkflowTerms(digest="sha256:d", **(TERMS | terms)), facts.models, assets or {}))
    return planner, planner.plan(compiled.graph, inputs or {})


def planned(scope: Scope) -> dict[str, Planned]:
    return {one.label: one for one in scope.planned()}


def keys(spec: WorkflowSpec, inputs: Mapping[str, Any] | None = None, **more: Any) -> dict[str, str | None]:
    return {label: one.key for label, one in planned(plan(spec, inputs, **more)[1]).items()}


TWO = {"a": add(given("x"), 1), "b": add(ref("a", "result"), 2)}
INPUT = {"x": "number"}


def test_only_what_an_output_needs_is_planned() -> None:
    _, scope = plan(workflow({**TWO, "c": add(1, 1)}, {"out": ["b", "result"]}, INPUT), {"x": 1})
    assert list(planned(scope)) == ["a", "b"]
    assert list(scope.idle()) == [("c", "op:number.calculate")]


def test_a_key_is_the_same_whatever_nodes_are_called() -> None:
    renamed = {"first": TWO["a"], "second": add(ref("first", "result"), 2)}
    one = keys(workflow(TWO, {"out": ["b", "result"]}, INPUT), {"x": 1})
    other = keys(workflow(renamed, {"out": ["second", "result"]}, INPUT), {"x": 1})
    assert list(one.values()) == list(other.values())


@pytest.mark.parametrize(
    ("nodes", "inputs", "same"),
    [
        pytest.param(TWO, {"x": 2}, set(), id="an input"),
        pytest.param({**TWO, "b": add(ref("a", "result"), 3)}, {"x": 1}, {"a"}, id="a constant of the last node"),
        pytest.param({**TWO, "a": add(given("x"), 4)}, {"x": 1}, set(), id="a constant of the first node"),
        pytest.param({**TWO, "b": add(ref("a", "result"), given("x"))}, {"x": 1}, {"a"}, id="a reference"),
    ],
)
def test_a_change_misses_what_it_reaches_and_nothing_else(
    nodes: dict[str, Any], inputs: dict[str, Any], same: set[str]
) -> None:
    before = keys(workflow(TWO, {"out": ["b", "result"]}, INPUT), {"x": 1})
    after = keys(workflow(nodes, {"out": ["b", "result"]}, INPUT), inputs)
    assert {label for label in before if before[label] == after[label]} == same


def test_keys_are_exact_about_the_model_and_the_seed() -> None:
    spec = workflow({"say": chat("hello")}, {"out": ["say", "text"]})
    first = keys(spec, seeds={"say": 1})["say"]
    assert first == keys(spec, seeds={"say": 1})["say"]
    assert first != keys(spec, seeds={"say": 2})["say"]
    assert first != keys(spec, seeds={"say": 1}, models={LANGUAGE: ModelTerms(digest="sha256:other")})["say"]


def test_a_drawn_seed_and_the_same_seed_given_have_one_key() -> None:
    drawn = keys(workflow({"say": chat("hello")}, {"out": ["say", "text"]}), seeds={"say": 5})
    written = keys(workflow({"say": chat("hello", seed=5)}, {"out": ["say", "text"]}))
    assert drawn == written


def test_keys_are_exact_about_adapters_and_their_scales() -> None:
    def key(digit: str, scale: float) -> str | None:
        adapter = {"id": f"acme/stripes@sha256:{digit * 64}", "scale": scale}
        node = {"type": f"model:{PAINTER}", "task": "text_to_image", "inputs": {"prompt": "a", "adapters": [adapter]}}
        return keys(workflow({"gen": node}, {"out": ["gen", "image"]}), seeds={"gen": 1})["gen"]

    assert key("1", 1.0) == key("1", 1.0)
    assert len({key("1", 1.0), key("2", 1.0), key("1", 0.5)}) == 3


def test_an_asset_is_known_by_its_bytes_and_not_by_its_id() -> None:
    spec = workflow(
        {"blur": {"type": "op:image.blur", "inputs": {"image": given("photo")}}}, {"out": ["blur", "image"]},
        {"photo": "image"},
    )  # fmt: skip

    def key(asset_id: str, sha256: str) -> str | None:
        asset = Asset(AssetId(asset_id), sha256, "image/png", 10, 0, width=1, height=1)
        return keys(spec, {"photo": f"asset:{asset_id}"}, assets={asset_id: asset})["blur"]

    assert key("one", "aa") == key("two", "aa") != key("one", "bb")


def test_what_is_not_kept_has_no_key_and_neither_has_what_it_feeds() -> None:
    nodes = {**TWO, "a": {**TWO["a"], "policy": {"cache": "off"}}}
    assert keys(workflow(nodes, {"out": ["b", "result"]}, INPUT), {"x": 1}) == {"a": None, "b": None}


def test_a_condition_is_a_part_of_what_it_lets_through() -> None:
    nodes = {
        "a": add(given("x"), 1, when=given("flag")),
        "b": {"type": "op:first", "inputs": {"value_1": ref("a", "result"), "value_2": 0}},
    }
    spec = workflow(nodes, {"out": ["b", "value"]}, {"x": "number", "flag": "boolean"})
    on, off = keys(spec, {"x": 1, "flag": True}), keys(spec, {"x": 1, "flag": False})
    assert on["a"] == off["a"]
    assert on["b"] != off["b"]


INNER = workflow(TWO, {"out": ["b", "result"]}, {"x": {"type": "number", "default": 9}})


def test_nodes_of_a_nested_workflow_have_the_keys_that_they_have_by_themselves() -> None:
    outer = workflow({"sub": {"type": "workflow:inner@1", "inputs": {"x": 1}}}, {"out": ["sub", "out"]})
    found = keys(outer, workflows=published(inner=INNER))
    by_itself = keys(workflow(TWO, {"out": ["b", "result"]}, INPUT), {"x": 1})
    assert found == {f"sub/{label}": key for label, key in by_itself.items()}


def test_a_nested_workflow_takes_its_defaults_and_seeds_by_its_place() -> None:
    inner = workflow(
        {"say": chat(given("words"))}, {"out": ["say", "text"]}, {"words": {"type": "text", "default": "hi"}}
    )
    outer = workflow({"sub": {"type": "workflow:inner@1", "inputs": {}}}, {"out": ["sub", "out"]})
    _, scope = plan(outer, workflows=published(inner=inner), seeds={"sub/say": 3})
    inputs = planned(scope)["sub/say"].inputs
    assert (inputs["prompt"].value, inputs["seed"].value) == ("hi", 3)  # type: ignore[union-attr]


def _mapped(items: Any) -> WorkflowSpec:
    nodes = {
        "a": add(items, 1, map=["a"]),
        "b": add(ref("a", "result"), 2, map=["a"]),
    }
    return workflow(nodes, {"out": ["b", "result"]})


def test_of_a_list_in_which_one_element_changed_one_item_is_another() -> None:
    def items(values: list[int]) -> list[str | None]:
        planner, scope = plan(_mapped(values))
        return [planner.item(planned(scope)["b"], index).key for index in range(len(values))]

    one, other = items([1, 2, 3]), items([1, 5, 3])
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, False, True]
    assert None not in one


def test_items_are_labelled_by_their_place_and_draw_seeds_of_their_own() -> None:
    node = {**chat(["a", "b"]), "map": ["prompt"]}
    planner, scope = plan(workflow({"say": node}, {"out": ["say", "text"]}), seeds={"say": 10})
    items = [planner.item(planned(scope)["say"], index) for index in range(2)]
    assert [item.label for item in items] == ["say.0", "say.1"]
    assert [item.inputs["seed"].value for item in items] == [10, 11]  # type: ignore[union-attr]


def test_a_seed_that_is_given_is_every_items() -> None:
    node = {**chat(["a", "b"], seed=4), "map": ["prompt"]}
    planner, scope = plan(workflow({"say": node}, {"out": ["say", "text"]}), seeds={"say": 10})
    items = [planner.item(planned(scope)["say"], index) for index in range(2)]
    assert [item.inputs["seed"].value for item in items] == [4, 4]  # type: ignore[union-attr]


def test_items_of_a_workflow_are_labelled_with_it() -> None:
    node = {"type": "workflow:inner@1", "inputs": {"x": [1, 2]}, "map": ["x"]}
    planner, scope = plan(workflow({"sub": node}, {"out": ["sub", "out"]}), workflows=published(inner=INNER))
    item = planner.item(planned(scope)["sub"], 1)
    assert item.scope is not None
    assert list(planned(item.scope)) == ["sub.1/a", "sub.1/b"]


def test_lists_of_other_lengths_have_other_keys_even_where_the_items_are_not_looked_at() -> None:
    inner = workflow({"a": add(1, 1)}, {"out": ["a", "result"]}, {"x": "number"})

    def key(values: list[int]) -> str | None:
        node = {"type": "workflow:inner@1", "inputs": {"x": values}, "map": ["x"]}
        return keys(workflow({"sub": node}, {"out": ["sub", "out"]}), workflows=published(inner=inner))["sub"]

    assert key([1, 2]) != key([1, 2, 3])


def test_many_lists_that_share_their_sources_are_planned_in_one_pass() -> None:
    nodes: dict[str, Any] = {"n0": add([1, 2], [3, 4], map=["a", "b"])}
    for index in range(1, 60):
        before = ref(f"n{index - 1}", "result")
        nodes[f"n{index}"] = add(before, before, map=["a", "b"])
    planner, scope = plan(workflow(nodes, {"out": ["n59", "result"]}))
    assert planner.item(planned(scope)["n59"], 1).key is not None
