"""The adapters of a replica: one load for all who wait, nothing freed in use, and no crowd that fills the memory."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fakes.adapter_shelf import FILE, Prepared, Reader, Shelf, Tally

from deployments.adapter_cache import NUM_PARALLEL, AdapterCache
from deployments.adapter_warming import NUM_PARALLEL as NUM_WARMING
from deployments.engines.engine import AdapterFolder, AppliedAdapter
from deployments.host_adapters import HostLimits
from serve.catalog.adapters.files import AdapterFiles
from serve.catalog.adapters.stored import blob_key
from serve.catalog.weight_store import WeightStore
from serve.clock import SystemClock
from serve.domain.adapters import parse_id
from serve.domain.errors import EngineFailed, InvalidRequest, ModelUnavailable, NotFound
from serve.domain.generation import AdapterUse
from serve.domain.names import TenantName

ACME, OTHER = TenantName("acme"), TenantName("other")
ROOMY = HostLimits(100, 2**30)


class Bench:
    """A cache over real files, its engine and its counts."""

    def __init__(self, folder: Path, limits: HostLimits = ROOMY, disk_bytes: int = 2**30) -> None:
        self.shelf = Shelf(folder / "objects")
        self.folder = folder / "adapters"
        self.files = AdapterFiles(WeightStore(self.folder, disk_bytes), self.shelf, self.shelf.objects)
        self.engine = Reader()
        self.tally = Tally()
        self.cache = AdapterCache(self.files, self.engine, limits, SystemClock(), self.tally)

    async def add(self, *names: str, **files: bytes) -> list[str]:
        return [await self.shelf.add(name, **files) for name in names]

    async def use(self, *ids: str) -> None:
        async with self.cache.hold(uses(*ids)) as applied:
            assert not any(each.prepared.is_closed for each in applied)


def uses(*ids: str) -> list[AdapterUse]:
    return [AdapterUse(each, 0.5) for each in ids]


async def settle(condition: Callable[[], object]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come about")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# The law that Ray's multiplexing breaks

Hold = Callable[[Sequence[AdapterUse]], "asynccontextmanager[tuple[AppliedAdapter, ...]]"]


class LeastRecentlyUsed:
    """The policy of Ray Serve's `multiplexed`: over its limit, the least recently used goes, used or not."""

    def __init__(self, files: AdapterFiles, engine: Reader, max_adapters: int) -> None:
        self._files, self._engine, self._max = files, engine, max_adapters
        self._loaded: OrderedDict[str, Prepared] = OrderedDict()

    @asynccontextmanager
    async def hold(self, wanted: Sequence[AdapterUse]) -> AsyncGenerator[tuple[AppliedAdapter, ...], None]:
        applied = []
        for use in wanted:
            if use.id not in self._loaded:
                if len(self._loaded) >= self._max:
                    self._loaded.popitem(last=False)[1].close()
                held = await self._files.hold(use.id)
                self._loaded[use.id] = await self._engine(AdapterFolder(use.id, held.path, held.sha256))
            self._loaded.move_to_end(use.id)
            applied.append(AppliedAdapter(use.id, use.scale, self._loaded[use.id]))
        yield tuple(applied)


async def nothing_in_use_is_freed(hold: Hold, engine: Reader, ids: Sequence[str]) -> None:
    """The law: whatever else is asked for, what a call holds stays open until it lets go."""
    async with hold(uses(ids[0])) as applied:
        for other in ids[1:]:
            async with hold(uses(other)):
                assert ids[0] in engine.kept
        assert applied[0].prepared.id == ids[0]


async def test_eviction_under_pressure_never_frees_what_is_in_use(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=2, max_bytes=2**30))
    ids = await bench.add("a", "b", "c", "d", "e")
    await nothing_in_use_is_freed(bench.cache.hold, bench.engine, ids)
    assert bench.tally.evicted == ["host"] * 3
    assert len(bench.engine.kept) == 2


async def test_rays_policy_breaks_that_law(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ids = await bench.add("a", "b", "c", "d", "e")
    policy = LeastRecentlyUsed(bench.files, bench.engine, max_adapters=2)
    with pytest.raises(AssertionError):
        await nothing_in_use_is_freed(policy.hold, bench.engine, ids)


async def test_all_in_use_are_kept_beyond_every_bound(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=1, max_bytes=0))
    ids = await bench.add(*"abcdefgh")
    async with AsyncExitStack() as calls:
        for each in ids:
            await calls.enter_async_context(bench.cache.hold(uses(each)))
        assert bench.engine.kept == set(ids)
    assert bench.engine.kept == set()


# Loads


