"""Which price versions every tenant pays, for all models at once."""

from datetime import UTC, datetime

from fakes.clock import ManualClock

from serve.domain.documents import Prices
from serve.metering.prices.price_book import PriceBook
from serve.storage.records import Records


async def test_the_version_in_force_is_the_last_that_has_begun(records: Records, clock: ManualClock):
    book = PriceBook(records, clock)
    first = await book.apply("a", Prices(prompt="1"), "k")
    clock.advance(1)
    second = await book.apply("a", Prices(prompt="2"), "k")
    later = datetime.fromtimestamp(clock.now_ms() / 1000 + 60, UTC)
    third = await book.apply("a", Prices(prompt="3", effective_from=later), "k")
    assert await book.in_force() == {"a": second.id}
    assert first.id != second.id
    clock.advance(120)
    assert await book.in_force() == {"a": third.id}


async def test_a_tenants_own_price_and_a_price_taken_away_are_not_in_force(records: Records, clock: ManualClock):
    book = PriceBook(records, clock)
    await book.apply("own", Prices(prompt="1"), "k", tenant="acme")
    await book.apply("gone", Prices(prompt="1"), "k")
    clock.advance(1)
    await book.apply("gone", Prices(), "k")
    assert await book.in_force() == {}
