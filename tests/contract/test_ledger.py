"""The ledger on SQLite and on PostgreSQL: once, in any order, whatever happens between."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.clock import ManualClock
from fakes.databases import new_sqlite
from fakes.ledger import ADMITTED_MS, GATEWAY, batch, event, priced, totals_of, unbilled, witnessed
from sqlalchemy import select

from serve.domain.documents import Prices
from serve.domain.errors import Conflict, NotFound
from serve.domain.usage import Basis, Quantities, Receipt, UsageEvent, UsageStatus
from serve.metering.journal.wire import payload_sha256
from serve.metering.ledger import sources
from serve.metering.ledger.audit import audit
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.queries import Asked, Granularity, Which, events, usage
from serve.metering.ledger.reviews import Review, accept, resolve
from serve.metering.ledger.rollups import SUMS
from serve.metering.ledger.totals import totals
from serve.metering.prices.price_book import PriceBook
from serve.settings import MeteringSettings
from serve.storage.metering_tables import usage_conflicts, usage_events
from serve.storage.records import Records

NUM_PROCESSES = 3
SETTINGS = MeteringSettings(tag_keys="team,stage")
COST = 100 * 1000 + 10 * 2000
"""Of one event under PRICES, in nano-dollars."""
PRICES = Prices(prompt="1", completion="2")


@pytest.fixture(params=["sqlite", "postgresql"])
async def processes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Records]]:
    """One migrated database, as several processes hold it."""
    is_sqlite = request.param == "sqlite"
    url = new_sqlite(tmp_path / "a.db") if is_sqlite else request.getfixturevalue("migrated_postgres_url")
    async with AsyncExitStack() as stack:
        made = [Records(url) for _ in range(NUM_PROCESSES)]
        for records in made:
            stack.push_async_callback(records.close)
        yield made


@pytest.fixture
def database(processes: list[Records]) -> Records:
    return processes[0]


@pytest.fixture
def ledger(database: Records, clock: ManualClock) -> Ledger:
    return ledger_of(database, clock)


def ledger_of(records: Records, clock: ManualClock) -> Ledger:
    return Ledger(records, clock, SETTINGS, PriceBook(records, clock))


async def pricing(ledger: Ledger, prices: Prices = PRICES) -> str:
    return (await ledger.prices.apply("echo", prices, "test")).id


async def test_what_is_sent_again_is_booked_once(database: Records, ledger: Ledger) -> None:
    sent = batch(event(1), event(2))
    assert await ledger.book(sent) == Receipt(2, 0, 0)
    assert await ledger.book(sent) == Receipt(0, 2, 0)
    assert await ledger.book(batch(event(2), event(3), event(3))) == Receipt(1, 2, 0)
    assert await totals_of(database) == {
        "prompt_tokens": 300,
        "completion_tokens": 30,
        "num_attempts": 3,
        "num_unpriced": 3,
    }


async def test_a_tenth_sent_twice_in_any_order_to_any_ledger_adds_up_to_the_token(
    processes: list[Records], clock: ManualClock
) -> None:
    ledgers = [ledger_of(records, clock) for records in processes]
    price = await pricing(ledgers[0])
    events = priced([event(n, tenant=f"t{n % 3}", tags=(("team", f"x{n % 2}"),)) for n in range(1, 301)], price)
    sent = events + events[::10]
    random.Random(7).shuffle(sent)
    parts = [batch(*sent[start : start + 15]) for start in range(0, len(sent), 15)]
    receipts = await asyncio.gather(*(ledgers[n % len(ledgers)].book(part) for n, part in enumerate(parts)))
    assert sum(receipt.inserted for receipt in receipts) == 300
    assert sum(receipt.duplicates for receipt in receipts) == 30
    assert await totals_of(processes[0]) == {
        "prompt_tokens": 30_000,
        "completion_tokens": 3000,
        "cost_nano": 300 * COST,
        "num_attempts": 300,
    }
    async with processes[0].read() as connection:
        (book,) = (await sources.load(connection, [event().source])).values()
    assert (book.booked_seq, book.ahead) == (300, ())
    assert book.booked == Quantities(prompt_tokens=30_000, completion_tokens=3000)


async def test_a_record_that_says_something_else_is_put_aside_and_changes_nothing(
    database: Records, ledger: Ledger, clock: ManualClock
) -> None:
    await ledger.book(batch(event(1)))
    other = replace(event(1), quantities=Quantities(prompt_tokens=999))
    before = await totals_of(database)
    assert await ledger.book(batch(other)) == Receipt(0, 0, 1)
    assert await ledger.book(batch(other)) == Receipt(0, 0, 1)
    assert await totals_of(database) == before
    async with database.read() as connection:
        (row,) = (await connection.execute(select(usage_conflicts))).all()
    assert (row.id, row.event["quantities"]) == ("r1:1", {"prompt_tokens": 999})
    assert (await totals(database, clock, SETTINGS)).num_conflicts == 1


@pytest.mark.parametrize("is_right", [True, False], ids=["the record", "the ledger"])
async def test_a_record_in_quarantine_is_decided_once_and_the_attempt_stays_its_tenants(
    database: Records, ledger: Ledger, clock: ManualClock, is_right: bool
) -> None:
    price = await pricing(ledger)
    (own,) = priced([event(1)], price)
    other = replace(own, quantities=Quantities(40), subject=replace(own.subject, tenant="another"))
    await ledger.book(batch(own))
    await ledger.book(batch(other, last_seq=3, closed=True))
    review = Review("admin", "looked")
    accepted = [await accept(ledger, own.source, review, SETTINGS.checkpoint_tokens) for _ in range(2)]
    assert [[one.kind for one in each] for each in accepted] == [["gap"], []]
    decided = (payload_sha256(other), is_right, review)
    await resolve(ledger, "r1:1", *decided)
    with pytest.raises(Conflict):
        await resolve(ledger, "r1:1", *decided)
    with pytest.raises(NotFound):
        await resolve(ledger, "r2:1", *decided)
    found = (await totals(database, clock, SETTINGS)).booked
    assert {key: one.cost_nano for key, one in found.items()} == {("acme", "echo"): 40_000 if is_right else COST}
    assert (await audit(database, clock, SETTINGS, 0)).adds_up
    await ledger.book(batch(own))
    assert (await totals_of(database))["cost_nano"] == (40_000 if is_right else COST)


async def test_a_record_that_makes_no_sense_holds_up_no_other(database: Records, ledger: Ledger) -> None:
    broken = replace(event(2), quantities=Quantities(prompt_tokens=2**70))
    receipts = await asyncio.gather(ledger.book(batch(event(1))), ledger.book(batch(broken, event(3))))
    assert receipts == [Receipt(1, 0, 0), Receipt(1, 0, 1)]
    assert (await totals_of(database))["num_attempts"] == 2


CHECKPOINT = unbilled(replace(event(1), basis=Basis.CHECKPOINT, quantities=Quantities(100, 0, 6)))
CANCELED = replace(witnessed(1), status=UsageStatus.CANCELED, quantities=Quantities(completion_tokens=8))


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        pytest.param([event(1), witnessed(1)], {"completion_tokens": 10, "cost_nano": COST}, id="they agree"),
        pytest.param(
            [event(1), unbilled(witnessed(1))],
            {"completion_tokens": 10, "num_unbilled": 1},
            id="the platform took it back",
        ),
        pytest.param(
            [CHECKPOINT, unbilled(witnessed(1))],
            {"completion_tokens": 6, "num_lost": 1, "num_unbilled": 1, "num_estimated": 1},
            id="its replica died",
        ),
        pytest.param(
            [CHECKPOINT, CANCELED],
            {"completion_tokens": 8, "num_canceled": 1, "num_estimated": 1, "cost_nano": 100_000 + 16_000},
            id="its caller left, then its replica died",
        ),
        pytest.param(
            [CHECKPOINT, event(1), witnessed(1)],
            {"completion_tokens": 10, "cost_nano": COST},
            id="a dead replica's journal is found whole",
        ),
    ],
)
async def test_two_witnesses_come_to_the_same_in_any_order(
    database: Records, ledger: Ledger, clock: ManualClock, heard: list[UsageEvent], expected: dict[str, int]
) -> None:
    price, wanted = await pricing(ledger), expected | {"prompt_tokens": 100, "num_attempts": 1}
    first, *others = priced(heard, price)
    orders = [[first, *others], [*others, first], [*others[::-1], first, *others, first]]
    for number, order in enumerate(orders, start=2):
        for one in order:
            subject = replace(one.subject, id=f"r{number}:1", tenant=f"t{number}")
            await ledger.book(batch(replace(one, subject=subject)))
        booked = (await totals(database, clock, SETTINGS)).booked[f"t{number}", "echo"]
        found = booked.quantities.nonzero() | booked.counts | {"cost_nano": booked.cost_nano}
        assert {name: value for name, value in found.items() if value} == wanted
        clock.advance(1)
    await totals_of(database)


async def test_a_witness_alone_is_booked_when_it_is_due_and_gives_way_to_the_replicas_own_count(
    database: Records, ledger: Ledger, clock: ManualClock
) -> None:
    price = await pricing(ledger)
    (seen,), (own,) = priced([witnessed(1)], price), priced([event(1)], price)
    await ledger.book(batch(seen))
    assert await ledger.settle_witnesses() == 0
    assert await totals_of(database) == {}
    clock.advance(SETTINGS.witness_grace_seconds)
    assert await ledger.settle_witnesses() == 1
    assert await ledger.settle_witnesses() == 0
    estimate = {"completion_tokens": 5, "num_attempts": 1, "num_estimated": 1, "cost_nano": 10_000}
    assert await totals_of(database) == estimate
    for _ in range(2):
        await ledger.book(batch(own))
        await ledger.book(batch(seen))
    measured = {"prompt_tokens": 100, "completion_tokens": 10, "num_attempts": 1, "cost_nano": COST}
    assert await totals_of(database) == measured
    async with database.read() as connection:
        rows = (await connection.execute(select(usage_events).order_by(usage_events.c.booked_ms))).all()
    assert [(row.id, row.kind, row.basis) for row in rows] == [
        ("r1:1", "attempt", "witness"),
        ("r1:1/m", "correction", "measured"),
    ]


async def test_unpriced_is_not_free_and_is_charged_once_there_is_a_price(
    database: Records, ledger: Ledger, clock: ManualClock
) -> None:
    await ledger.book(batch(event(1), event(2), unbilled(event(3))))
    assert (await totals_of(database))["num_unpriced"] == 2
    price = await pricing(ledger)
    span = ("echo", ADMITTED_MS, ADMITTED_MS + 1)
    done = await ledger.rerate(*span, price)
    assert (done.num_attempts, done.change_nano) == (2, 2 * COST)
    assert (await ledger.rerate(*span, price)).num_attempts == 0
    found = await totals_of(database)
    assert ("num_unpriced" in found, found["cost_nano"], found["num_unbilled"]) == (False, 2 * COST, 1)


async def test_a_wrong_price_is_put_right_and_back(database: Records, ledger: Ledger, clock: ManualClock) -> None:
    wrong = await pricing(ledger)
    clock.advance(1)
    right = await pricing(ledger, Prices(prompt="3", completion="2"))
    await ledger.book(batch(*priced([event(1), event(2)], wrong)))
    span = ("echo", ADMITTED_MS, ADMITTED_MS + 1)
    more = 2 * 100 * 2000
    for version, other, change in [
        (right, wrong, more),
        (right, wrong, 0),
        (wrong, right, -more),
        (right, wrong, more),
    ]:
        assert (await ledger.rerate(*span, version, other)).change_nano == change
    assert (await totals_of(database))["cost_nano"] == 2 * COST + more
    await ledger.book(batch(unbilled(replace(witnessed(1), subject=event(1).subject))))
    assert (await totals_of(database))["cost_nano"] == COST + more // 2


async def test_free_units_are_given_back_when_the_platform_takes_an_attempt_back(
    database: Records, ledger: Ledger
) -> None:
    price = await pricing(ledger, Prices(prompt="1", completion="2", free_per_month={"prompt_tokens": 150}))
    own = priced([event(1), event(2)], price)
    await ledger.book(batch(*own))
    found = await totals_of(database)
    assert (found["cost_nano"], found["free_nano"]) == (2 * COST, 150_000)
    (taken_back,) = priced([unbilled(witnessed(1))], price)
    await ledger.book(batch(taken_back))
    assert (await totals_of(database))["free_nano"] == 50_000
    await ledger.book(batch(*priced([event(3)], price)))
    assert (await totals_of(database))["free_nano"] == 150_000


async def test_a_transaction_that_ends_in_the_middle_leaves_nothing(
    database: Records, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(sources, "save", fails)
        with pytest.raises(OSError, match="disk"):
            await ledger.book(batch(event(1), witnessed(2, source=event().source)))
    assert await totals_of(database) == {}
    assert await ledger.book(batch(event(1))) == Receipt(1, 0, 0)
    assert await totals_of(database, SUMS[:1]) == {"prompt_tokens": 100}


async def test_late_usage_counts_in_the_hour_in_which_it_was_admitted(
    database: Records, ledger: Ledger, clock: ManualClock
) -> None:
    clock.advance(90 * 86_400)
    await ledger.book(batch(event(1)))
    async with database.read() as connection:
        hours = await connection.execute(select(usage_events.c.admitted_ms, usage_events.c.booked_ms))
    assert hours.one() == (ADMITTED_MS, clock.now_ms())


async def test_witnesses_are_sources_too(database: Records, ledger: Ledger) -> None:
    await ledger.book(batch(event(1)))
    receipts = [await ledger.book(batch(witnessed(1), witnessed(2))) for _ in range(2)]
    assert receipts == [Receipt(2, 0, 0), Receipt(0, 2, 0)]
    async with database.read() as connection:
        book = (await sources.load(connection, [GATEWAY]))[GATEWAY]
    assert (book.booked_seq, book.is_complete, book.report.is_witness) == (2, True, True)
    assert book.booked == book.report.cumulative


async def test_sums_and_single_postings_are_asked_for_alike(database: Records, ledger: Ledger) -> None:
    day_ms = 86_400_000
    made = [event(n, admitted_ms=ADMITTED_MS + n * 20 * day_ms, tags=(("team", "red"),)) for n in range(3)]
    await ledger.book(batch(*(replace(one, seq=one.seq + 1) for one in made)))
    which = Which(ADMITTED_MS, ADMITTED_MS + 90 * day_ms, tenant="acme", tags={"team": "red"})
    for granularity, num_periods in ((Granularity.HOUR, 3), (Granularity.MONTH, 2), (Granularity.TOTAL, 1)):
        found = await usage(database, which, ["model", "tag:team"], granularity, ledger.tags, 10)
        assert [sum(one.counts["num_attempts"] for one in found), len(found)] == [3, num_periods]
    assert [row.id for row in await events(database, Asked(which), 2)] == ["r2:1", "r1:1"]
    assert [row.id for row in await events(database, Asked(which), 5, after="r1:1")] == ["r0:1"]