async def test_one_load_serves_all_who_wait(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    await asyncio.gather(*(bench.use(adapter) for _ in range(50)))
    assert (bench.engine.num_begun, bench.shelf.objects.num_gets) == (1, 1)
    assert bench.tally.requested == ["store"] * 50
    await bench.use(adapter)
    assert bench.tally.requested[50:] == ["host"]
    assert bench.tally.loaded == ["store"]


async def test_a_calls_adapters_come_in_its_order_with_its_scales(bench: Bench) -> None:
    a, b = await bench.add("a", "b")
    async with bench.cache.hold([AdapterUse(b, 0.25), AdapterUse(a, -1.0)]) as applied:
        assert [(each.id, each.scale, each.prepared.id) for each in applied] == [
            (b, 0.25, b),
            (a, -1.0, a),
        ]


async def test_different_adapters_load_together_and_not_too_many(bench: Bench) -> None:
    ids = await bench.add(*"abcdefghij")
    bench.engine.open.clear()
    calls = [asyncio.create_task(bench.use(each)) for each in ids]
    await settle(lambda: bench.engine.num_begun == NUM_PARALLEL)
    await asyncio.sleep(0.05)
    bench.engine.open.set()
    await asyncio.gather(*calls)
    assert bench.engine.most_at_once == NUM_PARALLEL


async def test_who_finds_its_adapter_waits_for_no_load(bench: Bench) -> None:
    here, *cold = await bench.add("here", *"abcdefgh")
    await bench.use(here)
    bench.shelf.objects.open.clear()
    loading = [asyncio.create_task(bench.use(each)) for each in cold]
    await settle(lambda: bench.shelf.objects.num_gets > NUM_PARALLEL)
    async with asyncio.timeout(30):
        await bench.use(here)
    bench.shelf.objects.open.set()
    await asyncio.gather(*loading)


async def test_one_who_leaves_does_not_stop_the_load_of_the_others(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    bench.shelf.objects.open.clear()
    leaver, stayer = (asyncio.create_task(bench.use(adapter)) for _ in range(2))
    await settle(lambda: bench.shelf.objects.num_gets)
    leaver.cancel()
    await asyncio.wait([leaver])
    bench.shelf.objects.open.set()
    await stayer
    assert (leaver.cancelled(), bench.shelf.objects.num_gets) == (True, 1)


async def test_the_last_who_leaves_stops_it(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    bench.shelf.objects.open.clear()
    waiting = [asyncio.create_task(bench.use(adapter)) for _ in range(3)]
    await settle(lambda: bench.shelf.objects.num_gets)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    await settle(lambda: not bench.cache._tasks)
    bench.shelf.objects.open.set()
    assert bench.engine.num_begun == 0
    await bench.use(adapter)
    assert bench.shelf.objects.num_gets == 2


async def test_what_the_engine_reads_already_is_kept_when_all_have_left(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    bench.engine.open.clear()
    waiter = asyncio.create_task(bench.use(adapter))
    await settle(lambda: bench.engine.num_begun)
    waiter.cancel()
    await asyncio.wait([waiter])
    bench.engine.open.set()
    await settle(lambda: not bench.cache._tasks)
    await bench.use(adapter)
    assert bench.engine.num_begun == 1


async def test_a_failure_is_told_to_all_who_wait_and_not_kept(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    version = parse_id(adapter)
    key = blob_key(version.tenant, version.digest, FILE)
    await bench.shelf.objects.delete(key)
    told = await asyncio.gather(*(bench.use(adapter) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in told] == [NotFound] * 5
    assert len({id(each) for each in told}) == 5  # one exception would gather the frames of all
    await bench.shelf.objects.put(key, b"a")
    await bench.use(adapter)


async def test_an_engine_that_breaks_on_an_adapter_tells_no_details(bench: Bench) -> None:
    async def breaks(folder: AdapterFolder) -> Prepared:
        raise RuntimeError("secret of the house")

    cache = AdapterCache(bench.files, breaks, ROOMY, SystemClock(), bench.tally)
    (adapter,) = await bench.add("a")
    with pytest.raises(EngineFailed) as caught:
        await cache.preload(adapter)
    assert "secret" not in str(caught.value)


async def test_of_several_adapters_one_that_fails_lets_the_others_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(0, 0))
    good, bad = await bench.add("good", "bad")
    bench.shelf.forget(bad)
    with pytest.raises(NotFound):
        await bench.use(good, bad)
    await settle(lambda: not bench.cache._tasks)
    assert bench.engine.kept == set()


# Files that change


async def test_a_file_swapped_on_the_disk_is_fetched_once_more(bench: Bench) -> None:
    (adapter,) = await bench.add("stripes")
    held = await bench.files.hold(adapter)
    (held.path / FILE).write_bytes(b"STRIPES")
    held.close()
    async with bench.cache.hold(uses(adapter)) as applied:
        assert (bench.folder / "entries" / parse_id(adapter).digest[7:] / FILE).read_bytes() == b"stripes"
        assert applied[0].prepared.num_bytes == 7
    assert (bench.shelf.objects.num_gets, bench.tally.loaded) == (2, ["store"])


async def test_files_that_keep_changing_are_refused(bench: Bench) -> None:
    (adapter,) = await bench.add("stripes")

    async def swapped(folder: AdapterFolder) -> Prepared:
        (folder.path / FILE).write_bytes(b"STRIPES")
        return await bench.engine(folder)

    cache = AdapterCache(bench.files, swapped, ROOMY, SystemClock(), bench.tally)
    with pytest.raises(InvalidRequest) as caught:
        await cache.preload(adapter)
    assert (caught.value.code, bench.engine.num_begun) == ("adapter_changed", 2)


# Bounds of what idles


async def test_idlers_go_least_recently_used_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=2, max_bytes=2**30))
    a, b, c = await bench.add("a", "b", "c")
    for each in (a, b, a, c):
        await bench.use(each)
    assert bench.engine.kept == {a, c}
    assert list(bench.cache.resident()) == [c, a]


async def test_idlers_are_bounded_by_bytes_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=10, max_bytes=25))
    bench.engine.size = 10
    for each in await bench.add("a", "b", "c", "d"):
        await bench.use(each)
    assert (len(bench.engine.kept), bench.cache.num_bytes) == (2, 20)
    bench.cache.limit(HostLimits(max_adapters=1, max_bytes=25))
    assert len(bench.engine.kept) == 1


async def test_a_disk_that_is_full_of_idlers_takes_new_ones(tmp_path: Path) -> None:
    bench = Bench(tmp_path, disk_bytes=2**20)
    for name in "abc":
        await bench.use(*await bench.add(name, model=name.encode() * 500_000))
    assert len(bench.engine.kept) == 2
    assert bench.files.num_evicted == 1


async def test_pinned_adapters_stay_until_the_card_says_otherwise(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=1, max_bytes=2**30))
    a, b, c, gone = await bench.add("a", "b", "c", "gone")
    bench.shelf.forget(gone)
    failed = await bench.cache.pin([a, b, gone])
    assert {each: error.code for each, error in failed.items()} == {gone: "adapter_not_found"}
    await bench.use(c)
    assert bench.engine.kept == {a, b, c}
    assert await bench.cache.pin([b]) == {}
    assert bench.engine.kept == {b, a}  # a idles now, and is newer than c
    assert bench.tally.requested == ["store"]  # of calls


