"""What somebody has looked at: differences that are known, and records in quarantine that are decided.

A difference is accepted as it was seen. One that grows, or another one of the same source, is told again.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Row, select, update

from serve.domain.errors import Conflict, InvalidRequest, NotFound
from serve.metering.journal.wire import from_plain
from serve.metering.ledger import postings, witnesses
from serve.metering.ledger.audit import Judging, judged
from serve.metering.ledger.booking import Case, flaw
from serve.metering.ledger.reconcile import Difference, Kind
from serve.metering.ledger.session import Books, LedgerSession, opened
from serve.metering.ledger.statements import insert_rows
from serve.storage.metering_tables import usage_conflicts, usage_reviews, usage_sources

MAX_NOTE = 200
_MAX_WHAT = 400


@dataclass(frozen=True, slots=True)
class Review:
    """Who has looked, and what there is to say about it."""

    by: str
    note: str


async def accept(books: Books, source: str, review: Review, checkpoint_tokens: int) -> tuple[Difference, ...]:
    """Take note of everything that does not add up at this source now, but records in quarantine: those are decided one
    by one.

    Raises:
        NotFound: nothing is known of this source.
    """
    judging = Judging(books.clock.now_ms(), checkpoint_tokens)
    async with opened(books, ()) as session:
        found = await judged(session.connection, usage_sources.c.source == source, judging)
        if not found:
            raise NotFound("No process of this name has reported.", "usage_source_not_found", "source")
        seen = tuple(one for one in found[0].differences if one.kind is not Kind.CONFLICT)
        for difference in seen:
            await _write_down(session, source, difference.known_as, review)
    return seen


async def resolve(books: Books, id: str, sha256: str, is_right: bool, review: Review) -> None:
    """Decide on a record in quarantine. If it `is_right`, the attempt is corrected to what it says; else the ledger
    stays as it is. A decision is final.

    Raises:
        NotFound: there is no such record.
        Conflict: it is decided already.
        InvalidRequest: it makes no sense, so nothing can be booked by it.
    """
    table = usage_conflicts.c
    is_it = (table.id == id) & (table.payload_sha256 == sha256)
    async with books.records.read() as connection:
        row = (await connection.execute(select(usage_conflicts).where(is_it))).one_or_none()
    if row is None:
        raise NotFound("There is no such record in quarantine.", "usage_conflict_not_found", "id")
    event = from_plain(row.event)
    async with opened(books, (event.subject.price,)) as session:
        is_open = is_it & table.resolved_ms.is_(None)
        done = await session.connection.execute(
            update(usage_conflicts).where(is_open).values(resolved_ms=session.now_ms)
        )
        if not done.rowcount:
            raise Conflict("Somebody has decided on this record already.", "usage_conflict_resolved", "id")
        if is_right:
            await _book(session, row)
        decision = "the record is right" if is_right else "the ledger is right"
        await _write_down(session, row.source, f"{decision}: {id} {sha256}", review)


async def _book(session: LedgerSession, row: Row[tuple[object, ...]]) -> None:
    event = from_plain(row.event)
    if problem := flaw(event):
        raise InvalidRequest(f"This record cannot be booked: {problem}.", "usage_record_unsound", "id")
    standing = await postings.standings(session.connection, [event.id])
    waiting = await witnesses.load(session.connection, [event.id])
    case = Case(standing.get(event.id), waiting.get(event.id))
    case.decide(event, row.payload_sha256)
    await session.write({str(event.id): case})


async def _write_down(session: LedgerSession, source: str, what: str, review: Review) -> None:
    id = hashlib.sha256(f"{source}\n{what}".encode()).hexdigest()
    row = (id, source, what[:_MAX_WHAT], review.note[:MAX_NOTE], review.by, session.now_ms)
    await insert_rows(session.connection, usage_reviews, [row], "ON CONFLICT DO NOTHING")
