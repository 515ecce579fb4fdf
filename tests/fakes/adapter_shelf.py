"""Stored adapters without a database: files in a real object store, and what the registry would know of them."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.adapter_cache import AdapterCache
from deployments.engines.adapter_files import verified_files
from deployments.engines.engine import AdapterFolder, AppliedAdapter
from deployments.host_adapters import HostLimits
from serve.catalog.adapters.files import AdapterFile, AdapterFiles
from serve.catalog.adapters.stored import blob_key
from serve.catalog.weights import tree_digest
from serve.clock import SystemClock
from serve.domain.adapters import AdapterVersion
from serve.domain.errors import NotFound
from serve.domain.generation import ModelCall
from serve.domain.names import TenantName
from serve.domain.ports import StoredObject
from serve.storage.filesystem import FilesystemObjects

FILE = "adapter_model.safetensors"


class CountedObjects(FilesystemObjects):
    """Counts what is read, and lets a test hold reading up."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.num_gets = 0
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, key: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        self.num_gets += 1
        await self.open.wait()
        async for chunk in super().get(key, offset):
            yield chunk

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str = "x/y") -> StoredObject:
        return await super().put(key, data, media_type)


class Shelf:
    """An `AdapterVersions` that a test fills."""

    def __init__(self, root: Path) -> None:
        self.objects = CountedObjects(root)
        self._known: dict[str, Mapping[str, AdapterFile]] = {}

    async def add(self, name: str = "stripes", tenant: str = "acme", **files: bytes) -> str:
        """A version of `files` (by name; `model` is the weights' file), and its id."""
        named = {FILE if key == "model" else key: data for key, data in (files or {"model": name.encode()}).items()}
        known = {key: AdapterFile(hashlib.sha256(data).hexdigest(), len(data)) for key, data in named.items()}
        digest = tree_digest({key: file.sha256 for key, file in known.items()})
        version = AdapterVersion(TenantName(tenant), name, digest)
        for key, data in named.items():
            await self.objects.put(blob_key(tenant, digest, key), data)
        self._known[version.id] = known
        return version.id

    def forget(self, adapter_id: str) -> None:
        """Delete the version, and leave its blobs."""
        del self._known[adapter_id]

    async def files(self, version: AdapterVersion) -> Mapping[str, AdapterFile]:
        if version.id not in self._known:
            raise NotFound(f"There is no adapter {version.id}.", "adapter_not_found", "adapters")
        return self._known[version.id]


@dataclass(slots=True, eq=False)
class Prepared:
    """What `Reader` makes of a folder."""

    id: str
    num_bytes: int
    is_closed: bool = False

    def close(self) -> None:
        assert not self.is_closed, f"{self.id} was freed twice"
        self.is_closed = True


@dataclass(slots=True)
class Reader:
    """An engine's `prepare_adapter`: reads and checks the files; as slow as `open` says, and as weighty as `size`."""

    size: int | None = None
    made: list[Prepared] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    num_begun: int = 0
    most_at_once: int = 0
    _num_now: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def __call__(self, folder: AdapterFolder) -> Prepared:
        self.num_begun += 1
        self._num_now += 1
        self.most_at_once = max(self.most_at_once, self._num_now)
        try:
            await self.open.wait()
            num_bytes = sum(map(len, verified_files(folder).values()))
        finally:
            self._num_now -= 1
        self.made.append(Prepared(folder.id, self.size or num_bytes))
        return self.made[-1]

    @property
    def kept(self) -> set[str]:
        """Ids of what was not freed."""
        return {each.id for each in self.made if not each.is_closed}


@dataclass(slots=True)
class Tally:
    """An `adapter_cache.Observer`."""

    requested: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    evicted: list[str] = field(default_factory=list)

    def adapter_requested(self, tier: str) -> None:
        self.requested.append(str(tier))

    def adapter_loaded(self, tier: str, seconds: float) -> None:
        assert seconds >= 0
        self.loaded.append(str(tier))

    def adapter_evicted(self, tier: str) -> None:
        self.evicted.append(str(tier))


class EngineAdapters:
    """`in_memory.HoldsAdapters`: a cache for each engine, over the node's files as `open_files` opens them."""

    def __init__(self, open_files: Callable[[], AdapterFiles]) -> None:
        self._open_files = open_files
        self._caches: dict[int, AdapterCache] = {}

    def hold(self, engine: Any, call: ModelCall) -> AbstractAsyncContextManager[Sequence[AppliedAdapter]]:
        cache = self._caches.get(id(engine))
        if cache is None:
            cache = AdapterCache(
                self._open_files(), engine.prepare_adapter, HostLimits(64, 2**30), SystemClock(), Tally()
            )
            self._caches[id(engine)] = cache
        return cache.hold(call.adapters)
