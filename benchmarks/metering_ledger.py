"""How fast does the ledger book, and when is an answer billable?

    python -m benchmarks.metering_ledger [--postgres URL] [--events 20000] [--batch 500]

Events per second, of one shipper and of eight at the same time, with 10 % duplicates on SQLite, and on PostgreSQL where
a URL of an empty database is given, beside a raw insert of the same batches into the same table of the same store, in
turns in the same run. The raw insert makes rows of a batch's events and gives them to the driver's own `executemany`,
with one commit per batch. It does nothing else: no prices, no hashes, no duplicates, no sums.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import delete

from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import Prices
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.usage import (
    Basis,
    PriceId,
    Quantities,
    Receipt,
    SourceReport,
    Tally,
    UsageBatch,
    UsageEvent,
    UsageId,
    UsageStatus,
    UsageSubject,
)
from serve.metering.ledger.booking import Booked, Kind
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.postings import row_of
from serve.metering.ledger.statements import insert_rows
from serve.metering.prices.price_book import PriceBook
from serve.metering.process import ProcessMetering
from serve.settings import MeteringSettings
from serve.storage.metering_tables import usage_events
from serve.storage.records import Records

_DUPLICATES = 10
"""Every so many events one is sent twice."""
_NUM_TENANTS = 20


def event(number: int, prefix: str, price: PriceId, admitted_ms: int) -> UsageEvent:
    """A chat answer of one of some tenants."""
    subject = UsageSubject(
        id=UsageId(f"0190{prefix}-0000-7000-8000-{number:012d}:1"),
        request_id=RequestId(f"0190{prefix}-0000-7000-8000-{number:012d}"),
        tenant=TenantName(f"tenant-{number % _NUM_TENANTS}"),
        project=ProjectName("default"),
        key_id=KeyId(f"key-{number % _NUM_TENANTS}"),
        model="echo",
        task="chat",
        admitted_ms=admitted_ms,
        price=price,
    )
    return UsageEvent(
        subject,
        source=f"bench/{prefix}/1",
        seq=number,
        status=UsageStatus.SUCCEEDED,
        basis=Basis.MEASURED,
        billable=True,
        quantities=Quantities(prompt_tokens=300 + number % 700, completion_tokens=50 + number % 250, gpu_ms=120),
        started_ms=admitted_ms,
        duration_ms=900,
    )


def batches(events: Sequence[UsageEvent], size: int) -> list[UsageBatch]:
    """As a shipper sends them, with a tenth of them again."""
    sent = [copy for one in events for copy in ([one, one] if one.seq % _DUPLICATES == 0 else [one])]
    cumulative = sum((one.quantities for one in events), Quantities())
    report = SourceReport(events[0].source, False, "echo", 0, 0, events[-1].seq, cumulative)
    return [UsageBatch(report, tuple(sent[start : start + size])) for start in range(0, len(sent), size)]


def without_repeats(sent: Sequence[UsageBatch]) -> list[list[UsageEvent]]:
    """The events of each batch that are new."""
    seen: set[str] = set()
    found = []
    for batch in sent:
        found.append([one for one in {one.id: one for one in batch.events}.values() if one.id not in seen])
        seen |= {one.id for one in found[-1]}
    return found


def _row(one: UsageEvent) -> tuple[object, ...]:
    return row_of(Booked(one, Kind.ATTEMPT, 0, id=f"raw-{one.id}"))


async def throughput(url: str, num_events: int, size: int, num_shippers: int, rounds: int = 5) -> dict[str, object]:
    """Events per second, raw and booked, in turns."""
    records, clock = Records(url), SystemClock()
    await records.migrate()
    book = PriceBook(records, clock)
    price = (await book.apply("echo", Prices(prompt="0.15", completion="0.60"), "bench")).id
    ledger = Ledger(records, clock, MeteringSettings(), book)
    raw, booked = [], []
    for turn in range(rounds):
        events = [
            event(n, f"{num_shippers:x}{turn:03x}", price, clock.now_ms()) for n in range(1, num_events // rounds + 1)
        ]
        sent = batches(events, size)
        raw.append(len(events) / await _timed_raw(records, without_repeats(sent), num_shippers))
        booked.append(len(events) / await _timed_booking(ledger, sent, num_shippers))
        async with records.write() as connection:
            await connection.execute(delete(usage_events).where(usage_events.c.id.startswith("raw-")))
    await records.close()
    ratios = [mine / theirs for mine, theirs in zip(booked, raw, strict=True)]
    return {
        "batch": size,
        "shippers": num_shippers,
        "raw_insert_events_per_second": round(statistics.median(raw)),
        "booked_events_per_second": round(statistics.median(booked)),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
    }


async def _timed_raw(records: Records, prepared: Sequence[list[UsageEvent]], num_shippers: int) -> float:
    async def ship(lane: Sequence[list[UsageEvent]]) -> None:
        for events in lane:
            async with records.write() as connection:
                await insert_rows(connection, usage_events, [_row(one) for one in events])

    began = time.perf_counter()
    await asyncio.gather(*(ship(prepared[index::num_shippers]) for index in range(num_shippers)))
    return time.perf_counter() - began


async def _timed_booking(ledger: Ledger, sent: Sequence[UsageBatch], num_shippers: int) -> float:
    async def ship(lane: Sequence[UsageBatch]) -> None:
        for batch in lane:
            await ledger.book(batch)

    began = time.perf_counter()
    await asyncio.gather(*(ship(sent[index::num_shippers]) for index in range(num_shippers)))
    return time.perf_counter() - began


class _TimedBooks:
    """A ledger that notes when each event was committed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.committed: dict[str, float] = {}

    async def book(self, batch: UsageBatch) -> Receipt:
        """See `Ledger.book`."""
        receipt = await self._ledger.book(batch)
        now = time.perf_counter()
        self.committed |= {one.id: now for one in batch.events}
        return receipt


