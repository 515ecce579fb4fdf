"""What a run's table and events are told of its jobs: gathered, and passed on together."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from serve.domain.media import INLINE_LIMIT_BYTES
from serve.domain.ports import Clock
from serve.domain.steps import Stage, Step, StepStatus
from serve.domain.storable import storable
from serve.domain.stowed import stowed_asset
from serve.workflow.execution.jobs import Job
from serve.workflow.execution.tasks import Tasks
from serve.workflow.values import decode, encode

_log = logging.getLogger(__name__)
_MAX_REASON = 400


Made = Callable[[Job, Mapping[str, Any]], None]
"""Is told the outputs of a job as its row has them, once they are where they are to stay."""


class _Delayed:
    """A step whose outputs are being put away. What was told after it waits, so that no step is stored before those
    that it was made from."""

    __slots__ = ("is_ready", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.is_ready = False


class Teller:
    """Tells one run's stage."""

    def __init__(self, stage: Stage, clock: Clock, tasks: Tasks, made: Made) -> None:
        self._stage = stage
        self._clock = clock
        self._tasks = tasks
        self._made = made
        self._steps: list[Step | _Delayed] = []

    def begun(self, job: Job) -> None:
        """Its work begins."""
        job.started_ms = self._clock.now_ms()
        self.add(_running(job))

    def tried(self, job: Job, num_tries: int, is_tried_again: bool) -> None:
        """So many of its tries have failed."""
        job.tries = num_tries
        if is_tried_again:
            self.add(_running(job))
            self.flush()

    def ended(self, job: Job) -> None:
        """It has ended."""
        now_ms, planned = self._clock.now_ms(), job.planned
        written, num_bytes = _written(job) if job.status.is_done else (None, 0)
        started_ms = job.started_ms
        if started_ms is None and job.status is not StepStatus.SKIPPED:
            started_ms = now_ms
        reason = None if job.reason is None else job.reason[:_MAX_REASON]
        step = Step(planned.label, job.status, planned.node.type, job.key, written, job.error, reason, job.tries,
                    started_ms, now_ms, job.usage, job.cost_nano)  # fmt: skip
        self._add(step, num_bytes, job)

    def add(self, step: Step) -> None:
        """Tell this, too."""
        self._add(step, 0 if step.outputs is None else storable(step.outputs)[1])

    def _add(self, step: Step, num_bytes: int, job: Job | None = None) -> None:
        outputs = step.outputs
        if outputs is not None and (num_bytes > INLINE_LIMIT_BYTES or any(map(stowed_asset, outputs.values()))):
            self._put_away(step, outputs, job)
            return
        self._steps.append(step)
        if outputs is not None and job is not None:
            self._made(job, outputs)

    def _put_away(self, step: Step, whole: Mapping[str, Any], job: Job | None) -> None:
        delayed = _Delayed(step)
        self._steps.append(delayed)

        def came(outputs: Mapping[str, Any] | None, error: BaseException | None) -> None:
            if outputs is None:
                _log.warning("step %s: its outputs stay in its row", step.label, exc_info=error)
                outputs = whole
            delayed.step, delayed.is_ready = replace(step, outputs=outputs), True
            if job is not None:
                self._made(job, outputs)

        self._tasks.start(self._stage.put_away(whole), came)

    def skipped(self, label: str, type_: str, reason: str) -> None:
        """Nobody asked for this one; though an earlier attempt may have done it."""
        if label not in self._stage.stored:
            now_ms = self._clock.now_ms()
            self.add(Step(label, StepStatus.SKIPPED, type_, reason=reason, finished_ms=now_ms))

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._clock.now_ms()

    def flush(self) -> None:
        """Pass on what was gathered, up to the first that is not ready."""
        steps = list[Step]()
        for told in self._steps:
            if isinstance(told, Step):
                steps.append(told)
            elif told.is_ready:
                steps.append(told.step)
            else:
                break
        if steps:
            del self._steps[: len(steps)]
            self._stage.tell(steps)

    def stop(self) -> None:
        """Pass on the rest of a run that is stopped. Of what waits, that which has outputs is left out: whoever goes on
        with the run does it again, with what it is made from."""
        self.flush()
        rest = [told for told in self._steps if isinstance(told, Step) and not told.status.is_done]
        self._steps = []
        if rest:
            self._stage.tell(rest)


def _running(job: Job) -> Step:
    planned = job.planned
    return Step(planned.label, StepStatus.RUNNING, planned.node.type, job.key, tries=job.tries,
                started_ms=job.started_ms)  # fmt: skip


def _written(job: Job) -> tuple[Mapping[str, Any], int]:
    """The outputs as rows have them, and their bytes. What had to be cleaned for that is what goes on: a run that is
    taken up again, and one that takes the result, see the same."""
    outputs, types = job.outputs, job.planned.outputs
    written = {port: encode(outputs[port], type_) for port, type_ in types.items() if port in outputs}
    fit, num_bytes = storable(written)
    if fit is not written:
        job.outputs = {port: decode(value, types[port]) for port, value in fit.items()}
    return fit, num_bytes
