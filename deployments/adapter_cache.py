"""The adapters of one replica: loaded once for all who wait, in parallel, kept while used, then as long as they fit.

Below are the node's files (`serve.catalog.adapters.files`), above is the engine, which keeps on the accelerator what it
will; in between is what `host_adapters` decides to keep. Ray's own multiplexing loads one at a time and frees what is
in use: its law is the one thing that is not taken from it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from deployments.adapter_warming import Warming
from deployments.engines.engine import AdapterFolder, AppliedAdapter, PreparedAdapter
from deployments.host_adapters import HostAdapter, HostAdapters, HostLimits
from serve.catalog.adapters.files import CACHE_FULL, CHANGED, AdapterTier, HeldFiles
from serve.domain.errors import EngineFailed, InvalidRequest, ModelUnavailable, SlipwayError
from serve.domain.generation import AdapterUse
from serve.domain.names import TenantName
from serve.domain.ports import Clock

_log = logging.getLogger(__name__)

NUM_PARALLEL = 4
"""Loads that calls with a place wait for, at the same time; those for calls in the queue come on top. More would only
share the same disk, and hold more of what is read in memory twice."""


class Files(Protocol):
    """The tiers below."""

    async def hold(self, adapter_id: str, recheck: bool = False) -> HeldFiles:
        """See `AdapterFiles.hold`."""
        ...


class Observer(Protocol):
    """Who counts."""

    def adapter_requested(self, tier: AdapterTier) -> None:
        """A call's adapter was found in that tier."""
        ...

    def adapter_loaded(self, tier: AdapterTier, seconds: float) -> None:
        """From that tier into host memory."""
        ...

    def adapter_evicted(self, tier: AdapterTier) -> None:
        """One made room in that tier."""
        ...


Prepare = Callable[[AdapterFolder], Awaitable[PreparedAdapter]]
Ready = Callable[[], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Load:
    """An adapter on its way, and the uses that wait for it."""

    id: str
    is_warming: bool
    claims: "list[_Claim]" = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tier: AdapterTier = AdapterTier.STORE
    num_bytes: int | None = None
    """Known once the engine reads it, which is not stopped any more: threads cannot be."""
    error: SlipwayError | None = None
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True, eq=False)
class _Claim:
    """One use of one adapter: of what is here, or of the load that brings it."""

    tier: AdapterTier
    adapter: HostAdapter | None = None
    load: _Load | None = None


