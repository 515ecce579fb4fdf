"""How many replicas a model should have: a pure decision, with its reason.

Work is reckoned in replica-seconds, by prediction: a call that will hold one of sixteen places for two seconds is an
eighth of one. Three things are known of it: what arrives each second (`inflow`), what has a place now (`load`), and
what waits for one (`backlog_seconds`).

    more    as many as serve what arrives at `UTILISATION`, and as many again as work off, within the target wait, what
            will still wait when new replicas are ready: what the present ones finish until then asks for none. Where a
            start takes longer than the target, that is all the time they get: a crowd of replicas that comes too late
            to keep a promise would only be paid for
    fewer   the most that was needed within the last while, so that a lull between two bursts costs no cold start.
            That while grows with the time that a start takes
    zero    after `idle_seconds` without any work

A buffer of replicas is kept on top while there is work. The bounds come last.
"""

import math
from collections import deque
from dataclasses import dataclass, field

UTILISATION = 0.8
"""Of a replica that is given no more work than it can do: a queue in front of one that is always busy has no end."""
STARTS_OF_HOLDING = 4.0
LEAST_HOLD_SECONDS = 60.0
"""Replicas that are needed no more are kept as long as several starts take, and this long at least, for the start is
what a wrong farewell costs."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a model's card says."""

    minimum: int
    maximum: int
    target_wait_seconds: float
    idle_seconds: float
    buffer: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """A model as it is now. `now` is seconds that never go back."""

    now: float
    replicas: int
    """Running: those that start do not count."""
    wanted: int
    """What was last asked for."""
    load: float = 0.0
    """Places that are taken, in whole replicas' worth."""
    backlog_seconds: float = 0.0
    """Replica-seconds until all that waits has a place."""
    inflow: float = 0.0
    """Replica-seconds of work that arrive each second."""
    start_seconds: float = 0.0
    """From asking for a replica to its first answer, as measured last."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A number of replicas, and why in one sentence."""

    replicas: int
    reason: str


@dataclass(slots=True)
class ScalingPolicy:
    """One model's decisions. It remembers what was needed lately, and nothing else."""

    bounds: Bounds
    _needs: deque[tuple[float, int]] = field(default_factory=deque)
    """(when, how many), highest first: those that a later and higher need outlived are dropped."""
    _busy_at: float = -math.inf

    def decide(self, seen: Observation) -> Decision:
        """Replicas to ask for now."""
        bounds = self.bounds
        if _is_busy(seen):
            self._busy_at = seen.now
        needed = needed_replicas(seen, bounds.target_wait_seconds)
        held = self._held(seen, needed)
        is_idle = seen.now - self._busy_at >= bounds.idle_seconds
        kept = 0 if is_idle else max(held, 1) + bounds.buffer
        chosen = max(bounds.minimum, min(kept, bounds.maximum))
        return Decision(chosen, self._reason(seen, needed, held, kept, chosen))

    def _held(self, seen: Observation, needed: int) -> int:
        """The highest need of the last while, this one included."""
        while self._needs and self._needs[-1][1] <= needed:
            self._needs.pop()
        self._needs.append((seen.now, needed))
        while seen.now - self._needs[0][0] > self.hold_seconds(seen.start_seconds):
            self._needs.popleft()
        return self._needs[0][1]

    def hold_seconds(self, start_seconds: float) -> float:
        """How long a replica is kept that is needed no more; never longer than idleness is allowed to last."""
        return min(self.bounds.idle_seconds, max(LEAST_HOLD_SECONDS, STARTS_OF_HOLDING * start_seconds))

    def _reason(self, seen: Observation, needed: int, held: int, kept: int, chosen: int) -> str:
        bounds = self.bounds
        if kept == 0:
            why = f"no work for {bounds.idle_seconds:g} s" if self._busy_at > -math.inf else "no work yet"
        else:
            why = _needs_told(seen, needed, bounds.target_wait_seconds)
            if held > needed:
                why += f"; {held} were needed within the last {self.hold_seconds(seen.start_seconds):.0f} s"
            if bounds.buffer:
                why += f"; {bounds.buffer} as a buffer"
        if chosen > kept:
            return f"{why}; the minimum is {bounds.minimum}"
        return f"{why}; the maximum is {bounds.maximum}" if chosen < kept else why


def needed_replicas(seen: Observation, target_wait_seconds: float) -> int:
    """Enough for what arrives and has places, and for what will wait still when new ones are ready."""
    steady = _steady(seen)
    wait = backlog_at_start(seen)
    if wait <= max(seen.replicas, 1) * target_wait_seconds:
        return math.ceil(steady - 1e-6)
    return math.ceil(max(steady, seen.load) + wait / max(target_wait_seconds, seen.start_seconds) - 1e-6)


def _steady(seen: Observation) -> float:
    """Replicas that what arrives would fill to the utilisation, and that hold what runs. A place that is taken may be
    one of few that are filled well, so full replicas alone are no reason for more: that is what waiting shows."""
    return max(seen.inflow / UTILISATION, min(seen.load, float(max(seen.replicas, 1))))


def backlog_at_start(seen: Observation) -> float:
    """Replica-seconds that will wait when a replica that is asked for now is ready."""
    spare = max(seen.replicas, seen.wanted) - seen.inflow
    return max(0.0, seen.backlog_seconds - spare * seen.start_seconds)


def _is_busy(seen: Observation) -> bool:
    return seen.load > 0 or seen.backlog_seconds > 0


def _needs_told(seen: Observation, needed: int, target: float) -> str:
    told = f"{needed} needed: {seen.inflow:.2f} replicas' work arrives, {seen.load:.2f} runs"
    if seen.backlog_seconds > 0:
        told += f", {seen.backlog_seconds / max(seen.replicas, 1):.1f} s of waiting (target {target:g} s)"
    return told


@dataclass(slots=True)
class WorkRate:
    """A rate that forgets: what came within about the last `memory_seconds`, for each second."""

    memory_seconds: float = 20.0
    _sum: float = 0.0
    _at: float = 0.0

    def add(self, amount: float, now: float) -> None:
        """`amount` came."""
        self._sum = self._decayed(now) + amount
        self._at = now

    def per_second(self, now: float) -> float:
        """The rate as of now."""
        return self._decayed(now) / self.memory_seconds

    def _decayed(self, now: float) -> float:
        return self._sum * math.exp(-max(0.0, now - self._at) / self.memory_seconds)