# Calls that wait for their turn


async def test_a_waiting_call_finds_its_adapters_loaded(bench: Bench) -> None:
    a, b = await bench.add("a", "b")
    async with bench.cache.warm(uses(a, b), ACME) as ready:
        assert ready is not None
        await ready()
        assert bench.engine.kept == {a, b}
        bench.shelf.objects.open.clear()
        await bench.use(a, b)
    assert bench.tally.requested == ["store", "store"]
    async with bench.cache.warm(uses(a, b), ACME) as ready:
        assert ready is None


async def test_a_crowd_of_waiting_calls_fills_the_disk_and_not_the_memory(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=3, max_bytes=2**30))
    old, *crowd = await bench.add("old", *(f"a{i}" for i in range(20)))
    await bench.use(old)
    async with AsyncExitStack() as waiting:
        for each in crowd:
            ready = await waiting.enter_async_context(bench.cache.warm(uses(each), ACME))
        assert ready is not None
        await ready()
        assert old not in bench.engine.kept  # what idled made room
        assert len(bench.engine.kept) == 3
        assert len(list((bench.folder / "entries").glob("*.json"))) == 21
        async with bench.cache.hold(uses(crowd[19])):
            assert len(bench.engine.kept) == 4
    assert bench.engine.most_at_once <= NUM_WARMING


async def test_what_a_waiting_call_wants_is_the_last_to_make_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, HostLimits(max_adapters=2, max_bytes=2**30))
    wanted, *others = await bench.add("wanted", "b", "c", "d")
    await bench.use(wanted)
    async with bench.cache.warm(uses(wanted), ACME):
        for each in others:
            await bench.use(each)
        assert bench.engine.kept == {wanted, others[-1]}


