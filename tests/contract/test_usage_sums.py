"""What `/v1/usage` tells, against sums made by hand: corrections, other prices, free units, tags, borders of time."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakes.clock import ManualClock
from fakes.ledger import batch, event, priced, totals_of, unbilled, witnessed

from serve.domain.documents import Prices
from serve.domain.usage import Basis, Quantities, UsageEvent
from serve.metering.ledger.exports import ExportFormat, exported
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.queries import Asked, Granularity, Used, Which, events, usage
from serve.metering.prices.price_book import PriceBook
from serve.settings import MeteringSettings
from serve.storage.records import Records

SETTINGS = MeteringSettings(tag_keys="team,stage")


@pytest.fixture
def ledger(records: Records, clock: ManualClock) -> Ledger:
    return Ledger(records, clock, SETTINGS, PriceBook(records, clock))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


async def asked(
    ledger: Ledger, since: str, until: str, *by: str, granularity: Granularity = Granularity.TOTAL, **which: str
) -> list[Used]:
    span = Which(ms(since), ms(until), **which)
    return await usage(ledger.records, span, by, granularity, ledger.tags, 100)


async def test_a_bill_of_everything_that_can_happen_is_the_sum_made_by_hand(
    ledger: Ledger, records: Records, clock: ManualClock
) -> None:
    """In nano-dollars at $1 and $2 a million, of which 150 prompt tokens are free:

    r1  100 + 10  100_000 + 20_000, all 100 prompt tokens free
    r2  100 + 10  the witness takes it back: nothing, and its 50 free tokens go back
    r3  100 + 10  120_000, 50 free; then $3 a prompt token: 300_000 + 20_000, 150_000 free
    r4  the witness saw 5 of 10: 10_000; then the replica's own count: 120_000
    r5  without a price: nothing yet
    r6  60 of 100 tokens are cached, which has no price of its own: 120_000
    """
    free = {"free_per_month": {"prompt_tokens": 150}}
    price = (await ledger.prices.apply("echo", Prices(prompt="1", completion="2", **free), "test")).id
    dear = (await ledger.prices.apply("echo", Prices(prompt="3", completion="2", **free), "test")).id
    own = priced([event(n) for n in (1, 2, 3, 4)], price)
    seen = priced([witnessed(4), unbilled(witnessed(2))], price)
    cached = replace(event(6), quantities=Quantities(100, 60, 10))
    red = replace(own[0].subject, tags=(("team", "red"),))
    await ledger.book(batch(replace(own[0], subject=red), own[1]))
    await ledger.book(batch(*seen))
    await ledger.book(batch(own[2], event(5)))
    clock.advance(SETTINGS.witness_grace_seconds)
    assert await ledger.settle_witnesses() == 1
    await ledger.book(batch(own[3], *priced([cached], price)))
    (whole,) = await asked(ledger, "2026-01-01", "2026-01-02")
    assert (whole.cost_nano, whole.free_nano) == (4 * 120_000, 150_000)
    await ledger.rerate("echo", ms("2026-01-01"), ms("2026-01-02"), dear, price)
    assert await totals_of(records) == {
        **{"prompt_tokens": 600, "cached_prompt_tokens": 60, "completion_tokens": 60},
        **{"cost_nano": 4 * 320_000, "free_nano": 450_000, "num_attempts": 6, "num_unbilled": 1, "num_unpriced": 1},
    }
    by_team = await asked(ledger, "2026-01-01", "2026-01-02", "tag:team")
    assert {one.group["tag:team"]: (one.cost_nano, one.free_nano) for one in by_team} == {
        "": (3 * 320_000, 150_000),
        "red": (320_000, 300_000),
    }


async def test_an_hour_a_day_and_a_month_begin_where_they_begin(ledger: Ledger) -> None:
    moments = ["2024-02-29T23:59:59.999", "2024-03-01T00:00:00", "2024-12-31T23:59:59.999", "2025-01-01T00:00:00"]
    await ledger.book(batch(*(event(n, admitted_ms=ms(moment)) for n, moment in enumerate(moments, 1))))
    span = ("2024-02-01", "2025-02-01")
    expected = {
        Granularity.HOUR: ["2024-02-29T23", "2024-03-01T00", "2024-12-31T23", "2025-01-01T00"],
        Granularity.DAY: ["2024-02-29T00", "2024-03-01T00", "2024-12-31T00", "2025-01-01T00"],
        Granularity.MONTH: ["2024-02-01T00", "2024-03-01T00", "2024-12-01T00", "2025-01-01T00"],
    }
    for granularity, starts in expected.items():
        found = await asked(ledger, *span, granularity=granularity)
        assert [one.period_ms for one in found] == [ms(start + ":00") for start in starts], granularity
    for since, until, number in [
        ("2024-02-29T23:00", "2024-03-01T00:00", 1),
        ("2024-03-01", "2024-12-31T23:00", 1),
        ("2024-03-01", "2024-12-31T23:00:00.001", 2),
        ("2025-01-01T00:00", "2025-01-01T00:00:00.001", 1),
        ("2025-01-01T01:00", "2026-01-01", 0),
    ]:
        found = await asked(ledger, since, until)
        assert sum(one.counts["num_attempts"] for one in found) == number, (since, until)


async def test_pages_and_exports_tell_every_posting_once_while_more_are_booked(
    ledger: Ledger, records: Records, clock: ManualClock
) -> None:
    def some(start: int) -> list[UsageEvent]:
        return [event(n, admitted_ms=ms("2026-01-01") + n // 3) for n in range(start, start + 40)]

    await ledger.book(batch(*some(1)))
    which = Asked(Which(ms("2026-01-01"), ms("2027-01-01")))
    seen, after, start = list[str](), None, 41
    while rows := await events(records, which, 7, after):
        seen, after = seen + [row.id for row in rows], rows[-1].id
        await ledger.book(batch(*some(start)))
        start += 40
    first = {f"r{n}:1" for n in range(1, 41)}
    assert len(seen) == len(set(seen))
    assert first <= set(seen)
    clock.advance(10)
    parts, booking = exported(records, clock, which, ExportFormat.CLOUDEVENTS), asyncio.Event()
    told = []
    async for part in parts:
        told += part.splitlines()
        if not booking.is_set():
            booking.set()
            await ledger.book(batch(*some(start)))
    assert len(told) == len(set(told)) == start - 1


async def test_a_correction_later_counts_in_the_month_of_the_call(ledger: Ledger, clock: ManualClock) -> None:
    at_end = ms("2026-01-31T23:59:59")
    cut = unbilled(replace(event(1, admitted_ms=at_end), basis=Basis.CHECKPOINT, quantities=Quantities(100, 0, 6)))
    await ledger.book(batch(cut))
    clock.advance(40 * 86_400)
    await ledger.book(batch(event(1, admitted_ms=at_end)))
    (january,) = await asked(ledger, "2026-01-01", "2026-04-01", granularity=Granularity.MONTH)
    assert (january.period_ms, january.quantities) == (ms("2026-01-01"), Quantities(100, 0, 10))
