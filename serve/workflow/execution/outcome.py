"""What came of an execution."""

from dataclasses import dataclass
from typing import Any

from serve.domain.run import RunError
from serve.domain.steps import Performed, Stage, Step
from serve.domain.usage import NO_USAGE, Quantities
from serve.workflow.execution.execution import Execution
from serve.workflow.execution.feeding import value_of
from serve.workflow.execution.jobs import Absent, Job
from serve.workflow.execution.wiring import Scope, sources
from serve.workflow.values import encode

_UNASKED = "nothing that ran asked for it"


def conclude(execution: Execution, scope: Scope, stage: Stage) -> Performed:
    """The outputs that came to be, why others did not, and what it all took."""
    outputs: dict[str, Any] = {}
    for name, feed in scope.outputs.items():
        try:
            outputs[name] = encode(value_of(feed, execution.jobs), scope.graph.output_types[name])
        except Absent as absent:
            if absent.job.cause is None:
                outputs[name] = None
    spent = _Spent()
    for step in stage.stored.values():
        spent.add(step)
    for job in execution.jobs.values():
        spent.add(job)
    return Performed(outputs, _error(execution, scope), spent.usage, spent.cost_nano)


def tell_rest(execution: Execution, scope: Scope) -> None:
    """Say of all that did not run why."""
    teller = execution.teller
    for label, type_ in scope.idle():
        teller.skipped(label, type_, "no output needs it")
    for planned in scope.planned():
        job = execution.jobs.get(planned)
        if job is None or not job.has_ended:
            teller.skipped(planned.label, planned.node.type, _UNASKED)
    for frame in scope.all_frames():
        if not execution.frames.was_entered(frame):
            reasons = (execution.jobs[one].reason for one in frame.scope.planned() if one in execution.jobs)
            teller.skipped(frame.label, frame.node.type, next(filter(None, reasons), _UNASKED))
    teller.flush()


def _error(execution: Execution, scope: Scope) -> RunError | None:
    """Of the first output that something failed for."""
    for feed in scope.outputs.values():
        for source in sources(feed):
            cause = execution.jobs[source].cause
            if cause is not None and cause.error is not None:
                told = f"Step {cause.planned.label} failed: {cause.error.message}"
                return RunError(code=cause.error.code, message=told)
    return None


@dataclass(slots=True)
class _Spent:
    """Usage and cost, added up; without a price of each part there is none of the whole."""

    usage: Quantities = NO_USAGE
    cost_nano: int | None = 0

    def add(self, one: Step | Job) -> None:
        """One step more."""
        if one.usage is None:
            return
        self.usage += Quantities(**one.usage)
        if one.cost_nano is None or self.cost_nano is None:
            self.cost_nano = None
        else:
            self.cost_nano += one.cost_nano