async def billable(folder: Path, num_calls: int) -> dict[str, object]:
    """Seconds from the end of an answer to its booking, through a journal and its shipper, on SQLite."""
    records, clock = Records(f"sqlite+aiosqlite:///{folder / 'billable.db'}"), SystemClock()
    await records.migrate()
    settings = MeteringSettings()
    books = _TimedBooks(Ledger(records, clock, settings, PriceBook(records, clock)))
    process = ProcessMetering(
        settings, folder / "journals", "bench", clock, Uuid7Ids(), books, model="echo", usage=True, witness=False
    )
    await process.start()
    ended = {}
    for number in range(num_calls):
        one = event(number, "ffff", PriceId(""), clock.now_ms())
        tally = Tally()
        call = process.meter.begin(one.subject, tally)
        tally.prompt_tokens, tally.completion_tokens = 300, 50
        call.end(UsageStatus.SUCCEEDED)
        ended[one.id] = time.perf_counter()
        await asyncio.sleep(0.01)
    await process.stop()
    await records.close()
    waits = sorted(books.committed[id] - moment for id, moment in ended.items())
    p50, p99 = (waits[round(share * (len(waits) - 1))] for share in (0.5, 0.99))
    return {"calls": num_calls, "p50_seconds": round(p50, 3), "p99_seconds": round(p99, 3)}


async def run(options: argparse.Namespace) -> dict[str, object]:
    """All measurements."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, object] = {}
        urls = {"sqlite": f"sqlite+aiosqlite:///{Path(folder) / 'ledger.db'}", "postgresql": options.postgres}
        for name, url in urls.items():
            if url:
                found[name] = [await throughput(url, options.events, options.batch, shippers) for shippers in (1, 8)]
        found["answer_to_billable"] = await billable(Path(folder), 1000)
        return found


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", default="", help="SQLAlchemy URL of an empty database, postgresql+asyncpg://...")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    print(json.dumps(asyncio.run(run(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
