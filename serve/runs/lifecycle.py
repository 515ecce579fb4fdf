"""What happens to a run, and why: the transition table and the decisions, pure.

    queued ──claimed──> running ──> succeeded
      │  ^                 │  ├───> failed
      │  └── lost, refused,│  └───> canceled
      │      handed back ──┘
      ├──> canceled
      └──> failed (its deadline passed)

An attempt number is spent once the model has taken the call: usage is booked under it, so it is never used again.
`max_attempts` is asked only when an attempt was lost; a runner that stops in good order never costs a run its life.
"""

from dataclasses import dataclass

from serve.domain.errors import (
    Canceled,
    DeadlineExceeded,
    ModelUnavailable,
    Overloaded,
    ReplicaLost,
    SlipwayError,
    StorageUnavailable,
)
from serve.domain.run import Run, RunError, RunEventKind, RunKind, RunStatus

TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.CANCELED, RunStatus.FAILED}),
    RunStatus.RUNNING: frozenset({RunStatus.QUEUED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED}),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELED: frozenset(),
}

TERMINAL_EVENTS = frozenset({RunEventKind.SUCCEEDED, RunEventKind.FAILED, RunEventKind.CANCELED})

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
"""Longest wait before another attempt: about what a replica takes to be replaced."""
_WAIT_PER_AGE = 0.1
"""A run that no model takes waits a tenth of its age, so that old ones do not knock as often as new ones."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A transition to make. `reason` is a sentence for the run's owner.

    `delay_seconds` keeps a queued run from being claimed at once. `spends_attempt` false gives the attempt number
    back: the model never took the call.
    """

    status: RunStatus
    reason: str
    error: RunError | None = None
    delay_seconds: float = 0.0
    spends_attempt: bool = True


def may(before: RunStatus, after: RunStatus) -> bool:
    """Whether the table has this transition."""
    return after in TRANSITIONS[before]


def claimed() -> Decision:
    """A runner takes it."""
    return Decision(RunStatus.RUNNING, "A runner took the run.")


def completed() -> Decision:
    """The model answered whole. That is so even when a cancel was on its way: the work is done."""
    return Decision(RunStatus.SUCCEEDED, "The model answered.")


def performed(error: RunError | None) -> Decision:
    """The workflow ran to its end. With `error` one of the outputs that were wanted did not come to be."""
    if error is None:
        return Decision(RunStatus.SUCCEEDED, "The workflow ran to its end.")
    return Decision(RunStatus.FAILED, error.message, error)


def canceled() -> Decision:
    """Its owner said stop."""
    return Decision(RunStatus.CANCELED, "Canceled on request.")


def overdue() -> Decision:
    """The owner's deadline passed, queued or running."""
    return _failed("deadline_exceeded", "The run's deadline passed before it was done.")


def handed_back() -> Decision:
    """The runner stops in good order; another may take the run at once."""
    return Decision(RunStatus.QUEUED, "Its runner is shutting down; another takes over.")


def crashed() -> Decision:
    """Something broke that the run's owner can do nothing about; what it was is in the log."""
    return _failed(
        "internal_error", "The run failed for a reason of ours. Try again, and report its id if it persists."
    )


def lease_ended(run: Run, now_ms: int) -> Decision:
    """Its runner fell silent. It has waited a whole lease already, so it is ready at once."""
    return _before_trying_again(run, now_ms) or _lost(run, "Its runner fell silent", 0.0)


def raised(run: Run, error: BaseException, *, admitted: bool, now_ms: int, jitter: float) -> Decision:
    """The call ended in `error`. `admitted`: the model had begun to answer. `jitter` is drawn from [0, 1)."""
    match error:
        case DeadlineExceeded():
            return overdue()
        case ModelUnavailable(code="model_failed"):
            return _failed(error.code, error.message, error.param)  # nothing but a new document mends it
        case StorageUnavailable() if run.kind is RunKind.WORKFLOW and not admitted:
            return _before_trying_again(run, now_ms) or _refused(run, error, now_ms, jitter)
        case Overloaded() | ModelUnavailable() if not admitted:
            return _before_trying_again(run, now_ms) or _refused(run, error, now_ms, jitter)
        case ReplicaLost() | ModelUnavailable() | Overloaded() | Canceled():
            return _before_trying_again(run, now_ms) or _lost(
                run, "The model's replica was lost", _backoff(run, jitter)
            )
        case SlipwayError():
            return _failed(error.code, error.message, error.param)
        case _:
            return crashed()


def _before_trying_again(run: Run, now_ms: int) -> Decision | None:
    if run.cancel_requested:
        return canceled()
    if is_overdue(run, now_ms):
        return overdue()
    return None


def is_overdue(run: Run, now_ms: int) -> bool:
    """Whether the run has a deadline and it has passed."""
    return run.deadline_ms is not None and run.deadline_ms <= now_ms


def _backoff(run: Run, jitter: float) -> float:
    return min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (run.attempt - 1)) * (0.5 + jitter / 2)


def _lost(run: Run, what: str, delay_seconds: float) -> Decision:
    if run.attempt >= run.max_attempts:
        return _failed("replica_lost", f"{what} in attempt {run.attempt}, the last of {run.max_attempts}.")
    reason = f"{what} in attempt {run.attempt} of {run.max_attempts}; it is tried again."
    return Decision(RunStatus.QUEUED, reason, delay_seconds=delay_seconds)


def _refused(run: Run, error: SlipwayError, now_ms: int, jitter: float) -> Decision:
    asked = error.retry_after_seconds or FIRST_BACKOFF_SECONDS
    aged = min(MAX_BACKOFF_SECONDS, _WAIT_PER_AGE * (now_ms - run.created_ms) / 1000)
    delay = max(asked, aged) * (1 + jitter / 4)
    waits_for = "the database" if isinstance(error, StorageUnavailable) else "the model"
    return Decision(RunStatus.QUEUED, f"Waiting for {waits_for}: {error.message}", None, delay, spends_attempt=False)


def _failed(code: str, message: str, param: str | None = None) -> Decision:
    return Decision(RunStatus.FAILED, message, RunError(code=code, message=message, param=param))
