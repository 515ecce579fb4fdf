"""The disk tier: adapters' files on this node, fetched once for all of its processes, and held while they are read.

The folder is a `WeightStore` of its own: an entry per digest, seen whole or not at all, used under a shared lock of
the kernel's and evicted under an exclusive one. What was fetched is hashed on its way in; whoever reads the files later
hashes what it read, and says so when it differs (`recheck`).
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from io import IOBase
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from filelock import Timeout

from serve.catalog.adapters.stored import blob_key
from serve.catalog.weight_store import Entry, ResolvedWeights, WeightStore
from serve.domain.adapters import AdapterId, AdapterVersion, parse_id
from serve.domain.errors import InvalidRequest, ModelUnavailable, NotFound, Unprocessable
from serve.domain.ports import ObjectStore
from serve.settings import Settings

CACHE_FULL = "adapter_cache_full"
CHANGED = "adapter_changed"
NOT_FOUND = "adapter_not_found"
PARAM = "adapters"

_NUM_THREADS = 8
_POLL_SECONDS = 0.02
"""Between two looks at a download of another process: kernel locks wake nobody's event loop."""
_RETRY_SECONDS = 5.0
_SETTING = "SLIPWAY_STORAGE_ADAPTER_CACHE_MAX_BYTES"

T = TypeVar("T")


class AdapterTier(StrEnum):
    """Where an adapter was when it was asked for."""

    GPU = "gpu"
    HOST = "host"
    DISK = "disk"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """One file of a version: its sha256 in hexadecimal, and its size."""

    sha256: str
    num_bytes: int


class AdapterVersions(Protocol):
    """What is known of stored versions."""

    async def files(self, version: AdapterVersion) -> Mapping[str, AdapterFile]:
        """The files by name. Raises NotFound: `adapter_not_found`."""
        ...


@dataclass(frozen=True, slots=True)
class HeldFiles:
    """An adapter's folder, which stays until `close()`. `tier` is where it was found: disk or store."""

    id: AdapterId
    path: Path
    files: Mapping[str, AdapterFile]
    tier: AdapterTier
    _lock: ResolvedWeights

    @property
    def sha256(self) -> dict[str, str]:
        """The files' digests by name."""
        return {name: file.sha256 for name, file in self.files.items()}

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files.values())

    def close(self) -> None:
        """Let the node evict it. A second call does nothing."""
        self._lock.close()


