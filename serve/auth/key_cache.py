"""What is remembered of checked keys, by the SHA-256 of the token: never the token itself.

Hits and misses are kept apart, so that a flood of invented keys cannot push out the real ones. Questions for the same
key that come together become one query: otherwise every entry's end would send each waiting request to the database.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from serve.domain.ports import Clock

MAX_ENTRIES = 10_000
"""Keys remembered, and as many misses: a few megabytes."""
MAX_MISS_SECONDS = 1.0
"""How long an unknown key stays unknown: short, since somebody may be making it at this moment."""


class HasId(Protocol):
    """A key, as far as the cache cares."""

    @property
    def id(self) -> str: ...


Key = TypeVar("Key", bound=HasId)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Key]):
    key: Key | None
    ends: float


class KeyCache(Generic[Key]):
    """Two bounded LRU maps with an end to every entry, and one query at a time per token. For one event loop."""

    def __init__(self, clock: Clock, seconds: float, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._seconds = seconds
        self._max_entries = max_entries
        self._hits: OrderedDict[str, _Entry[Key]] = OrderedDict()
        self._misses: OrderedDict[str, _Entry[Key]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Key | None]] = {}
        self._num_forgotten = 0

    async def get(self, digest: str, find: Callable[[], Awaitable[Key | None]]) -> Key | None:
        """The key whose token hashes to `digest`, from memory or from `find`. Errors of `find` are not remembered."""
        for entries in (self._hits, self._misses):
            entry = entries.get(digest)
            if entry is not None and self._clock.monotonic() < entry.ends:
                entries.move_to_end(digest)
                return entry.key
        return await self._ask(digest, find)

    async def _ask(self, digest: str, find: Callable[[], Awaitable[Key | None]]) -> Key | None:
        task = self._asking.get(digest)
        if task is None:
            task = asyncio.ensure_future(self._find(digest, find))
            self._asking[digest] = task
            task.add_done_callback(lambda done: self._answered(digest, done))
        # A caller who leaves must not take the others' answer along.
        return await asyncio.shield(task)

    async def _find(self, digest: str, find: Callable[[], Awaitable[Key | None]]) -> Key | None:
        num_forgotten = self._num_forgotten
        key = await find()
        # What was read before a revocation in this process must not be remembered after it.
        if num_forgotten == self._num_forgotten:
            self._remember(digest, key)
        return key

    def _answered(self, digest: str, task: asyncio.Task[Key | None]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it when every caller has left

    def _remember(self, digest: str, key: Key | None) -> None:
        entries, other = (self._hits, self._misses) if key is not None else (self._misses, self._hits)
        seconds = self._seconds if key is not None else min(self._seconds, MAX_MISS_SECONDS)
        other.pop(digest, None)
        entries[digest] = _Entry(key, self._clock.monotonic() + seconds)
        entries.move_to_end(digest)
        while len(entries) > self._max_entries:
            entries.popitem(last=False)

    def forget(self, key_id: str) -> None:
        """Ask again for this key from now on."""
        self._num_forgotten += 1
        for digest in [digest for digest, entry in self._hits.items() if entry.key and entry.key.id == key_id]:
            del self._hits[digest]
