"""Which replica a call goes to. Pure: (replicas, adapters of the call, time, memory) -> replicas in order, and why.

A call with adapters goes to a replica that holds them. Which one is to hold them first is settled by rendezvous
hashing (Thaler, Ravishankar 1998), so that routers which never talk agree, with bounded loads (Mirrokni, Thorup,
Zadimoghaddam 2018), so that six adapters do not meet on one of three replicas. A mixture whose calls exceed what its
holders' share of the work leaves for them is asked for at one more replica, beforehand; it gets calls once it is
ready. When demand falls, calls keep to the first holders in hash order, and the others' caches age it out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from serve.serving.route_memory import Demand, Mixture, Preload, RouteMemory, digest_of, mixture_of

HOLDER_WAIT_SECONDS = 0.4
"""How long a call waits for a holder that Ray calls full, before it goes elsewhere: about one load."""
_GROW_AT = 0.9
_SHRINK_AT = 0.6
"""Of a holder's comfortable share of calls; the gap keeps a mixture at the edge from going to and fro."""
_MAX_COMFORTABLE = 3
"""Calls of one mixture in flight per holder that need no other holder, however many places a replica has: batches
cost time, and where another replica idles, sharing pays after a few calls."""
_ROOM = 0.6
"""Another replica is worth a load if it has at most this share of the holders' calls."""
_CROWD_COST = 0.1
"""What a full batch costs a newcomer, in run times, without any wait."""
_EXTRA_HOLDER_COST = 0.3
"""What keeps calls from holders that demand does not need, in run times: they are used when the others queue."""
_SPILL_FACTOR = 1.5
_SPILL_EVERY_SECONDS = 10.0
"""Between two placements of one mixture that were made only because its holders were busy."""
_LEAST_GAIN = 0.25
"""What such a placement must save each call, in run times."""
_STATS_FRESH_SECONDS = 3.0
_NUM_SCANNED = 8
"""Replicas of which the least loaded is looked for; of more, the better of two, lest routers that do not talk all
run to the same one (Mitzenmacher 2001)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica that is alive. `ongoing`: its running and waiting calls, as Ray's router last knew; None: unknown."""

    replica: str
    ongoing: int | None = None
    full: bool = False
    """Ray would refuse it more calls."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Replicas, best first, and why. Those not named are not to be tried in this round."""

    ranked: tuple[str, ...]
    reason: str
    preloads: tuple[Preload, ...] = ()
    """Orders that go out beside the call."""


@dataclass(slots=True)
class _Option:
    """A candidate as the decision sees it. Costs are seconds."""

    replica: str
    full: bool
    ongoing: float
    queue: float
    """Until one more call would have its place."""
    crowd: float
    """What the company in the batch costs it."""
    load: float
    """Until what the call lacks there is loaded; 0 for a holder."""
    is_loading: bool

    @property
    def wait(self) -> float:
        return self.queue + self.crowd

    @property
    def cost(self) -> float:
        return self.wait + self.load


def choose(
    candidates: Sequence[Candidate],
    adapters: Sequence[str],
    now: float,
    memory: RouteMemory,
    waited_seconds: float = 0.0,
) -> Decision:
    """Where a call with `adapters` (immutable ids) goes. `waited_seconds`: since it was first to be routed."""
    if not adapters:
        return _without_adapters(candidates, now, memory)
    mixture = mixture_of(adapters)
    options = _options(candidates, mixture, now, memory)
    holders = [option for option in options if not option.load]
    demand = memory.demand(mixture, now)
    _want(demand, options, memory)
    if not holders:
        return Decision(_placement(options, mixture, memory), "placed")
    ranked = _rank_holders(holders, mixture, demand, memory)
    others = [option for option in options if option.load]
    if all(holder.full for holder in holders):
        if waited_seconds < HOLDER_WAIT_SECONDS:
            return Decision(tuple(each.replica for each in ranked), "waiting for a holder")
        return Decision(_placement(others, mixture, memory) + tuple(each.replica for each in ranked), "holders full")
    return _among(ranked, others, adapters, demand, now, memory)


