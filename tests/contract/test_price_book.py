"""Prices over time and free tiers, on either database."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.clock import ManualClock
from sqlalchemy import func, select

from serve.clock import SystemClock
from serve.domain.documents import Prices
from serve.domain.errors import StorageUnavailable
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.run import Run
from serve.domain.task import Task
from serve.domain.usage import Basis, PriceId, Quantities, UsageEvent, UsageId, UsageStatus, UsageSubject
from serve.metering.ledger.booking import Booked, Kind, standing
from serve.metering.prices.free_tiers import draw_free, month_of
from serve.metering.prices.price_book import PriceBook
from serve.metering.prices.prices import PriceVersion, cost_of
from serve.storage.metering_tables import free_draws, free_usage, price_versions
from serve.storage.records import Records

ONE, TWO = Prices(prompt="1"), Prices(prompt="2")
ACME = TenantName("acme")


def moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


async def test_a_model_is_unpriced_until_somebody_sets_prices(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock)
    assert await book.current("m", ACME) is None
    made = await book.apply("m", ONE, "admin")
    assert await book.current("m", ACME) == made
    assert (made.prices, made.effective_ms, made.created_by) == (ONE, clock.now_ms(), "admin")
    assert await book.current("other", ACME) is None


async def test_the_same_prices_again_make_no_version_and_others_do(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock)
    first = await book.apply("m", ONE, "admin")
    clock.advance(1)
    assert await book.apply("m", ONE, "another") == first
    second = await book.apply("m", TWO, "admin")
    third = await book.apply("m", ONE, "admin")
    assert len({first.id, second.id, third.id}) == 3
    assert [version.id for version in await book.history("m")] == [third.id, second.id, first.id]
    assert await book.current("m", ACME) == third


async def test_a_version_never_changes_and_is_found_by_its_id_for_ever(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock)
    first = await book.apply("m", ONE, "admin")
    await book.apply("m", TWO, "admin")
    clock.advance(10**6)
    assert await PriceBook(database, clock).version(first.id) == first
    assert await book.version(PriceId("sha256:0")) is None


async def test_prices_change_over_at_their_very_moment_without_asking(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock, fresh_seconds=1000)
    now = await book.apply("m", ONE, "admin")
    change_ms = clock.now_ms() + 60_000
    later = await book.apply("m", TWO.model_copy(update={"effective_from": moment(change_ms)}), "admin")
    assert await book.current("m", ACME) == now
    await database.close()
    clock.advance((change_ms - 1 - clock.now_ms()) / 1000)
    assert clock.now_ms() == change_ms - 1
    assert await book.current("m", ACME) == now
    clock.advance(0.001)
    assert await book.current("m", ACME) == later
    assert await book.at("m", ACME, change_ms - 1) == now


async def test_a_call_pays_the_prices_of_its_admission_however_long_it_runs(
    database: Records, clock: ManualClock
) -> None:
    book = PriceBook(database, clock)
    admitted = await book.apply("m", ONE, "admin")
    clock.advance(60)
    await book.apply("m", TWO, "admin")
    run = Run(
        id=RunId("r"),
        request_id=RequestId("r"),
        tenant=ACME,
        project=ProjectName("p"),
        key_id=KeyId("k"),
        target="m",
        task=Task.CHAT,
        inputs={},
        request_hash="",
        price=admitted.id,
        created_ms=0,
    )
    used = Quantities(prompt_tokens=1000)
    assert (await book.run_costs(run))(used) == 1_000_000
    assert cost_of(used, await book.current("m", ACME) or admitted) == 2_000_000
    assert (await book.run_costs(run.model_copy(update={"price": None})))(used) is None


async def test_another_process_sees_a_new_version_within_seconds(database: Records, clock: ManualClock) -> None:
    here, there = PriceBook(database, clock, fresh_seconds=5), PriceBook(database, clock, fresh_seconds=5)
    first = await here.apply("m", ONE, "admin")
    assert await there.current("m", ACME) == first
    second = await here.apply("m", TWO, "admin")
    clock.advance(5)
    assert await there.current("m", ACME) == second


async def test_a_tenants_own_prices_come_first_and_can_be_taken_away(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock)
    common = await book.apply("m", ONE, "admin")
    own = await book.apply("m", TWO, "admin", ACME)
    assert await book.current("m", ACME) == own
    assert await book.current("m", "other") == common
    clock.advance(1)
    await book.apply("m", Prices(), "admin", ACME)
    assert await book.current("m", ACME) == common
    await book.apply("m", Prices(), "admin")
    assert await book.current("m", ACME) is None


async def test_a_price_that_is_zero_is_a_price(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock)
    free = await book.apply("m", Prices(prompt="0"), "admin")
    assert await book.current("m", ACME) == free


async def test_a_database_that_is_away_does_not_make_a_model_unpriced(
    database: Records, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = PriceBook(database, clock)
    made = await book.apply("m", ONE, "admin")
    assert await book.current("m", ACME) == made

    def away() -> Any:
        raise StorageUnavailable("The database does not answer.", "database_unavailable")

    monkeypatch.setattr(database, "read", away)
    clock.advance(60)
    assert await book.current("m", ACME) == made
    with pytest.raises(StorageUnavailable):
        await book.current("never asked for", ACME)


async def test_two_who_apply_the_same_together_make_one_version(database: Records) -> None:
    books = [PriceBook(database, SystemClock()) for _ in range(8)]
    made = await asyncio.gather(*(book.apply("m", ONE, "admin") for book in books))
    assert len({version.id for version in made}) == 1
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(price_versions)) == 1


# Free tiers

FREE = Prices.model_validate({"prompt": "1", "completion": "2", "freePerMonth": {"prompt_tokens": 1000}})
NUMBERS = itertools.count()


def event(
    used: Quantities, admitted_ms: int = 0, tenant: str = "acme", price: PriceVersion | None = None
) -> UsageEvent:
    number = next(NUMBERS)
    subject = UsageSubject(
        UsageId(f"{number}:1"),
        RequestId(str(number)),
        TenantName(tenant),
        ProjectName("p"),
        KeyId("k"),
        "m",
        "chat",
        admitted_ms,
        price=None if price is None else price.id,
    )
    return UsageEvent(subject, "s", number, UsageStatus.SUCCEEDED, Basis.MEASURED, True, used, 0, 0)


def attempt(version: PriceVersion, num_prompt: int, **of: Any) -> Booked:
    used = Quantities(prompt_tokens=num_prompt)
    made = event(used, price=version, **of)
    return Booked(made, Kind.ATTEMPT, cost_of(used, version), billed=used, id=str(made.id), price=version.id)


def correction(before: Booked, free_nano: int, version: PriceVersion, num_prompt: int, kind: Kind = Kind.CORRECTION):
    """What turns `before` into an attempt of `num_prompt` tokens, by `version`."""
    now, was = Quantities(prompt_tokens=num_prompt), before.billed
    stands = standing([before._replace(free_nano=free_nano)])
    return Booked(
        replace(before.event, quantities=now - was),
        kind,
        cost_of(now, version) - (before.cost_nano or 0),
        billed=now - was,
        id=f"{before.id}/m",
        corrects=before.event.id,
        price=version.id,
        before=stands,
    )


async def drawn(database: Records, *booked: Booked, versions: list[PriceVersion]) -> list[int]:
    async with database.write() as connection:
        return await draw_free(connection, booked, {version.id: version for version in versions})


async def used(database: Records) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.coalesce(func.sum(free_usage.c.used), 0))) or 0)


async def test_the_free_units_of_a_month_are_used_up_and_no_more(database: Records, clock: ManualClock) -> None:
    version = await PriceBook(database, clock).apply("m", FREE, "admin")
    booked = [attempt(version, number) for number in (400, 400, 400, 400)]
    assert await drawn(database, *booked[:2], versions=[version]) == [400_000, 400_000]
    assert await drawn(database, *booked[2:], versions=[version]) == [200_000, 0]
    assert await used(database) == 1000


async def test_months_tenants_and_what_is_not_free_are_apart(database: Records, clock: ManualClock) -> None:
    version = await PriceBook(database, clock).apply("m", FREE, "admin")
    january, february = 1_767_225_600_000, 1_769_904_000_000
    assert (month_of(february - 1), month_of(february)) == (january, february)
    booked = [attempt(version, 900, admitted_ms=at) for at in (january, february - 1, february)]
    booked.append(attempt(version, 900, admitted_ms=january, tenant="other"))
    assert await drawn(database, *booked, versions=[version]) == [900_000, 100_000, 900_000, 900_000]
    both = Quantities(prompt_tokens=10, completion_tokens=50)
    answer = Booked(event(both, february, "third", version), Kind.ATTEMPT, 0, billed=both, price=version.id)
    assert await drawn(database, answer, versions=[version]) == [10_000]


async def test_what_is_not_charged_takes_nothing_that_is_free(database: Records, clock: ManualClock) -> None:
    version = await PriceBook(database, clock).apply("m", FREE, "admin")
    lost = attempt(version, 400)._replace(billed=Quantities(), cost_nano=0)
    unpriced = attempt(version, 400)._replace(price=None, cost_nano=None)
    assert await drawn(database, lost, unpriced, versions=[version]) == [0, 0]
    assert await used(database) == 0


async def test_a_correction_gives_back_what_is_no_longer_needed(database: Records, clock: ManualClock) -> None:
    version = await PriceBook(database, clock).apply("m", FREE, "admin")
    first, second = attempt(version, 800), attempt(version, 800)
    assert await drawn(database, first, second, versions=[version]) == [800_000, 200_000]
    assert await drawn(database, correction(first, 800_000, version, 0), versions=[version]) == [-800_000]
    assert await used(database) == 200
    assert await drawn(database, correction(second, 200_000, version, 1100), versions=[version]) == [800_000]
    assert await used(database) == 1000
    async with database.read() as connection:
        rows = (await connection.execute(select(free_draws.c.usage_id, free_draws.c.amount))).all()
    assert [tuple(row) for row in rows] == [(second.id, 1000)]


async def test_another_price_values_the_same_free_units_anew(database: Records, clock: ManualClock) -> None:
    book = PriceBook(database, clock)
    version = await book.apply("m", FREE, "admin")
    dearer = await book.apply("m", FREE.model_copy(update={"prompt": "3"}), "admin")
    first = attempt(version, 600)
    assert await drawn(database, first, versions=[version, dearer]) == [600_000]
    again = correction(first, 600_000, dearer, 600, Kind.RERATING)
    assert await drawn(database, again, versions=[version, dearer]) == [1_200_000]
    assert await used(database) == 600


async def test_ledgers_that_book_together_share_no_free_unit(database: Records, clock: ManualClock) -> None:
    version = await PriceBook(database, clock).apply("m", FREE, "admin")
    batches = [[attempt(version, 30) for _ in range(5)] for _ in range(12)]
    found = await asyncio.gather(*(drawn(database, *batch, versions=[version]) for batch in batches))
    assert sum(map(sum, found)) == 1_000_000
    assert await used(database) == 1000
