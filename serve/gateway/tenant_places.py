"""Places of which every tenant has a few of its own, so that none waits for what another one is waiting for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from serve.domain.errors import Overloaded
from serve.domain.names import TenantName

_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class _Places:
    free: asyncio.Semaphore
    num_users: int = 0


class TenantPlaces:
    """`num_places` for each tenant. Who finds none waits, for `wait_seconds` at the most."""

    def __init__(self, num_places: int, wait_seconds: float) -> None:
        self._num_places = num_places
        self._wait_seconds = wait_seconds
        self._places_of: dict[TenantName, _Places] = {}

    @asynccontextmanager
    async def place(self, tenant: TenantName, what: str) -> AsyncIterator[None]:
        """One of the tenant's places. Raises Overloaded, saying of `what` there is too much."""
        places = self._places_of.setdefault(tenant, _Places(asyncio.Semaphore(self._num_places)))
        places.num_users += 1
        try:
            await self._take(places, what)
            try:
                yield
            finally:
                places.free.release()
        finally:
            places.num_users -= 1
            if not places.num_users:
                del self._places_of[tenant]

    async def _take(self, places: _Places, what: str) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await places.free.acquire()
        except TimeoutError:
            message = f"Your tenant has as many {what} under way as it may. Try again when some are done."
            raise Overloaded(message, retry_after_seconds=_RETRY_SECONDS) from None
