"""Budgets, bookings and sums, for tests of wallets and spending."""

from dataclasses import replace
from typing import Any

from fakes.ledger import event
from sqlalchemy import func, insert, select

from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.usage import HoldId, UsageEvent
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets, BudgetState, NewBudget
from serve.metering.budgets.spending import spend
from serve.metering.ledger import postings
from serve.metering.ledger.booking import Booked, Kind
from serve.metering.ledger.statements import insert_rows
from serve.storage.metering_tables import budget_accounts, holds, usage_events
from serve.storage.records import Records
from serve.storage.tables import tenants

ACME, DEFAULT, KEY = TenantName("acme"), ProjectName("default"), KeyId("k1")


async def add_tenant(records: Records, name: str = "acme", billing: str = "postpaid") -> None:
    """A tenant, without a project."""
    async with records.write() as connection:
        await connection.execute(insert(tenants).values(name=name, webhook_secret="", created_ms=0, billing=billing))


async def add_budget(made: Budgets, limit_nano: int | None, period: Period = Period.TOTAL, **more: Any) -> BudgetState:
    """A budget of acme's."""
    return await made.create(NewBudget(ACME, period, limit_nano, more.pop("soft_nano", None), **more))


def call(request_id: str, hold: HoldId | None, at_ms: int, **changes: Any) -> UsageEvent:
    """The event of a call that drew on `hold`."""
    made = event(1, admitted_ms=at_ms, **changes)
    return replace(
        made, subject=replace(made.subject, id=f"{request_id}:1", request_id=RequestId(request_id), hold=hold)
    )


def posting(of: UsageEvent, cost_nano: int, **more: Any) -> Booked:
    """The posting of a call's first booking."""
    return Booked(of, Kind.ATTEMPT, cost_nano, id=str(of.id), **more)


async def book(records: Records, *booked: Booked, now_ms: int = 0) -> list[int]:
    """Spend and insert, as the ledger does."""
    async with records.write() as connection:
        credit = await spend(connection, booked, now_ms)
        rows = [one._replace(credit_nano=nano) for one, nano in zip(booked, credit, strict=True)]
        await insert_rows(connection, usage_events, [postings.row_of(one) for one in rows])
    return credit


async def held_and_spent(records: Records) -> tuple[int, int]:
    """Sums over all accounts, checked: what accounts hold is what holds hold, each in each of its accounts."""
    async with records.read() as connection:
        sums = [func.coalesce(func.sum(budget_accounts.c[name]), 0) for name in ("held_nano", "spent_nano")]
        held, spent = (await connection.execute(select(*sums))).one()
    return int(held), int(spent)


async def num_holds(records: Records, state: str) -> int:
    """How many holds there are in this state."""
    async with records.read() as connection:
        return int((await connection.execute(select(func.count()).where(holds.c.state == state))).scalar_one())
