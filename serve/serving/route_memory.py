"""What one router remembers of a model's replicas: what they reported, and what it sent them itself.

Reports are a second to ten seconds old when they arrive, so one's own routes count too, for a bounded time. Everything
here is bounded and forgotten: replicas when they are gone, adapters when they were not asked for, mixtures by age.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NewType

Mixture = NewType("Mixture", tuple[str, ...])
"""The adapters of a call by digest, sorted: the unit of demand."""

_BELIEF_SECONDS = 10.0
"""How long a route stands for a held adapter where replicas report what they hold: as long as a report may be old."""
_UNREPORTED_SECONDS = 120.0
_ASSIGNED_SECONDS = 0.25
"""A choice shows in the queue length one turn of the loop later; one that never does was given up."""
_PRELOAD_SECONDS = 30.0
"""A preload that has not ended by then is ordered anew."""
_MAX_PRELOADS = 8
_MAX_MIXTURES = 4096
_DEMAND_SECONDS = 1.0
"""Time constant of a mixture's demand: one burst of calls is not yet a hot adapter."""
_LOST_SECONDS = 600.0
"""Calls of which nothing was heard for so long have ended without a word."""
_SMOOTHING = 0.1
_MIN_LOAD_SECONDS = 0.02


def digest_of(adapter: str) -> str:
    """`tenant/name@sha256:...` -> `sha256:...`: what a replica holds is the bytes, whatever they are called."""
    return adapter.rpartition("@")[2]


def mixture_of(adapters: Collection[str]) -> Mixture:
    """The unit of demand that a call with these adapters' ids belongs to."""
    return Mixture(tuple(sorted({digest_of(adapter) for adapter in adapters})))


@dataclass(frozen=True, slots=True)
class Preload:
    """An order to one replica to have an adapter ready; also the argument by which the router knows such a call."""

    adapter: str
    """The immutable id."""
    replica: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica last said of itself (`record_routing_stats`)."""

    adapters: Mapping[str, int]
    """Bytes by digest; 0 where it did not say."""
    load: float
    """Running calls as a share of its places."""
    backlog_seconds: float
    at: float

    @classmethod
    def of(cls, stats: Mapping[str, Any], now: float) -> "Report":
        """Read what a replica recorded; a replica of another version may leave things out."""
        told = stats.get("adapters") or ()
        sizes = told if isinstance(told, Mapping) else dict.fromkeys(told, 0)
        adapters = {digest_of(str(adapter)): int(size) for adapter, size in sizes.items()}
        return cls(adapters, float(stats.get("load", 0)), float(stats.get("backlog_seconds", 0)), now)


@dataclass(slots=True)
class Demand:
    """How much one mixture is asked for: its calls in flight, smoothed."""

    at: float
    mean: float = 0.0
    num_running: int = 0
    num_wanted: int = 1
    """Replicas that should hold it; see `affinity.choose`."""
    placed_at: float = -math.inf
    """When it was last sent to a replica that did not hold it."""

    def advance(self, now: float) -> float:
        """The mean up to `now`, calls in flight."""
        elapsed = max(0.0, now - self.at)
        if elapsed > _LOST_SECONDS:
            self.num_running = 0
        self.mean += (self.num_running - self.mean) * -math.expm1(-elapsed / _DEMAND_SECONDS)
        self.at = now
        return self.mean


@dataclass(slots=True)
class _Replica:
    report: Report | None = None
    routed: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Digest -> when a call with it was last sent there; the newest last."""
    assigned: deque[float] = field(default_factory=deque)
    preloads: dict[str, float] = field(default_factory=dict)
    """Digest -> when it was ordered."""


