"""Accounts: what each budget has spent and promised in each of its periods, and prepaid credit in the same terms.

    limit >= spent + held     whenever anything is promised

`held` is promised to holds: leases of gateways and runs. A hold holds the same amount in every account that applies
to its calls. A tenant's credit is an account without a period whose room is what its active grants have left.

Transactions lock rows in this order, each kind by its key: holds, accounts, grants.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.moments import at
from serve.storage.metering_tables import budget_accounts, budgets, grants
from serve.storage.tables import keys

_BATCH = 500
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Period(StrEnum):
    """How long a limit counts for. Days and months are UTC."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def start_ms(self, now_ms: int) -> int:
        """When the period that holds `now_ms` began; 0 for the one that never does."""
        if self is Period.TOTAL:
            return 0
        midnight = at(now_ms).replace(hour=0, minute=0, second=0, microsecond=0)
        return _ms(midnight if self is Period.DAY else midnight.replace(day=1))

    def end_ms(self, now_ms: int) -> int | None:
        """When it ends, exclusive; None for the one that never does."""
        if self is Period.TOTAL:
            return None
        if self is Period.DAY:
            return self.start_ms(now_ms) + 86_400_000
        first = at(self.start_ms(now_ms))
        return _ms(datetime(first.year + first.month // 12, first.month % 12 + 1, 1, tzinfo=UTC))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class AccountId(NamedTuple):
    """One period of one budget."""

    budget_id: str
    period_ms: int


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what a tenant spends: all of it, a project's part, or a key's, with all keys that it made. Empty names
    mean all. `family` is that of the key.

    Past `limit_nano` calls are refused; past `soft_nano` it is only told. `set_by` is `admin` or `tenant`.
    """

    id: str
    tenant: str
    project: str
    key_id: str
    title: str
    period: Period
    limit_nano: int | None
    soft_nano: int | None
    set_by: str
    created_ms: int
    updated_ms: int
    family: str = ""

    def covers(self, project: str, line: Collection[str]) -> bool:
        """Whether calls of this project, by a key of this line (`serve.storage.key_lines`), count against it."""
        return self.project in ("", project) and (not self.key_id or self.family in line)

    def account(self, at_ms: int) -> AccountId:
        """The account of the period that holds `at_ms`."""
        return AccountId(self.id, self.period.start_ms(at_ms))


def credit_account(tenant: str) -> AccountId:
    """The account of a tenant's credit. Its id is made from the name, so that none must be looked up."""
    return AccountId(str(uuid5(NAMESPACE_URL, f"slipway:credit:{tenant}")), 0)


BUDGETS = select(budgets, func.coalesce(keys.c.family, budgets.c.key_id).label("family")).select_from(
    budgets.outerjoin(keys, keys.c.id == budgets.c.key_id)
)
"""Budgets, each with the family of its key."""


def budget_of(row: Any) -> Budget:
    """The budget in a row of `BUDGETS`."""
    given = {field.name: getattr(row, field.name) for field in fields(Budget)}
    return Budget(**given | {"period": Period(row.period)})


async def budgets_of(connection: AsyncConnection, tenants: Collection[str]) -> dict[str, list[Budget]]:
    """The budgets of each of `tenants` that has any, in the order they were made."""
    found: dict[str, list[Budget]] = {}
    wanted = budgets.c.tenant.in_(sorted(tenants)) & budgets.c.deleted_ms.is_(None)
    for row in await connection.execute(BUDGETS.where(wanted).order_by(budgets.c.id)):
        found.setdefault(row.tenant, []).append(budget_of(row))
    return found


@dataclass(frozen=True, slots=True)
class Balance:
    """An account with its limit at this moment; None for no limit."""

    account: AccountId
    spent_nano: int
    held_nano: int
    limit_nano: int | None

    @property
    def free_nano(self) -> int | None:
        """What may still be promised; None for anything."""
        return None if self.limit_nano is None else self.limit_nano - self.spent_nano - self.held_nano


async def balances(
    connection: AsyncConnection, accounts: Iterable[AccountId], tenant: str, now_ms: int, lock: bool = False
) -> list[Balance]:
    """What these accounts of one tenant hold; `lock` keeps them as they are until the transaction ends."""
    wanted = sorted(accounts)
    if lock:
        await post(connection, {account: (0, 0) for account in wanted})
    rows = await connection.execute(select(budget_accounts).where(is_one_of(wanted)))
    sums = {AccountId(row.budget_id, row.period_ms): (row.spent_nano, row.held_nano) for row in rows}
    limits = await _limits(connection, [account.budget_id for account in wanted])
    credit = credit_account(tenant)
    if credit in wanted:
        limits[credit.budget_id] = sums.get(credit, (0, 0))[0] + await credit_left(connection, tenant, now_ms)
    return [Balance(account, *sums.get(account, (0, 0)), limits.get(account.budget_id)) for account in wanted]


async def _limits(connection: AsyncConnection, budget_ids: Sequence[str]) -> dict[str, int | None]:
    wanted = budgets.c.id.in_(budget_ids) & budgets.c.deleted_ms.is_(None)
    found = await connection.execute(select(budgets.c.id, budgets.c.limit_nano).where(wanted))
    return {row.id: row.limit_nano for row in found}


async def credit_left(connection: AsyncConnection, tenant: str, now_ms: int) -> int:
    """What the tenant's active grants have left."""
    query = select(func.coalesce(func.sum(grants.c.remaining_nano), 0)).where(grants.c.tenant == tenant)
    return int((await connection.execute(query.where(is_active(now_ms)))).scalar_one())


def is_active(now_ms: int) -> ColumnElement[bool]:
    """Of grants: begun, not over, not taken back."""
    is_over = grants.c.expires_ms <= now_ms
    return (grants.c.starts_ms <= now_ms) & (grants.c.expires_ms.is_(None) | ~is_over) & grants.c.voided_ms.is_(None)


def is_one_of(accounts: Collection[AccountId]) -> ColumnElement[bool]:
    """Of accounts: one of these."""
    return tuple_(budget_accounts.c.budget_id, budget_accounts.c.period_ms).in_(list(accounts))


async def post(connection: AsyncConnection, changes: Mapping[AccountId, tuple[int, int]]) -> None:
    """Add (spent, held) to accounts, which are made where they are not there, and locked in the order of their keys."""
    ordered = sorted(changes)
    for start in range(0, len(ordered), _BATCH):
        part = ordered[start : start + _BATCH]
        rows = [dict(zip(budget_accounts.c.keys(), (*account, *changes[account]), strict=True)) for account in part]
        added = _INSERT[connection.dialect.name](budget_accounts).values(rows)
        sums = {name: budget_accounts.c[name] + added.excluded[name] for name in ("spent_nano", "held_nano")}
        await connection.execute(added.on_conflict_do_update(index_elements=["budget_id", "period_ms"], set_=sums))
