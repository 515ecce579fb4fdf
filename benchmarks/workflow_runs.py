"""Executions in one process, with a stage that keeps what it is told."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serve.clock import SystemClock, Uuid7Ids
from serve.domain.generation import Event
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.run import Run, RunKind, WorkflowTerms
from serve.domain.steps import ModelStep, Operations, OperationStep, Performed, Stage, Step, StepAnswer
from serve.settings import WorkflowsSettings
from serve.workflow.execution.execution import Execution
from serve.workflow.execution.outcome import conclude, tell_rest
from serve.workflow.execution.planning import Given, Planner
from serve.workflow.execution.working import Worker
from serve.workflow.graph import Graph
from serve.workflow.results.results import MemoryResults

_CLOCK, _IDS = SystemClock(), Uuid7Ids()


class BenchStage:
    """Implements `Stage`: rows in a dictionary, as a writer holds them until they are written."""

    def __init__(self, value: Any) -> None:
        self.run = Run(
            id=RunId(_IDS.new()), request_id=RequestId(_IDS.new()), tenant=TenantName("bench"),
            project=ProjectName("default"), key_id=KeyId("key"), kind=RunKind.WORKFLOW, target="bench@1",
            inputs={"x": value}, workflow=WorkflowTerms(digest="sha256:0"), request_hash="0", created_ms=0, fence=1,
        )  # fmt: skip
        self.stored: Mapping[str, Step] = {}
        self.tried: Mapping[str, Step] = {}
        self.rows: dict[str, Step] = {}
        self.first_at: float | None = None

    def tell(self, steps: Sequence[Step]) -> None:
        """See `Stage`."""
        for step in steps:
            self.rows[step.label] = step

    async def put_away(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Stage`."""
        return outputs

    async def take_out(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Stage`."""
        return outputs

    def say(self, label: str, event: Event) -> None:
        """See `Stage`."""

    def log(self, label: str, message: str) -> None:
        """See `Stage`."""

    async def call(self, step: ModelStep, said: Callable[[Sequence[Event]], None]) -> StepAnswer:
        """See `Stage`."""
        raise NotImplementedError("the benchmark's graphs call no models")


class Nothing:
    """Implements `Operations` and `History` for graphs that need neither."""

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        """See `Operations`."""
        raise NotImplementedError("the benchmark's graphs have no such operation")

    def add(self, tenant: str, type_: str, work: float, seconds: float, units: Mapping[str, float]) -> None:
        """See `History`."""


class Bench:
    """Runs graphs; results stay from run to run."""

    def __init__(self, operations: Operations | None = None) -> None:
        self._results = MemoryResults()
        self._operations = operations or Nothing()

    async def run(self, graph: Graph, value: Any) -> Performed:
        """One run, from its inputs to its outputs."""
        return await self._perform(graph, BenchStage(value))

    async def first_node(self, graph: Graph, value: Any) -> float:
        """Seconds until the first node of a run had ended, as its stage was told."""
        stage = BenchStage(value)
        began = time.perf_counter()
        running = asyncio.create_task(self._perform(graph, stage))
        while not stage.rows:
            await asyncio.sleep(0)
        took = time.perf_counter() - began
        await running
        return took

    async def _perform(self, graph: Graph, stage: Stage) -> Performed:
        assert stage.run.workflow is not None
        planner = Planner(Given(stage.run.workflow, {}, {}))
        scope = planner.plan(graph, stage.run.inputs)
        settings = WorkflowsSettings()
        worker = Worker(stage, {}, self._operations, Nothing(), _CLOCK, settings)
        execution = Execution(stage, planner, scope, worker, self._results, _CLOCK, settings.max_concurrent_steps)
        await execution.run()
        tell_rest(execution, scope)
        return conclude(execution, scope, stage)
