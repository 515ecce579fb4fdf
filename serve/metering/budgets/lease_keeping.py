"""What a gateway does with its leases beside the calls: answers recalls, renews, learns what was booked, gives back."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, case, func, select

from serve.domain.ports import Clock
from serve.domain.usage import PLATFORM_RETRY, Basis
from serve.metering.budgets import holds
from serve.metering.budgets.leases import Lease
from serve.storage.metering_tables import usage_events
from serve.storage.records import Records

_LIFE_MS = 600_000
"""Leases are replaced after this time, so that what they do not know to be free (a free tier paid, a call never began)
comes back."""
_LEARN_MS = 1000
_LINGER_MS = 5000
"""How long a lease that is not used any more waits to see its last calls booked; after it, the sweep does."""
_BATCH = 500


class LeaseKeeping:
    """The rows of one owner's leases."""

    def __init__(self, records: Records, clock: Clock, lease_ms: int, owner: str) -> None:
        self._records = records
        self._clock = clock
        self._lease_ms = lease_ms
        self._owner = owner
        self._retired: list[Lease] = []
        self._learned_ms = 0

    def is_over(self, lease: Lease, now_ms: int) -> bool:
        """Whether no more calls should draw from it: idle, old, or its period has ended."""
        is_idle = now_ms - lease.used_ms > self._lease_ms and not lease.num_in_flight
        return is_idle or now_ms - lease.born_ms > _LIFE_MS or now_ms >= lease.period_end_ms

    def retire(self, lease: Lease) -> None:
        """No new call draws from it; it is held until those under way are over."""
        lease.used_ms = self._clock.now_ms()
        self._retired.append(lease)

    async def turn(self, active: Sequence[Lease]) -> set[str]:
        """One turn; the ids of leases that are lost: they were silent for too long."""
        leases = [*active, *self._retired]
        if not leases:
            return set()
        now_ms = self._clock.now_ms()
        await self._answer_recalls(leases)
        lost = await self.renew([one for one in leases if one.ends_ms - now_ms < self._lease_ms * 2 // 3])
        if now_ms - self._learned_ms >= _LEARN_MS:
            self._learned_ms = now_ms
            for lease in leases:
                await self.learn(lease, all_ended=lease in self._retired)
        self._retired = [one for one in self._retired if one.id not in lost]
        for lease in [one for one in self._retired if _is_done(one, now_ms)]:
            self._retired.remove(lease)
            await self._close(lease)
        return lost

    async def _answer_recalls(self, leases: Sequence[Lease]) -> None:
        async with self._records.read() as connection:
            wanted = set(await holds.recalled(connection, self._owner))
        for lease in leases:
            if lease.id in wanted or (lease in self._retired and lease.free > 0):
                free = lease.take_free()
                async with self._records.write() as connection:
                    await holds.give_back(connection, lease.id, free)

    async def renew(self, leases: Collection[Lease]) -> set[str]:
        """Hold them longer; the ids of those that are ours no more."""
        if not leases:
            return set()
        expires_ms = self._clock.now_ms() + self._lease_ms
        async with self._records.write() as connection:
            alive = await holds.renew(connection, [lease.id for lease in leases], expires_ms)
        for lease in leases:
            if lease.id in alive:
                lease.renewed(expires_ms)
        return {str(lease.id) for lease in leases} - alive

    async def learn(self, lease: Lease, all_ended: bool) -> None:
        """Ask what ended calls were booked with: those whose cost is not known here, or all."""
        wanted = list(lease.ended if all_ended else lease.unknown)
        for start in range(0, len(wanted), _BATCH):
            lease.learn(await self._booked(lease.id, wanted[start : start + _BATCH]))

    async def _booked(self, hold_id: str, request_ids: Sequence[str]) -> dict[str, int]:
        """The cost of each request whose replica has said the last word: estimates may still grow."""
        columns, rows = usage_events.c, usage_events
        cost = func.sum(func.coalesce(columns.cost_nano, 0) - columns.free_nano)
        is_final = func.max(_final()).label("is_final")
        query = select(columns.request_id, cost.label("cost"), is_final).select_from(rows)
        query = query.where(columns.request_id.in_(request_ids) & (columns.hold == hold_id))
        async with self._records.read() as connection:
            found = await connection.execute(query.group_by(columns.request_id))
            return {row.request_id: int(row.cost) for row in found if row.is_final}

    async def _close(self, lease: Lease) -> None:
        free = None if lease.is_settled else lease.take_free()
        async with self._records.write() as connection:
            await holds.close(connection, lease.id, self._clock.now_ms(), free)

    async def close_all(self) -> None:
        """The process ends: give back everything but what its calls need."""
        retired, self._retired = self._retired, []
        for lease in retired:
            await self.learn(lease, all_ended=True)
            await self._close(lease)


def _final() -> ColumnElement[int]:
    columns = usage_events.c
    is_retried = func.coalesce(columns.reason, "") == PLATFORM_RETRY
    return case(((columns.basis == Basis.MEASURED) & ~is_retried, 1), else_=0)


def _is_done(lease: Lease, now_ms: int) -> bool:
    if lease.num_in_flight:
        return False
    return lease.is_settled or now_ms - lease.used_ms > _LINGER_MS