def _among(
    ranked: list[_Option],
    others: list[_Option],
    adapters: Sequence[str],
    demand: Demand,
    now: float,
    memory: RouteMemory,
) -> Decision:
    """A holder, unless all are so busy that loading anew is quicker; with a preload where demand asks for another."""
    names = tuple(each.replica for each in ranked)
    if not others:
        return Decision(names, "held")
    mixture = mixture_of(adapters)
    rest = _placement(others, mixture, memory)
    target = next(option for option in others if option.replica == rest[0])
    num_holders = len(ranked) + sum(option.is_loading for option in others)
    least = min(holder.ongoing for holder in ranked)
    if num_holders < demand.num_wanted and not target.is_loading and target.ongoing + 1 <= _ROOM * least:
        missing = [each for each in adapters if not memory.holds(target.replica, digest_of(each), now)]
        orders = tuple(Preload(each, target.replica) for each in dict.fromkeys(missing))
        return Decision(names + rest, "held, preloading at another", orders)
    is_enough = num_holders == len(ranked)  # what is on its way will help without being called
    if is_enough and _is_spilling(ranked[0], target, demand, now, memory.run_seconds):
        return Decision((*rest, *names), "holders busy")
    return Decision(names + rest, "held")


def _is_spilling(best: _Option, other: _Option, demand: Demand, now: float, run_seconds: float) -> bool:
    """Whether to load anew, since the queue at the holders is longer. A load serves all calls until the next that is
    made for this reason, so it counts by its share of one of them. While demand still grows nothing is decided: it may
    be about to ask for a preload, which no call has to wait for."""
    is_growing = demand.num_running > 1 + 1.5 * demand.mean
    if other.full or is_growing or now - demand.placed_at <= _SPILL_EVERY_SECONDS:
        return False
    num_served = max(1.0, demand.mean * _SPILL_EVERY_SECONDS / (run_seconds + best.wait))
    gained = best.queue - _SPILL_FACTOR * (other.queue + other.load / num_served)
    return gained > _LEAST_GAIN * run_seconds


def _options(candidates: Sequence[Candidate], mixture: Mixture, now: float, memory: RouteMemory) -> list[_Option]:
    shares = _shares(mixture, memory)
    options = []
    for each in candidates:
        missing = [digest for digest in mixture if not memory.holds(each.replica, digest, now)]
        load = memory.load_seconds * sum(shares[digest] for digest in missing) if missing else 0.0
        ongoing = ongoing_of(each, now, memory)
        queue = _queue_seconds(each.replica, ongoing, now, memory)
        crowd = _CROWD_COST * memory.run_seconds * ongoing / memory.num_places
        loading = bool(missing) and all(memory.is_loading(each.replica, digest, now) for digest in missing)
        options.append(_Option(each.replica, each.full, ongoing, queue, crowd, load, loading))
    return options


def _shares(mixture: Mixture, memory: RouteMemory) -> dict[str, float]:
    """What each adapter of a mixture counts in loads: 1 on average, by bytes where they are known."""
    if len(mixture) == 1:
        return {mixture[0]: 1.0}
    sizes = {digest: memory.num_bytes(digest) for digest in mixture}
    known = [size for size in sizes.values() if size]
    mean = sum(known) / len(known) if known else 1.0
    return {digest: (size or mean) / mean for digest, size in sizes.items()}


def ongoing_of(candidate: Candidate, now: float, memory: RouteMemory) -> float:
    """Calls at a replica, those included that were assigned a moment ago."""
    ongoing: float | None = candidate.ongoing
    if ongoing is None:
        report = memory.last_report(candidate.replica)
        ongoing = report.load * memory.num_places if report else 0.0
    return ongoing + memory.num_assigned(candidate.replica, now)


