"""The lanes: which images can share a forward pass, what a step of each costs, and how many rows one should have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from deployments.engines.diffusion.capacity import StepTimes, knee
from deployments.engines.diffusion.planning import FairLanes, choose_rows
from deployments.engines.diffusion.slot import LaneKey, Slot

MAX_ROWS = 32
"""Without a measured reason there is no point in more: nothing that was measured gained beyond it."""

MAX_LANES = 256
"""Shapes that are remembered: every step looks at all of them, and callers choose from a million."""
CALM_STEPS = 500
"""After so many steps in which memory sufficed, a lane that had run out of it tries twice the rows again."""


@dataclass(slots=True)
class Lane:
    """The images of one shape and of the same weights."""

    times: StepTimes
    most_rows: int
    max_rows: int
    """At present: fewer than `most_rows` for a while after memory ran out."""
    num_calm: int = 0
    """Steps since memory last ran out."""
    slots: list[Slot] = field(default_factory=list)


class Lanes:
    """All of them. A new shape's times are guessed from the shape that was measured at the start, by its pixels."""

    def __init__(
        self, measured: StepTimes, measured_at: LaneKey, max_rows: int | None, buckets: Sequence[int] = ()
    ) -> None:
        """`buckets` are the row counts that a forward pass is prepared for; a cap is always one of them."""
        self._measured, self._measured_at = measured, measured_at
        self._max_rows, self._buckets = max_rows, buckets
        self._lanes: dict[LaneKey, Lane] = {}
        self._fair: FairLanes[LaneKey] = FairLanes()

    def __len__(self) -> int:
        return sum(len(lane.slots) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[Slot]:
        for lane in self._lanes.values():
            yield from lane.slots

    def lane(self, key: LaneKey) -> Lane:
        """The lane of this shape; made when it is first needed, and kept, within bounds, for what it has learned."""
        found = self._lanes.get(key)
        if found is None:
            if len(self._lanes) >= MAX_LANES:
                self._lanes = {shape: lane for shape, lane in self._lanes.items() if lane.slots}
            factor = _pixels(key) / _pixels(self._measured_at)
            times = self._measured.scaled(factor)
            most = self._cap(factor)
            found = self._lanes[key] = Lane(times, most, most)
        return found

    def _cap(self, factor: float) -> int:
        """A picture of four times the pixels fills the machine with a quarter of the rows."""
        cap = self._max_rows or min(MAX_ROWS, round(knee(self._measured, MAX_ROWS) / max(factor, 1.0)))
        return max(2, max((size for size in self._buckets if size <= cap), default=cap))

    @property
    def most_rows(self) -> int:
        """Rows of the largest step that can come, at the size that was measured and all larger ones."""
        return self._cap(1.0)

    def add(self, slot: Slot) -> None:
        """Take in an image."""
        self.lane(slot.lane).slots.append(slot)

    def remove_gone(self) -> None:
        """Let go of those that finished, failed or were canceled."""
        for lane in self._lanes.values():
            if any(slot.is_gone or slot.is_finished for slot in lane.slots):
                lane.slots = [slot for slot in lane.slots if not (slot.is_gone or slot.is_finished)]

    def choose(self) -> tuple[LaneKey, list[Slot]] | None:
        """The lane and the images of the next step; None when there is nothing to do."""
        active = [key for key, lane in self._lanes.items() if lane.slots]
        if not active:
            return None
        key = self._fair.choose(active)
        lane = self._lanes[key]
        return key, choose_rows(lane.slots, lane.max_rows)

    def took(self, key: LaneKey, num_rows: int, milliseconds: float) -> None:
        """A step of this lane is done."""
        lane = self.lane(key)
        lane.times.learn(num_rows, milliseconds)
        self._fair.charge(key, milliseconds, num_rows)
        lane.num_calm += 1
        if lane.num_calm >= CALM_STEPS and lane.max_rows < lane.most_rows:
            lane.num_calm, lane.max_rows = 0, min(lane.most_rows, 2 * lane.max_rows)

    def shed(self, key: LaneKey) -> list[Slot]:
        """Memory ran out: take all images out of the lane, and let it try half as many rows from now on."""
        lane = self.lane(key)
        gone, lane.slots = lane.slots, []
        lane.max_rows, lane.num_calm = max(2, lane.max_rows // 2), 0
        return gone

    def is_empty(self, key: LaneKey) -> bool:
        """Whether no image of this shape waits for a step."""
        lane = self._lanes.get(key)
        return lane is None or not lane.slots

    def alone_seconds(self, key: LaneKey, num_rows: int, num_steps: int) -> float:
        """How long one image would take if nothing else ran."""
        return num_steps * self.lane(key).times.estimate(num_rows) / 1000


def _pixels(key: LaneKey) -> int:
    return key.height * key.width
