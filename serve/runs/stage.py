"""A workflow's run on the stage: what its execution asks of it (`serve.domain.steps.Stage`), over one attempt."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from serve.domain.adapters import AdapterId
from serve.domain.errors import DeadlineExceeded, EngineFailed, NotFound, StorageUnavailable
from serve.domain.folds import Answer
from serve.domain.generation import Event, EventBatch, Metered, ModelCall, Verdict
from serve.domain.ports import Models
from serve.domain.run import ModelTerms, Run, RunAdapter
from serve.domain.steps import ModelStep, Step, StepAnswer, StepStatus, try_number
from serve.domain.stowed import stowed_asset
from serve.domain.usage import PriceId, Quantities
from serve.runs.attempt import Attempt, context_of
from serve.runs.attempt_work import RunCosts
from serve.runs.outputs import OutputSink
from serve.runs.rows import Result
from serve.runs.stowing import Stow

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
Watch = Callable[[Step], None]
"""Is told of every state of every step."""


class WorkflowStage:
    """One attempt at a workflow's run; a `Stage`."""

    def __init__(
        self,
        attempt: Attempt,
        models: Models,
        stored: Iterable[Step],
        costs: RunCosts | None = None,
        watch: Watch | None = None,
        outputs: OutputSink | None = None,
    ) -> None:
        """`stored` is all that earlier attempts have written down. Without `outputs` rows have everything."""
        self._attempt = attempt
        self._run = attempt.run
        self._models = models
        self._costs = costs
        self._watch = watch
        self._stow = None if outputs is None else Stow(self._run, outputs)
        self._known = {step.label: step for step in stored}
        self._stored = {label: step for label, step in self._known.items() if step.status.is_done}
        self._tried = {label: step for label, step in self._known.items() if not step.status.is_done}
        self._consumed: dict[str, Quantities] = {}
        """By calls that are under way, or whose end is not told: by label of their step."""
        self._stopped = {
            label: Quantities(**step.usage)
            for label, step in self._known.items()
            if step.usage is not None and not step.status.is_done
        }
        """By calls that were stopped, in this or an earlier attempt, and are charged for what ran: at least."""

    async def restore(self) -> None:
        """Have the outputs of `stored` whole. A step of which they are gone is done again."""
        for label, step in list(self._stored.items()):
            if step.outputs is None or not any(map(stowed_asset, step.outputs.values())):
                continue
            try:
                self._stored[label] = replace(step, outputs=await self._whole_for_sure(step.outputs))
            except (NotFound, EngineFailed):
                _log.warning("run %s: what step %s put out is gone; it is done again", self._run.id, label)
                del self._stored[label]

    async def _whole_for_sure(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """A store that is away is waited for: to go on without it would be to do the work again."""
        while True:
            try:
                return await self.take_out(outputs)
            except StorageUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)

    @property
    def run(self) -> Run:
        """See `Stage`."""
        return self._run

    @property
    def stored(self) -> Mapping[str, Step]:
        """See `Stage`."""
        return self._stored

    @property
    def tried(self) -> Mapping[str, Step]:
        """See `Stage`."""
        return self._tried

    @property
    def is_cost_known(self) -> bool:
        """Whether the run costs what its steps say. Of a call that was stopped, and is charged for what ran of it, only
        the ledger will know what that was; its step then has a usage, and no cost."""
        consuming = (step for step in self._known.values() if step.usage is not None)
        are_known = self._stopped.keys() <= self._known.keys() and not self._consumed
        return are_known and all(step.cost_nano is not None for step in consuming)

    @property
    def steps(self) -> Mapping[str, Step]:
        """The last that is known of every step, of earlier attempts too, by label."""
        return self._known

    def tell(self, steps: Sequence[Step]) -> None:
        """See `Stage`."""
        self._attempt.admitted = True
        if self._attempt.verdict.platform_retry:
            steps = [_left_for_another(step) for step in steps]
        if self._stopped:
            steps = [self._with_stopped(step) for step in steps]
        self._attempt.news.tell(steps)
        for step in steps:
            self._known[step.label] = step
            if step.status.is_terminal:
                self._consumed.pop(step.label, None)
            if self._watch is not None:
                self._watch(step)

    def _with_stopped(self, step: Step) -> Step:
        stopped = self._stopped.get(step.label)
        if stopped is None:
            return step
        usage = Quantities(**step.usage or {}) + stopped
        return replace(step, usage=usage.nonzero(), cost_nano=None)

    async def put_away(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Stage`."""
        return outputs if self._stow is None else await self._stow.put_away(outputs)

    async def take_out(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Stage`."""
        return outputs if self._stow is None else await self._stow.take_out(outputs)

    def say(self, label: str, event: Event) -> None:
        """See `Stage`."""
        self._attempt.news.say(label, event)

    def log(self, label: str, message: str) -> None:
        """See `Stage`."""
        self._attempt.log(message, label)

    async def call(self, step: ModelStep, said: Callable[[Sequence[Event]], None]) -> StepAnswer:
        """See `Stage`."""
        cost_of = await self._cost_of(step)
        call, verdict = self._call_of(step), self._attempt.held.begin()
        self._attempt.admitted = True
        stream = self._models.call(step.model, call, verdict)
        answer = await self._answer(step, stream, verdict, said)
        if answer.usage is None:
            raise EngineFailed("The model ended its answer early.")
        self._consumed[step.label] = answer.usage
        self._attempt.held.hold(step.label, stream, verdict)
        return StepAnswer(answer, answer.usage, cost_of(answer.usage) if cost_of else None)

    async def _answer(
        self,
        step: ModelStep,
        stream: AsyncGenerator[EventBatch, None],
        verdict: Verdict,
        said: Callable[[Sequence[Event]], None],
    ) -> Answer:
        """What the model answers; the stream is left open where that is whole."""
        answer, is_whole = Answer(), False
        try:
            async for batch in stream:
                answer.add(batch)
                said(batch)
                if answer.usage is not None:
                    is_whole = True
                    break
                if batch and isinstance(batch[-1], Metered):
                    self._consumed[step.label] = batch[-1].usage
        except (asyncio.CancelledError, DeadlineExceeded):
            if not verdict.platform_retry:
                self._was_stopped(step.label)
            raise
        finally:
            if not is_whole:
                self._consumed.pop(step.label, None)
                self._attempt.held.broken_off(verdict)
                await stream.aclose()
        return answer

    def _was_stopped(self, label: str) -> None:
        """A call is charged for what ran of it; how much, only its replica knows. A later attempt must know that."""
        seen = self._consumed.pop(label, Quantities())
        self._stopped[label] = self._stopped.get(label, Quantities()) + seen
        if known := self._known.get(label):
            self.tell([replace(known, usage=None)])

    async def _cost_of(self, step: ModelStep) -> Callable[[Quantities], int | None] | None:
        if self._costs is None:
            return None
        adapters = tuple(RunAdapter.model_construct(id=AdapterId(use.id), scale=use.scale) for use in step.adapters)
        price = self._terms(step.model).price
        return await self._costs(self._run.model_copy(update={"price": price, "adapters": adapters}))

    def _terms(self, model: str) -> ModelTerms:
        terms = self._run.workflow.models.get(model) if self._run.workflow else None
        if terms is None:
            raise EngineFailed(f"The run was accepted without terms for the model {model}.")
        return terms

    def _call_of(self, step: ModelStep) -> ModelCall:
        run, terms = self._run, self._terms(step.model)
        context = replace(
            context_of(run),
            attempt=try_number(run.fence, step.number),
            step=step.label,
            workflow=run.target,
            price=None if terms.price is None else PriceId(terms.price),
            max_prompt_tokens=terms.max_prompt_tokens,
        )
        return ModelCall(task=step.task, inputs=step.inputs, context=context, adapters=step.adapters)

    def so_far(self) -> Result:
        """Of a run that did not come to its own end: what it has consumed, at least, and what that costs, if known."""
        told = [step for step in self._known.values() if step.usage is not None]
        untold = [used for label, used in self._stopped.items() if label not in self._known]
        used = [*(Quantities(**step.usage or {}) for step in told), *untold, *self._consumed.values()]
        cost_nano = sum(step.cost_nano or 0 for step in told) if self.is_cost_known else None
        return Result(usage=sum(used, Quantities()).nonzero() or None, cost_nano=cost_nano)

    def cancel_rest(self, now_ms: int) -> None:
        """The run ends: so does what was under way."""
        under_way = [step for step in self._known.values() if not step.status.is_terminal]
        self.tell([self._canceled(step, now_ms) for step in under_way])

    def _canceled(self, step: Step, now_ms: int) -> Step:
        """What a whole answer consumed whose step did not come to its end is charged, as what ran of others is."""
        answered = self._consumed.get(step.label)
        usage = None if answered is None else answered.nonzero()
        return replace(step, status=StepStatus.CANCELED, finished_ms=now_ms, usage=usage, cost_nano=None)


def _left_for_another(step: Step) -> Step:
    """Of an attempt that the platform takes back: what is stopped now is done by the next one."""
    if step.status is not StepStatus.CANCELED:
        return step
    return replace(step, status=StepStatus.QUEUED, started_ms=None, finished_ms=None)
