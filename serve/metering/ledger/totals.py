"""What the ledger holds altogether, for `/metrics`: the same from every process, since it is read where it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from serve.domain.ports import Clock
from serve.domain.usage import UNITS, Quantities
from serve.metering.ledger.audit import Judging, verdicts_on
from serve.metering.ledger.booking import COUNTS
from serve.metering.ledger.reconcile import Kind, Verdict
from serve.metering.ledger.rollups import SUMS
from serve.metering.ledger.sources import SourceBook, book_of
from serve.metering.ledger.witnesses import NEVER_MS
from serve.settings import MeteringSettings
from serve.storage.metering_tables import usage_conflicts, usage_hours, usage_sources, usage_witnesses
from serve.storage.records import Records

_RECENT_MS = 35 * 86_400_000
"""Sources that were heard of in this time; older ones are history, which `reconcile` can still be asked about."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Everything booked of one tenant's calls of one model."""

    quantities: Quantities
    cost_nano: int
    free_nano: int
    credit_nano: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """`booked` is by (tenant, model), and `month` what of it is of this month, UTC. `num_missing` records are
    missing from journals or between booked ones.

    What somebody has accepted counts no more. `difference` is what sources say they counted less what is booked of
    them, of those with nothing on its way.
    `num_unreconciled` sources do not add up; `lag_ms` is how long ago the source reported that has had records to send
    for the longest.
    """

    booked: Mapping[tuple[str, str], Booking]
    month: Mapping[tuple[str, str], Booking]
    num_conflicts: int
    num_missing: int
    difference: Quantities
    num_unreconciled: int
    num_waiting_witnesses: int
    lag_ms: int


async def totals(records: Records, clock: Clock, settings: MeteringSettings) -> Totals:
    """Read them all."""
    now_ms = clock.now_ms()
    sums = [func.sum(usage_hours.c[name]).label(name) for name in SUMS]
    by = (usage_hours.c.tenant, usage_hours.c.model)
    booked = select(*by, *sums).group_by(*by)
    waiting = select(func.count()).select_from(usage_witnesses).where(usage_witnesses.c.due_ms < NEVER_MS)
    unresolved = select(func.count()).select_from(usage_conflicts).where(usage_conflicts.c.resolved_ms.is_(None))
    recent = select(usage_sources).where(usage_sources.c.reported_ms >= now_ms - _RECENT_MS)
    async with records.read() as connection:
        rows = (await connection.execute(booked)).all()
        month = (await connection.execute(booked.where(usage_hours.c.hour_ms >= _month_began(now_ms)))).all()
        num_conflicts, num_waiting = [
            int((await connection.execute(one)).scalar_one()) for one in (unresolved, waiting)
        ]
        books = [book_of(row) for row in await connection.execute(recent)]
        verdicts = await verdicts_on(connection, books, Judging(now_ms, settings.checkpoint_tokens))
    return Totals(
        booked={(row.tenant, row.model): _booking(row) for row in rows},
        month={(row.tenant, row.model): _booking(row) for row in month},
        num_conflicts=num_conflicts,
        num_missing=sum(one.num_missing for verdict in verdicts for one in verdict.differences),
        difference=sum(map(_difference, books, verdicts), Quantities()),
        num_unreconciled=sum(not verdict.adds_up for verdict in verdicts),
        num_waiting_witnesses=num_waiting,
        lag_ms=max((now_ms - book.report.reported_ms for book in books if book.is_behind), default=0),
    )


def _month_began(now_ms: int) -> int:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return round(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def _booking(row: Any) -> Booking:
    return Booking(
        quantities=Quantities(*[int(getattr(row, unit)) for unit in UNITS]),
        cost_nano=int(row.cost_nano),
        free_nano=int(row.free_nano),
        credit_nano=int(row.credit_nano),
        counts={name: int(getattr(row, name)) for name in COUNTS},
    )


def _difference(book: SourceBook, verdict: Verdict) -> Quantities:
    is_new = any(one.kind is Kind.SUM for one in verdict.differences)
    return book.report.cumulative - book.booked if is_new else Quantities()
