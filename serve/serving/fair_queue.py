"""The queue in front of one engine: waiting work per tenant, drained by served milliseconds.

Every tenant has an account of the milliseconds it was served, by prediction on admission and by measurement at the
end. A free place goes to the waiting tenant with the least on its account, so one tenant's ten thousand requests do
not delay another's one by more than what is running. A tenant that comes back from idling starts level with those
who are waiting: idle time earns no credit (start-time fair queueing; Goyal, Vin, Chen 1996). Within a tenant,
priority decides, then arrival.
"""

import asyncio
import heapq
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from serve.domain.documents import Queue
from serve.domain.errors import DeadlineExceeded, Overloaded
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.serving.scaling import WorkRate

_RETRY_FLOOR_SECONDS = 0.5
"""Never tell a refused caller to come back at once: that is how a full queue stays full."""
_MIN_FORGET_AT = 64
"""Accounts below which looking for idle ones is not worth it."""

Ready = Callable[[], Awaitable[object]]
"""Returns when a call has what it needs besides a place, or as much of it as can be had without one."""


@dataclass(order=True, slots=True)
class _Waiter:
    rank: tuple[int, int]
    admitted: asyncio.Future[None] = field(compare=False)
    predicted_ms: float = field(compare=False)


@dataclass(slots=True)
class _Account:
    served_ms: float
    waiting: list[_Waiter] = field(default_factory=list)
    num_waiting: int = 0
    num_running: int = 0

    def matters(self, level_ms: float) -> bool:
        """Whether a new account would not be just as good."""
        return bool(self.num_running or self.num_waiting or self.served_ms > level_ms)


