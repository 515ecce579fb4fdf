"""The books kept per source epoch: how far its events are booked, what they add up to, and what it says itself.

`booked_seq` is the last of the events booked without a hole; what came after a hole is kept as ranges beside it, so
that each event is counted once, whatever order batches come in and however often.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.usage import JournalGap, Quantities, SourceReport, UsageEvent
from serve.metering.journal.wire import quantities_from_plain
from serve.storage.metering_tables import usage_sources

_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SourceBook:
    """One epoch. `ahead` are ranges of booked seqs after the first hole."""

    report: SourceReport
    booked_seq: int = 0
    booked: Quantities = field(default_factory=Quantities)
    ahead: Ranges = ()

    @property
    def missing(self) -> Ranges:
        """The seqs that are not booked although later ones are."""
        holes, last = [], self.booked_seq
        for first, end in self.ahead:
            holes.append((last + 1, first - 1))
            last = end
        return tuple(holes)

    @property
    def is_complete(self) -> bool:
        """Whether everything up to the last event that the source tells of is booked."""
        return not self.ahead and self.booked_seq == self.report.last_seq

    @property
    def is_behind(self) -> bool:
        """Whether events that the source has closed are not booked."""
        return self.booked_seq < self.report.last_seq

    def has(self, seq: int) -> bool:
        """Whether this event was counted."""
        return seq <= self.booked_seq or any(first <= seq <= last for first, last in self.ahead)


def counted(book: SourceBook, events: Iterable[UsageEvent]) -> SourceBook:
    """`book` with the events that it has not counted yet."""
    new = {event.seq: event.quantities.values() for event in events if not book.has(event.seq)}
    if not new:
        return book
    booked_seq, ahead = _joined(book.booked_seq, book.ahead, list(new))
    sums = Quantities(*map(sum, zip(*new.values(), strict=True)))
    return replace(book, booked_seq=booked_seq, ahead=ahead, booked=book.booked + sums)


def _joined(booked_seq: int, ahead: Ranges, seqs: Sequence[int]) -> tuple[int, Ranges]:
    ranges: list[tuple[int, int]] = [(1, booked_seq)] if booked_seq else []
    for first, last in sorted([*ahead, *((seq, seq) for seq in seqs)]):
        if ranges and first == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    if ranges and ranges[0][0] == 1:
        return ranges[0][1], tuple(ranges[1:])
    return 0, tuple(ranges)


def reported(book: SourceBook, report: SourceReport) -> SourceBook:
    """`book` with what the source says now; an older word changes nothing, and what is closed stays closed."""
    known = book.report
    newest = max(known, report, key=lambda one: (one.closed, one.last_seq, one.reported_ms))
    gaps = tuple(dict.fromkeys((*known.gaps, *report.gaps)))
    killed = known.killed or report.killed
    return replace(book, report=replace(newest, gaps=gaps, killed=killed))


async def load(connection: AsyncConnection, names: Iterable[str]) -> dict[str, SourceBook]:
    """The books of these sources, by name, as far as there are any."""
    rows = await connection.execute(select(usage_sources).where(usage_sources.c.source.in_(sorted(set(names)))))
    return {row.source: book_of(row) for row in rows}


def book_of(row: Any) -> SourceBook:
    """The book in a row."""
    report = SourceReport(
        source=row.source,
        is_witness=bool(row.is_witness),
        model=row.model,
        started_ms=row.started_ms,
        reported_ms=row.reported_ms,
        last_seq=row.last_seq,
        cumulative=quantities_from_plain(row.cumulative),
        num_open=row.num_open,
        oldest_open_ms=row.oldest_open_ms,
        counters=row.counters,
        gaps=tuple(JournalGap(**gap) for gap in row.gaps["journal"]),
        closed=bool(row.closed),
        killed=bool(row.killed),
    )
    ahead = tuple((first, last) for first, last in row.gaps["ahead"])
    return SourceBook(report, row.booked_seq, quantities_from_plain(row.booked), ahead)


async def save(connection: AsyncConnection, books: Mapping[str, SourceBook]) -> None:
    """Write the books down."""
    rows = [_row(book) for _, book in sorted(books.items())]
    if rows:
        insert = _INSERT[connection.dialect.name](usage_sources)
        changed = {name: insert.excluded[name] for name in usage_sources.columns.keys() if name != "source"}  # noqa: SIM118 - of columns, keys are not what is iterated
        await connection.execute(insert.on_conflict_do_update(index_elements=["source"], set_=changed), rows)


def _row(book: SourceBook) -> dict[str, Any]:
    report = book.report
    gaps = [{"first": gap.first, "last": gap.last, "reason": gap.reason} for gap in report.gaps]
    return {
        "source": report.source,
        "is_witness": int(report.is_witness),
        "model": report.model,
        "started_ms": report.started_ms,
        "reported_ms": report.reported_ms,
        "last_seq": report.last_seq,
        "booked_seq": book.booked_seq,
        "cumulative": report.cumulative.nonzero(),
        "booked": book.booked.nonzero(),
        "counters": dict(report.counters),
        "num_open": report.num_open,
        "oldest_open_ms": report.oldest_open_ms,
        "gaps": {"journal": gaps, "ahead": [list(part) for part in book.ahead]},
        "closed": int(report.closed),
        "killed": int(report.killed),
    }