class AdapterCache:
    """See the module. One event loop; not thread-safe."""

    def __init__(self, files: Files, prepare: Prepare, limits: HostLimits, clock: Clock, observer: Observer) -> None:
        self._files = files
        self._prepare = prepare
        self._clock = clock
        self._observer = observer
        self._warming = Warming(self._begin_warming, self._stop)
        self._host = HostAdapters(limits, self._warming.__contains__, lambda: self._evicted(AdapterTier.HOST))
        self._loads: dict[str, _Load] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(NUM_PARALLEL)
        self._counts: Counter[str] = Counter()
        self._seconds: dict[AdapterTier, float] = {}
        self._pinned: dict[str, _Claim] = {}
        self._is_closed = False

    def limit(self, limits: HostLimits) -> None:
        """Keep to these from now on."""
        self._host.limit(limits)

    @asynccontextmanager
    async def hold(self, uses: Sequence[AdapterUse]) -> AsyncGenerator[tuple[AppliedAdapter, ...], None]:
        """The adapters of a call, ready and kept for the length of the `async with`; loaded in parallel if need be.

        Raises:
            SlipwayError: one of them cannot be had, as `AdapterFiles.hold` and `Engine.prepare_adapter` say it.
        """
        claims = [self._claim(use.id) for use in uses]
        try:
            prepared = [await self._prepared(claim) for claim in claims]
            yield tuple(AppliedAdapter(use.id, use.scale, each) for use, each in zip(uses, prepared, strict=True))
        finally:
            for claim in claims:
                self._release(claim)

    @asynccontextmanager
    async def warm(self, uses: Sequence[AdapterUse], tenant: TenantName) -> AsyncGenerator[Ready | None, None]:
        """Set a waiting call's adapters on their way; gives what to await until no more can be done before its turn.

        None where all are here. They come onto the disk, and into memory while there is room that no other waiting
        call's adapters take. What fails here fails again, and is told, when the call has its turn.
        """
        ids = [use.id for use in uses]
        ready = None if all(each in self._host for each in ids) else lambda: self._warming.wait(ids)
        self._warming.join(tenant, ids, self._host.__contains__)
        try:
            yield ready
        finally:
            self._warming.leave(ids)

    async def pin(self, ids: Iterable[str]) -> dict[str, SlipwayError]:
        """Keep these, whoever uses them, and those of before no longer; gives those that cannot be had, and why."""
        wanted = set(ids)
        for adapter_id in self._pinned.keys() - wanted:
            self._release(self._pinned.pop(adapter_id))
        self._pinned |= {each: self._claim(each) for each in sorted(wanted - self._pinned.keys())}
        failed = {}
        for adapter_id, claim in list(self._pinned.items()):
            await self._arrival(claim)
            if claim.adapter is None:
                failed[adapter_id] = _told_again(claim.load)
                self._pinned.pop(adapter_id, None)
        return failed

    async def preload(self, adapter_id: str) -> None:
        """Load it for calls that are expected. Raises as `hold` does."""
        async with self.hold([AdapterUse(adapter_id)]):
            return

    def resident(self) -> dict[str, int]:
        """Bytes of host memory by id: of those in use, then of the last used first."""
        return self._host.sizes()

    @property
    def num_bytes(self) -> int:
        """Of host memory that adapters take."""
        return self._host.num_bytes

    def counters(self) -> dict[str, float]:
        """Since the start: requests, loads and their seconds by tier, evictions; and what is here now."""
        found = {f"adapter_{name}": float(count) for name, count in self._counts.items()}
        found |= {f"adapter_load_seconds_{tier}": seconds for tier, seconds in self._seconds.items()}
        return found | {
            "adapter_resident_host": float(len(self._host)),
            "adapter_in_use": float(len(self._host) - self._host.num_idle),
            "adapter_bytes": float(self._host.num_bytes),
        }

    def _claim(self, adapter_id: str) -> _Claim:
        """From now on it is used, if it is here, or waited for."""
        if self._is_closed:
            raise _closing()
        if (adapter := self._host.use(adapter_id)) is not None:
            tier, adapter.tier = adapter.tier, AdapterTier.HOST
            return _Claim(tier, adapter)
        load = self._loads.get(adapter_id) or self._begin(adapter_id, is_warming=False)
        claim = _Claim(load.tier, load=load)
        load.claims.append(claim)
        return claim

    async def _arrival(self, claim: _Claim) -> None:
        if claim.load is not None:
            await claim.load.ended.wait()

    async def _prepared(self, claim: _Claim) -> PreparedAdapter:
        await self._arrival(claim)
        if claim.adapter is None:
            raise _told_again(claim.load)
        self._counts[f"requests_{claim.tier}"] += 1
        self._observer.adapter_requested(claim.tier)
        return claim.adapter.prepared

    def _release(self, claim: _Claim) -> None:
        if claim.adapter is not None:
            self._host.release(claim.adapter)
        elif claim.load is not None and not claim.load.ended.is_set():
            claim.load.claims.remove(claim)
            self._stop(claim.load.id)

    def _stop(self, adapter_id: str) -> None:
        """Stop loading what nobody waits for any more; what the engine already reads comes, and idles."""
        load = self._loads.get(adapter_id)
        if load is None or load.claims or adapter_id in self._warming or load.num_bytes is not None:
            return
        del self._loads[adapter_id]  # at once: who asks for it from now on begins anew
        if load.task is not None:
            load.task.cancel()

    def _begin_warming(self, adapter_id: str) -> bool:
        if self._is_closed or adapter_id in self._loads or adapter_id in self._host:
            return False
        self._begin(adapter_id, is_warming=True)
        return True

    def _begin(self, adapter_id: str, is_warming: bool) -> _Load:
        load = self._loads[adapter_id] = _Load(adapter_id, is_warming)
        load.task = asyncio.create_task(self._run(load))
        self._tasks.add(load.task)
        load.task.add_done_callback(lambda task: self._ended(load, task))
        return load

    def _ended(self, load: _Load, task: "asyncio.Task[None]") -> None:
        """A callback, since a task that is canceled before its first step runs no `finally`."""
        self._tasks.discard(task)
        self._close_to_claims(load)
        load.ended.set()
        if load.is_warming:
            self._warming.ended()

    def _close_to_claims(self, load: _Load) -> None:
        """Whoever comes from now on finds what it brought, or begins another."""
        if self._loads.get(load.id) is load:
            del self._loads[load.id]
            self._warming.settle(load.id)

    async def _run(self, load: _Load) -> None:
        """Bring it; whatever goes wrong is told to those who wait."""
        try:
            if load.is_warming:
                await self._bring(load)
            else:
                async with self._turns:
                    await self._bring(load)
        except SlipwayError as error:
            load.error = error
        except Exception:
            _log.exception("the adapter %s cannot be loaded", load.id)
            load.error = EngineFailed(f"The adapter {load.id} could not be loaded.")
        finally:
            self._close_to_claims(load)

    async def _bring(self, load: _Load) -> None:
        began = self._clock.monotonic()
        files = await self._on_disk(load.id)
        if not load.claims and not self._has_room(files.num_bytes):
            files.close()
            return
        load.num_bytes = files.num_bytes
        adapter = await self._read(files)
        seconds = self._clock.monotonic() - began
        load.tier = adapter.files.tier
        self._count_load(load.tier, seconds)
        self._hand_over(load, adapter)

    def _hand_over(self, load: _Load, adapter: HostAdapter) -> None:
        """At once to all who wait: between the load's end and their waking it must not go."""
        adapter.num_users = len(load.claims)
        adapter.tier = AdapterTier.HOST if load.claims else load.tier
        for claim in load.claims:
            claim.adapter, claim.tier = adapter, load.tier
        self._host.put(adapter)

    def _has_room(self, num_bytes: int) -> bool:
        coming = [each.num_bytes for each in self._loads.values() if each.num_bytes is not None and not each.claims]
        return self._host.has_room(num_bytes, len(coming), sum(coming))

    async def _on_disk(self, adapter_id: str, recheck: bool = False) -> HeldFiles:
        """The files. Where the disk is full of what this replica keeps idle in memory, some of that goes."""
        while True:
            try:
                return await self._files.hold(adapter_id, recheck)
            except ModelUnavailable as error:
                if error.code != CACHE_FULL or not self._host.evict():
                    raise

    async def _read(self, files: HeldFiles) -> HostAdapter:
        """What the engine makes of the files. If they changed on the disk, once more with those of the store."""
        try:
            return await self._prepare_from(files)
        except InvalidRequest as error:
            if error.code != CHANGED:
                raise
            _log.warning("%s; fetching it once more", error)
            return await self._prepare_from(await self._on_disk(files.id, recheck=True))

    async def _prepare_from(self, files: HeldFiles) -> HostAdapter:
        try:
            prepared = await self._prepare(AdapterFolder(files.id, files.path, files.sha256))
        except BaseException:
            files.close()
            raise
        return HostAdapter(files.id, prepared, files)

    def _count_load(self, tier: AdapterTier, seconds: float) -> None:
        self._counts[f"loads_{tier}"] += 1
        self._seconds[tier] = self._seconds.get(tier, 0.0) + seconds
        self._observer.adapter_loaded(tier, seconds)

    def _evicted(self, tier: AdapterTier) -> None:
        self._counts[f"evictions_{tier}"] += 1
        self._observer.adapter_evicted(tier)

    async def close(self) -> None:
        """Stop what is on its way, and free everything: the engine is gone."""
        self._is_closed = True
        for load in self._loads.values():
            load.error = _closing()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        self._warming.settle_all()
        self._host.close()


def _closing() -> ModelUnavailable:
    return ModelUnavailable("This replica is being taken away. Retry.")


def _told_again(load: _Load | None) -> SlipwayError:
    """The failure of a load as a new exception: one raised in many tasks would gather all of their frames."""
    error = load.error if load is not None else None
    return type(error)(*error.args) if error is not None else _closing()