class FairQueue:
    """Admits at most `capacity` calls at a time, fairly among tenants. One event loop; not thread-safe."""

    def __init__(self, capacity: int, limits: Queue, clock: Clock) -> None:
        self.capacity = capacity
        self.limits = limits
        self._clock = clock
        self._accounts: dict[TenantName, _Account] = {}
        self._forget_at = _MIN_FORGET_AT
        self._level_ms = 0.0
        self._num_arrivals = 0
        self._waiting_ms = 0.0
        self._arriving = WorkRate()
        self.num_running = 0
        self.num_waiting = 0

    @property
    def inflow(self) -> float:
        """Predicted seconds of this replica's work that arrive each second; above 1 it cannot keep up."""
        return self._arriving.per_second(self._clock.monotonic()) / self.capacity / 1000

    @property
    def backlog_seconds(self) -> float:
        """Predicted seconds until what waits now has been admitted."""
        return self._waiting_ms / self.capacity / 1000

    @asynccontextmanager
    async def place(
        self,
        tenant: TenantName,
        predicted_ms: float,
        priority: int = 0,
        deadline_at: float | None = None,
        ready: Ready | None = None,
    ) -> AsyncGenerator[float, None]:
        """Hold a place for the length of the `async with`; gives the seconds it was waited for.

        `deadline_at` is Unix seconds. A call that is not `ready` (which does not raise) keeps its turn and takes no
        place: others go before it.

        Raises:
            Overloaded: there is no room to wait in, or the wait would be too long; `retry_after_seconds` is set.
            DeadlineExceeded: the deadline passed while waiting.
        """
        account = self._account(tenant)
        is_free = self.num_running < self.capacity  # who waits then waits for something else than a place
        arrived = self._clock.monotonic()
        self._arriving.add(predicted_ms, arrived)
        if is_free and ready is None:
            self._compete(account)
            self._admit(account, predicted_ms)
        else:
            if not is_free or self.num_waiting:
                self._refuse_if_full(account)
            waiter = self._arrive(account, predicted_ms, priority)
            await self._wait(account, waiter, deadline_at, ready)
        started = self._clock.monotonic()
        try:
            yield started - arrived
        finally:
            self._release(account, predicted_ms, (self._clock.monotonic() - started) * 1000)

    def _account(self, tenant: TenantName) -> _Account:
        account = self._accounts.get(tenant)
        if account is None:
            self._forget_idle()
            account = self._accounts[tenant] = _Account(served_ms=self._level_ms)
        return account

    def _compete(self, account: _Account) -> None:
        """From now on the tenant wants a place. Idling earned it no credit, nor did waiting for anything else."""
        if not account.num_running and all(waiter.admitted.done() for waiter in account.waiting):
            account.served_ms = max(account.served_ms, self._level_ms)

    def _forget_idle(self) -> None:
        """Tenants that would start at the level anyway. Under steady load the queue never empties, and every turn asks
        all accounts."""
        if len(self._accounts) < self._forget_at:
            return
        kept = {tenant: account for tenant, account in self._accounts.items() if account.matters(self._level_ms)}
        self._accounts, self._forget_at = kept, max(_MIN_FORGET_AT, 2 * len(kept))

    def _arrive(self, account: _Account, predicted_ms: float, priority: int) -> _Waiter:
        self._num_arrivals += 1
        self._count_waiting(account, +1, predicted_ms)
        return _Waiter((-priority, self._num_arrivals), asyncio.get_running_loop().create_future(), predicted_ms)

    async def _wait(self, account: _Account, waiter: _Waiter, deadline_at: float | None, ready: Ready | None) -> None:
        try:
            async with asyncio.timeout(None if deadline_at is None else deadline_at - self._clock.now_ms() / 1000):
                if ready is not None:
                    await ready()
                self._compete(account)
                heapq.heappush(account.waiting, waiter)
                self._fill()
                await waiter.admitted
        except (asyncio.CancelledError, TimeoutError) as error:
            self._give_up(account, waiter)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("The deadline passed while the call waited for its turn.") from None
            raise

    def _refuse_if_full(self, account: _Account) -> None:
        wait = self.backlog_seconds
        limits = self.limits
        if account.num_waiting >= limits.max_waiting_per_tenant:
            reason = f"You have {account.num_waiting} requests waiting for this model, which is the limit."
        elif self.num_waiting >= limits.max_waiting:
            reason = f"{self.num_waiting} requests wait for this model, which is the limit."
        elif wait > limits.max_wait_seconds:
            reason = f"The wait for this model is about {wait:.0f} seconds, over its limit."
        else:
            return
        raise Overloaded(f"{reason} Retry later.", "queue_full", None, max(_RETRY_FLOOR_SECONDS, wait))

    def _give_up(self, account: _Account, waiter: _Waiter) -> None:
        if waiter.admitted.done() and not waiter.admitted.cancelled():
            self._release(account, waiter.predicted_ms, 0.0)
        else:
            waiter.admitted.cancel()
            self._count_waiting(account, -1, waiter.predicted_ms)
            self._compact(account)

    def _compact(self, account: _Account) -> None:
        """Waiters that gave up stay in the heap until they come up; drop them when they are the most of it."""
        if len(account.waiting) > 2 * account.num_waiting + 16:
            account.waiting = [waiter for waiter in account.waiting if not waiter.admitted.done()]
            heapq.heapify(account.waiting)

    def _count_waiting(self, account: _Account, change: int, predicted_ms: float) -> None:
        account.num_waiting += change
        self.num_waiting += change
        self._waiting_ms = max(0.0, self._waiting_ms + change * predicted_ms)

    def _admit(self, account: _Account, predicted_ms: float) -> None:
        self.num_running += 1
        account.num_running += 1
        self._level_ms = max(self._level_ms, account.served_ms)
        account.served_ms += predicted_ms

    def _release(self, account: _Account, predicted_ms: float, measured_ms: float) -> None:
        self.num_running -= 1
        account.num_running -= 1
        account.served_ms += measured_ms - predicted_ms
        self._fill()
        if not self.num_running and not self.num_waiting:
            self._accounts.clear()

    def _fill(self) -> None:
        while self.num_running < self.capacity:
            accounts = [account for account in self._accounts.values() if account.waiting]
            if not accounts:
                return
            account = min(accounts, key=lambda each: each.served_ms)
            waiter = heapq.heappop(account.waiting)
            if not waiter.admitted.done():
                self._count_waiting(account, -1, waiter.predicted_ms)
                self._admit(account, waiter.predicted_ms)
                waiter.admitted.set_result(None)
