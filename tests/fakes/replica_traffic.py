"""Replicas in simulated time, and calls that routers of the real policy send them.

A replica runs `NUM_PLACES` calls at once, keeps the adapters it used last, loads one that it lacks in `LOAD_SECONDS`
(once, however many wait for it), and reports every two seconds. Callers are a fixed number that never pause.
"""

import heapq
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serve.serving.affinity import Candidate, choose
from serve.serving.route_memory import Preload, RouteMemory, digest_of, mixture_of

NUM_PLACES = 4
CALL_SECONDS = 0.1
LOAD_SECONDS = 0.2
REPORT_SECONDS = 2.0


@dataclass
class _Replica:
    name: str
    max_adapters: int
    adapters: OrderedDict[str, float] = field(default_factory=OrderedDict)
    """Digest -> when it is ready."""
    running: int = 0
    queue: deque[Callable[[], None]] = field(default_factory=deque)

    @property
    def ongoing(self) -> int:
        return self.running + len(self.queue)


class Traffic:
    """A simulation. `calls` and `loads_by_replica` are by replica, `loads` by digest."""

    def __init__(self, seed: int = 0, num_routers: int = 1, num_replicas: int = 3, max_adapters: int = 64) -> None:
        self._random = random.Random(seed)
        self._replicas = {f"r{n}": _Replica(f"r{n}", max_adapters) for n in range(num_replicas)}
        self._routers = [RouteMemory(NUM_PLACES, max_adapters) for _ in range(num_routers)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._num_events = 0
        self._now = 0.0
        self._left = 0
        self.calls: Counter[str] = Counter(dict.fromkeys(self._replicas, 0))
        self.loads: Counter[str] = Counter()
        self.loads_by_replica: Counter[str] = Counter()
        self.num_preloads = 0

    def run(
        self,
        adapters: Sequence[str],
        weights: Sequence[float] | None = None,
        *,
        concurrency: int,
        num_calls: int,
        dies_after: int | None = None,
    ) -> None:
        """`num_calls` calls of one adapter each. A replica is gone when `dies_after` of them are done."""
        self._left = num_calls
        for router in self._routers:
            router.replicas_are(list(self._replicas))
        for number in range(concurrency):
            router = self._routers[number % len(self._routers)]
            self._at(0.0, lambda router=router: self._call(router, adapters, weights))
        self._at(REPORT_SECONDS, self._report)
        while self._events and (self._left or any(each.ongoing for each in self._replicas.values())):
            self._now, _, event = heapq.heappop(self._events)
            event()
            if dies_after is not None and sum(self.calls.values()) >= dies_after:
                dies_after = None
                self._lose_a_replica()

    def _lose_a_replica(self) -> None:
        """One without calls, for simplicity, is not sent any more."""
        name = min(self._replicas, key=lambda each: self._replicas[each].ongoing)
        self._gone = self._replicas.pop(name)
        for router in self._routers:
            router.replicas_are(list(self._replicas))

    def _at(self, seconds: float, event: Callable[[], None]) -> None:
        self._num_events += 1
        heapq.heappush(self._events, (self._now + seconds, self._num_events, event))

    def _report(self) -> None:
        for router in self._routers:
            for name, replica in self._replicas.items():
                backlog = len(replica.queue) * CALL_SECONDS / NUM_PLACES
                told = {"adapters": list(replica.adapters), "load": replica.running / NUM_PLACES}
                router.report(name, told | {"backlog_seconds": backlog}, self._now)
        self._at(REPORT_SECONDS, self._report)

    def _call(self, router: RouteMemory, adapters: Sequence[str], weights: Sequence[float] | None) -> None:
        if not self._left:
            return
        self._left -= 1
        used = self._random.choices(adapters, weights)
        candidates = [Candidate(name, replica.ongoing) for name, replica in self._replicas.items()]
        decision = choose(candidates, used, self._now, router)
        for order in decision.preloads:
            if router.order(order, self._now):
                self._preload(router, order)
        replica = self._replicas[decision.ranked[0]]
        mixture, began, crowd = mixture_of(used), self._now, replica.ongoing / NUM_PLACES
        router.assigned(replica.name, mixture, self._now)
        router.sent(replica.name)
        router.started(mixture, self._now)

        def end() -> None:
            replica.running -= 1
            self.calls[replica.name] += 1
            router.ended(mixture, self._now, self._now - began, crowd)
            self._admit(replica)
            self._call(router, adapters, weights)

        def begin() -> None:
            replica.running += 1
            ready = max(0.0, self._loaded(replica, mixture[0]) - self._now)
            self._at(ready + CALL_SECONDS * self._random.uniform(0.5, 1.5), end)

        self._loaded(replica, mixture[0])
        replica.queue.append(begin)
        self._admit(replica)

    def _admit(self, replica: _Replica) -> None:
        while replica.queue and replica.running < NUM_PLACES:
            replica.queue.popleft()()

    def _loaded(self, replica: _Replica, digest: str) -> float:
        """When an adapter is ready there; it is loaded if it must be."""
        if digest not in replica.adapters:
            self.loads[digest] += 1
            self.loads_by_replica[replica.name] += 1
            replica.adapters[digest] = self._now + LOAD_SECONDS
            if len(replica.adapters) > replica.max_adapters:
                replica.adapters.popitem(last=False)
        replica.adapters.move_to_end(digest)
        return replica.adapters[digest]

    def _preload(self, router: RouteMemory, order: Preload) -> None:
        self.num_preloads += 1
        ready = self._loaded(self._replicas[order.replica], digest_of(order.adapter))
        self._at(ready - self._now, lambda: router.preloaded(order, self._now))