class AdapterFiles:
    """The adapters' files of this node. One event loop; any number of processes share the folder."""

    def __init__(self, store: WeightStore, versions: AdapterVersions, objects: ObjectStore) -> None:
        self._store = store
        self._versions = versions
        self._objects = objects
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="adapters")
        # The locks between processes are looked at every 50 ms: downloads of this process must not meet there.
        self._changing = asyncio.Lock()
        self.num_evicted = 0
        """Entries that made room, of this process's downloads."""
        store.prepare()

    async def hold(self, adapter_id: str, recheck: bool = False) -> HeldFiles:
        """The files of a version, fetched if they are not here. Canceling it stops the download.

        `recheck` hashes what is on the disk instead of trusting its size, and fetches it anew if it is wrong.

        Raises:
            NotFound: `adapter_not_found`: there is no such version (any more).
            InvalidRequest: `adapter_changed`: what is stored is not what was uploaded.
            Unprocessable, ModelUnavailable: `adapter_cache_full`.
            StorageUnavailable: the store does not answer.
        """
        version = parse_id(adapter_id)
        wanted = _Wanted(version, await self._versions.files(version))
        if not recheck and (lock := await self._in_thread(self._store.hold, wanted.entry)) is not None:
            return wanted.held(lock, AdapterTier.DISK)
        async with self._turn(wanted.entry):
            lock = await self._in_thread(self._store.hold, wanted.entry)
            if lock is not None and recheck and not await self._in_thread(wanted.is_unchanged, lock.path):
                lock.close()
                lock = await self._in_thread(self._store.drop, wanted.entry)
            if lock is not None:
                return wanted.held(lock, AdapterTier.DISK)
            return await self._fetch(wanted)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncGenerator[None, None]:
        """One download of `key` on this node at a time."""
        turn = self._store.turn(key)
        while True:
            try:
                turn.acquire(timeout=0)  # by the loop's own thread: the lock belongs to the thread that took it
                break
            except Timeout:
                await asyncio.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            turn.release()

    async def _fetch(self, wanted: "_Wanted") -> HeldFiles:
        try:
            await self._reserve(wanted)
            folder = self._store.workdir(wanted.entry) / "files"
            await self._in_thread(folder.mkdir)
            for name, file in wanted.files.items():
                await self._download(wanted.version, name, file, folder / name)
            async with self._changing:
                lock = await self._in_thread(self._commit, wanted, folder)
        except BaseException:
            await self._in_thread(self._store.discard, wanted.entry)
            raise
        return wanted.held(lock, AdapterTier.STORE)

    def _commit(self, wanted: "_Wanted", folder: Path) -> ResolvedWeights:
        lock = self._store.commit(wanted.manifest, folder)
        self._store.discard(wanted.entry)
        return lock

    async def _reserve(self, wanted: "_Wanted") -> None:
        num_bytes = wanted.num_bytes
        try:
            await self._in_thread(self._store.discard, wanted.entry)
            async with self._changing:
                self.num_evicted += await self._in_thread(self._store.reserve, wanted.entry, num_bytes)
        except Unprocessable as error:
            raise _full(wanted, self._store.max_bytes) from error

    async def _download(self, version: AdapterVersion, name: str, file: AdapterFile, path: Path) -> None:
        digest, num_bytes = hashlib.sha256(), 0

        def take(chunk: bytes, out: BinaryIO) -> None:
            digest.update(chunk)
            out.write(chunk)

        with await self._in_thread(lambda: path.open("xb")) as out:
            try:
                async with aclosing(self._objects.get(blob_key(version.tenant, version.digest, name))) as chunks:
                    async for chunk in chunks:
                        num_bytes += len(chunk)
                        if num_bytes > file.num_bytes:
                            break
                        await self._in_thread(take, chunk, out)
            except NotFound:
                raise _gone(version) from None
        if num_bytes != file.num_bytes or digest.hexdigest() != file.sha256:
            raise changed(version.id, name)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Do `work` in a thread; a canceled task waits for its end, so that no lock is left behind its back."""
        done = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():  # however often it is canceled: what the thread makes must not be left to nobody
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([done])
            result: object = None if done.exception() else done.result()
            if isinstance(result, ResolvedWeights | IOBase):
                result.close()
            raise

    def close(self) -> None:
        """Let the threads go; what is held stays held."""
        self._threads.shutdown(wait=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A version and its files, as the registry has them."""

    version: AdapterVersion
    files: Mapping[str, AdapterFile]

    @property
    def entry(self) -> str:
        """By digest: the same files of two tenants are one folder."""
        return self.version.digest.removeprefix("sha256:")

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files.values())

    @property
    def manifest(self) -> Entry:
        sizes = {name: file.num_bytes for name, file in self.files.items()}
        return Entry(self.entry, self.version.digest, f"adapter://{self.entry}", sizes)

    def is_unchanged(self, folder: Path) -> bool:
        """Whether the files in `folder` have the digests that they should."""
        return all(_sha256(folder / name) == file.sha256 for name, file in self.files.items())

    def held(self, lock: ResolvedWeights, tier: AdapterTier) -> HeldFiles:
        return HeldFiles(self.version.id, lock.path, self.files, tier, lock)


def open_adapter_files(settings: Settings, versions: AdapterVersions, objects: ObjectStore) -> AdapterFiles:
    """This node's adapters, as `settings` have them."""
    storage = settings.storage
    store = WeightStore(storage.cache_dir / "adapters", storage.adapter_cache_max_bytes, _SETTING)
    return AdapterFiles(store, versions, objects)


def changed(adapter_id: str, name: str) -> InvalidRequest:
    """The refusal of a file that is not the one that was uploaded."""
    return InvalidRequest(
        f"{name} of the adapter {adapter_id} is not the file that was uploaded; upload the adapter again",
        CHANGED,
        PARAM,
    )


def _gone(version: AdapterVersion) -> NotFound:
    return NotFound(
        f"The adapter {version.id} is there no longer. GET /v1/adapters lists those there are.", NOT_FOUND, PARAM
    )


def _full(wanted: _Wanted, max_bytes: int) -> Unprocessable | ModelUnavailable:
    """For good where the adapter alone is too large, else for as long as others are in use."""
    if wanted.num_bytes > max_bytes:
        return Unprocessable(
            f"The adapter {wanted.version.id} has {wanted.num_bytes} bytes, and this node keeps {max_bytes} of all "
            f"adapters ({_SETTING}).",
            CACHE_FULL,
            PARAM,
        )
    return ModelUnavailable(
        "The adapters in use fill this node's disk budget. Retry later.", CACHE_FULL, PARAM, _RETRY_SECONDS
    )


def _sha256(path: Path) -> str | None:
    """None where there is no such plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