class RouteMemory:
    """See the module. One event loop; not thread-safe. Times are monotonic seconds.

    `num_places` is how many calls a replica runs at once, `max_adapters` how many adapters it keeps.
    """

    def __init__(self, num_places: int = 1, max_adapters: int = 64) -> None:
        self.num_places = num_places
        self.max_adapters = max_adapters
        self.run_seconds = 1.0
        """Of a call once it has its place: measured."""
        self.load_seconds = 0.5
        """Until an adapter is ready: measured by preloads."""
        self.num_turns = 0
        """Counts the choices that nothing but taking turns decided."""
        self._replicas: dict[str, _Replica] = {}
        self._demands: OrderedDict[Mixture, Demand] = OrderedDict()

    def replicas_are(self, replicas: Collection[str]) -> None:
        """These are alive; forget all others."""
        for gone in self._replicas.keys() - set(replicas):
            del self._replicas[gone]
        for replica in replicas:
            self._replicas.setdefault(replica, _Replica())

    def report(self, replica: str, stats: Mapping[str, Any], now: float) -> None:
        """Take in what a replica recorded of itself."""
        state = self._state(replica)
        known = state.report
        # Ray repeats every replica's last word when any of them has news.
        if stats and (known is None or Report.of(stats, known.at) != known):
            state.report = Report.of(stats, now)

    def last_report(self, replica: str) -> Report | None:
        """What the replica last said, if anything."""
        return self._state(replica).report

    def holds(self, replica: str, digest: str, now: float) -> bool:
        """Whether a call with this adapter would find it there, or at least on its way."""
        state = self._state(replica)
        if state.report is not None and digest in state.report.adapters:
            return True
        routed_at = state.routed.get(digest)
        if routed_at is None:
            return False
        silent = state.report is None
        return now - routed_at < (_UNREPORTED_SECONDS if silent else _BELIEF_SECONDS)

    def num_held(self, replica: str) -> int:
        """Adapters that it holds, as far as is known."""
        state = self._state(replica)
        if state.report is None:
            return len(state.routed)
        return len(state.report.adapters) + sum(digest not in state.report.adapters for digest in state.routed)

    def num_bytes(self, digest: str) -> int:
        """Of an adapter, from whichever replica told; 0 where none did."""
        reports = (state.report for state in self._replicas.values())
        return max((report.adapters.get(digest, 0) for report in reports if report), default=0)

    def assigned(self, replica: str, mixture: Mixture, now: float) -> None:
        """A call was given to this replica and is about to be sent."""
        state = self._state(replica)
        state.assigned.append(now)
        for digest in mixture:
            new = not self.holds(replica, digest, now)
            state.routed[digest] = now
            state.routed.move_to_end(digest)
            if new:
                self.demand(mixture, now).placed_at = now
        _forget_old(state.routed, self.max_adapters, now)

    def sent(self, replica: str) -> None:
        """A call that was assigned is in the queue length from here on."""
        state = self._state(replica)
        if state.assigned:
            state.assigned.popleft()

    def num_assigned(self, replica: str, now: float) -> int:
        """Calls given to this replica that its queue length does not show yet."""
        assigned = self._state(replica).assigned
        while assigned and now - assigned[0] > _ASSIGNED_SECONDS:
            assigned.popleft()
        return len(assigned)

    def demand(self, mixture: Mixture, now: float) -> Demand:
        """How much this mixture is asked for, up to now."""
        demand = self._demands.get(mixture)
        if demand is None:
            demand = self._demands[mixture] = Demand(now)
        self._demands.move_to_end(mixture)
        if len(self._demands) > _MAX_MIXTURES:
            self._demands.popitem(last=False)
        demand.advance(now)
        return demand

    @property
    def num_demands(self) -> int:
        """Mixtures that are remembered."""
        return len(self._demands)

    def started(self, mixture: Mixture, now: float) -> None:
        """A replica has taken a call with these adapters."""
        self.demand(mixture, now).num_running += 1

    def ended(self, mixture: Mixture, now: float, seconds: float, crowd: float) -> None:
        """It is over, after `seconds`. `crowd`: calls per place where it went, at the time."""
        demand = self.demand(mixture, now)
        demand.num_running = max(0, demand.num_running - 1)
        self.run_seconds += _SMOOTHING * (seconds / max(1.0, crowd) - self.run_seconds)

    def order(self, preload: Preload, now: float) -> bool:
        """Note a preload; False where it is on its way already, or too many are."""
        preloads = self._state(preload.replica).preloads
        digest = digest_of(preload.adapter)
        if now - preloads.get(digest, -math.inf) < _PRELOAD_SECONDS:
            return False
        for state in self._replicas.values():
            state.preloads = {each: at for each, at in state.preloads.items() if now - at < _PRELOAD_SECONDS}
        if sum(len(state.preloads) for state in self._replicas.values()) >= _MAX_PRELOADS:
            return False
        self._state(preload.replica).preloads[digest] = now
        return True

    def is_loading(self, replica: str, digest: str, now: float) -> bool:
        """Whether a preload is under way there."""
        return now - self._state(replica).preloads.get(digest, -math.inf) < _PRELOAD_SECONDS

    def preloaded(self, preload: Preload, now: float) -> None:
        """A preload has ended: calls may follow."""
        state = self._state(preload.replica)
        digest = digest_of(preload.adapter)
        ordered_at = state.preloads.pop(digest, None)
        state.routed[digest] = now
        if ordered_at is not None:
            seconds = max(_MIN_LOAD_SECONDS, now - ordered_at)
            self.load_seconds += _SMOOTHING * (seconds - self.load_seconds)

    def _state(self, replica: str) -> _Replica:
        # One that is not alive gets a state of its own, which nobody keeps.
        return self._replicas.get(replica) or _Replica()


def _forget_old(routed: OrderedDict[str, float], most: int, now: float) -> None:
    while routed:
        oldest = next(iter(routed))
        if len(routed) <= most and now - routed[oldest] < _UNREPORTED_SECONDS:
            return
        del routed[oldest]
