"""The lanes: which images can share a forward pass, what a step of each costs, and how many rows one should have."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from deployments.engines.diffusion.capacity import StepTimes, knee
from deployments.engines.diffusion.planning import FairLanes, choose_rows
from deployments.engines.diffusion.slot import LaneKey, Slot

MAX_ROWS = 32
"""Without a measured reason there is no point in more: nothing that was measured gained beyond it."""

MAX_LANES = 256
"""Shapes that are remembered: every step looks at all of them, and callers choose from a million."""


@dataclass(slots=True)
class Lane:
    """The images of one shape."""

    times: StepTimes
    max_rows: int
    slots: list[Slot] = field(default_factory=list)


class Lanes:
    """All of them. A new shape's times are guessed from the shape that was measured at the start, by its pixels."""

    def __init__(self, measured: StepTimes, measured_at: LaneKey, max_rows: int | None) -> None:
        self._measured, self._measured_at = measured, measured_at
        self._max_rows = max_rows
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
            found = self._lanes[key] = Lane(times, self._cap(factor))
        return found

    def _cap(self, factor: float) -> int:
        """A picture of four times the pixels fills the machine with a quarter of the rows."""
        if self._max_rows is not None:
            return self._max_rows
        return max(2, min(MAX_ROWS, round(knee(self._measured, MAX_ROWS) / max(factor, 1.0))))

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
        self.lane(key).times.learn(num_rows, milliseconds)
        self._fair.charge(key, milliseconds, num_rows)

    def shed(self, key: LaneKey) -> list[Slot]:
        """Memory ran out: take all images out of the lane, and let it try half as many rows from now on."""
        lane = self.lane(key)
        gone, lane.slots = lane.slots, []
        lane.max_rows = max(2, lane.max_rows // 2)
        return gone

    def alone_seconds(self, key: LaneKey, num_rows: int, num_steps: int) -> float:
        """How long one image would take if nothing else ran."""
        return num_steps * self.lane(key).times.estimate(num_rows) / 1000


def _pixels(key: LaneKey) -> int:
    return key[0] * key[1]
