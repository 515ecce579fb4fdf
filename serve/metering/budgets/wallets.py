"""A gateway's part of its tenants' budgets: leased slices, from which calls reserve without asking anyone.

Only where a slice does not cover a call is the database asked, in one transaction, for a larger one; where the budgets
have no room, the owners of other leases are asked for what they do not use, for a bounded time; and only then is the
call refused. What may be spent was taken from the budgets before: so no number of gateways spends more than there is.

A lease whose owner is silent past its end is used by nobody (its owner looks at the end before each use), and what it
held for calls that are not booked stays held until these are booked or cannot be any more
(`serve.metering.budgets.sweeping`).

Not for several threads.
"""

import asyncio
import logging

from serve.domain.errors import QuotaExceeded, SlipwayError, StorageUnavailable
from serve.domain.names import KeyId, ProjectName, RunId, TenantName
from serve.domain.ports import Clock, Ids
from serve.domain.usage import HoldId
from serve.metering.budgets import holds
from serve.metering.budgets.accounts import AccountId, Budget
from serve.metering.budgets.allowances import Allowance, KnownTenant, Waiter, look_up
from serve.metering.budgets.holds import Asked, Granted, Owned
from serve.metering.budgets.lease_keeping import LeaseKeeping
from serve.metering.budgets.leases import Lease, Reservation
from serve.metering.budgets.run_holds import RunHolds
from serve.settings import MeteringSettings
from serve.storage.records import Records

_TURN_SECONDS = 0.2
"""How often recalls of this gateway's leases are looked for: well below what others wait for them."""
_FRESH_MS = 10_000
"""How long a tenant's budgets are believed where they cannot be read again; they are, every `_LOOK_MS`."""
_LOOK_MS = 2000
_FORGET_MS = 600_000
RECALL_SECONDS = 2.0
"""How long a call waits for other gateways to give back what they do not use."""
_NUM_POLLS = 40
"""Looks at what came back, in the time that is waited for it."""

_log = logging.getLogger(__name__)


