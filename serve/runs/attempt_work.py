"""What an attempt does: calls a model, or performs a workflow. The runner sees to its end, whichever it is."""

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from serve.domain.modality import Modality
from serve.domain.ports import Models
from serve.domain.run import Run
from serve.domain.task import TASKS
from serve.domain.usage import Quantities
from serve.runs import lifecycle
from serve.runs.attempt import Attempt, call_of
from serve.runs.lifecycle import Decision
from serve.runs.outputs import OutputSink, assets_of, outputs_of
from serve.runs.rows import Result

_log = logging.getLogger(__name__)

RunCosts = Callable[[Run], Awaitable[Callable[[Quantities], int | None]]]
"""What a run's usage will cost, in nano-dollars, by the prices it was accepted under. Asked before a model is called,
so that a database that is away then costs no work."""
CLOSE_SECONDS = 10.0
"""How long a model may take to let go of a call that was stopped. After it the run ends, and the call is left to it."""


class Work(Protocol):
    """One attempt's work."""

    async def perform(self) -> tuple[Decision, Result]:
        """Do it, to its end. Canceled, everything that was begun for it is stopped before this returns."""
        ...

    def ended(self, result: Result | None) -> Result | None:
        """The run ends, with `result` where it came to one: what is to be written of it, here what it has consumed."""
        ...

    def kept(self, result: Result | None) -> Collection[str] | None:
        """The assets that stay with the run; None where nothing else can be there."""
        ...

    async def let_go(self, *, is_ended: bool) -> None:
        """Nothing more is written. `is_ended`: the run's end was; of whole answers that did not become its own, another
        attempt does the work again, and they are not billed."""
        ...


class ModelWork:
    """A model's whole answer."""

    def __init__(self, attempt: Attempt, models: Models, outputs: OutputSink, costs: RunCosts | None) -> None:
        self._attempt = attempt
        self._models = models
        self._outputs = outputs
        self._costs = costs

    async def perform(self) -> tuple[Decision, Result]:
        """See `Work`."""
        attempt = self._attempt
        cost_of = await self._costs(attempt.run) if self._costs else None
        stream = self._models.call(attempt.run.target, call_of(attempt.run), attempt.verdict)
        try:
            async for batch in stream:
                attempt.add(batch)
                if attempt.answer.usage is not None:
                    attempt.answering = stream
                    break
        finally:
            if attempt.answering is None:
                await stream.aclose()
        outputs = await outputs_of(attempt.run, attempt.answer, self._outputs)
        usage = attempt.answer.usage
        if usage is None:
            return lifecycle.completed(), Result(outputs)
        return lifecycle.completed(), Result(outputs, usage.nonzero(), cost_of(usage) if cost_of else None)

    def ended(self, result: Result | None) -> Result | None:
        """See `Work`."""
        usage = self._attempt.usage
        return result or (Result(usage=usage.nonzero()) if usage else None)

    def kept(self, result: Result | None) -> Collection[str] | None:
        """See `Work`."""
        run = self._attempt.run
        if run.fence == 1 and (run.task is None or Modality.IMAGE not in TASKS[run.task].outputs):
            return None
        return assets_of(run, self._attempt.answer, result.outputs if result else None)

    async def let_go(self, *, is_ended: bool) -> None:
        """See `Work`."""
        answering, self._attempt.answering = self._attempt.answering, None
        if answering is None:
            return
        if not is_ended:
            self._attempt.verdict.platform_retry = True
        try:
            await answering.aclose()
        except Exception:
            _log.warning("run %s: its model did not let go of it well", self._attempt.run.id, exc_info=True)
