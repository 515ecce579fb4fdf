"""A node that is run over lists: its items, some at a time, and its lists of what came of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve.domain.errors import InvalidRequest
from serve.domain.steps import StepStatus
from serve.workflow.execution.jobs import Job
from serve.workflow.execution.wiring import Planned


class Asks(Protocol):
    """Whoever executes the items."""

    def ask(self, planned: Planned, watcher: Callable[[Job], None]) -> Job:
        """Have this executed, and be told when it has ended."""
        ...

    def has_result(self, planned: Planned) -> bool:
        """Whether it needs no work."""
        ...

    def finish(self, job: Job, outputs: dict[str, Any]) -> None:
        """`job` has ended with these."""
        ...

    def give_up(self, job: Job, cause: Job, reason: str) -> None:
        """`job` has ended without outputs, since `cause` has."""
        ...

    def skip_item(self, planned: Planned, reason: str) -> None:
        """Nobody will ask for this one."""
        ...


def num_items(job: Job) -> int:
    """How long its lists are.

    Raises:
        InvalidRequest: they are not of one length, or too long.
    """
    node = job.planned.node
    lengths = {port: len(job.values[port] or ()) for port in node.map}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{port} has {length}" for port, length in lengths.items())
        raise InvalidRequest(
            f"the lists that it is run over must be of one length: {told}", "invalid_value", node.map[0]
        )
    length = max(lengths.values(), default=0)
    if length > node.max_items:
        told = f"it is run over at most {node.max_items} items, and was given {length}; raise its maxItems"
        raise InvalidRequest(told, "too_large", node.map[0])
    return length


@dataclass(slots=True)
class FanOut:
    """The items of one node. After one has failed no other is begun; those that are under way end."""

    job: Job
    asks: Asks
    items: list[Planned]
    waiting: list[Planned] = field(default_factory=list)
    jobs: dict[Planned, Job] = field(default_factory=dict)
    num_active: int = 0
    stuck: Job | None = None
    """The first item, by its place, that ended without outputs."""

    def begin(self) -> None:
        """Ask for what needs no work at once, and for as many others as may be worked on at a time."""
        ready = [item for item in self.items if self.asks.has_result(item)]
        there = set(ready)
        self.waiting = [item for item in reversed(self.items) if item not in there]
        for item in ready:
            self._ask(item)
        self._go_on()

    def _ask(self, item: Planned) -> None:
        self.num_active += 1
        self.jobs[item] = self.asks.ask(item, self._ended)

    def _ended(self, job: Job) -> None:
        self.num_active -= 1
        if not job.status.is_done and (self.stuck is None or _place(job) < _place(self.stuck)):
            self.stuck = job
        self._go_on()

    def _go_on(self) -> None:
        while self.waiting and self.stuck is None and self.num_active < self.job.planned.node.concurrency:
            self._ask(self.waiting.pop())
        if not self.num_active:
            self._end(self.stuck)

    def _end(self, stuck: Job | None) -> None:
        for item in reversed(self.waiting):
            self.asks.skip_item(item, f"{stuck.planned.label} came to nothing" if stuck else "it was not needed")
        if stuck is not None:
            verb = "failed" if stuck.status is StepStatus.FAILED else "came to nothing"
            self.asks.give_up(self.job, stuck, f"{stuck.planned.label} {verb}")
            return
        made = [self.jobs[item].outputs for item in self.items]
        ports = self.job.planned.outputs
        whole = {port: [one[port] for one in made] for port in ports if all(port in one for one in made)}
        self.asks.finish(self.job, whole)


def _place(job: Job) -> int:
    return int(job.planned.label.rpartition(".")[2])
