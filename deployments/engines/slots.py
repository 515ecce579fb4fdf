"""Slots of an accelerator that are taken by key: calls with the same key share one."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """At most `num_slots` keys in use at once, first come first served.

    Who comes while others wait goes behind them, even with a key that is in use: else a busy key would keep its slot
    for ever, and a rare one never get any.
    """

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._users: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    @property
    def num_waiting(self) -> int:
        """Calls without a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """A slot for `key`, waited for if need be."""
        await self._enter(key)
        try:
            yield
        finally:
            self._leave(key)

    async def _enter(self, key: str) -> None:
        if not self._waiting and self._is_free_for(key):
            self._users[key] += 1
            return
        place = (key, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            if place[1].cancelled():
                if place in self._waiting:
                    self._waiting.remove(place)
                self._admit()
            else:
                self._leave(key)
            raise

    def _leave(self, key: str) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._is_free_for(self._waiting[0][0]):
            key, future = self._waiting.popleft()
            if not future.cancelled():
                self._users[key] += 1
                future.set_result(None)

    def _is_free_for(self, key: str) -> bool:
        return key in self._users or len(self._users) < self._num_slots
