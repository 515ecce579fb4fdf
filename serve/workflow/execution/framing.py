"""Nested workflows as steps of their own: they show what is done within them, and take no part in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.domain.run import RunError
from serve.domain.steps import Step, StepStatus
from serve.workflow.execution.feeding import value_of
from serve.workflow.execution.jobs import Absent, Job
from serve.workflow.execution.telling import Teller
from serve.workflow.execution.wiring import Frame, Planned, sources
from serve.workflow.values import encode


@dataclass(slots=True)
class _State:
    num_active: int = 0
    started_ms: int | None = None


class Frames:
    """The nested workflows of a run. One is running while any of its nodes is."""

    def __init__(self, teller: Teller, jobs: Mapping[Planned, Job]) -> None:
        self._teller = teller
        self._jobs = jobs
        self._states: dict[Frame, _State] = {}
        self._quiet: list[Frame] = []

    def entered(self, planned: Planned) -> None:
        """A node in it was asked for, and its conditions hold."""
        for frame in planned.frames:
            state = self._states.setdefault(frame, _State())
            state.num_active += 1
            if state.num_active == 1:
                state.started_ms = state.started_ms or self._teller.now_ms()
                step = Step(frame.label, StepStatus.RUNNING, frame.node.type, started_ms=state.started_ms)
                self._teller.add(step)

    def left(self, planned: Planned) -> None:
        """The same node has ended."""
        for frame in reversed(planned.frames):
            state = self._states[frame]
            state.num_active -= 1
            if state.num_active == 0:
                self._quiet.append(frame)

    def settle(self) -> None:
        """Tell the end of those in which nothing runs any more."""
        quiet, self._quiet = self._quiet, []
        for frame in dict.fromkeys(quiet):
            if self._states[frame].num_active == 0:
                self._tell_end(frame)

    def stop(self) -> None:
        """Everything was stopped: tell it of those in which something ran."""
        for frame, state in self._states.items():
            if state.num_active:
                step = Step(
                    frame.label, StepStatus.CANCELED, frame.node.type,
                    started_ms=state.started_ms, finished_ms=self._teller.now_ms(),
                )  # fmt: skip
                self._teller.add(step)

    def was_entered(self, frame: Frame) -> bool:
        """Whether anything in it was asked for."""
        return frame in self._states

    def _tell_end(self, frame: Frame) -> None:
        made = [self._jobs[source] for feed in frame.scope.outputs.values() for source in sources(feed)
                if source in self._jobs]  # fmt: skip
        outputs = self._outputs(frame)
        status, error, reason = _end_of(frame, made)
        step = Step(
            frame.label, status, frame.node.type, None, outputs if status.is_done else None, error, reason,
            0, self._states[frame].started_ms, self._teller.now_ms(),
        )  # fmt: skip
        self._teller.add(step)

    def _outputs(self, frame: Frame) -> dict[str, Any]:
        written = {}
        for name, feed in frame.scope.outputs.items():
            if all(source in self._jobs for source in sources(feed)):
                try:
                    written[name] = encode(value_of(feed, self._jobs), frame.node.outputs[name])
                except Absent:
                    continue
        return written


def _end_of(frame: Frame, made: list[Job]) -> tuple[StepStatus, RunError | None, str | None]:
    failed = next((job for job in made if job.cause is not None), None)
    if failed is not None and failed.cause is not None:
        cause = failed.cause
        if frame in cause.planned.frames:
            return StepStatus.FAILED, cause.error, f"{cause.planned.label} failed"
        return StepStatus.SKIPPED, None, f"{cause.planned.label} failed"
    done = [job for job in made if job.status.is_done]
    if not done:
        return StepStatus.SKIPPED, None, next((job.reason for job in made if job.reason), "nothing in it was needed")
    if all(job.status is StepStatus.CACHED for job in done):
        return StepStatus.CACHED, None, None
    return StepStatus.SUCCEEDED, None, None
