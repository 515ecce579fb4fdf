"""Laws of execution: whatever the workflow, whatever order its steps end in, wherever it is interrupted."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fakes.clock import ManualClock
from fakes.plain_execution import Plain
from fakes.stages import MemoryStage, Remembered, applied, run_of
from fakes.workflows import Drawn, workflows
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.domain.steps import OperationStep, Performed
from serve.settings import WorkflowsSettings
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.execution.execution import Execution
from serve.workflow.execution.outcome import conclude, tell_rest
from serve.workflow.execution.planning import Given, Planner
from serve.workflow.execution.working import Worker
from serve.workflow.graph import Graph
from serve.workflow.interface import check_inputs
from serve.workflow.operation import Operation
from serve.workflow.operations import OPERATIONS
from serve.workflow.results.results import MemoryResults, Results


class Elsewhere(Operation):
    """A quick operation that is done elsewhere all the same."""

    def __init__(self, quick: Operation) -> None:
        self.quick = quick
        for name in ("name", "title", "description", "category", "version", "inputs", "outputs"):
            setattr(self, name, getattr(quick, name))

    def wants(self, values: Mapping[str, Any]) -> frozenset[str]:
        return self.quick.wants(values)

    def output_types(self, given: Any, values: Any) -> Any:
        return self.quick.output_types(given, values)

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        return self.quick.problems(values)


SLOW = {name: Elsewhere(operation) for name, operation in OPERATIONS.items()}
orders = st.lists(st.integers(0, 7), max_size=30)


@dataclass
class Shuffled:
    """Operations that end one at a time, in an order that is drawn."""

    order: list[int] = field(default_factory=list)
    waiting: list[asyncio.Event] = field(default_factory=list)
    performed: list[str] = field(default_factory=list)

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        self.performed.append(step.label)
        go = asyncio.Event()
        self.waiting.append(go)
        try:
            await go.wait()
        finally:
            if go in self.waiting:
                self.waiting.remove(go)
        return applied(step)

    async def drive(self, running: "asyncio.Task[Performed]", most: int = 10_000) -> None:
        """End them until the run has ended, or `most` of them."""
        order = iter(self.order)
        while not running.done() and most:
            for _ in range(6):
                await asyncio.sleep(0)
            if self.waiting:
                self.waiting.pop(next(order, 0) % len(self.waiting)).set()
                most -= 1


def compiled(drawn: Drawn, *, slow: bool) -> Graph:
    graph = compile_workflow(drawn.spec, drawn.known, operations=SLOW if slow else OPERATIONS).graph
    assert graph is not None
    return graph


async def perform(
    graph: Graph, stage: MemoryStage, operations: Any, results: Results | None = None, *, most: int = 64
) -> Performed:
    assert stage.run.workflow is not None
    planner = Planner(Given(stage.run.workflow, {}, {}))
    scope = planner.plan(graph, stage.run.inputs)
    clock = ManualClock()
    worker = Worker(stage, {}, operations, Remembered(), clock, WorkflowsSettings())
    execution = Execution(stage, planner, scope, worker, results or MemoryResults(), clock, most)
    await execution.run()
    tell_rest(execution, scope)
    return conclude(execution, scope, stage)


def stage_for(drawn: Drawn, graph: Graph, **terms: Any) -> MemoryStage:
    return MemoryStage(run_of(drawn.spec, check_inputs(graph, drawn.inputs), **terms))


async def shuffled(drawn: Drawn, graph: Graph, order: list[int], most: int = 64) -> tuple[Performed, MemoryStage]:
    stage, operations = stage_for(drawn, graph), Shuffled(order)
    running = asyncio.create_task(perform(graph, stage, operations, most=most))
    await operations.drive(running)
    return await running, stage


def agrees(performed: Performed, graph: Graph, stage: MemoryStage) -> bool:
    """Whether it is what the document means. Of a node that lacks one input by a failure and another by a condition
    only one is told, whichever came first."""
    plain = Plain(graph, stage.run.inputs)
    outputs, is_failed = plain.outputs()
    if performed.error is None and not is_failed:
        return performed.outputs == outputs
    there = {name: value for name, value in outputs.items() if value is not None}
    return there == {name: value for name, value in performed.outputs.items() if value is not None}


def plainly(graph: Graph, stage: MemoryStage) -> tuple[dict[str, Any], bool]:
    return Plain(graph, stage.run.inputs).outputs()


@given(workflows(may_fail=True))
@settings(deadline=None)
def test_quick_nodes_give_what_the_document_means(drawn: Drawn) -> None:
    graph = compiled(drawn, slow=False)
    stage = stage_for(drawn, graph)
    performed = asyncio.run(perform(graph, stage, None))
    assert agrees(performed, graph, stage)


@given(workflows(may_fail=True), orders, st.integers(1, 3))
@settings(deadline=None)
def test_whatever_order_steps_end_in_the_outputs_are_the_same(drawn: Drawn, order: list[int], most: int) -> None:
    graph = compiled(drawn, slow=True)
    performed, stage = asyncio.run(shuffled(drawn, graph, order, most))
    assert agrees(performed, compiled(drawn, slow=False), stage)


@given(workflows(), orders)
@settings(deadline=None)
def test_every_step_ends_once(drawn: Drawn, order: list[int]) -> None:
    graph = compiled(drawn, slow=True)
    _, stage = asyncio.run(shuffled(drawn, graph, order))
    frames = {name for name, node in graph.nodes.items() if node.graph is not None}
    ends = [step.label for step in stage.told if step.status.is_terminal and step.label not in frames]
    assert len(ends) == len(set(ends))
    assert set(graph.nodes) <= set(stage.rows)
    assert all(step.status.is_terminal for step in stage.rows.values())


@given(workflows(may_fail=True), orders, st.lists(st.integers(0, 12), min_size=1, max_size=3))
@settings(deadline=None)
def test_interrupted_anywhere_and_resumed_is_the_same_as_uninterrupted(
    drawn: Drawn, order: list[int], cuts: list[int]
) -> None:
    graph = compiled(drawn, slow=True)

    async def interrupted() -> tuple[Performed, list[str], MemoryStage]:
        stage, done = stage_for(drawn, graph), list[str]()
        for cut in cuts:
            operations = Shuffled(order)
            running = asyncio.create_task(perform(graph, stage, operations))
            await operations.drive(running, cut)
            running.cancel()
            await asyncio.wait({running})
            assert not operations.waiting
            stage = stage.next_attempt()
            assert not set(done) & set(operations.performed)
            done = [*stage.stored]
        operations = Shuffled(order)
        running = asyncio.create_task(perform(graph, stage, operations))
        await operations.drive(running)
        assert not set(done) & set(operations.performed)
        return await running, done, stage

    performed, _, stage = asyncio.run(interrupted())
    assert agrees(performed, compiled(drawn, slow=False), stage)


@given(workflows(), orders)
@settings(deadline=None)
def test_cached_and_uncached_results_are_the_same(drawn: Drawn, order: list[int]) -> None:
    graph, results = compiled(drawn, slow=True), MemoryResults()

    async def twice() -> tuple[Performed, Performed, Shuffled]:
        made = []
        for _ in range(2):
            operations = Shuffled(order)
            running = asyncio.create_task(perform(graph, stage_for(drawn, graph), operations, results))
            await operations.drive(running)
            made.append(await running)
        return made[0], made[1], operations

    first, second, operations = asyncio.run(twice())
    assert first.outputs == second.outputs
    assert not operations.performed


@given(workflows(), orders, st.dictionaries(st.sampled_from(["x", "y"]), st.integers(-9, 9), min_size=1))
@settings(deadline=None)
def test_results_of_other_inputs_are_never_mistaken(drawn: Drawn, order: list[int], other: dict[str, int]) -> None:
    graph, results = compiled(drawn, slow=False), MemoryResults()
    before = replace(drawn, inputs={**drawn.inputs, **other})

    async def both() -> tuple[Performed, MemoryStage]:
        await perform(graph, stage_for(before, graph), None, results)
        stage = stage_for(drawn, graph)
        return await perform(graph, stage, None, results), stage

    performed, stage = asyncio.run(both())
    assert performed.outputs == plainly(graph, stage)[0]
