"""Budgets: made, changed and looked at, with what is spent and held against each.

A budget that is made in mid-period counts what was spent in that period before. Lowering a limit has gateways give
back what they hold and do not use.
"""

import builtins
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.names import TenantName
from serve.domain.ports import Clock, Ids
from serve.metering.budgets import holds
from serve.metering.budgets.accounts import BUDGETS, AccountId, Budget, Period, budget_of, budgets_of, is_one_of, post
from serve.storage.key_lines import bound_by, family_of
from serve.storage.metering_tables import budget_accounts, budgets, usage_hours
from serve.storage.records import Records
from serve.storage.tables import keys, projects, tenants

ADMIN = "admin"
TENANT = "tenant"
MAX_PER_TENANT = 1000
"""Budgets of one tenant: every call of it looks through those it has."""
_MAX_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget, and how its present period stands."""

    budget: Budget
    period_ms: int
    spent_nano: int
    held_nano: int
    resets_ms: int | None

    @property
    def remaining_nano(self) -> int | None:
        """What may still be promised; None without a limit. Below zero after the limit was lowered."""
        limit = self.budget.limit_nano
        return None if limit is None else limit - self.spent_nano - self.held_nano

    @property
    def soft_exceeded(self) -> bool:
        """Whether more is spent than the soft limit says."""
        return self.budget.soft_nano is not None and self.spent_nano > self.budget.soft_nano


@dataclass(frozen=True, slots=True)
class NewBudget:
    """What is asked for. See `Budget`."""

    tenant: TenantName
    period: Period
    limit_nano: int | None
    soft_nano: int | None
    project: str = ""
    key_id: str = ""
    title: str = ""
    set_by: str = TENANT


class Budgets:
    """The budgets of this installation. Whom a caller may set them for is the caller's matter."""

    def __init__(self, records: Records, clock: Clock, ids: Ids) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids

    async def create(self, new: NewBudget) -> BudgetState:
        """Make a budget; its present period counts what was spent before.

        Raises:
            InvalidRequest: no limit at all, or a title that is not a line.
            NotFound: no such tenant, or no such project or key of it.
        """
        _check_limits(new.limit_nano, new.soft_nano)
        _check_title(new.title)
        now_ms = self._clock.now_ms()
        given = {field.name: getattr(new, field.name) for field in fields(NewBudget)}
        budget = Budget(id=self._ids.new(), created_ms=now_ms, updated_ms=now_ms, **given)
        async with self._records.write() as connection:
            await _check_owner(connection, new)
            if new.key_id:
                budget = replace(budget, family=await family_of(connection, new.key_id))
            await connection.execute(insert(budgets).values({name: getattr(budget, name) for name in _COLUMNS}))
            spent = await _spent_before(connection, budget, now_ms)
            await post(connection, {budget.account(now_ms): (spent, 0)})
        return _state(budget, (spent, 0), now_ms)

    async def list(self, tenant: TenantName | None = None) -> builtins.list[BudgetState]:
        """A tenant's, or everybody's, in the order they were made."""
        query = BUDGETS.where(budgets.c.deleted_ms.is_(None)).order_by(budgets.c.id).limit(_MAX_LISTED)
        if tenant is not None:
            query = query.where(budgets.c.tenant == tenant)
        async with self._records.read() as connection:
            rows = await connection.execute(query)
            return await _states(connection, [budget_of(row) for row in rows], self._clock.now_ms())

    async def get(self, budget_id: str, tenant: TenantName | None = None) -> BudgetState:
        """One budget; of `tenant`, if it is given. Raises NotFound, for another tenant's too."""
        async with self._records.read() as connection:
            budget = await _find(connection, budget_id, tenant)
            return (await _states(connection, [budget], self._clock.now_ms()))[0]

    async def update(self, budget_id: str, *, limit_nano: int | None, soft_nano: int | None, title: str) -> BudgetState:
        """Set limits and title. Gateways follow within seconds. Raises InvalidRequest and NotFound."""
        _check_limits(limit_nano, soft_nano)
        _check_title(title)
        now_ms = self._clock.now_ms()
        async with self._records.write() as connection:
            before = await _find(connection, budget_id, None)
            after = replace(before, limit_nano=limit_nano, soft_nano=soft_nano, title=title, updated_ms=now_ms)
            changed = {name: getattr(after, name) for name in ("limit_nano", "soft_nano", "title", "updated_ms")}
            await connection.execute(update(budgets).where(budgets.c.id == budget_id).values(changed))
            await holds.recall(connection, [after.account(now_ms)], "", now_ms)
            return (await _states(connection, [after], now_ms))[0]

    async def delete(self, budget_id: str) -> None:
        """Limit no longer. Raises NotFound."""
        now_ms = self._clock.now_ms()
        async with self._records.write() as connection:
            budget = await _find(connection, budget_id, None)
            await connection.execute(update(budgets).where(budgets.c.id == budget.id).values(deleted_ms=now_ms))