class Wallets:
    """The leases of one gateway process; `owner` is its name among all. `start` and `stop` run what keeps them."""

    def __init__(
        self,
        records: Records,
        clock: Clock,
        ids: Ids,
        settings: MeteringSettings,
        owner: str,
        recall_seconds: float = RECALL_SECONDS,
    ) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids
        self._recall_seconds = recall_seconds
        self._lease_ms = round(settings.lease_seconds * 1000)
        self._owner = owner[:80]
        self._tenants: dict[str, KnownTenant] = {}
        self._keeping = LeaseKeeping(records, clock, self._lease_ms, self._owner)
        self._run_holds = RunHolds(records, clock, ids, self._owner, recall_seconds)
        self._looked_ms = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Keep leases from now on."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give everything back but what calls under way and not yet booked need."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        for allowance in self._allowances():
            if allowance.flight is not None:
                allowance.flight.cancel()
                await asyncio.wait([allowance.flight])
            self._retire(allowance)
        await self._keeping.close_all()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TURN_SECONDS)
            try:
                await self.turn()
            except SlipwayError as error:
                _log.warning("the leases of budgets are not kept: %s", error)
            except Exception:
                _log.exception("keeping the leases of budgets failed")

    async def turn(self) -> None:
        """What keeps leases, once: answers recalls, renews, returns what is idle, and looks for changed budgets."""
        now_ms = self._clock.now_ms()
        for allowance in self._allowances():
            lease = allowance.lease
            if lease is not None and allowance.flight is None and self._keeping.is_over(lease, now_ms):
                self._retire(allowance)
        lost = await self._keeping.turn([one.lease for one in self._allowances() if one.lease is not None])
        for allowance in self._allowances():
            if allowance.lease is not None and allowance.lease.id in lost:
                allowance.lease = None
        if now_ms - self._looked_ms >= _LOOK_MS:
            self._looked_ms = now_ms
            await self._look(now_ms)

    async def _look(self, now_ms: int) -> None:
        for name, tenant in list(self._tenants.items()):
            is_idle = all(one.lease is None and one.flight is None for one in tenant.allowances.values())
            if is_idle and now_ms - tenant.used_ms > _FORGET_MS:
                del self._tenants[name]
        used = [one for one in self._tenants.values() if now_ms - one.used_ms < _FRESH_MS]
        if used:
            await look_up(self._records, used, now_ms)
        for tenant in used:
            tenant.fresh_ms = now_ms + _FRESH_MS

    def _allowances(self) -> list[Allowance]:
        return [one for tenant in self._tenants.values() for one in tenant.allowances.values()]

    def _retire(self, allowance: Allowance) -> None:
        if allowance.lease is not None:
            self._keeping.retire(allowance.lease)
            allowance.lease = None

    async def reserve(
        self, tenant: TenantName, project: ProjectName, key_id: KeyId, nano: int, request_id: str = ""
    ) -> Reservation | None:
        """Room for a call that costs at most `nano`, in every budget that applies; None where nothing limits it.

        With `request_id` a call whose cost nobody here knows frees what it did not cost once it is booked.

        Raises:
            QuotaExceeded: there is none.
            StorageUnavailable: it would have to be asked for, and the database is away.
        """
        now_ms = self._clock.now_ms()
        known = self._tenants.get(tenant)
        if known is None or now_ms >= known.fresh_ms:
            known = await self._look_at(tenant, now_ms)
        known.used_ms = now_ms
        try:
            allowance = known.callers[project, key_id]
        except KeyError:
            allowance = await known.meet(self._records, project, key_id)
        if allowance is None or nano <= 0:
            return None
        lease = allowance.lease
        if lease is not None and nano <= lease.free and now_ms < lease.ends_ms:
            lease.used_ms = now_ms
            return Reservation(lease, nano, request_id)
        return await self._wait_for_room(allowance, Waiter(nano, request_id))

    async def hold_for_run(
        self, tenant: TenantName, project: ProjectName, key_id: KeyId, run_id: RunId, nano: int
    ) -> HoldId | None:
        """Room for a run that costs at most `nano`, until it has ended; None where nothing limits it.

        Raises as `reserve` does.
        """
        now_ms = self._clock.now_ms()
        known = await self._look_at(tenant, now_ms)
        allowance = await known.meet(self._records, project, key_id)
        if allowance is None or nano <= 0:
            return None
        return await self._run_holds.take(allowance, project, key_id, run_id, nano)

    async def drop_run_hold(self, hold: HoldId) -> None:
        """Give back all of a run's hold: the run was not accepted after all."""
        await self._run_holds.drop(hold)

    def soft_exceeded(self, tenant: TenantName, project: ProjectName, key_id: KeyId) -> list[Budget]:
        """The budgets past their soft limit that apply to this caller, as of some seconds ago."""
        known = self._tenants.get(tenant)
        if known is None or not known.soft:
            return []
        return [budget for budget in known.soft.values() if budget.covers(project, known.line(key_id))]

    async def _look_at(self, name: str, now_ms: int) -> KnownTenant:
        known = self._tenants.setdefault(name, KnownTenant(name))
        known.used_ms = now_ms
        await look_up(self._records, [known], now_ms)
        known.fresh_ms = now_ms + (_FRESH_MS if self._task is not None else _LOOK_MS)
        return known

    async def _wait_for_room(self, allowance: Allowance, waiter: Waiter) -> Reservation:
        allowance.waiting.append(waiter)
        if allowance.flight is None:
            allowance.flight = asyncio.create_task(self._fly(allowance))
        try:
            return await waiter.future
        except asyncio.CancelledError:
            waiter.abandon()
            raise

    async def _fly(self, allowance: Allowance) -> None:
        """Serve all that wait, together: those that come while it lasts are the next round."""
        try:
            while allowance.waiting:
                batch, allowance.waiting = allowance.waiting, []
                try:
                    await self._serve(allowance, batch)
                except Exception as error:
                    for waiter in batch:
                        waiter.fail(error)
                except asyncio.CancelledError:
                    for waiter in batch + allowance.waiting:
                        waiter.fail(StorageUnavailable("The gateway is stopping. Send the request again."))
                    raise
        finally:
            allowance.flight = None

    async def _serve(self, allowance: Allowance, batch: list[Waiter]) -> None:
        await self._make_usable(allowance)
        left = allowance.hand_out(batch)
        granted = None
        if left:
            granted, left = await self._grow(allowance, left)
        if left and allowance.lease is not None:
            await self._keeping.learn(allowance.lease, all_ended=True)
            left = allowance.hand_out(left)
        if left:
            granted, left = await self._recall(allowance, left, granted)
        for waiter in left:
            waiter.fail(self._refusal(allowance, granted, waiter.nano))

    def _refusal(self, allowance: Allowance, granted: Granted | None, nano: int) -> QuotaExceeded:
        if granted is None or not granted.before:
            return QuotaExceeded("The budget of this caller has no room for the call.")
        return allowance.refusal(granted.tightest, nano, self._clock.now_ms())

    async def _make_usable(self, allowance: Allowance) -> None:
        """A lease that is over is replaced, and one that was not renewed in time is renewed if it is still ours."""
        lease, now_ms = allowance.lease, self._clock.now_ms()
        if lease is None or now_ms < lease.ends_ms:
            return
        if now_ms >= lease.period_end_ms:
            self._retire(allowance)
        elif lease.id in await self._keeping.renew([lease]):
            allowance.lease = None

    async def _grow(self, allowance: Allowance, left: list[Waiter]) -> tuple[Granted, list[Waiter]]:
        """One transaction for a larger slice."""
        now_ms = self._clock.now_ms()
        lease = allowance.lease or self._new_lease(allowance, now_ms)
        need = sum(waiter.nano for waiter in left) - lease.free
        least = min(waiter.nano for waiter in left) - lease.free
        asked = Asked(least, need, allowance.want(need, len(left), now_ms))
        owned = Owned(lease.id, holds.LEASE, self._owner, lease.tenant, now_ms + self._lease_ms)
        async with self._records.write() as connection:
            granted = await holds.take(connection, owned, lease.accounts, asked, now_ms)
        if granted.is_lost:
            allowance.lease = None
            return await self._grow(allowance, left)
        if granted.nano:
            lease.free += granted.nano
            lease.used_ms = now_ms
            lease.renewed(owned.expires_ms)
            allowance.lease = lease
        return granted, allowance.hand_out(left)

    def _new_lease(self, allowance: Allowance, now_ms: int) -> Lease:
        accounts, end_ms = allowance.accounts(now_ms), allowance.period_end_ms(now_ms)
        return Lease(self._ids.new(), allowance.tenant, accounts, now_ms, end_ms)

    async def _recall(
        self, allowance: Allowance, left: list[Waiter], granted: Granted | None
    ) -> tuple[Granted | None, list[Waiter]]:
        """Have other gateways give back what they do not use, for as long as any of them may."""
        until = asyncio.get_running_loop().time() + self._recall_seconds
        least = min(waiter.nano for waiter in left)
        accounts = [one.account for one in granted.before if _is_short(one.free_nano, least)] if granted else []
        lease_id = allowance.lease.id if allowance.lease else ""
        if not accounts or not await self._ask_others(accounts, lease_id):
            return granted, left
        while left and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self._recall_seconds / _NUM_POLLS)
            num_waiting = await self._num_unanswered(accounts, lease_id)
            granted, left = await self._grow(allowance, left)
            if not num_waiting and not granted.nano:
                break
        return granted, left

    async def _ask_others(self, accounts: list[AccountId], lease_id: str) -> int:
        async with self._records.write() as connection:
            return await holds.recall(connection, accounts, lease_id, self._clock.now_ms())

    async def _num_unanswered(self, accounts: list[AccountId], lease_id: str) -> int:
        async with self._records.read() as connection:
            return await holds.num_unanswered(connection, accounts, lease_id, self._clock.now_ms())


def _is_short(free_nano: int | None, least: int) -> bool:
    return free_nano is not None and free_nano < least
