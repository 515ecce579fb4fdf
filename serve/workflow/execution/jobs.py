"""What is known of a planned node while it is executed."""

from collections.abc import Callable, Mapping
from typing import Any

from serve.domain.run import RunError
from serve.domain.steps import Step, StepStatus
from serve.workflow.execution.wiring import Feed, Planned


class Absent(Exception):
    """What should feed a node did not come to be, because of `job`."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job)
        self.job = job


class Job:
    """A planned node that somebody asked for.

    `go` is what is to be done with it once `num_missing` others have ended. `waiters` go on when it ends, and `watcher`
    is told. `num_asking` are those that want what comes of it: with none of them left it is not begun, though it may be
    asked for again. `before` is what earlier attempts wrote of it: its `tries` count. `cause` is the job whose failure
    is the reason that this one has no outputs, if there is one.
    """

    __slots__ = (
        "awaited", "cause", "chosen", "cost_nano", "error", "go", "has_entered", "is_parked", "is_queued", "key",
        "num_asking", "num_conditions", "num_missing", "outputs", "planned", "reason", "started_ms", "status", "tries",
        "usage", "values", "waiters", "watcher",
    )  # fmt: skip

    def __init__(self, planned: Planned, before: Step | None = None) -> None:
        self.planned = planned
        self.key = planned.key
        self.status = StepStatus.QUEUED
        self.has_entered = self.is_queued = self.is_parked = False
        self.go: Callable[[Job], None] | None = None
        self.watcher: Callable[[Job], None] | None = None
        self.waiters: list[Job] = []
        self.awaited: list[Job] = []
        self.num_missing = self.num_asking = self.num_conditions = 0
        self.tries = 0 if before is None else before.tries
        self.values: dict[str, Any] = {}
        self.chosen: dict[str, Feed] = {}
        self.outputs: Mapping[str, Any] = {}
        self.error: RunError | None = None
        self.reason: str | None = None
        self.cause: Job | None = None
        self.started_ms: int | None = None
        self.usage: Mapping[str, int] | None = None
        self.cost_nano: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether all is known of it that ever will be."""
        return self.status.is_terminal
