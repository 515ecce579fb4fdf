"""Other prices for what is booked already: attempts without one, or charged by a version that was wrong."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select

from serve.domain.errors import NotFound
from serve.domain.usage import PriceId
from serve.metering.ledger import postings
from serve.metering.ledger.booking import Booked, Standing, rerating
from serve.metering.ledger.session import Books, LedgerSession, opened
from serve.storage.metering_tables import usage_events

_AT_ONCE = 500
"""Attempts per transaction, so that booking is never held up for long."""


@dataclass(frozen=True, slots=True)
class Rerated:
    """How many attempts have another cost now, and by how much all of them together."""

    num_attempts: int
    change_nano: int


async def rerate(
    books: Books, model: str, since_ms: int, until_ms: int, version: PriceId, wrong: PriceId | None
) -> Rerated:
    """See `Ledger.rerate`."""
    found = await books.prices.version(version)
    if found is None or found.model != model:
        raise NotFound(f"There is no price version {version[:80]!r} of {model[:80]!r}.", "price_not_found", "version")
    which = and_(usage_events.c.model == model, usage_events.c.admitted_ms < until_ms, _charged_by(wrong))
    changes: list[int] = []
    after = (since_ms, "")
    while rows := await _next(books, which, after):
        after = (rows[-1].admitted_ms, rows[-1].id)
        async with opened(books, (version, wrong)) as session:
            changes += await _rerate(session, {row.attempt for row in rows}, version, wrong)
    return Rerated(len(changes), sum(changes))


def _charged_by(wrong: PriceId | None) -> Any:
    return usage_events.c.cost_nano.is_(None) if wrong is None else usage_events.c.price == wrong


async def _next(books: Books, which: Any, after: tuple[int, str]) -> Sequence[Any]:
    table = usage_events.c
    admitted_ms, id = after
    attempt = func.coalesce(table.corrects, table.id).label("attempt")
    is_next = or_(table.admitted_ms > admitted_ms, and_(table.admitted_ms == admitted_ms, table.id > id))
    query = select(table.admitted_ms, table.id, attempt).where(which, is_next)
    async with books.records.read() as connection:
        return (await connection.execute(query.order_by(table.admitted_ms, table.id).limit(_AT_ONCE))).all()


async def _rerate(
    session: LedgerSession, attempts: Collection[str], version: PriceId, wrong: PriceId | None
) -> list[int]:
    standing = await postings.standings(session.connection, attempts)
    concerned = [found for _, found in sorted(standing.items()) if _is_concerned(found, wrong)]
    booked = [posting for found in concerned if (posting := rerating(found, version, session.rate, session.now_ms))]
    await session.post(booked)
    return [_change(posting) for posting in booked]


def _is_concerned(found: Standing, wrong: PriceId | None) -> bool:
    return found.cost_nano is None if wrong is None else found.price == wrong


def _change(posting: Booked) -> int:
    return posting.cost_nano or 0
