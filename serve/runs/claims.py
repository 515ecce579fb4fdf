"""What a runner does to rows: takes, keeps, writes, gives back, and adopts what others lost.

The same statements serve SQLite, where a writing transaction has the database to itself, and PostgreSQL, where rows
are locked and locked ones skipped; on both, every write names the fence it was claimed under, and one that is old
changes nothing. Leases compare this machine's clock with others': keep clocks within a fraction of a lease.

A ready row has `not_before_ms` 0, so that the queue is one index range: (status, 0, tenant, priority, id). Waiting
tenants are found by hopping from one to the next, and a tenant's next row by one seek, however long the queue is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.ports import Clock
from serve.domain.run import Run, RunStatus
from serve.domain.steps import Step
from serve.runs import lifecycle, steps
from serve.runs.fairness import Account, choose
from serve.runs.lifecycle import Decision
from serve.runs.rows import RUN_COLUMNS, Line, Result, append, kept, to_run, transition
from serve.runs.skip_scan import constant, distinct
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import runs

_BATCH = 200
"""Rows that one pass of maintenance changes, so that no transaction holds the database for long."""

_QUEUED = runs.c.status == constant(RunStatus.QUEUED.value)
_RUNNING = runs.c.status == constant(RunStatus.RUNNING.value)
_READY = and_(_QUEUED, runs.c.not_before_ms == constant(0))
_QUEUE_ORDER = (runs.c.tenant, runs.c.priority, runs.c.id)
"""What follows in the queue's index. Only that index has this order, so only that index is read."""


