"""The adapters in host memory: who is used, who idles, and who goes when idlers are too many.

What a call uses is never freed, whatever the pressure. The bounds are for those that nobody uses, of which the least
recently used goes first, and one that a waiting call wants only when no other is left.
"""

from collections.abc import Callable
from dataclasses import dataclass

from deployments.engines.engine import PreparedAdapter
from serve.catalog.adapters.files import AdapterTier, HeldFiles


@dataclass(frozen=True, slots=True)
class HostLimits:
    """Of adapters in host memory that nobody uses."""

    max_adapters: int
    max_bytes: int


@dataclass(slots=True, eq=False)
class HostAdapter:
    """One of them. `tier` is where its next use finds it: first where it was loaded from, if nobody waited for that."""

    id: str
    prepared: PreparedAdapter
    files: HeldFiles
    tier: AdapterTier = AdapterTier.HOST
    num_users: int = 0

    @property
    def num_bytes(self) -> int:
        return self.prepared.num_bytes

    def close(self) -> None:
        """Give the memory back, and let the files go."""
        self.prepared.close()
        self.files.close()


class HostAdapters:
    """All of them, by id. Everything is immediate."""

    def __init__(self, limits: HostLimits, is_wanted: Callable[[str], bool], evicted: Callable[[], None]) -> None:
        """`is_wanted`: whether a waiting call wants it; `evicted` is told of every one that made room."""
        self._limits = limits
        self._is_wanted = is_wanted
        self._evicted = evicted
        self._all: dict[str, HostAdapter] = {}
        self._idle: dict[str, HostAdapter] = {}
        """The least recently used first."""

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, adapter_id: str) -> bool:
        return adapter_id in self._all

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    @property
    def num_bytes(self) -> int:
        return sum(each.num_bytes for each in self._all.values())

    def sizes(self) -> dict[str, int]:
        """Bytes by id: of those in use, then of the others, the last used first."""
        ids = [*(each for each in self._all if each not in self._idle), *reversed(self._idle)]
        return {each: self._all[each].num_bytes for each in ids}

    def limit(self, limits: HostLimits) -> None:
        """Keep to these from now on."""
        self._limits = limits
        self._trim()

    def put(self, adapter: HostAdapter) -> None:
        """Take a new one in, with the users that it has."""
        self._all[adapter.id] = adapter
        if not adapter.num_users:
            self._idle[adapter.id] = adapter
        self._trim()

    def use(self, adapter_id: str) -> HostAdapter | None:
        """The adapter, with one user more; None if it is not here."""
        if (found := self._all.get(adapter_id)) is not None:
            found.num_users += 1
            self._idle.pop(adapter_id, None)
        return found

    def release(self, adapter: HostAdapter) -> None:
        """One user less."""
        adapter.num_users -= 1
        if not adapter.num_users and self._all.get(adapter.id) is adapter:
            self._idle[adapter.id] = adapter
            self._trim()

    def has_room(self, num_bytes: int, num_coming: int, num_coming_bytes: int) -> bool:
        """Whether one of `num_bytes` could idle here beside those that waiting calls want, and those that come."""
        kept = [each for each in self._idle.values() if self._is_wanted(each.id)]
        is_many = len(kept) + num_coming >= self._limits.max_adapters
        return (
            not is_many
            and sum(each.num_bytes for each in kept) + num_coming_bytes + num_bytes <= self._limits.max_bytes
        )

    def evict(self) -> bool:
        """Free the one that is missed least; False if all are in use."""
        victim = next((each for each in self._idle.values() if not self._is_wanted(each.id)), None)
        victim = victim or next(iter(self._idle.values()), None)
        if victim is None:
            return False
        del self._idle[victim.id], self._all[victim.id]
        victim.close()
        self._evicted()
        return True

    def _trim(self) -> None:
        num_bytes = sum(each.num_bytes for each in self._idle.values())
        while self._idle and (len(self._idle) > self._limits.max_adapters or num_bytes > self._limits.max_bytes):
            self.evict()
            num_bytes = sum(each.num_bytes for each in self._idle.values())

    def close(self) -> None:
        """Free all of them, used or not: their engine is gone."""
        for each in self._all.values():
            each.close()
        self._all, self._idle = {}, {}
