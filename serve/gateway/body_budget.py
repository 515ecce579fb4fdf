"""How many bytes of pictures one gateway holds in memory, in requests that are being read and not yet runs.

Beside the bodies of the routes that carry pictures these are what was fetched for them. A request takes its bytes
before they are read where it declares how many they are, else as they come, and gives them back once its pictures are
stored. One that finds no room is told to come again; one tenant finds at most half of the room. A request that would
hold the only bytes is always let in, however small the room is: it would find no better time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from serve.domain.errors import Overloaded
from serve.domain.names import TenantName
from serve.gateway.services import Services

_KEY = "slipway.held_bytes"
_RETRY_SECONDS = 2.0


class HeldBytes:
    """What one request holds."""

    def __init__(self, budget: "BodyBudget", tenant: TenantName) -> None:
        self._budget = budget
        self._tenant = tenant
        self._num_bytes = 0
        self._is_over = False

    def grow_to(self, num_bytes: int) -> None:
        """Hold as many in all, if that is more than now. Raises Overloaded, and holds what it held."""
        if num_bytes > self._num_bytes:
            self.grow_by(num_bytes - self._num_bytes)

    def grow_by(self, num_bytes: int) -> None:
        """Hold as many more. Raises Overloaded, and holds what it held."""
        if not self._is_over:
            self._budget.take(self._tenant, num_bytes, self._num_bytes)
            self._num_bytes += num_bytes

    def release(self) -> None:
        """Give everything back, for good; it is no error to do so twice."""
        self._is_over = True
        self._budget.give_back(self._tenant, self._num_bytes)
        self._num_bytes = 0


class BodyBudget:
    """The bytes of one gateway; `services` may be absent where nothing is ever read."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._num_held = 0
        self._num_held_of: dict[TenantName, int] = {}

    @contextmanager
    def holding(self, tenant: TenantName) -> Iterator[HeldBytes]:
        """What a request of `tenant` holds; all of it is given back at the end."""
        held = HeldBytes(self, tenant)
        try:
            yield held
        finally:
            held.release()

    def take(self, tenant: TenantName, num_bytes: int, num_own: int) -> None:
        """`num_bytes` more for a request that holds `num_own`. Raises Overloaded."""
        room, of_tenant = self._services.settings.images.max_held_bytes, self._num_held_of.get(tenant, 0)
        if _is_full(of_tenant, num_own, num_bytes, room // 2):
            raise Overloaded(
                "Your tenant is sending as many pictures as it may. Try again when some have arrived.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        if _is_full(self._num_held, num_own, num_bytes, room):
            raise Overloaded(
                "This gateway is taking in as many pictures as it may. Try again shortly.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        self._num_held += num_bytes
        self._num_held_of[tenant] = of_tenant + num_bytes

    def give_back(self, tenant: TenantName, num_bytes: int) -> None:
        """The opposite."""
        self._num_held -= num_bytes
        left = self._num_held_of.pop(tenant, 0) - num_bytes
        if left:
            self._num_held_of[tenant] = left


def _is_full(num_held: int, num_own: int, num_bytes: int, room: int) -> bool:
    return num_held > num_own and num_held + num_bytes > room


def attach(scope: Any, held: HeldBytes) -> None:
    """Make `held` what the request of `scope` holds."""
    scope[_KEY] = held


def held_by(scope: Any) -> HeldBytes:
    """What the request of `scope` holds: of the image routes, and of those that start and plan runs."""
    return cast(HeldBytes, scope[_KEY])