async def test_a_call_with_a_place_that_leaves_does_not_stop_what_waiting_calls_want(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    bench.shelf.objects.open.clear()
    async with bench.cache.warm(uses(adapter), ACME) as ready:
        leaver = asyncio.create_task(bench.use(adapter))
        await settle(lambda: bench.shelf.objects.num_gets)
        leaver.cancel()
        await asyncio.wait([leaver])
        bench.shelf.objects.open.set()
        assert ready is not None
        await ready()
        assert (bench.engine.kept, bench.shelf.objects.num_gets) == ({adapter}, 1)


async def test_what_a_call_with_a_place_needs_goes_before_what_waiting_calls_want(bench: Bench) -> None:
    ids = await bench.add(*(f"a{i}" for i in range(10)))
    (urgent,) = await bench.add("urgent")
    bench.engine.open.clear()
    async with AsyncExitStack() as waiting:
        for each in ids:
            await waiting.enter_async_context(bench.cache.warm(uses(each), ACME))
        await settle(lambda: bench.engine.num_begun == NUM_WARMING)
        call = asyncio.create_task(bench.use(urgent))
        await settle(lambda: bench.engine.num_begun == NUM_WARMING + 1)
        bench.engine.open.set()
        await call


async def test_another_tenants_cold_adapter_does_not_wait_for_a_crowd(bench: Bench) -> None:
    ids = await bench.add(*(f"a{i}" for i in range(40)))
    (lone,) = await bench.add("lone")
    bench.engine.open.clear()
    async with AsyncExitStack() as waiting:
        for each in ids:
            await waiting.enter_async_context(bench.cache.warm(uses(each), ACME))
        ready = await waiting.enter_async_context(bench.cache.warm(uses(lone), OTHER))
        bench.engine.open.set()
        assert ready is not None
        await ready()
        assert len(bench.engine.kept) <= 3 * NUM_WARMING


async def test_waiting_calls_that_leave_stop_what_only_they_wanted(bench: Bench) -> None:
    ids = await bench.add(*(f"a{i}" for i in range(10)))
    bench.shelf.objects.open.clear()
    async with AsyncExitStack() as waiting:
        for each in ids:
            await waiting.enter_async_context(bench.cache.warm(uses(each), ACME))
        await settle(lambda: bench.shelf.objects.num_gets == NUM_WARMING)
        call = asyncio.create_task(bench.use(ids[0]))
        await asyncio.sleep(0)
    bench.shelf.objects.open.set()
    await call
    await settle(lambda: not bench.cache._tasks)
    assert (bench.engine.kept, bench.shelf.objects.num_gets) == ({ids[0]}, NUM_WARMING)


async def test_what_cannot_be_had_lets_its_call_have_its_turn(bench: Bench) -> None:
    (adapter,) = await bench.add("a")
    bench.shelf.forget(adapter)
    async with bench.cache.warm(uses(adapter), ACME) as ready:
        assert ready is not None
        await ready()
        with pytest.raises(NotFound):
            await bench.use(adapter)


# What is told, and the end


async def test_counters_say_where_adapters_were_and_how_long_they_took(bench: Bench) -> None:
    a, b = await bench.add("a", "b")
    (await bench.files.hold(b)).close()
    for each in (a, b, a):
        await bench.use(each)
    counted = bench.cache.counters()
    assert [counted[f"adapter_requests_{tier}"] for tier in ("store", "disk", "host")] == [1, 1, 1]
    assert [counted[f"adapter_loads_{tier}"] for tier in ("store", "disk")] == [1, 1]
    assert counted["adapter_load_seconds_disk"] > 0
    assert (counted["adapter_resident_host"], counted["adapter_in_use"], counted["adapter_bytes"]) == (2, 0, 2)


async def test_closing_lets_waiting_calls_have_their_turn_those_in_line_too(bench: Bench) -> None:
    ids = await bench.add(*(f"a{number}" for number in range(6)))
    bench.shelf.objects.open.clear()
    async with bench.cache.warm(uses(*ids), ACME) as ready:
        assert ready is not None
        waiter = asyncio.ensure_future(ready())
        await settle(lambda: bench.shelf.objects.num_gets == 4)
        await bench.cache.close()
        await asyncio.wait_for(waiter, 60)


async def test_closing_frees_everything_and_tells_who_waits(bench: Bench) -> None:
    a, b = await bench.add("a", "b")
    await bench.use(a)
    bench.shelf.objects.open.clear()
    waiter = asyncio.create_task(bench.use(b))
    await settle(lambda: bench.shelf.objects.num_gets == 2)
    await bench.cache.close()
    with pytest.raises(ModelUnavailable):
        await waiter
    with pytest.raises(ModelUnavailable):
        await bench.use(a)
    assert bench.engine.kept == set()
