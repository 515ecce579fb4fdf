"""Rate limits over several gateways: exact in any minute, and most of them usable, on either database."""

import asyncio
import random
from bisect import bisect_left

import pytest
from fakes.clock import ManualClock

from serve.clock import SystemClock
from serve.domain.errors import RateLimited
from serve.metering.rates.limits import DAY, Limit
from serve.metering.rates.rates import Rates
from serve.storage.records import Records

MINUTE_MS = 60_000


def most_in_any(times: list[int], window_ms: int) -> int:
    """The most of `times` (sorted) that lie in one window, wherever it begins."""
    return max((bisect_left(times, begin + window_ms) - index for index, begin in enumerate(times)), default=0)


async def granted(limiter: Rates, limit: Limit, units: int) -> bool:
    try:
        await limiter.take([(limit, units)])
    except RateLimited:
        return False
    return True


@pytest.mark.parametrize("most", [6, 600])
async def test_three_gateways_never_grant_more_than_the_limit_in_a_minute_and_nearly_all_of_it(
    database: Records, clock: ManualClock, most: int
) -> None:
    limiters = [Rates(database, clock) for _ in range(3)]
    limit, chance, times = Limit("key:a", "requests", most, "this key"), random.Random(most), list[int]()
    num_seconds = 190  # just before what is free again after three times the limit
    for _ in range(num_seconds):
        for limiter in chance.sample(limiters, 2):
            for _ in range(chance.choice([0, 1, max(1, most // 20)])):
                if await granted(limiter, limit, 1):
                    times.append(clock.now_ms())
        if chance.random() < 0.1:
            await chance.choice(limiters).settle()
        clock.advance(1)
    assert most_in_any(times, MINUTE_MS) <= most
    assert len(times) >= 0.9 * most * num_seconds / 60


async def test_a_limit_of_fifty_admits_fifty_of_a_hundred_that_come_together(database: Records) -> None:
    limiters = [Rates(database, SystemClock()) for _ in range(3)]
    limit = Limit("key:a", "requests", 50, "this key")
    outcomes = await asyncio.gather(*(granted(limiters[number % 3], limit, 1) for number in range(100)))
    assert 45 <= sum(outcomes) <= 50


async def test_what_one_gateway_gives_back_another_grants(database: Records, clock: ManualClock) -> None:
    first, second = Rates(database, clock), Rates(database, clock)
    limit = Limit("key:a", "tokens", 1000, "this key")
    taken = await first.take([(limit, 1000)])
    assert not await granted(second, limit, 1)
    clock.advance(3)
    taken.give_back("tokens", 900)
    await first.settle()
    assert await granted(second, limit, 900)
    assert not await granted(second, limit, 1)


async def test_a_gateway_whose_clock_is_ahead_does_not_let_more_through(database: Records) -> None:
    clock, ahead = ManualClock(), ManualClock()
    ahead.advance(0.9)
    slow, fast = Rates(database, clock), Rates(database, ahead)
    limit, times = Limit("key:a", "requests", 20, "this key"), list[int]()
    for _ in range(130):
        for limiter in (fast, slow):
            if await granted(limiter, limit, 1):
                times.append(clock.now_ms())
        clock.advance(1)
        ahead.advance(1)
    assert most_in_any(times, MINUTE_MS) <= 20
    assert len(times) >= 36


async def test_rows_go_when_nothing_counts_of_them(database: Records, clock: ManualClock) -> None:
    limiter = Rates(database, clock)
    minute, day = Limit("key:a", "requests", 5, "this key"), Limit("key:a", "requests", 5, "this key", DAY)
    await limiter.take([(minute, 5), (day, 5)])
    clock.advance(600)
    await limiter.sweep()
    assert await granted(limiter, minute, 5)
    assert not await granted(Rates(database, clock), day, 1)
    clock.advance(90_000)
    assert await granted(Rates(database, clock), day, 5)