@dataclass(frozen=True, slots=True)
class Write:
    """What one attempt has to say: lines, a workflow's steps, and perhaps its end."""

    run: Run
    lines: Sequence[Line]
    decision: Decision | None = None
    result: Result | None = None
    steps: Sequence[Step] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What the table says of runs that a runner holds."""

    lost: frozenset[str]
    canceled: frozenset[str]


class Claims:
    """The rows of one runner, `owner`: a name that no other process has, nor had."""

    def __init__(self, records: Records, clock: Clock, settings: RunsSettings, owner: str) -> None:
        self._records = records
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self.account = Account()

    async def take(self, limit: int) -> list[Run]:
        """At most `limit` runs, now ours, in the order that is fair. None are taken from another live runner."""
        async with self._records.read() as connection:
            if not await connection.scalar(_any(_READY, *_QUEUE_ORDER)):
                return []
        async with self._records.write() as connection:
            return await self._take(connection, limit)

    async def _take(self, connection: AsyncConnection, limit: int) -> list[Run]:
        waiting = set(await distinct(connection, _QUEUE_ORDER, _READY))
        running = await _num_running(connection)
        taken: list[Run] = []
        while len(taken) < limit and (tenant := choose(self.account.claimants(waiting, running))):
            row = (await connection.execute(_next_of(tenant))).first()
            if row is None:
                waiting.discard(tenant)
            elif run := await self._claim(connection, to_run(row)):
                running[tenant] = running.get(tenant, 0) + 1
                self.account.charge(run.id, run.tenant, run.target)
                taken.append(run)
        return taken

    async def _claim(self, connection: AsyncConnection, run: Run) -> Run | None:
        now_ms = self._clock.now_ms()
        if run.cancel_requested:
            await self._change(connection, run, lifecycle.canceled())
            return None
        if lifecycle.is_overdue(run, now_ms):
            await self._change(connection, run, lifecycle.overdue())
            return None
        return await self._change(connection, run, lifecycle.claimed(), **self._lease(now_ms))

    def _lease(self, now_ms: int) -> dict[str, Any]:
        return {"lease_owner": self._owner, "lease_expires_ms": now_ms + round(self._settings.lease_seconds * 1000)}

    async def _change(self, connection: AsyncConnection, run: Run, decision: Decision, **values: Any) -> Run | None:
        now_ms, max_events = self._clock.now_ms(), self._settings.max_events
        return await transition(connection, run, decision, now_ms, max_events=max_events, values=values)

    async def heartbeat(self, held: Iterable[Run]) -> None:
        """Keep the leases of `held`, in one statement. What was lost stays lost: `news` tells."""
        mine = (runs.c.lease_owner == self._owner, runs.c.status == RunStatus.RUNNING)
        kept_ids = [run.id for run in held]
        lease = self._lease(self._clock.now_ms())
        async with self._records.write() as connection:
            await connection.execute(update(runs).where(runs.c.id.in_(kept_ids), *mine).values(lease))

    async def news(self, held: Iterable[Run]) -> News:
        """Which of `held` another has by now, and which their owners want stopped."""
        fences = {run.id: run.fence for run in held}
        columns = (runs.c.id, runs.c.fence, runs.c.status, runs.c.cancel_requested)
        async with self._records.read() as connection:
            rows = (await connection.execute(select(*columns).where(runs.c.id.in_(fences)))).all()
        ours = {row.id: row for row in rows if row.status == RunStatus.RUNNING and row.fence == fences[row.id]}
        canceled = frozenset(id_ for id_, row in ours.items() if row.cancel_requested)
        return News(lost=frozenset(fences.keys() - ours.keys()), canceled=canceled)

    async def write(self, writes: Sequence[Write]) -> list[Run | None]:
        """Write them all in one transaction; for each the run afterwards, or None where the lease was lost."""
        async with self._records.write() as connection:
            return [await self._write(connection, write) for write in writes]

    async def _write(self, connection: AsyncConnection, write: Write) -> Run | None:
        if write.decision is None:
            return await self._append(connection, write)
        if write.decision.status == RunStatus.QUEUED:
            unasked = (runs.c.cancel_requested == 0,)
            return await self._end(connection, write, write.decision, unasked) or await self._end(
                connection, write, lifecycle.canceled()
            )
        return await self._end(connection, write, write.decision)

    async def _append(self, connection: AsyncConnection, write: Write) -> Run | None:
        run, now_ms = write.run, self._clock.now_ms()
        lines = kept(write.lines, run.num_events, self._settings.max_events)
        guards = (runs.c.status == RunStatus.RUNNING, runs.c.fence == run.fence)
        last = await append(connection, run.id, lines, now_ms, guards)
        if last is not None:
            await steps.save(connection, run.id, write.steps)
        return None if last is None else run.model_copy(update={"num_events": last})

    async def _end(
        self, connection: AsyncConnection, write: Write, decision: Decision, guards: Sequence[Any] = ()
    ) -> Run | None:
        return await transition(
            connection,
            write.run,
            decision,
            self._clock.now_ms(),
            max_events=self._settings.max_events,
            guards=guards,
            lines=write.lines,
            steps=write.steps,
            result=write.result,
        )

    async def maintain(self) -> int:
        """Adopt what silent runners held, end what is overdue, make ready what has waited its time; how many rows."""
        now_ms = self._clock.now_ms()
        expired = and_(_RUNNING, runs.c.lease_expires_ms <= now_ms)
        overdue = and_(_QUEUED, runs.c.deadline_ms <= now_ms)
        due = and_(_QUEUED, runs.c.not_before_ms.between(1, now_ms))
        async with self._records.read() as connection:
            checks = (
                _any(expired, runs.c.lease_expires_ms),
                _any(overdue, runs.c.deadline_ms),
                _any(due, runs.c.not_before_ms),
            )
            if not any([await connection.scalar(check) for check in checks]):
                return 0
        async with self._records.write() as connection:
            num_changed = 0
            for run in await _locked(connection, expired, runs.c.lease_expires_ms):
                num_changed += await self._change(connection, run, lifecycle.lease_ended(run, now_ms)) is not None
            for run in await _locked(connection, overdue, runs.c.deadline_ms):
                num_changed += await self._change(connection, run, lifecycle.overdue()) is not None
            return num_changed + await _make_ready(connection, due)

    async def is_reachable(self) -> bool:
        """Whether the database answers at all."""
        try:
            await self._records.ping()
        except Exception:
            return False
        return True


def _any(which: ColumnElement[bool], *order: Column[Any]) -> Select[Any]:
    """One id of `which`, if there is any.

    `order` is the index's own. Without it PostgreSQL guesses that some row in a thousand will do, and reads the table
    to find it: all of it, whenever there is none.
    """
    return select(runs.c.id).where(which).order_by(*order).limit(1)


def _next_of(tenant: str) -> Select[Any]:
    """The tenant's first ready row: highest priority, then oldest.

    `priority >= highest` says what `=` would, and leaves (priority, id) as the order to read in: that only the
    queue's index gives. With `=`, PostgreSQL may walk the primary key instead, through every finished run.
    """
    mine = and_(_READY, runs.c.tenant == tenant)
    highest = select(runs.c.priority).where(mine).order_by(runs.c.priority.desc()).limit(1).scalar_subquery()
    query = select(*RUN_COLUMNS).where(mine, runs.c.priority >= highest)
    return query.order_by(runs.c.priority, runs.c.id).limit(1).with_for_update(skip_locked=True)


async def _num_running(connection: AsyncConnection) -> dict[str, int]:
    query = select(runs.c.tenant, func.count()).where(_RUNNING).group_by(runs.c.tenant)
    return {tenant: count for tenant, count in await connection.execute(query)}


async def _locked(connection: AsyncConnection, which: ColumnElement[bool], order: Column[Any]) -> list[Run]:
    query = select(*RUN_COLUMNS).where(which).order_by(order).limit(_BATCH).with_for_update(skip_locked=True)
    return [to_run(row) for row in (await connection.execute(query)).all()]


async def _make_ready(connection: AsyncConnection, due: ColumnElement[bool]) -> int:
    some = select(runs.c.id).where(due).order_by(runs.c.not_before_ms).limit(_BATCH).with_for_update(skip_locked=True)
    changed = await connection.execute(update(runs).where(runs.c.id.in_(some)).values(not_before_ms=0))
    return int(changed.rowcount)
