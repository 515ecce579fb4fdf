"""What leased slices of budgets promise, on SQLite and on PostgreSQL: nobody spends more, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from fakes.budgets import (
    ACME,
    DEFAULT,
    KEY,
    add_budget,
    add_tenant,
    book,
    call,
    held_and_spent,
    num_holds,
    posting,
)
from fakes.effort import effort
from sqlalchemy import event

from serve.clock import SystemClock, Uuid7Ids
from serve.domain.errors import QuotaExceeded
from serve.domain.names import KeyId, ProjectName, RunId
from serve.domain.usage import UsageStatus
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets
from serve.metering.budgets.leases import Reservation
from serve.metering.budgets.wallets import Wallets
from serve.settings import MeteringSettings
from serve.storage.records import Records

CALL = 1_000_000
NUM_GATEWAYS = 3
SETTINGS = MeteringSettings()


@pytest.fixture
async def gateways(database_url: str) -> AsyncIterator[list[Wallets]]:
    """Three gateways with connections of their own to one database, and a tenant `acme`."""
    async with AsyncExitStack() as stack:
        processes = [Records(database_url) for _ in range(NUM_GATEWAYS)]
        for records in processes:
            stack.push_async_callback(records.close)
        await add_tenant(processes[0])
        made = [Wallets(one, SystemClock(), Uuid7Ids(), SETTINGS, f"gateway-{i}") for i, one in enumerate(processes)]
        for wallets in made:
            await wallets.start()
            stack.push_async_callback(wallets.stop)
        yield made


def records_of(gateways: list[Wallets]) -> Records:
    return gateways[0]._records


def budgets_of(gateways: list[Wallets]) -> Budgets:
    return Budgets(records_of(gateways), SystemClock(), Uuid7Ids())


async def attempt(wallets: Wallets, number: int, nano: int = CALL) -> Reservation | None:
    """A reservation, or None for a refusal."""
    try:
        made = await wallets.reserve(ACME, DEFAULT, KEY, nano, f"r{number}")
    except QuotaExceeded:
        return None
    assert made is not None
    return made


@pytest.mark.parametrize("num_used", [NUM_GATEWAYS, 1], ids=["evenly-spread", "all-on-one"])
async def test_of_a_hundred_calls_against_a_budget_for_ten_ten_are_admitted(
    gateways: list[Wallets], num_used: int
) -> None:
    await add_budget(budgets_of(gateways), 10 * CALL)
    asked = [attempt(gateways[number % num_used], number) for number in range(100)]
    admitted = [made for made in await asyncio.gather(*asked) if made]
    assert len(admitted) == 10
    assert await held_and_spent(records_of(gateways)) == (10 * CALL, 0)


async def test_what_another_gateway_does_not_use_is_had_within_the_bounded_wait(gateways: list[Wallets]) -> None:
    await add_budget(budgets_of(gateways), 100 * CALL)
    first = await attempt(gateways[0], 0)
    assert first is not None
    first.settle(0)
    assert await attempt(gateways[1], 1, 100 * CALL) is not None


async def test_a_refusal_names_the_budget_what_is_left_and_when_it_resets(gateways: list[Wallets]) -> None:
    state = await add_budget(budgets_of(gateways), 10 * CALL, Period.DAY, title="trial")
    with pytest.raises(QuotaExceeded) as refused:
        await gateways[0].reserve(ACME, DEFAULT, KEY, 11 * CALL)
    for part in (
        "daily budget 'trial'",
        "of $0.01, $0 is spent",
        "$0.011",
        "resets at 2",
        "T00:00:00",
        state.budget.id,
    ):
        assert part in str(refused.value)


async def test_the_tightest_of_all_budgets_that_apply_decides(gateways: list[Wallets]) -> None:
    budgets = budgets_of(gateways)
    await add_budget(budgets, 100 * CALL)
    await add_budget(budgets, 3 * CALL, Period.MONTH)
    await add_budget(budgets, 50 * CALL, Period.DAY)
    admitted = [made for made in [await attempt(gateways[0], number) for number in range(5)] if made]
    assert len(admitted) == 3


async def test_a_project_s_budget_is_no_matter_of_another_project(gateways: list[Wallets]) -> None:
    async with records_of(gateways).write() as connection:
        await connection.exec_driver_sql("INSERT INTO projects (tenant, name, created_ms) VALUES ('acme', 'web', 0)")
    await add_budget(budgets_of(gateways), CALL, project="web")
    assert await gateways[0].reserve(ACME, DEFAULT, KEY, 5 * CALL) is None
    with pytest.raises(QuotaExceeded, match=r"this project \(web\)"):
        await gateways[0].reserve(ACME, ProjectName("web"), KeyId("k2"), 5 * CALL)


async def test_a_tenant_without_budgets_reserves_nothing_and_a_soft_budget_refuses_nothing(
    gateways: list[Wallets],
) -> None:
    await add_budget(budgets_of(gateways), None, soft_nano=CALL)
    assert await gateways[0].reserve(ACME, DEFAULT, KEY, 10**15) is None
    await book(records_of(gateways), posting(call("r1", None, SystemClock().now_ms()), 2 * CALL))
    await gateways[0]._look(SystemClock().now_ms())
    assert [one.soft_nano for one in gateways[0].soft_exceeded(ACME, DEFAULT, KEY)] == [CALL]


async def test_what_a_call_did_not_cost_is_free_at_once_and_what_nobody_knows_once_it_is_booked(
    gateways: list[Wallets],
) -> None:
    await add_budget(budgets_of(gateways), 2 * CALL)
    first = await attempt(gateways[0], 0, 2 * CALL)
    assert first is not None
    first.settle(CALL)
    second = await attempt(gateways[0], 1)
    assert second is not None
    second.settle(None)
    assert await attempt(gateways[0], 2) is None
    canceled = call("r1", second.hold, SystemClock().now_ms(), status=UsageStatus.CANCELED)
    await book(records_of(gateways), posting(canceled, CALL // 4))
    assert await attempt(gateways[0], 3, CALL * 3 // 4) is not None
    assert await attempt(gateways[0], 4, 1) is None


async def test_stopping_gives_back_all_but_what_unbooked_calls_cost(gateways: list[Wallets]) -> None:
    await add_budget(budgets_of(gateways), 1000 * CALL)
    made = await attempt(gateways[0], 0)
    assert made is not None
    made.settle(CALL // 2)
    await gateways[0].stop()
    assert await held_and_spent(records_of(gateways)) == (CALL // 2, 0)
    await book(records_of(gateways), posting(call("r0", made.hold, SystemClock().now_ms()), CALL // 2))
    assert await held_and_spent(records_of(gateways)) == (0, CALL // 2)


async def test_a_run_holds_its_cost_until_it_is_dropped_and_takes_what_leases_do_not_use(
    gateways: list[Wallets],
) -> None:
    await add_budget(budgets_of(gateways), 10 * CALL)
    made = await attempt(gateways[0], 0)
    assert made is not None
    made.settle(0)
    hold = await gateways[1].hold_for_run(ACME, DEFAULT, KEY, RunId("run-1"), 10 * CALL)
    assert hold is not None
    assert await attempt(gateways[0], 1) is None
    with pytest.raises(QuotaExceeded):
        await gateways[2].hold_for_run(ACME, DEFAULT, KEY, RunId("run-2"), 1)
    await gateways[1].drop_run_hold(hold)
    assert await attempt(gateways[0], 2) is not None


async def test_a_call_that_is_canceled_while_it_waits_holds_nothing(gateways: list[Wallets]) -> None:
    await add_budget(budgets_of(gateways), 4 * CALL)
    waiting = [asyncio.create_task(attempt(gateways[0], number)) for number in range(4)]
    await asyncio.sleep(0)
    for task in waiting[:3]:
        task.cancel()
    await asyncio.wait(waiting)
    again = await asyncio.gather(*(attempt(gateways[1], number) for number in range(10, 16)))
    assert len([made for made in again if made]) == 3


async def test_lowering_a_limit_has_gateways_give_back_what_they_do_not_use(gateways: list[Wallets]) -> None:
    budgets = budgets_of(gateways)
    state = await add_budget(budgets, 1000 * CALL)
    assert await attempt(gateways[0], 0) is not None
    await budgets.update(state.budget.id, limit_nano=2 * CALL, soft_nano=None, title="")
    async with asyncio.timeout(60):
        while await held_and_spent(records_of(gateways)) != (CALL, 0):
            await asyncio.sleep(0.05)
    admitted = await asyncio.gather(*(attempt(gateways[number % 3], number) for number in range(1, 10)))
    assert len([made for made in admitted if made]) == 1


async def test_away_from_exhaustion_reservations_ask_nobody(gateways: list[Wallets]) -> None:
    await add_budget(budgets_of(gateways), 10**9 * CALL)
    statements = []
    engines = {records_of(gateways)._writer.sync_engine, records_of(gateways)._reader.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for number in range(2000):
        made = await attempt(gateways[0], number)
        assert made is not None
        made.settle(CALL // 2 if number % 10 else CALL)
    assert 0 < len(statements) < 2000 // 50


async def test_a_reservation_and_its_settlement_take_microseconds(gateways: list[Wallets]) -> None:
    await add_budget(budgets_of(gateways), 10**9 * CALL)
    for _ in range(3):
        large = await gateways[0].reserve(ACME, DEFAULT, KEY, 10**6 * CALL)
        assert large is not None
        large.settle(0)
    assert min([await seconds_per_call(gateways[0]) for _ in range(5)]) < 50e-6


async def seconds_per_call(wallets: Wallets, num_calls: int = 2000) -> float:
    """What a reservation and its settlement cost."""
    with effort() as spent:
        for _ in range(num_calls):
            made = await wallets.reserve(ACME, DEFAULT, KEY, CALL, "r")
            assert made is not None
            made.settle(CALL // 2)
    return spent.seconds / num_calls


async def test_leases_that_nobody_uses_are_returned(gateways: list[Wallets]) -> None:
    await add_budget(budgets_of(gateways), 1000 * CALL)
    made = await attempt(gateways[0], 0)
    assert made is not None
    made.settle(0)
    lease = next(iter(gateways[0]._allowances())).lease
    assert lease is not None
    lease.used_ms -= 20_000
    await gateways[0].turn()
    assert await held_and_spent(records_of(gateways)) == (0, 0)
    assert await num_holds(records_of(gateways), "released") == 1
