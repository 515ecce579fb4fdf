"""One transaction of the ledger: read what is there, hear what is new, write what follows."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.ports import Clock
from serve.domain.usage import Basis, PriceId, Receipt, UsageBatch, UsageEvent
from serve.metering.budgets.spending import spend
from serve.metering.journal.wire import payload_sha256, to_plain
from serve.metering.ledger import postings, rollups, sources, witnesses
from serve.metering.ledger.booking import Booked, Case, Heard, flaw
from serve.metering.ledger.statements import add_rows, insert_rows, rows_among
from serve.metering.prices.free_tiers import draw_free
from serve.metering.prices.price_book import PriceBook
from serve.metering.prices.prices import PriceVersion, cost_of
from serve.storage.metering_tables import usage_conflicts, usage_events
from serve.storage.records import Records

_TURN = "ledger"


class Books(Protocol):
    """What a session needs of its ledger."""

    records: Records
    clock: Clock
    prices: PriceBook
    grace_ms: int
    tags: tuple[str, ...]


@dataclass(slots=True)
class _Hearing:
    """The cases of a group of batches, and what did not fit."""

    cases: dict[str, Case] = field(default_factory=dict)
    conflicts: list[tuple[UsageEvent, str, str]] = field(default_factory=list)
    """(event, payload hash, reason)"""
    done: frozenset[str] = frozenset()
    """Attempts of which nothing that was heard is news."""


@asynccontextmanager
async def opened(books: Books, prices: Iterable[PriceId | None]) -> AsyncGenerator["LedgerSession", None]:
    """A transaction, alone among ledgers, that knows these price versions; committed at the end."""
    versions = await versions_of(books.prices, prices)
    async with books.records.write() as connection:
        await books.records.take_turns(connection, _TURN)
        yield LedgerSession(books, connection, versions)


async def versions_of(book: PriceBook, ids: Iterable[PriceId | None]) -> dict[PriceId, PriceVersion]:
    """The versions there are, by id."""
    wanted = {id for id in ids if id}
    return {id: found for id in wanted if (found := await book.version(id))}


class LedgerSession:
    """What may be done while it is this ledger's turn."""

    def __init__(self, books: Books, connection: AsyncConnection, versions: dict[PriceId, PriceVersion]) -> None:
        self.connection = connection
        self.now_ms = books.clock.now_ms()
        self._books = books
        self._versions = versions

    async def book(self, batches: Sequence[UsageBatch], sifting: bool = False) -> list[Receipt]:
        """Book the batches; `sifting` puts aside events that make no sense."""
        known = await sources.load(self.connection, [batch.report.source for batch in batches])
        hearing = await self._hearing(
            [event for batch in batches for event in batch.events if not _is_bad(event, sifting)]
        )
        receipts = []
        for batch in batches:
            book = known.get(batch.report.source) or sources.SourceBook(batch.report)
            heard = [_hear(hearing, book, event, sifting) for event in batch.events]
            receipts.append(Receipt(*[heard.count(result) for result in Heard]))
            known[batch.report.source] = sources.reported(sources.counted(book, batch.events), batch.report)
        await self.write(hearing.cases)
        await self._quarantine(hearing.conflicts)
        await sources.save(self.connection, known)
        return receipts

    async def settle(self, limit: int) -> int:
        """Book the witnesses that are due, at most `limit`."""
        due = await witnesses.due(self.connection, self.now_ms, limit)
        self._versions |= await versions_of(self._books.prices, {event.subject.price for event in due})
        standing = await postings.standings(self.connection, [event.id for event in due])
        cases = {str(event.id): Case(standing.get(event.id), event) for event in due}
        for case in cases.values():
            case.settle()
            case.is_witness_changed = True
        await self.write(cases)
        return len(cases)

    async def write(self, cases: Mapping[str, Case]) -> None:
        """Post what the cases come to, and keep or drop their witnesses."""
        await self._know_prices(cases.values())
        changed = [(id, case) for id, case in cases.items() if case.is_witness_changed]
        if changed:
            await witnesses.save(self.connection, changed, self.now_ms, self.now_ms + self._books.grace_ms)
        found = (case.posting(self.rate, self.now_ms) for case in cases.values())
        await self.post([posting for posting in found if posting is not None])

    async def post(self, booked: Sequence[Booked]) -> None:
        """Write postings, and all that follows from them."""
        if not booked:
            return
        free = await draw_free(self.connection, booked, self._versions)
        if any(free):
            booked = [posting._replace(free_nano=nano) for posting, nano in zip(booked, free, strict=True)]
        credit = await spend(self.connection, booked, self.now_ms)
        if any(credit):
            booked = [posting._replace(credit_nano=nano) for posting, nano in zip(booked, credit, strict=True)]
        await add_rows(self.connection, usage_events, [postings.row_of(posting) for posting in booked])
        await rollups.add_up(self.connection, booked, self._books.tags)

    def rate(self, event: UsageEvent, price: PriceId | None) -> int | None:
        """See `booking.Rate`."""
        version = self._versions.get(price) if price else None
        return None if version is None else cost_of(event.quantities, version, event.subject.adapters)

    async def _know_prices(self, cases: Iterable[Case]) -> None:
        prices = {case.before.price for case in cases if case.before is not None}
        self._versions |= await versions_of(self._books.prices, prices - self._versions.keys())

    async def _hearing(self, events: Sequence[UsageEvent]) -> _Hearing:
        ids = list({str(event.id): None for event in events})
        columns = ("id", "payload_sha256", "basis", "billable")
        rows = {row.id: row for row in await rows_among(self.connection, usage_events, columns, ids, ("id",))}
        pending = await witnesses.load(self.connection, ids)
        open_ids = {str(event.id) for event in events if event.id in rows and not _is_old_news(event, rows[event.id])}
        standing = await postings.standings(self.connection, open_ids)
        cases = {id: Case(standing.get(id), pending.get(id)) for id in ids if id in open_ids or id not in rows}
        return _Hearing(cases, done=frozenset(rows.keys() - open_ids))

    async def _quarantine(self, conflicts: Sequence[tuple[UsageEvent, str, str]]) -> None:
        rows = []
        for event, sha256, reason in conflicts:
            text = witnesses.to_text(to_plain(event)).replace("\\u0000", "")
            rows.append(
                (str(event.id).replace("\0", "")[:160], sha256, event.source[:200], text, reason, self.now_ms, None)
            )
        await insert_rows(self.connection, usage_conflicts, sorted(rows), "ON CONFLICT DO NOTHING")


def _is_bad(event: UsageEvent, sifting: bool) -> bool:
    return sifting and flaw(event) is not None


def _is_old_news(event: UsageEvent, row: Any) -> bool:
    """Whether `event` says nothing that the first posting of its attempt, `row`, does not."""
    if event.basis is Basis.WITNESS:
        return row.basis == Basis.MEASURED.value and (event.billable or not row.billable)
    return bool(row.basis == event.basis.value and row.payload_sha256 == payload_sha256(event))


def _hear(hearing: _Hearing, book: sources.SourceBook, event: UsageEvent, sifting: bool) -> Heard:
    if event.id in hearing.done:
        heard = Heard.DUPLICATE
    elif _is_bad(event, sifting):
        hearing.conflicts.append((event, payload_sha256(event), str(flaw(event))))
        return Heard.CONFLICT
    else:
        sha256 = payload_sha256(event)
        heard = hearing.cases[event.id].hear(event, sha256)
        if heard is Heard.CONFLICT:
            hearing.conflicts.append((event, sha256, "another record of the same attempt says something else"))
    is_first_word = event.basis is Basis.WITNESS and heard is Heard.DUPLICATE and not book.has(event.seq)
    return Heard.INSERTED if is_first_word else heard
