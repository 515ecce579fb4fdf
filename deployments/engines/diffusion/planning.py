"""Which images make a step together. Pure: decides, and says why; nothing here touches a tensor.

Between lanes time is shared by measured milliseconds: each step is charged to its lane, divided by the rows that took
part, and the lane that has had least goes next (start-time fair queueing: Goyal, Vin and Cheng, 1996). So a crowd at
one size cannot starve another, and a lane of many images gets more than a lane of one.

Within a lane the earliest deadline goes first. An image whose caller named none gets its arrival and a multiple of the
time that it would take alone, which puts short work ahead of long work that came at the same time, and lets nobody
wait for ever. Slots outnumber rows on purpose: every step chooses afresh, and what is not chosen keeps its place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

SLACK = 10.0
"""An image without a deadline is due this many times later than it would be done if it ran alone."""


class Waiting(Protocol):
    """What the plan must know of an image."""

    @property
    def num_rows(self) -> int:
        """1 without guidance, 2 with."""
        ...

    @property
    def deadline(self) -> float:
        """Seconds, on the engine's clock."""
        ...

    @property
    def order(self) -> int:
        """Breaks ties: the order of arrival."""
        ...


Item = TypeVar("Item", bound=Waiting)
Key = TypeVar("Key")


@dataclass(slots=True)
class LaneClock:
    """How much time a lane has had, per row that took part."""

    virtual_ms: float = 0.0


@dataclass(slots=True)
class FairLanes(Generic[Key]):
    """The lanes' clocks. A lane that comes back starts where the others are: idleness earns nothing."""

    _clocks: dict[Key, LaneClock] = field(default_factory=dict)

    def choose(self, lanes: Iterable[Key]) -> Key:
        """The lane that goes next, among those that have work; forgets the others."""
        active = list(lanes)
        known = [self._clocks[key].virtual_ms for key in active if key in self._clocks]
        start = min(known, default=0.0)
        self._clocks = {key: self._clocks.get(key) or LaneClock(start) for key in active}
        return min(active, key=lambda key: self._clocks[key].virtual_ms)

    def charge(self, key: Key, milliseconds: float, num_rows: int) -> None:
        """A step of lane `key` took `milliseconds` for `num_rows`."""
        clock = self._clocks.get(key)
        if clock is not None:
            clock.virtual_ms += milliseconds / max(num_rows, 1)


def due_at(arrived_at: float, deadline_at: float | None, alone_seconds: float) -> float:
    """When an image should be done; a caller's own deadline can only bring it forward."""
    usual = arrived_at + SLACK * alone_seconds
    return usual if deadline_at is None else min(usual, deadline_at)


def choose_rows(waiting: Sequence[Item], max_rows: int) -> list[Item]:
    """The images of the next step: by deadline, as many as fit into `max_rows` (at least the first)."""
    chosen: list[Item] = []
    num_rows = 0
    for item in sorted(waiting, key=lambda item: (item.deadline, item.order)):
        if not chosen or num_rows + item.num_rows <= max_rows:
            chosen.append(item)
            num_rows += item.num_rows
        if num_rows >= max_rows:
            break
    return chosen


def bucket(num_rows: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `num_rows`; without buckets the number itself."""
    return next((size for size in buckets if size >= num_rows), num_rows)
