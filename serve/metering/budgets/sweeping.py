"""Gives back what holds hold for nobody, so that no allowance leaks: the ledger does this every few seconds.

    a lease whose owner fell silent     is dead; its owner uses it no more
    a lease that is dead or closed      is released when every call from it is booked, or cannot be any more
    a run's hold                        is released when the run has ended and its last attempt is booked; of a
                                        workflow's run, when everything is booked that can be; at once when it never
                                        ran, or when the run was never written

What can still be booked: a call that ended is in a journal, and is reported by it or by its witness. So a release waits
`witness_grace_seconds`, then for witnesses of that time that are not settled, and for every live source to have
reported since with nothing open from before. A source that is silent is not waited for longer than `_SILENT_GRACES`
graces, and that only while others do report: when the ledger comes back, all get a grace again.

So overspending is bounded by calls of a dead gateway whose replica's node the ledger could not hear for minutes, or
which were still open `_LONGEST_GRACES` graces after its death; of runs, after their end. A gateway that lives, and
renews its leases, holds its calls' cost until they are booked.
"""

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.ports import Clock
from serve.domain.run import RunKind
from serve.domain.usage import PLATFORM_RETRY, Basis
from serve.metering.budgets import holds as hold_rows
from serve.metering.budgets.holds import CLOSED, DEAD, LEASE, OPEN, RUN
from serve.metering.ledger.witnesses import NEVER_MS
from serve.storage.metering_tables import holds, usage_events, usage_sources, usage_witnesses
from serve.storage.records import Records
from serve.storage.tables import runs

_BATCH = 200
_SILENT_GRACES = 5
_LONGEST_GRACES = 10
"""For how many graces a call that is open somewhere keeps all older holds from being released."""
_QUIET_MS = 30_000
"""When no source has reported for this long, the ledger is not hearing anybody."""
_UNWRITTEN_MS = 600_000
"""Longer than a run takes from its hold to its row."""
_KEPT_MS = 7 * 86_400_000
"""How long released holds are kept, so that a late booking counts in their accounts."""


class HoldSweep:
    """The sweep of one ledger process; several may run."""

    def __init__(self, records: Records, clock: Clock, witness_grace_seconds: float) -> None:
        self._records = records
        self._clock = clock
        self._grace_ms = round(witness_grace_seconds * 1000)
        self._steady_ms: int | None = None
        """Since when sources are heard."""

    async def sweep(self) -> int:
        """One pass; how many holds were released. It ends when there is nothing to do, or after a batch of each."""
        now_ms = self._clock.now_ms()
        await self._bury(now_ms)
        async with self._records.read() as connection:
            heard_ms = await self._heard_ms(connection, now_ms)
            done = await self._done_leases(connection, heard_ms, now_ms)
            done += await self._done_runs(connection, heard_ms, now_ms)
        if done:
            async with self._records.write() as connection:
                await hold_rows.release(connection, done, now_ms)
        await self._forget(now_ms)
        return len(done)

    async def _bury(self, now_ms: int) -> None:
        """Leases whose owners are silent are dead: renewing them fails from now on."""
        silent = (holds.c.kind == LEASE) & (holds.c.state == OPEN) & (holds.c.expires_ms < now_ms)
        if not await self._any(silent):
            return
        async with self._records.write() as connection:
            query = select(holds.c.id).where(silent).order_by(holds.c.id).limit(_BATCH).with_for_update()
            ids = [row.id for row in await connection.execute(query)]
            await connection.execute(update(holds).where(holds.c.id.in_(ids) & silent).values(state=DEAD))

    async def _any(self, wanted: ColumnElement[bool]) -> bool:
        async with self._records.read() as connection:
            return (await connection.execute(select(holds.c.id).where(wanted).limit(1))).first() is not None

    async def _heard_ms(self, connection: AsyncConnection, now_ms: int) -> int:
        """What ended before this moment is booked, as far as anybody who reports knows."""
        live = (usage_sources.c.closed == 0) & (usage_sources.c.reported_ms > now_ms - self._grace_ms * _SILENT_GRACES)
        oldest = func.coalesce(usage_sources.c.oldest_open_ms, usage_sources.c.reported_ms)
        sources = select(func.min(oldest), func.min(usage_sources.c.reported_ms), func.max(usage_sources.c.reported_ms))
        row = (await connection.execute(sources.where(live))).one()
        waiting = select(func.min(usage_witnesses.c.received_ms)).where(usage_witnesses.c.due_ms < NEVER_MS)
        witness_ms = (await connection.execute(waiting)).scalar_one()
        self._hear(row[2], now_ms)
        if self._steady_ms is None or now_ms - self._steady_ms < self._grace_ms:
            return 0
        heard_ms = min((int(found) for found in (row[0], row[1], witness_ms) if found is not None), default=now_ms)
        return max(heard_ms, now_ms - self._grace_ms * _LONGEST_GRACES)

    def _hear(self, newest_ms: int | None, now_ms: int) -> None:
        if newest_ms is not None and newest_ms < now_ms - _QUIET_MS:
            self._steady_ms = None
        elif self._steady_ms is None:
            self._steady_ms = now_ms

    async def _done_leases(self, connection: AsyncConnection, heard_ms: int, now_ms: int) -> list[str]:
        ended = holds.c.state.in_((CLOSED, DEAD)) & (holds.c.expires_ms <= now_ms - self._grace_ms)
        query = select(holds.c.id).where(ended & (holds.c.expires_ms < heard_ms))
        return [row.id for row in await connection.execute(query.order_by(holds.c.expires_ms).limit(_BATCH))]

    async def _done_runs(self, connection: AsyncConnection, heard_ms: int, now_ms: int) -> list[str]:
        """Of open holds: the run's row is gone, or it has ended and its last attempt is booked or will not be."""
        is_late = and_(runs.c.finished_ms <= now_ms - self._grace_ms, runs.c.finished_ms < heard_ms)
        is_done = runs.c.finished_ms.is_not(None) & or_(runs.c.attempt == 0, is_late, _last_attempt_is_booked())
        is_gone = runs.c.id.is_(None) & (holds.c.created_ms < now_ms - max(_UNWRITTEN_MS, self._grace_ms))
        of_runs = (holds.c.kind == RUN) & (holds.c.state == OPEN)
        query = select(holds.c.id).select_from(holds.outerjoin(runs, runs.c.id == holds.c.run_id))
        return [row.id for row in await connection.execute(query.where(of_runs & (is_done | is_gone)).limit(_BATCH))]

    async def _forget(self, now_ms: int) -> None:
        old = (holds.c.state == hold_rows.RELEASED) & (holds.c.expires_ms < now_ms - _KEPT_MS)
        if await self._any(old):
            async with self._records.write() as connection:
                await hold_rows.forget(connection, now_ms - _KEPT_MS, _BATCH)


def _last_attempt_is_booked() -> ColumnElement[bool]:
    """Of models' runs: what its replica says of the attempt that ended it is there. A workflow's has many calls, and
    some may be booked while others are not."""
    columns = usage_events.c
    is_final = (columns.basis == Basis.MEASURED) & (func.coalesce(columns.reason, "") != PLATFORM_RETRY)
    is_models = runs.c.kind != RunKind.WORKFLOW.value
    return is_models & exists().where((columns.request_id == runs.c.request_id) & is_final & _is_of(columns.id))


def _is_of(usage_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Of usage ids: `<request_id>:<attempt>[.<submission>]` of the run's last attempt."""
    of_attempt = runs.c.request_id + "%:" + cast(runs.c.attempt, String)
    return usage_id.like(of_attempt) | usage_id.like(of_attempt + ".%")