def _queue_seconds(replica: str, ongoing: float, now: float, memory: RouteMemory) -> float:
    num_places = memory.num_places
    if ongoing < num_places:
        return 0.0
    wait = memory.run_seconds * (ongoing + 1 - num_places) / num_places
    report = memory.last_report(replica)
    if report is not None and now - report.at < _STATS_FRESH_SECONDS:
        wait = max(wait, report.backlog_seconds)
    return wait


def _want(demand: Demand, options: Sequence[_Option], memory: RouteMemory) -> None:
    """How many replicas should hold a mixture: one for each comfortable share of calls, with hysteresis.

    Where all replicas are busy, comfortable is an even share of all calls: below that, one more holder gains nothing.
    """
    even = sum(option.ongoing for option in options) / max(1, len(options))
    comfortable = max(even, min(memory.num_places, _MAX_COMFORTABLE))
    most, least = (1 + math.floor(demand.mean / (share * comfortable)) for share in (_SHRINK_AT, _GROW_AT))
    demand.num_wanted = max(1, min(len(options), most, max(demand.num_wanted, least)))


def _rank_holders(holders: list[_Option], mixture: Mixture, demand: Demand, memory: RouteMemory) -> list[_Option]:
    """The least busy first; those that demand does not need, only when the others queue."""
    if len(holders) == 1:
        return holders
    by_hash = sorted(holders, key=lambda option: -weight(mixture, option.replica))
    extra = {option.replica for option in by_hash[demand.num_wanted :]}
    penalty = _EXTRA_HOLDER_COST * memory.run_seconds
    return sorted(
        by_hash, key=lambda option: (option.full, option.wait + (penalty if option.replica in extra else 0.0))
    )


def _placement(options: Sequence[_Option], mixture: Mixture, memory: RouteMemory) -> tuple[str, ...]:
    """Where a mixture should go that these do not hold: by hash among those that cost about the same."""
    if not options:
        return ()
    held = {option.replica: memory.num_held(option.replica) for option in options}
    bound = math.ceil((sum(held.values()) + len(mixture)) / len(options))
    costs: dict[str, float] = {}
    for option in options:
        num_after = held[option.replica] + len(mixture)
        penalties = (num_after > bound) + (num_after > memory.max_adapters) + 100 * option.full
        costs[option.replica] = option.cost + penalties * memory.load_seconds
    near = min(costs.values()) + memory.load_seconds / 2
    return tuple(
        sorted(costs, key=lambda name: (0.0, -weight(mixture, name)) if costs[name] <= near else (costs[name], 0.0))
    )


@lru_cache(maxsize=65_536)
def weight(mixture: Mixture, replica: str) -> int:
    """Rendezvous hashing: the replica with the highest weight is the mixture's first; the same in every process."""
    return int.from_bytes(blake2b("\0".join((*mixture, replica)).encode(), digest_size=8).digest())


def _without_adapters(candidates: Sequence[Candidate], now: float, memory: RouteMemory) -> Decision:
    """The least loaded; of equals one with fewer adapters to disturb, then in turn."""
    memory.num_turns += 1
    turn, num = memory.num_turns, len(candidates)
    scanned: Sequence[int] = range(num)
    if num > _NUM_SCANNED:
        # Steps of an odd sort through the candidates: pseudo-random pairs without a generator to pass around.
        first = (turn * 2_654_435_761) % num
        scanned = (first, (first + 1 + (turn * 40_503) % (num - 1)) % num)

    def rank(index: int) -> tuple[bool, float, int, int]:
        each = candidates[index]
        disturbed = memory.num_held(each.replica)
        return each.full, ongoing_of(each, now, memory), disturbed, (index + turn) % num

    ordered = sorted(scanned, key=rank)
    rest = sorted(set(range(num)) - set(ordered), key=lambda index: (index + turn) % num)
    return Decision(tuple(candidates[index].replica for index in (*ordered, *rest)), "least loaded")
