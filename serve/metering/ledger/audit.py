"""The books of all sources, judged: what `slipway usage reconcile` shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from serve.domain.ports import Clock
from serve.domain.usage import Basis, Quantities
from serve.metering.ledger.reconcile import Evidence, Kind, Verdict, verdict_on
from serve.metering.ledger.sources import SourceBook, book_of
from serve.settings import MeteringSettings
from serve.storage.metering_tables import (
    usage_conflicts,
    usage_events,
    usage_reviews,
    usage_sources,
    usage_witnesses,
)
from serve.storage.records import Records

_LATE_MS = 60_000
_SKEW_MS = 1000
"""By which two nodes' clocks may differ."""
_QUEUE_MS = 3_600_000
"""For which a call may have waited between its admission and its beginning."""
_ANY = 2**62
"""Where a unit has no bound: a prompt is counted by the engine as a whole, and an image's size is not known here."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Verdicts on every source that reported since then, and what concerns no single one."""

    verdicts: tuple[Verdict, ...]
    num_late_witnesses: int
    """Calls that should have been booked as their witnesses saw them, and are not: no ledger is running."""

    @property
    def adds_up(self) -> bool:
        return not self.num_late_witnesses and all(verdict.adds_up for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Judging:
    """When it is, how far apart checkpoints are, the records in quarantine that are open, by source, and whether what
    adds up is to be explained, too."""

    now_ms: int
    checkpoint_tokens: int
    num_conflicts: Mapping[str, int] = field(default_factory=dict)
    is_explaining: bool = False


async def audit(records: Records, clock: Clock, settings: MeteringSettings, since_ms: int) -> Audit:
    """Judge the sources that reported at `since_ms` or later, the oldest first."""
    now_ms = clock.now_ms()
    conflicts = usage_conflicts.c
    is_open = conflicts.resolved_ms.is_(None)
    by_source = select(conflicts.source, func.count().label("num")).where(is_open).group_by(conflicts.source)
    late = select(func.count()).select_from(usage_witnesses).where(usage_witnesses.c.due_ms < now_ms - _LATE_MS)
    quarantined = select(conflicts.source).where(is_open)
    concerned = or_(usage_sources.c.reported_ms >= since_ms, usage_sources.c.source.in_(quarantined))
    async with records.read() as connection:
        num_conflicts = {row.source: int(row.num) for row in await connection.execute(by_source)}
        judging = Judging(now_ms, settings.checkpoint_tokens, num_conflicts, is_explaining=True)
        verdicts = await judged(connection, concerned, judging)
        num_late = int((await connection.execute(late)).scalar_one())
    return Audit(tuple(verdicts), num_late)


async def judged(connection: AsyncConnection, which: ColumnElement[bool], judging: Judging) -> Sequence[Verdict]:
    """The verdicts on `which` rows of `usage_sources`, the oldest first."""
    rows = await connection.execute(select(usage_sources).where(which).order_by(usage_sources.c.started_ms))
    return await verdicts_on(connection, [book_of(row) for row in rows], judging)


async def verdicts_on(connection: AsyncConnection, books: Iterable[SourceBook], judging: Judging) -> list[Verdict]:
    """Judge each; what is not in a source's own books is looked up only where it matters."""
    accepted: dict[str, set[str]] = {}
    for row in await connection.execute(select(usage_reviews.c.source, usage_reviews.c.what)):
        accepted.setdefault(row.source, set()).add(row.what)
    verdicts = []
    for book in books:
        source = book.report.source
        known = Evidence(judging.num_conflicts.get(source, 0), accepted=frozenset(accepted.get(source, ())))
        verdict = verdict_on(book, judging.now_ms, known)
        if _is_worth_a_look(book, verdict, judging):
            verdict = verdict_on(book, judging.now_ms, await _looked_up(connection, book, known, judging))
        verdicts.append(verdict)
    return verdicts


def _is_worth_a_look(book: SourceBook, verdict: Verdict, judging: Judging) -> bool:
    kinds = {one.kind for one in verdict.differences}
    is_cut_short = book.report.killed and Kind.COUNTERS in kinds
    return is_cut_short or Kind.SILENT in kinds or (judging.is_explaining and bool(verdict.explained))


async def _looked_up(connection: AsyncConnection, book: SourceBook, known: Evidence, judging: Judging) -> Evidence:
    if book.report.killed:
        return replace(known, unchecked=await _unchecked(connection, book, judging.checkpoint_tokens))
    return replace(known, num_witnessed=await _num_witnessed(connection, book))


async def _unchecked(connection: AsyncConnection, book: SourceBook, checkpoint_tokens: int) -> Quantities:
    """What the calls that were cut short may have done after their last checkpoints."""
    table = usage_events.c
    is_cut_short = (table.source == book.report.source) & (table.basis == Basis.CHECKPOINT.value)
    num_cut = await _count(connection, is_cut_short)
    if not num_cut:
        return Quantities()
    tokens = num_cut * checkpoint_tokens
    return Quantities(_ANY, _ANY, tokens, images=num_cut, pixels=_ANY, steps=_ANY, pixel_steps=_ANY)


async def _num_witnessed(connection: AsyncConnection, book: SourceBook) -> int:
    """The calls of its model that were open when it last reported, and of which only the witness has told."""
    table, at_ms, later = usage_events.c, book.report.reported_ms, aliased(usage_events).c
    was_open = (table.started_ms <= at_ms + _SKEW_MS) & (table.started_ms + table.duration_ms >= at_ms - _SKEW_MS)
    was_admitted = table.admitted_ms.between((book.report.oldest_open_ms or at_ms) - _QUEUE_MS, at_ms + _SKEW_MS)
    is_corrected = select(later.id).where(later.corrects == table.id).exists()
    is_of_witness = (table.basis == Basis.WITNESS.value) & table.corrects.is_(None) & ~is_corrected
    return await _count(connection, (table.model == book.report.model) & was_admitted & was_open & is_of_witness)


async def _count(connection: AsyncConnection, which: Any) -> int:
    found = await connection.execute(select(func.count()).select_from(usage_events).where(which))
    return int(found.scalar_one())
