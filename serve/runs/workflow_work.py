"""An attempt at a workflow's run: its steps are read, the workflow is performed, and what it came to is written."""

import asyncio
from collections.abc import Collection, Sequence

from serve.domain.errors import EngineFailed, StorageUnavailable
from serve.domain.ports import Clock, Models
from serve.domain.steps import Step, WorkflowExecution
from serve.domain.storable import storable
from serve.runs import lifecycle, steps
from serve.runs.attempt import Attempt
from serve.runs.attempt_work import CLOSE_SECONDS, RunCosts
from serve.runs.lifecycle import Decision
from serve.runs.outputs import OutputSink, assets_within, fitting
from serve.runs.rows import Result
from serve.runs.stage import Watch, WorkflowStage
from serve.storage.records import Records

_RETRY_SECONDS = 0.5


class Workflows:
    """What a runner has for workflows: who performs them, and who watches their steps."""

    def __init__(self, records: Records, execution: WorkflowExecution, watch: Watch | None = None) -> None:
        self.records = records
        self.execution = execution
        self.watch = watch


class WorkflowWork:
    """A workflow, performed as far as its steps are not stored yet."""

    def __init__(
        self,
        attempt: Attempt,
        models: Models,
        clock: Clock,
        outputs: OutputSink,
        costs: RunCosts | None,
        workflows: Workflows | None,
    ) -> None:
        self._attempt = attempt
        self._models = models
        self._clock = clock
        self._outputs = outputs
        self._costs = costs
        self._workflows = workflows
        self._stage: WorkflowStage | None = None

    async def perform(self) -> tuple[Decision, Result]:
        """See `Work`."""
        if self._workflows is None:
            raise EngineFailed("This runner performs no workflows.")
        attempt, workflows = self._attempt, self._workflows
        stored = await self._stored(workflows.records)
        stage = self._stage = WorkflowStage(attempt, self._models, stored, self._costs, workflows.watch, self._outputs)
        await stage.restore()
        performed = await workflows.execution.perform(stage)
        made, _ = storable(dict(performed.outputs))
        outputs = await fitting(attempt.run, made, self._outputs) if made or not performed.error else None
        cost_nano = performed.cost_nano if stage.is_cost_known else None
        return lifecycle.performed(performed.error), Result(outputs, performed.usage.nonzero(), cost_nano)

    async def _stored(self, records: Records) -> Sequence[Step]:
        """What earlier attempts have written. It is asked for until it is there, or the attempt is stopped: to go on
        without it would be to do the work again."""
        if self._attempt.run.fence == 1:
            return ()
        while True:
            try:
                async with records.read() as connection:
                    return await steps.load(connection, self._attempt.run.id)
            except StorageUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)

    def ended(self, result: Result | None) -> Result | None:
        """See `Work`."""
        if self._stage is None:
            return result
        self._stage.cancel_rest(self._clock.now_ms())
        return result or self._stage.so_far()

    def kept(self, result: Result | None) -> Collection[str] | None:
        """See `Work`. Intermediate results stay: the run shows them, and later runs may take them."""
        known = self._stage.steps.values() if self._stage else ()
        outputs = (result.outputs if result else None) or {}
        kept: set[str] = set()
        for written in (self._attempt.run.inputs, outputs, *(step.outputs for step in known)):
            kept.update(assets_within(written))
        return frozenset(kept)

    async def let_go(self, *, is_ended: bool) -> None:
        """See `Work`. What is held still is of steps whose end nobody wrote."""
        await self._attempt.held.close(CLOSE_SECONDS)
