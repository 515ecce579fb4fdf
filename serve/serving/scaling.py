"""How many replicas a model should have: a pure decision, with its reason.

Work is reckoned in replica-seconds, by prediction: a call that will hold one of sixteen places for two seconds is an
eighth of one. Three things are known of it: what arrives each second (`inflow`), what has a place now (`load`), and
what waits for one (`backlog_seconds`).

    more    as many as serve at `UTILISATION` what will arrive when a replica that is asked for now is ready, if the
            rate goes on growing as it lately did; and as many again as work off, within the target wait, what will
            still wait then. What the present ones finish until then asks for none
    fewer   the most that was needed within the last while, so that a lull between two bursts costs no start. That
            while is as long as a start takes, and `LEAST_HOLD_SECONDS` at least
    zero    after `idle_seconds` without any work. A replica that somebody else asked for, at zero, was asked for by
            a call, which is work even if it is over before its load is told

A buffer of replicas is kept on top while there is work. The bounds come last.

The numbers below are those that came out best over the traces of `benchmarks/autoscaling_sim.py`.
"""

import math
from collections import deque
from dataclasses import dataclass, field

UTILISATION = 0.85
"""Of a replica that is given no more work than it can do: a queue in front of one that is always busy has no end."""
LEAST_HOLD_SECONDS = 45.0
TREND_SECONDS = 30.0
"""The stretch of the past from which the growth of the inflow is read."""
NOISE = 0.3
"""Replicas' worth of growth that is taken for chance."""
MEMORY_SECONDS = 10.0
"""Of `WorkRate`."""


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
    """One model's decisions. It remembers what arrived, what was needed and what was asked for lately, nothing else."""

    bounds: Bounds
    _inflows: deque[tuple[float, float]] = field(default_factory=deque)
    """(when, how much arrived each second), the oldest first."""
    _needs: deque[tuple[float, int]] = field(default_factory=deque)
    """(when, how many), the highest first: those that a later and higher need outlived are dropped."""
    _busy_at: float = -math.inf
    _chosen: int = 0
    _wanted: int = 0
    """What was asked for when this was last asked."""

    def __post_init__(self) -> None:
        self._chosen = self._wanted = self.bounds.minimum

    def decide(self, seen: Observation) -> Decision:
        """Replicas to ask for now."""
        bounds = self.bounds
        is_woken = self._is_woken(seen)
        if seen.load > 0 or seen.backlog_seconds > 0 or is_woken or self._has_arrived(seen):
            self._busy_at = seen.now
        growth = self._growth(seen)
        needed = needed_replicas(seen, growth, bounds.target_wait_seconds)
        held = self._held(seen, needed)
        is_idle = seen.now - self._busy_at >= bounds.idle_seconds
        kept = 0 if is_idle else max(held, 1) + bounds.buffer
        chosen = max(bounds.minimum, min(kept, bounds.maximum))
        self._chosen, self._wanted = chosen, seen.wanted
        reason = self._reason(seen, growth, needed, held, kept, chosen)
        return Decision(chosen, f"a call at zero; {reason}" if is_woken else reason)

    def _is_woken(self, seen: Observation) -> bool:
        """Whether more were asked for than was chosen here. What is on its way down, after a decision, is no sign."""
        return seen.wanted > self._chosen and (seen.wanted > self._wanted or seen.replicas == 0)

    def _has_arrived(self, seen: Observation) -> bool:
        """Whether work has come since this was last asked: the rate rises then, and only then. A call may begin and end
        between two looks at the load."""
        before = self._inflows[-1][1] if self._inflows else 0.0
        return seen.inflow > before

    def _growth(self, seen: Observation) -> float:
        """What will arrive on top, each second, when a replica that is asked for now is ready; at most as much again.

        The rate itself lags behind by half of what it remembers.
        """
        known = self._inflows
        known.append((seen.now, seen.inflow))
        while seen.now - known[0][0] > TREND_SECONDS:
            known.popleft()
        began, first = known[0]
        slope = (seen.inflow - first) / (seen.now - began) if seen.now > began else 0.0
        ahead = slope * (seen.start_seconds + MEMORY_SECONDS / 2)
        return min(max(0.0, ahead - NOISE), seen.inflow)

    def _held(self, seen: Observation, needed: int) -> int:
        """The highest need of the last while, this one included."""
        while self._needs and self._needs[-1][1] <= needed:
            self._needs.pop()
        self._needs.append((seen.now, needed))
        while seen.now - self._needs[0][0] > self._hold_seconds(seen):
            self._needs.popleft()
        return self._needs[0][1]

    def _hold_seconds(self, seen: Observation) -> float:
        return min(self.bounds.idle_seconds, max(LEAST_HOLD_SECONDS, seen.start_seconds))

    def _reason(self, seen: Observation, growth: float, needed: int, held: int, kept: int, chosen: int) -> str:
        bounds = self.bounds
        if kept == 0:
            why = f"no work for {bounds.idle_seconds:g} s" if self._busy_at > -math.inf else "no work yet"
        else:
            why = _needs_told(seen, growth, needed, bounds.target_wait_seconds)
            if held > needed:
                why += f"; {held} were needed within the last {self._hold_seconds(seen):.0f} s"
            if bounds.buffer:
                why += f"; {bounds.buffer} as a buffer"
        if chosen > kept:
            return f"{why}; the minimum is {bounds.minimum}"
        return f"{why}; the maximum is {bounds.maximum}" if chosen < kept else why


def needed_replicas(seen: Observation, growth: float, target_wait_seconds: float) -> int:
    """Enough for what arrives (`growth` more each second, soon) and runs, and for what will wait still."""
    steady = max(seen.inflow + growth, seen.load) / UTILISATION
    wait = backlog_at_start(seen)
    if wait > max(seen.replicas, 1) * target_wait_seconds:
        steady += wait / target_wait_seconds
    return math.ceil(steady - 1e-6)


def backlog_at_start(seen: Observation) -> float:
    """Replica-seconds of what waits now that will wait still when a replica that is asked for now is ready."""
    spare = max(seen.replicas, seen.wanted) - max(seen.inflow, seen.load)
    return max(0.0, seen.backlog_seconds - max(spare, 0.0) * seen.start_seconds)


def _needs_told(seen: Observation, growth: float, needed: int, target: float) -> str:
    told = f"{needed} needed: {seen.inflow:.2f} replicas' work arrives, {seen.load:.2f} runs"
    if growth > 0:
        told += f", {growth:.2f} more is coming"
    if seen.backlog_seconds > 0:
        told += f", {seen.backlog_seconds / max(seen.replicas, 1):.1f} s of waiting (target {target:g} s)"
    return told


@dataclass(slots=True)
class WorkRate:
    """A rate that forgets: what came within about the last `MEMORY_SECONDS`, for each second."""

    _sum: float = 0.0
    _at: float = 0.0

    def add(self, amount: float, now: float) -> None:
        """`amount` came."""
        self._sum = self._decayed(now) + amount
        self._at = now

    def per_second(self, now: float) -> float:
        """The rate as of now."""
        return self._decayed(now) / MEMORY_SECONDS

    def _decayed(self, now: float) -> float:
        return self._sum * math.exp(-max(0.0, now - self._at) / MEMORY_SECONDS)
