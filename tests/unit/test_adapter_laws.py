"""Laws of the adapter cache, over any order of use, release, cancellation and change of limits."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from fakes.adapter_shelf import Prepared, Tally
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deployments.adapter_cache import AdapterCache
from deployments.engines.engine import AdapterFolder
from deployments.host_adapters import HostAdapter, HostAdapters, HostLimits
from serve.catalog.adapters.files import AdapterFile, AdapterTier, HeldFiles
from serve.catalog.weight_store import ResolvedWeights
from serve.clock import SystemClock
from serve.domain.adapters import AdapterId
from serve.domain.errors import NotFound
from serve.domain.generation import AdapterUse
from serve.domain.names import TenantName

IDS = [AdapterId(f"acme/{name}@sha256:{i:064x}") for i, name in enumerate("abcde")]
BROKEN = AdapterId("acme/broken@sha256:" + "f" * 64)
ID = st.sampled_from(IDS)
LIMITS = st.builds(HostLimits, st.integers(0, 4), st.integers(0, 40))


def held(adapter_id: AdapterId) -> HeldFiles:
    weights = ResolvedWeights(Path("nowhere"), "sha256:0")
    return HeldFiles(adapter_id, weights.path, {"f": AdapterFile("0", 10)}, AdapterTier.DISK, weights)


class HostMachine(RuleBasedStateMachine):
    """`HostAdapters` beside a model of it: a count of users per adapter, and the order of last use."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = HostLimits(3, 30)
        self.wanted: set[str] = set()
        self.num_evicted = 0
        self.host = HostAdapters(self.limits, self.wanted.__contains__, self.count)
        self.users: Counter[str] = Counter()
        self.made: dict[str, HostAdapter] = {}
        self.idle: list[str] = []

    def count(self) -> None:
        self.num_evicted += 1

    def settle(self) -> None:
        """What the model says goes: the wanted last, and the least recently used first."""
        while len(self.idle) > self.limits.max_adapters or 10 * len(self.idle) > self.limits.max_bytes:
            self.idle.remove(next((each for each in self.idle if each not in self.wanted), self.idle[0]))

    @rule(adapter=ID, num_users=st.integers(0, 2))
    def arrives(self, adapter: AdapterId, num_users: int) -> None:
        if adapter in self.host:
            return
        made = HostAdapter(adapter, Prepared(adapter, 10), held(adapter), num_users=num_users)
        self.made[adapter] = made
        self.users[adapter] = num_users
        if not num_users:
            self.idle.append(adapter)
        self.host.put(made)
        self.settle()

    @rule(adapter=ID)
    def is_used(self, adapter: AdapterId) -> None:
        found = self.host.use(adapter)
        assert (found is not None) == (self.users[adapter] > 0 or adapter in self.idle)
        if found is not None:
            assert found is self.made[adapter]
            self.users[adapter] += 1
            self.idle = [each for each in self.idle if each != adapter]

    @precondition(lambda self: +self.users)
    @rule(data=st.data())
    def is_released(self, data: st.DataObject) -> None:
        adapter = data.draw(st.sampled_from(sorted(+self.users)))
        self.users[adapter] -= 1
        if not self.users[adapter]:
            self.idle.append(adapter)
        self.host.release(self.made[adapter])
        self.settle()

    @rule(adapter=ID)
    def is_wanted(self, adapter: AdapterId) -> None:
        self.wanted ^= {adapter}

    @rule(limits=LIMITS)
    def are_limited(self, limits: HostLimits) -> None:
        self.limits = limits
        self.host.limit(limits)
        self.settle()

    @invariant()
    def is_as_the_model_says(self) -> None:
        here = set(+self.users) | set(self.idle)
        assert set(self.host.sizes()) == here
        assert list(self.host.sizes())[len(+self.users) :] == self.idle[::-1]
        assert {each for each, made in self.made.items() if not made.prepared.is_closed} == here
        assert (self.host.num_idle, self.host.num_bytes) == (len(self.idle), 10 * len(here))


TestHostAdapters = HostMachine.TestCase
TestHostAdapters.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class Instant:
    """Files and an engine of no weight that take a few turns of the loop; one adapter is broken."""

    def __init__(self) -> None:
        self.made: list[Prepared] = []

    async def hold(self, adapter_id: str, recheck: bool = False) -> HeldFiles:
        for _ in range(2):
            await asyncio.sleep(0)
        if adapter_id == BROKEN:
            raise NotFound("gone", "adapter_not_found")
        return held(AdapterId(adapter_id))

    async def prepare(self, folder: AdapterFolder) -> Prepared:
        for _ in range(2):
            await asyncio.sleep(0)
        self.made.append(Prepared(folder.id, 10))
        return self.made[-1]


async def a_call(cache: AdapterCache, ids: list[AdapterId], is_waiting: bool, stay: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        uses = [AdapterUse(each) for each in ids]
        if is_waiting:
            ready = await stack.enter_async_context(cache.warm(uses, TenantName(f"t{len(ids)}")))
            if ready is not None:
                await ready()
        applied = await stack.enter_async_context(cache.hold(uses))
        for _ in range(3):
            assert [each.prepared.id for each in applied] == ids
            assert not any(each.prepared.is_closed for each in applied)
            await asyncio.sleep(0)
        await stay.wait()
        assert not any(each.prepared.is_closed for each in applied)


CALL = st.tuples(st.lists(st.sampled_from([*IDS, BROKEN]), min_size=1, max_size=3), st.booleans())
STEP = st.one_of(
    CALL.map(lambda call: ("call", *call)),
    st.tuples(st.sampled_from(["cancel", "finish"]), st.integers(0, 9)),
    st.tuples(st.just("turn"), st.integers(1, 4)),
    st.tuples(st.just("limit"), LIMITS),
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=80, deadline=None)
def test_whatever_comes_and_goes_nothing_in_use_is_freed_and_nothing_stays_behind(steps: list[tuple]) -> None:
    asyncio.run(live_through(steps))


async def live_through(steps: list[tuple]) -> None:
    below, tally = Instant(), Tally()
    cache = AdapterCache(below, below.prepare, HostLimits(2, 30), SystemClock(), tally)
    calls: list[tuple[asyncio.Task[None], asyncio.Event]] = []
    for kind, *how in steps:
        if kind == "call":
            stay = asyncio.Event()
            calls.append((asyncio.create_task(a_call(cache, *how, stay)), stay))
        elif kind == "turn":
            for _ in range(how[0]):
                await asyncio.sleep(0)
        elif kind == "limit":
            cache.limit(how[0])
        elif calls:
            task, stay = calls[how[0] % len(calls)]
            task.cancel() if kind == "cancel" else stay.set()
    for _, stay in calls:
        stay.set()
    async with asyncio.timeout(60):
        ends = await asyncio.gather(*(task for task, _ in calls), return_exceptions=True)
        assert all(end is None or isinstance(end, asyncio.CancelledError | NotFound) for end in ends), ends
        while cache._tasks:
            await asyncio.wait(cache._tasks)
    assert cache.counters()["adapter_in_use"] == 0
    assert (cache._loads, cache._warming.num_wanted, cache._warming._num_loading) == ({}, 0, 0)
    assert {id(each) for each in below.made if not each.is_closed} == {
        id(each.prepared) for each in cache._host._all.values()
    }
    await cache.close()
    assert all(each.is_closed for each in below.made)
