"""Documents and runs that try to use up a machine: refused, or no dearer than their size."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fakes.effort import effort
from fakes.stages import Workshop, said
from fakes.workflows import given, known, published, ref, workflow

from serve.domain.errors import InvalidRequest
from serve.domain.usage import NO_USAGE
from serve.domain.workflow import MAX_ITEMS, WorkflowSpec
from serve.gateway.workflows import media
from serve.gateway.workflows.call_checks import check_calls
from serve.gateway.workflows.calls import MAX_SIZE, Call, calls_of
from serve.gateway.workflows.ceilings import CallBound, RunBound
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.graph import Graph
from serve.workflow.nodes.bounds import MAX_TEXT
from serve.workflow.operation import Quick
from serve.workflow.operations import OPERATIONS
from serve.workflow.volumes import MAX_RUN_SIZE, MAX_VALUE_SIZE, size_of

LANGUAGE = "smollm2-135m-instruct"


def chat(**inputs: Any) -> dict[str, Any]:
    return {"type": f"model:{LANGUAGE}", "task": "chat", "inputs": {"prompt": "a", "max_tokens": 4} | inputs}


def graph_of(spec: WorkflowSpec, **within: WorkflowSpec) -> Graph:
    found = compile_workflow(spec, known(published(**within)))
    assert found.graph is not None, found.problems
    return found.graph


def calls(spec: WorkflowSpec, inputs: dict[str, Any] | None = None) -> list[Call]:
    return calls_of(graph_of(spec), known().models, inputs or {})


def seconds(work: Callable[[], object]) -> float:
    with effort() as spent:
        work()
    return spent.seconds


def over_seeds(num_nodes: int, prompt: Any) -> WorkflowSpec:
    node = {**chat(prompt=prompt, seed=given("seeds")), "map": ["seed"], "maxItems": MAX_ITEMS}
    nodes = {f"n{index}": node for index in range(num_nodes)}
    return workflow(nodes, {"out": ("n0", "text")} | {f"o{n}": (f"n{n}", "text") for n in range(1, num_nodes)},
                    {"prompt": "text", "seeds": "list[number]"})  # fmt: skip


def test_what_each_node_may_cost_takes_time_by_their_number_alone() -> None:
    spec = workflow({f"n{n}": chat() for n in range(60)}, {f"o{n}": (f"n{n}", "text") for n in range(60)})
    some = calls(spec)
    looked_at = 0

    class Counted(CallBound):
        def most(self, max_prompt_tokens: int = 0) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().most(max_prompt_tokens)

    bound = RunBound(tuple(Counted(call, (NO_USAGE,)) for call in some))
    for call in some:
        assert [one.call.label for one in bound.of(call.label)] == [call.label]
        assert bound.cost({}, call.label) == 0
        bound.prompt_tokens(call.model)
    assert looked_at == len(some)


def test_the_calls_of_a_node_are_those_of_all_inside_it() -> None:
    inner = workflow({"ask": chat(), "say": chat()}, {"out": ("ask", "text"), "more": ("say", "text")})
    outer = workflow(
        {"sub": {"type": "workflow:inner@1"}, "subject": chat()},
        {"out": ("sub", "out"), "more": ("sub", "more"), "subject": ("subject", "text")},
    )
    found = calls_of(graph_of(outer, inner=inner), known().models, {})
    bound = RunBound(tuple(CallBound(call, ()) for call in found))
    assert [one.call.label for one in bound.of("sub")] == ["sub/ask", "sub/say"]
    assert [one.call.label for one in bound.of("sub/say")] == ["sub/say"]
    assert [one.call.label for one in bound.of("subject")] == ["subject"]
    assert bound.of("su") == []


def test_a_list_of_thousands_of_references_is_put_together_once() -> None:
    many = 20_000
    spec = workflow(
        {"ask": chat(tools=[{"type": "function", "function": {"name": "f", "enum": [given("word")] * many}}])},
        {"out": ("ask", "text")},
        {"word": "text"},
    )
    graph = graph_of(spec)
    found: list[Call] = []
    took = seconds(lambda: found.extend(calls_of(graph, known().models, {"word": "a"})))
    assert found[0].given["tools"].value[0]["function"]["enum"] == ["a"] * many
    assert took < 5.0


def test_a_long_prompt_for_thousands_of_items_is_read_once() -> None:
    spec = over_seeds(4, given("prompt"))
    inputs = {"prompt": "é" * 1_000_000, "seeds": list(range(MAX_ITEMS))}
    graph = graph_of(spec)
    found: list[Call] = []
    took = seconds(lambda: found.extend(calls_of(graph, known().models, inputs)))
    assert len(found) == 4 * MAX_ITEMS
    assert took < 5.0


def test_more_than_can_be_looked_at_is_refused_before_it_is() -> None:
    found = calls(over_seeds(1, given("prompt")), {"prompt": "a" * (MAX_SIZE // 8), "seeds": list(range(9))})
    with pytest.raises(InvalidRequest, match="million characters together") as refused:
        check_calls(found)
    assert (refused.value.code, refused.value.param) == ("too_large", "nodes.n0")
    check_calls(found[:7])


def test_calls_that_differ_in_their_seeds_alone_are_checked_each() -> None:
    spec = over_seeds(1, "a")
    with pytest.raises(InvalidRequest) as refused:
        check_calls(calls(spec, {"seeds": [1, 2, 2**70]}))
    assert refused.value.param == "input.seeds"


def test_a_run_is_given_so_many_pictures_and_no_more() -> None:
    grid = {"type": "op:image.grid", "inputs": {"images": given("images")}}
    graph = graph_of(workflow({"grid": grid}, {"out": ("grid", "image")}, {"images": "list[image]"}))
    few = media.sources(graph, {"images": ["asset:a"] * media.MAX_FILES}, lambda _: None)
    assert len(few) == media.MAX_FILES
    with pytest.raises(InvalidRequest) as refused:
        media.sources(graph, {"images": ["asset:a"] * (media.MAX_FILES + 1)}, lambda _: None)
    assert (refused.value.code, refused.value.param) == ("too_many_values", "images")


def test_a_switch_of_a_hundred_thousand_cases_costs_a_refusal() -> None:
    nodes = {"pick": {"type": "op:switch", "inputs": {"value": 1, "cases": list(range(100_000)), "default": "a"}}}
    spec = workflow(nodes, {"out": ("pick", "value")})
    assert seconds(lambda: compile_workflow(spec, known())) < 8.0
    (problem,) = compile_workflow(spec, known()).errors
    assert (problem.node, problem.field) == ("pick", "inputs.cases")


LONG_TEXT = {"type": "op:constant", "inputs": {"value": "a" * (MAX_TEXT // 2)}}
LISTS = {
    "made": {"type": "op:list.make", "inputs": {f"item_{n}": ref("long", "value") for n in range(100)}},
    "repeated": {"type": "op:list.repeat", "inputs": {"item": ref("long", "value"), "count": 200}},
    "collected": {"type": "op:list.collect", "inputs": {f"item_{n}": ref("long", "value") for n in range(100)}},
    "written": {"type": "op:text.join", "inputs": {"texts": [ref("long", "value")] * 100}},
    "object": {"type": "op:constant", "inputs": {"value": {f"k{n}": ref("long", "value") for n in range(100)}}},
}


@pytest.mark.parametrize("how", LISTS)
async def test_one_text_many_times_over_is_too_much(how: str) -> None:
    nodes = {"long": LONG_TEXT, "many": LISTS[how]}
    (port, *_) = graph_of(workflow(nodes, {"out": ("long", "value")})).nodes["many"].outputs
    spec = workflow(nodes, {"out": ("many", port)})
    performed, _ = await Workshop(known()).perform(spec)
    assert performed.error is not None
    assert performed.error.code == "too_large"


async def test_values_that_feed_on_themselves_do_not_grow_without_end() -> None:
    nodes: dict[str, Any] = {"n0": {"type": "op:constant", "inputs": {"value": {"word": "a" * 1000}}}}
    for n in range(1, 40):
        twice = {"a": ref(f"n{n - 1}", "value"), "b": ref(f"n{n - 1}", "value")}
        nodes[f"n{n}"] = {"type": "op:constant", "inputs": {"value": [twice]}, "policy": {"cache": "off"}}
    with effort() as spent:
        performed, _ = await Workshop(known()).perform(workflow(nodes, {"out": ("n39", "value")}))
    assert performed.error is not None
    assert performed.error.code == "too_large"
    assert spent.seconds < 10.0


async def test_a_run_puts_out_so_much_and_no_more() -> None:
    each = MAX_TEXT - 1000
    num = MAX_RUN_SIZE // each + 2
    trim = {"type": "op:text.trim", "inputs": {"text": given("text")}, "policy": {"cache": "off"}}
    nodes = {"n0": {"type": "op:text.trim", "inputs": {"text": given("text")}}}
    nodes |= {f"n{n}": {**trim, "inputs": {"text": ref(f"n{n - 1}", "text")}} for n in range(1, num)}
    spec = workflow(nodes, {"out": (f"n{num - 1}", "text"), "early": ("n1", "text")}, {"text": "text"})
    performed, stage = await Workshop(known()).perform(spec, {"text": "a" * each})
    assert performed.error is not None
    assert performed.error.code == "too_large"
    assert len(performed.outputs["early"]) == each
    assert stage.statuses()[f"n{num - 1}"] == "skipped"


async def test_an_item_of_a_written_list_is_put_together_without_the_others() -> None:
    big = [{"n": [n] * 50, "who": given("who")} for n in range(MAX_ITEMS)]
    node = {"type": "op:json.path", "inputs": {"value": big, "path": "$.who"}, "map": ["value"], "maxItems": MAX_ITEMS}
    performed, _ = await Workshop(known()).perform(
        workflow({"each": node}, {"out": ("each", "value")}, {"who": "text"}), {"who": "me"}
    )
    assert performed.outputs["out"] == ["me"] * MAX_ITEMS


@pytest.mark.parametrize("answer", ["[" * 900 + "]" * 900, "[" * 100_000, "1" * 2000, f"[{'9' * 5000}]"])
async def test_an_answer_that_no_writer_of_json_takes_is_no_json(answer: str) -> None:
    spec = workflow({"ask": chat()}, {"json": ("ask", "json"), "text": ("ask", "text")})
    performed, stage = await Workshop(known()).perform(spec, model=lambda step: said(answer))
    assert performed.error is None
    assert performed.outputs == {"json": None, "text": answer}
    assert json.dumps(stage.rows["ask"].outputs)


def test_json_that_breaks_off_at_its_very_end_is_not_read_again_and_again() -> None:
    text = "[" * 64 + ",".join(["1"] * 400_000)
    operation = OPERATIONS["json.parse"]
    assert isinstance(operation, Quick)
    took = seconds(lambda: operation.apply({"text": text, "find": True, "default": {"found": False}}))
    assert took < 5.0
    found = operation.apply({"text": 'words [not json, {] and {"a": [1]} more', "find": True})
    assert found == {"value": {"a": [1]}}


def test_what_is_counted_of_a_value_stops_where_there_is_too_much() -> None:
    shared: Any = "a" * 1000
    for _ in range(60):
        shared = [shared, shared]
    assert seconds(lambda: size_of(shared, MAX_VALUE_SIZE)) < 5.0
    assert size_of(shared, MAX_VALUE_SIZE) > MAX_VALUE_SIZE
    assert size_of({"ab": [1, True, "xyz"]}, 100) == 4 + 2 + 4 + 4 + 4 + 4 + 3
