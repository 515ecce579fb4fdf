"""What a run's table and events are told of its jobs: gathered, and passed on together."""

from collections.abc import Mapping
from typing import Any

from serve.domain.ports import Clock
from serve.domain.steps import Stage, Step, StepStatus
from serve.workflow.jobs import Job
from serve.workflow.values import encode

_MAX_REASON = 400


class Teller:
    """Tells one run's stage."""

    def __init__(self, stage: Stage, clock: Clock) -> None:
        self._stage = stage
        self._clock = clock
        self._steps: list[Step] = []

    def begun(self, job: Job) -> None:
        """Its work begins."""
        job.started_ms = self._clock.now_ms()
        self.add(Step(job.planned.label, StepStatus.RUNNING, job.planned.node.type, job.key, started_ms=job.started_ms))

    def ended(self, job: Job) -> Mapping[str, Any] | None:
        """It has ended; the outputs as they were written, if it has any."""
        now_ms, planned = self._clock.now_ms(), job.planned
        written = None
        if job.status.is_done:
            outputs = job.outputs
            written = {port: encode(outputs[port], type_) for port, type_ in planned.outputs.items() if port in outputs}
        started_ms = job.started_ms
        if started_ms is None and job.status is not StepStatus.SKIPPED:
            started_ms = now_ms
        reason = None if job.reason is None else job.reason[:_MAX_REASON]
        step = Step(planned.label, job.status, planned.node.type, job.key, written, job.error, reason, job.tries,
                    started_ms, now_ms, job.usage, job.cost_nano)  # fmt: skip
        self.add(step)
        return written

    def add(self, step: Step) -> None:
        """Tell this, too."""
        self._steps.append(step)

    def skipped(self, label: str, type_: str, reason: str) -> None:
        """Nobody asked for this one."""
        self.add(Step(label, StepStatus.SKIPPED, type_, reason=reason, finished_ms=self._clock.now_ms()))

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._clock.now_ms()

    def flush(self) -> None:
        """Pass on what was gathered."""
        if self._steps:
            steps, self._steps = self._steps, []
            self._stage.tell(steps)
