"""Budgets, credit, and what booked usage does to them, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace

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
from fakes.clock import CountingIds, ManualClock
from sqlalchemy import func, insert, select, update

from serve.domain.errors import InvalidRequest, NotFound, QuotaExceeded
from serve.domain.names import RunId, TenantName
from serve.domain.usage import HoldId
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets, budget_states
from serve.metering.budgets.credits import Credits
from serve.metering.budgets.leases import Reservation
from serve.metering.budgets.sweeping import HoldSweep
from serve.metering.budgets.wallets import Wallets
from serve.metering.ledger.booking import Booked, Kind, Standing
from serve.settings import MeteringSettings
from serve.storage.metering_tables import grants, usage_hours, usage_sources
from serve.storage.records import Records
from serve.storage.tables import runs

USD = 10**9
GRACE_SECONDS = 60.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Records]:
    """A migrated database with a tenant `acme`."""
    made = Records(database_url)
    await add_tenant(made)
    yield made
    await made.close()


@pytest.fixture
def budgets(database: Records, clock: ManualClock, ids: CountingIds) -> Budgets:
    return Budgets(database, clock, ids)


@pytest.fixture
def credit(database: Records, clock: ManualClock, ids: CountingIds) -> Credits:
    return Credits(database, clock, ids)


@pytest.fixture
def wallets(database: Records, clock: ManualClock, ids: CountingIds) -> Wallets:
    return Wallets(database, clock, ids, MeteringSettings(), "gateway")


@pytest.fixture
def sweep(database: Records, clock: ManualClock) -> HoldSweep:
    return HoldSweep(database, clock, GRACE_SECONDS)


async def reserved(wallets: Wallets, nano: int, request_id: str = "r1") -> Reservation:
    made = await wallets.reserve(ACME, DEFAULT, KEY, nano, request_id)
    assert made is not None
    return made


async def passed(sweep: HoldSweep, clock: ManualClock, seconds: float) -> int:
    """Let time pass, with a sweep every ten seconds; how many holds were released."""
    num_released = await sweep.sweep()
    for _ in range(round(seconds / 10)):
        clock.advance(10)
        num_released += await sweep.sweep()
    return num_released


def corrected(before: Booked, cost_nano: int) -> Booked:
    """What makes a posting of `before` cost `cost_nano` in all."""
    stands = Standing(
        before.event, before.cost_nano, before.free_nano, before.credit_nano, None, 0, frozenset(), frozenset()
    )
    return Booked(
        before.event,
        Kind.CORRECTION,
        cost_nano - (before.cost_nano or 0),
        id=f"{before.event.id}/m",
        corrects=before.event.id,
        before=stands,
    )


async def test_a_budget_counts_what_its_period_s_calls_cost_less_what_was_free(
    database: Records, budgets: Budgets, clock: ManualClock
) -> None:
    made = await add_budget(budgets, 10 * USD, Period.DAY, soft_nano=2 * USD)
    paid, free = call("r1", None, clock.now_ms()), call("r2", None, clock.now_ms())
    await book(database, posting(paid, 2 * USD), posting(free, 3 * USD, free_nano=2 * USD))
    state = await budgets.get(made.budget.id)
    assert (state.spent_nano, state.remaining_nano, state.soft_exceeded) == (3 * USD, 7 * USD, True)
    clock.advance(86_400)
    state = await budgets.get(made.budget.id)
    assert (state.spent_nano, state.remaining_nano, state.soft_exceeded) == (0, 10 * USD, False)


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        (Period.DAY, 1_767_225_599_999, 1_767_139_200_000, 1_767_225_600_000),
        (Period.MONTH, 1_767_225_599_999, 1_764_547_200_000, 1_767_225_600_000),
        (Period.MONTH, 1_767_225_600_000, 1_767_225_600_000, 1_769_904_000_000),
        (Period.TOTAL, 1_767_225_600_000, 0, None),
    ],
    ids=["day", "december", "january", "total"],
)
def test_periods_begin_and_end_at_midnight_utc(period: Period, now: int, start: int, end: int | None) -> None:
    assert (period.start_ms(now), period.end_ms(now)) == (start, end)


async def test_a_budget_made_in_mid_period_counts_what_was_spent_in_it_before(
    database: Records, budgets: Budgets, clock: ManualClock
) -> None:
    row = {column.name: 0 for column in usage_hours.columns}
    texts = {column.name: "" for column in usage_hours.columns if column.type.python_type is str}
    day_ms = Period.DAY.start_ms(clock.now_ms())
    hours = [(1, day_ms, ACME, 3 * USD), (2, day_ms - 3_600_000, ACME, 5 * USD), (3, day_ms, "other", 7 * USD)]
    async with database.write() as connection:
        for number, hour_ms, tenant, cost in hours:
            mine = {"id": str(number), "hour_ms": hour_ms, "tenant": tenant, "cost_nano": cost}
            await connection.execute(insert(usage_hours).values(row | texts | mine))
    assert (await add_budget(budgets, USD, Period.DAY)).spent_nano == 3 * USD
    assert (await add_budget(budgets, USD, Period.TOTAL)).spent_nano == 0


async def test_budgets_of_nobody_are_refused_and_deleted_ones_limit_nothing(
    budgets: Budgets, wallets: Wallets, clock: ManualClock
) -> None:
    for wrong in ({"project": "nowhere"}, {"key_id": "k9"}):
        with pytest.raises(NotFound):
            await add_budget(budgets, USD, **wrong)
    with pytest.raises(InvalidRequest, match="soft limit"):
        await add_budget(budgets, None)
    made = await add_budget(budgets, 1)
    with pytest.raises(NotFound):
        await budgets.get(made.budget.id, TenantName("other"))
    await budgets.delete(made.budget.id)
    with pytest.raises(NotFound):
        await budgets.get(made.budget.id)
    assert await wallets.reserve(ACME, DEFAULT, KEY, USD) is None


async def test_a_lease_ends_with_the_period_and_what_it_held_does_not_reach_the_next(
    database: Records, budgets: Budgets, wallets: Wallets, clock: ManualClock
) -> None:
    made = await add_budget(budgets, 4 * USD, Period.DAY)
    yesterday = await reserved(wallets, 3 * USD)
    clock.advance(86_400)
    today = await reserved(wallets, 3 * USD, "r2")
    assert today.hold != yesterday.hold
    await book(database, posting(call("r1", yesterday.hold, clock.now_ms() - 86_400_000), 3 * USD))
    assert (await budgets.get(made.budget.id)).spent_nano == 0
    await wallets.turn()
    assert await held_and_spent(database) == (3 * USD, 3 * USD)


async def test_a_dead_gateway_s_lease_is_used_no_more_and_comes_back_after_the_grace(
    database: Records, budgets: Budgets, wallets: Wallets, sweep: HoldSweep, clock: ManualClock, ids: CountingIds
) -> None:
    await add_budget(budgets, 4 * USD)
    await reserved(wallets, 4 * USD)
    await passed(sweep, clock, 60)
    other = Wallets(database, clock, ids, MeteringSettings(), "other")
    with pytest.raises(QuotaExceeded):
        await other.reserve(ACME, DEFAULT, KEY, USD)
    assert await passed(sweep, clock, 40) == 1
    again = await reserved(other, 4 * USD)
    with pytest.raises(QuotaExceeded):
        await wallets.reserve(ACME, DEFAULT, KEY, 1)
    assert again.nano == 4 * USD


async def test_what_a_dead_gateway_s_replicas_have_not_reported_yet_stays_held(
    database: Records, budgets: Budgets, wallets: Wallets, sweep: HoldSweep, clock: ManualClock
) -> None:
    await add_budget(budgets, 4 * USD)
    made = await reserved(wallets, 4 * USD)
    began_ms = clock.now_ms()
    await add_source(database, began_ms)
    for _ in range(30):
        assert await reported(database, sweep, clock) == 0
    await book(database, posting(call("r1", made.hold, began_ms), 3 * USD))
    assert await held_and_spent(database) == (USD, 3 * USD)
    async with database.write() as connection:
        await connection.execute(update(usage_sources).values(oldest_open_ms=None))
    assert await sweep.sweep() == 1
    assert await held_and_spent(database) == (0, 3 * USD)


async def test_a_call_that_stays_open_is_waited_for_ten_graces_after_its_lease_died(
    database: Records, budgets: Budgets, wallets: Wallets, sweep: HoldSweep, clock: ManualClock
) -> None:
    await add_budget(budgets, 4 * USD)
    await reserved(wallets, 4 * USD)
    died_ms = clock.now_ms() + round(MeteringSettings().lease_seconds * 1000)
    await add_source(database, clock.now_ms())
    while clock.now_ms() + 10_000 <= died_ms + 10 * GRACE_SECONDS * 1000:
        assert await reported(database, sweep, clock) == 0
    assert await held_and_spent(database) == (4 * USD, 0)
    assert await reported(database, sweep, clock) == 1
    assert await held_and_spent(database) == (0, 0)


async def add_source(database: Records, now_ms: int) -> None:
    """A replica that reports, with a call that is open since now."""
    row = {column.name: 0 for column in usage_sources.columns} | {"cumulative": {}, "booked": {}, "counters": {}}
    source = row | {"source": "s", "model": "m", "gaps": [], "reported_ms": now_ms, "oldest_open_ms": now_ms}
    async with database.write() as connection:
        await connection.execute(insert(usage_sources).values(source))


async def reported(database: Records, sweep: HoldSweep, clock: ManualClock) -> int:
    """Let ten seconds pass, have the replica say that nothing changed, and sweep; how many holds were released."""
    clock.advance(10)
    async with database.write() as connection:
        await connection.execute(update(usage_sources).values(reported_ms=clock.now_ms()))
    return await sweep.sweep()


@pytest.mark.parametrize("ending", ["booked", "never-ran", "lost", "never-written"])
async def test_a_run_s_hold_goes_when_nothing_more_can_be_booked_for_it(
    database: Records, budgets: Budgets, wallets: Wallets, sweep: HoldSweep, clock: ManualClock, ending: str
) -> None:
    await add_budget(budgets, 4 * USD)
    hold = await wallets.hold_for_run(ACME, DEFAULT, KEY, RunId("run-1"), 4 * USD)
    await passed(sweep, clock, 60)
    if ending != "never-written":
        await add_run(database, hold, 0 if ending == "never-ran" else 2)
        assert await passed(sweep, clock, 700) == 0
        async with database.write() as connection:
            await connection.execute(update(runs).values(finished_ms=clock.now_ms()))
    if ending == "booked":
        retried, last = call("q1", hold, clock.now_ms()), call("q1", hold, clock.now_ms())
        retried = replace(retried, subject=replace(retried.subject, run_id=RunId("run-1")))
        last = replace(last, subject=replace(last.subject, id="q1:2"))
        await book(database, posting(retried, 0))
        assert await sweep.sweep() == 0
        await book(database, posting(last, USD))
    num_soon = await sweep.sweep()
    assert num_soon == (1 if ending in ("booked", "never-ran") else 0)
    assert num_soon + await passed(sweep, clock, 700) == 1
    assert await held_and_spent(database) == (0, USD if ending == "booked" else 0)


async def add_run(database: Records, hold: HoldId | None, attempt: int) -> None:
    """A run that has had `attempt` attempts, and runs."""
    row = {column.name: 0 for column in runs.columns if not column.nullable and column.type.python_type is int}
    texts = {column.name: "x" for column in runs.columns if not column.nullable and column.type.python_type is str}
    mine = {"id": "run-1", "request_id": "q1", "hold": hold, "attempt": attempt, "inputs": {}, "finished_ms": None}
    async with database.write() as connection:
        await connection.execute(insert(runs).values(row | texts | mine))


async def test_credit_is_drawn_by_priority_then_by_what_expires_first(
    database: Records, credit: Credits, clock: ManualClock
) -> None:
    later = clock.now_ms() + 1_000_000
    last = await credit.grant(ACME, USD, priority=5)
    third = await credit.grant(ACME, USD)
    second = await credit.grant(ACME, USD, expires_ms=later + 1)
    first = await credit.grant(ACME, USD, expires_ms=later)
    await credit.grant(ACME, USD, starts_ms=later)
    assert [one.id for one in (await credit.balance(ACME)).grants] == [one.id for one in (first, second, third, last)]
    paid = await book(database, posting(call("r1", None, clock.now_ms()), 3 * USD + USD // 2))
    assert paid == [3 * USD + USD // 2]
    balance = await credit.balance(ACME)
    assert (balance.remaining_nano, [one.remaining_nano for one in balance.grants]) == (USD // 2, [0, 0, 0, USD // 2])
    assert await book(database, posting(call("r2", None, clock.now_ms()), 2 * USD)) == [USD // 2]


async def test_a_correction_gives_credit_back_after_what_the_bill_would_have_paid(
    database: Records, credit: Credits, clock: ManualClock
) -> None:
    await credit.grant(ACME, 3 * USD)
    first = posting(call("r1", None, clock.now_ms()), 5 * USD)
    (paid,) = await book(database, first)
    assert paid == 3 * USD
    (returned,) = await book(database, corrected(first._replace(credit_nano=paid), 1 * USD))
    assert returned == -2 * USD
    assert (await credit.balance(ACME)).remaining_nano == 2 * USD


async def test_a_prepaid_tenant_reserves_from_its_credit_and_no_more(
    database: Records, wallets: Wallets, credit: Credits, clock: ManualClock
) -> None:
    paid = TenantName("paid")
    await add_tenant(database, paid, "prepaid")
    with pytest.raises(QuotaExceeded, match="prepaid credit"):
        await wallets.reserve(paid, DEFAULT, KEY, 1)
    grant = await credit.grant(paid, 2 * USD, expires_ms=clock.now_ms() + 1000)
    made = await wallets.reserve(paid, DEFAULT, KEY, 2 * USD, "r1")
    assert made is not None
    with pytest.raises(QuotaExceeded, match=r"\$2 is left, of which \$2 is held"):
        await wallets.reserve(paid, DEFAULT, KEY, 1, "r2")
    made.settle(USD)
    used = call("r1", made.hold, clock.now_ms())
    used = replace(used, subject=replace(used.subject, tenant=paid))
    assert await book(database, posting(used, USD)) == [USD]
    assert (await credit.balance(paid)).remaining_nano == USD
    clock.advance(1)
    assert (await credit.balance(paid)).grants == ()
    await credit.void(grant.id)
    with pytest.raises(NotFound):
        await credit.void(grant.id)


async def test_a_booking_that_comes_after_its_hold_was_released_is_spent_all_the_same(
    database: Records, budgets: Budgets, wallets: Wallets, sweep: HoldSweep, clock: ManualClock
) -> None:
    made = await add_budget(budgets, 4 * USD)
    late = await reserved(wallets, 2 * USD)
    await passed(sweep, clock, 120)
    assert await num_holds(database, "released") == 1
    await book(database, posting(call("r1", late.hold, clock.now_ms()), USD))
    state = await budgets.get(made.budget.id)
    assert (state.spent_nano, state.held_nano) == (USD, 0)


async def test_released_holds_are_forgotten_after_a_week(
    database: Records, budgets: Budgets, wallets: Wallets, sweep: HoldSweep, clock: ManualClock
) -> None:
    await add_budget(budgets, 4 * USD)
    await reserved(wallets, 2 * USD)
    await passed(sweep, clock, 120)
    clock.advance(7 * 86_400 + 1)
    await sweep.sweep()
    assert await num_holds(database, "released") == 0


async def test_all_budgets_are_told_of_for_metrics(database: Records, budgets: Budgets, clock: ManualClock) -> None:
    await add_budget(budgets, 4 * USD, Period.MONTH)
    await add_budget(budgets, None, soft_nano=1)
    found = await budget_states(database, clock.now_ms())
    assert [(state.remaining_nano, state.soft_exceeded) for state in found] == [(4 * USD, False), (None, False)]


async def test_grants_sum_up_for_every_tenant(database: Records, credit: Credits) -> None:
    with pytest.raises(InvalidRequest):
        await credit.grant(ACME, 0)
    with pytest.raises(NotFound):
        await credit.grant(TenantName("nobody"), 1)
    await credit.grant(ACME, 5)
    assert [one.amount_nano for one in await credit.list()] == [5]
    async with database.read() as connection:
        assert (await connection.execute(select(func.sum(grants.c.remaining_nano)))).scalar_one() == 5
