"""One gateway's rate limits: what needs the database, what does not, and what is given back."""

import asyncio
from typing import Any

import pytest
from fakes.clock import ManualClock
from sqlalchemy import select

from serve.domain.errors import InvalidRequest, QuotaExceeded, RateLimited, StorageUnavailable
from serve.metering.rates.limits import DAY, SLICE_SECONDS, Limit
from serve.metering.rates.rates import Rates, Taken
from serve.storage.metering_tables import rate_buckets
from serve.storage.records import Records


class CountedRecords:
    """Records that count their writes, and fail them on demand."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.num_writes = 0
        self.is_away = False

    def write(self) -> Any:
        self.num_writes += 1
        if self.is_away:
            raise StorageUnavailable("away")
        return self._records.write()


@pytest.fixture
def counted(records: Records) -> CountedRecords:
    return CountedRecords(records)


@pytest.fixture
def rates(counted: CountedRecords, clock: ManualClock) -> Rates:
    return Rates(counted, clock)


def limit(most: int, unit: str = "requests", scope: str = "key:a", **options: Any) -> Limit:
    return Limit(scope, unit, most, "this key", **options)


async def granted(records: Records, scope: str = "key:a") -> int:
    """What the database says of a scope."""
    async with records.read() as connection:
        found = await connection.execute(select(rate_buckets.c.slots).where(rate_buckets.c.scope == scope))
        return sum(sum(slots.values()) for (slots,) in found)


async def take(rates: Rates, *demands: tuple[Limit, int]) -> Taken | None:
    try:
        return await rates.take(demands)
    except RateLimited:
        return None


async def test_far_from_exhaustion_most_calls_need_no_database(
    rates: Rates, counted: CountedRecords, clock: ManualClock
):
    for _ in range(1000):
        assert await take(rates, (limit(100_000), 1))
        clock.advance(0.01)
    assert counted.num_writes < 20


async def test_callers_who_do_not_wait_reach_the_database_a_few_times_a_second(
    rates: Rates, counted: CountedRecords, clock: ManualClock
):
    assert await take(rates, (limit(5), 5))
    before = counted.num_writes
    for _ in range(1000):
        assert not await take(rates, (limit(5), 1))
        clock.advance(0.001)
    assert counted.num_writes - before <= 5


async def test_a_refusal_says_which_limit_and_when_there_is_room(rates: Rates, clock: ManualClock):
    await rates.take([(limit(5), 5)])
    clock.advance(10)
    with pytest.raises(RateLimited, match="5 requests a minute of this key") as refused:
        await rates.take([(limit(5), 1)])
    assert refused.value.retry_after_seconds is not None
    clock.advance(refused.value.retry_after_seconds - 0.01)
    assert not await take(rates, (limit(5), 1))
    clock.advance(0.02)
    assert await take(rates, (limit(5), 5))


async def test_all_limits_of_a_call_are_taken_or_none(rates: Rates, records: Records, clock: ManualClock):
    wide, narrow = limit(100, scope="tenant:a"), limit(1, scope="key:a")
    assert await take(rates, (wide, 1), (narrow, 1))
    for _ in range(5):
        assert not await take(rates, (wide, 1), (narrow, 1))
        clock.advance(1)
    clock.advance(SLICE_SECONDS)
    await rates.settle()
    assert await granted(records, "tenant:a") == 1


async def test_the_limit_that_has_room_last_is_the_one_that_is_told(rates: Rates, clock: ManualClock):
    minute, day = limit(2), limit(2, window=DAY)
    await rates.take([(minute, 2), (day, 2)])
    with pytest.raises(RateLimited, match="2 requests a day") as refused:
        await rates.take([(minute, 1), (day, 1)])
    assert (refused.value.retry_after_seconds or 0) > 86_400


async def test_what_a_slice_has_left_goes_back_when_its_time_is_over(
    rates: Rates, records: Records, clock: ManualClock
):
    for _ in range(100):
        await rates.take([(limit(100_000), 1)])
    assert await granted(records) > 100
    clock.advance(SLICE_SECONDS)
    await rates.settle()
    assert await granted(records) == 100


async def test_units_that_were_not_needed_are_there_again(rates: Rates, records: Records, clock: ManualClock):
    tokens = limit(1000, "tokens")
    taken = await rates.take([(tokens, 900)])
    assert not await take(rates, (tokens, 900))
    taken.give_back("tokens", 890)
    assert await take(rates, (tokens, 900))
    late = await take(rates, (tokens, 50))
    assert late is not None
    clock.advance(30)
    late.give_back("tokens", 50)
    await rates.settle()
    assert await granted(records) == 910


async def test_no_more_is_given_back_than_was_taken(rates: Rates):
    tokens = limit(100, "tokens")
    taken = await rates.take([(tokens, 10), (limit(10), 1)])
    taken.give_back("tokens", 7)
    taken.give_back("tokens", 1000)
    taken.give_back("tokens", -5)
    assert rates.standings([tokens])[0].remaining == 100
    assert rates.standings([limit(10)])[0].remaining == 9


async def test_what_could_not_be_given_back_counts_as_used(
    rates: Rates, counted: CountedRecords, records: Records, clock: ManualClock
):
    taken = await rates.take([(limit(10), 4)])
    clock.advance(SLICE_SECONDS)
    taken.give_all_back()
    counted.is_away = True
    with pytest.raises(StorageUnavailable):
        await rates.settle()
    with pytest.raises(StorageUnavailable):
        await rates.take([(limit(10), 1)])
    counted.is_away = False
    assert await take(rates, (limit(10), 6))
    assert not await take(rates, (limit(10), 1))
    assert await granted(records) == 10


async def test_calls_that_come_together_share_one_slice(rates: Rates, counted: CountedRecords):
    outcomes = await asyncio.gather(*(take(rates, (limit(100), 1)) for _ in range(150)))
    assert sum(outcome is not None for outcome in outcomes) == 100
    assert counted.num_writes < 30


async def test_a_stopped_gateway_keeps_nothing(counted: CountedRecords, records: Records, clock: ManualClock):
    rates = Rates(counted, clock)
    await rates.start()
    for _ in range(10):
        await rates.take([(limit(1000), 1)])
    await rates.stop()
    assert await granted(records) == 10


async def test_standings_tell_what_is_left_and_when_all_of_it_is_back(rates: Rates, clock: ManualClock):
    assert rates.standings([limit(10)])[0].remaining == 10
    taken = await rates.take([(limit(10), 3)])
    assert taken.standings[0].remaining == 7
    assert 60 < taken.standings[0].reset_seconds <= 65
    clock.advance(65)
    assert (rates.standings([limit(10)])[0].remaining, rates.standings([limit(10)])[0].reset_seconds) == (10, 0)


async def test_more_than_a_whole_limit_is_refused_for_good(rates: Rates, counted: CountedRecords):
    with pytest.raises(InvalidRequest, match="max_tokens") as refused:
        await rates.take([(limit(10, "tokens"), 11)])
    assert refused.value.code == "request_over_limit"
    with pytest.raises(QuotaExceeded):
        await rates.take([(limit(0), 1)])
    assert counted.num_writes == 0