_COLUMNS = tuple(field.name for field in fields(Budget) if field.name in budgets.c)


async def budget_states(records: Records, now_ms: int) -> list[BudgetState]:
    """Every budget with how it stands: what metrics and alerts are made of."""
    async with records.read() as connection:
        rows = await connection.execute(BUDGETS.where(budgets.c.deleted_ms.is_(None)).limit(_MAX_LISTED))
        return await _states(connection, [budget_of(row) for row in rows], now_ms)


async def _states(connection: AsyncConnection, found: list[Budget], now_ms: int) -> list[BudgetState]:
    sums: dict[AccountId, tuple[int, int]] = {}
    accounts = [budget.account(now_ms) for budget in found]
    for start in range(0, len(accounts), 500):
        query = select(budget_accounts).where(is_one_of(accounts[start : start + 500]))
        for row in await connection.execute(query):
            sums[AccountId(row.budget_id, row.period_ms)] = (row.spent_nano, row.held_nano)
    return [_state(budget, sums.get(budget.account(now_ms), (0, 0)), now_ms) for budget in found]


def _state(budget: Budget, sums: tuple[int, int], now_ms: int) -> BudgetState:
    return BudgetState(budget, budget.period.start_ms(now_ms), *sums, budget.period.end_ms(now_ms))


async def _spent_before(connection: AsyncConnection, budget: Budget, now_ms: int) -> int:
    """What the roll-ups say of the period so far; a total counts from now on."""
    if budget.period is Period.TOTAL:
        return 0
    columns = usage_hours.c
    wanted = (columns.tenant == budget.tenant) & (columns.hour_ms >= budget.period.start_ms(now_ms))
    if budget.project:
        wanted &= columns.project == budget.project
    if budget.key_id:
        wanted &= columns.key_id.in_(bound_by(budget.family))
    query = select(func.coalesce(func.sum(columns.cost_nano - columns.free_nano), 0)).where(wanted)
    return int((await connection.execute(query)).scalar_one())


async def _find(connection: AsyncConnection, budget_id: str, tenant: str | None) -> Budget:
    row = None
    if budget_id.isprintable():  # PostgreSQL takes no NUL
        wanted = (budgets.c.id == budget_id) & budgets.c.deleted_ms.is_(None)
        row = (await connection.execute(BUDGETS.where(wanted))).first()
    if row is None or tenant not in (None, row.tenant):
        raise NotFound(f"There is no budget {budget_id[:80]!r}. GET /v1/budgets lists them.")
    return budget_of(row)


async def _check_owner(connection: AsyncConnection, new: NewBudget) -> None:
    if not await _is_there(connection, select(tenants.c.name).where(tenants.c.name == new.tenant)):
        raise NotFound(f"There is no tenant {new.tenant!r}.", param="tenant")
    of_project = (projects.c.tenant == new.tenant) & (projects.c.name == new.project)
    if new.project and not await _is_there(connection, select(projects.c.name).where(of_project)):
        raise NotFound(f"There is no project {new.project!r} in the tenant {new.tenant!r}.", param="project")
    of_key = (keys.c.tenant == new.tenant) & (keys.c.id == new.key_id)
    if new.project:
        of_key &= keys.c.project == new.project
    if new.key_id and not await _is_there(connection, select(keys.c.id).where(of_key)):
        raise NotFound(f"There is no key {new.key_id[:40]!r} there.", param="key_id")
    num_made = len((await budgets_of(connection, [new.tenant])).get(new.tenant, ()))
    if num_made >= MAX_PER_TENANT:
        raise InvalidRequest(f"A tenant has at most {MAX_PER_TENANT} budgets. Delete one first.", "too_many_values")


async def _is_there(connection: AsyncConnection, query: Any) -> bool:
    return (await connection.execute(query.limit(1))).first() is not None


def _check_limits(limit_nano: int | None, soft_nano: int | None) -> None:
    if limit_nano is None and soft_nano is None:
        raise InvalidRequest(
            "A budget needs a limit, a soft limit, or both; DELETE takes it away.", "missing_field", "limit_usd"
        )


def _check_title(title: str) -> None:
    if len(title) > 120 or not title.isprintable():
        raise InvalidRequest("A title is one printable line of at most 120 characters.", "invalid_value", "title")
