"""What booked usage does to budgets and credit, in the ledger's own transaction.

A call's cost moves from held to spent in the accounts of its hold. What of a hold was not enough for, or what had no
hold, is spent all the same: the ledger books what happened. Budgets that the hold does not know, as they are newer,
count the call in the period in which it was admitted. What a free tier pays costs nobody anything.

Every statement is for the whole batch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.metering.budgets.accounts import AccountId, Budget, budgets_of, credit_account, post
from serve.metering.budgets.holds import OPEN, accounts_of
from serve.metering.ledger.booking import Booked
from serve.storage.key_lines import lines_of
from serve.storage.metering_tables import grants, holds


def due_nano(booked: Booked) -> int:
    """What a posting costs its tenant: the list price less what a free tier pays."""
    return (booked.cost_nano or 0) - booked.free_nano


async def spend(connection: AsyncConnection, booked: Sequence[Booked], now_ms: int) -> list[int]:
    """Book costs against holds, budgets and credit grants; for each posting, what credit paid of it (signed)."""
    dues = [due_nano(one) for one in booked]
    charged = [(one, due) for one, due in zip(booked, dues, strict=True) if due]
    if not charged:
        return [0] * len(booked)
    held = await _lock_holds(connection, {one.event.subject.hold for one, _ in charged if one.event.subject.hold})
    tenants = {one.event.subject.tenant for one, _ in charged}
    budgets = await budgets_of(connection, tenants)
    with_credit = await _tenants_with_credit(connection, tenants)
    changes = _Changes(await _lines(connection, charged, budgets))
    for one, due in charged:
        changes.charge(one, due, held, budgets.get(one.event.subject.tenant, ()), with_credit)
    await changes.write(connection, held.values())
    purse = await _lock_grants(connection, with_credit)
    paid = iter([purse.pay(one, due) for one, due in charged])
    await purse.write(connection)
    return [next(paid) if due else 0 for due in dues]


async def _lines(
    connection: AsyncConnection, charged: Sequence[tuple[Booked, int]], budgets: Mapping[str, Sequence[Budget]]
) -> Mapping[str, Collection[str]]:
    """The lines of the batch's keys, where some budget asks for them."""
    with_keys = {tenant for tenant, found in budgets.items() if any(budget.key_id for budget in found)}
    subjects = [one.event.subject for one, _ in charged]
    wanted = {subject.key_id for subject in subjects if subject.tenant in with_keys}
    return await lines_of(connection, wanted) if wanted else {}


@dataclass(slots=True)
class _Hold:
    """A hold while its calls are booked."""

    id: str
    is_open: bool
    remaining: int
    accounts: list[AccountId]
    before: int = 0

    def draw(self, due: int) -> int:
        """How much of `due` leaves it. A correction downwards goes back while its owner may still use it: so what the
        hold has is always what was granted less what was booked, which is how its owner counts."""
        drawn = min(due, self.remaining) if due > 0 or self.is_open else 0
        self.remaining -= drawn
        return drawn


async def _lock_holds(connection: AsyncConnection, ids: set[Any]) -> dict[str, _Hold]:
    if not ids:
        return {}
    query = select(holds).where(holds.c.id.in_(sorted(ids))).order_by(holds.c.id).with_for_update()
    rows = (await connection.execute(query)).all()
    accounts = await accounts_of(connection, [row.id for row in rows])
    remaining = {row.id: int(row.remaining_nano) for row in rows}
    return {
        row.id: _Hold(row.id, row.state == OPEN, remaining[row.id], accounts.get(row.id, []), remaining[row.id])
        for row in rows
    }


async def _tenants_with_credit(connection: AsyncConnection, tenants: Iterable[str]) -> set[str]:
    query = select(grants.c.tenant).where(grants.c.tenant.in_(sorted(tenants)) & grants.c.voided_ms.is_(None))
    return {row.tenant for row in await connection.execute(query.distinct())}


@dataclass(slots=True)
class _Changes:
    """What a batch adds to accounts: (spent, held)."""

    lines: Mapping[str, Collection[str]]
    sums: dict[AccountId, tuple[int, int]] = field(default_factory=dict)

    def charge(
        self, one: Booked, due: int, held: dict[str, _Hold], budgets: Sequence[Budget], with_credit: set[str]
    ) -> None:
        """Add one posting."""
        subject = one.event.subject
        hold = held.get(subject.hold or "")
        drawn, known = (hold.draw(due), hold.accounts) if hold else (0, [])
        for account in known:
            self._add(account, due, -drawn)
        line = self.lines.get(subject.key_id, ())
        others = [one.account(subject.admitted_ms) for one in budgets if one.covers(subject.project, line)]
        if subject.tenant in with_credit:
            others.append(credit_account(subject.tenant))
        known_ids = {account.budget_id for account in known}
        for account in others:
            if account.budget_id not in known_ids:
                self._add(account, due, 0)

    def _add(self, account: AccountId, spent: int, held: int) -> None:
        before = self.sums.get(account, (0, 0))
        self.sums[account] = (before[0] + spent, before[1] + held)

    async def write(self, connection: AsyncConnection, held: Iterable[_Hold]) -> None:
        """Holds first, then accounts."""
        drawn = [{"its_id": one.id, "left": one.remaining} for one in held if one.remaining != one.before]
        if drawn:
            statement = update(holds).where(holds.c.id == bindparam("its_id"))
            await connection.execute(statement.values(remaining_nano=bindparam("left")), drawn)
        await post(connection, self.sums)


@dataclass(slots=True)
class _Grant:
    """A grant while it is drawn from. `order` is that of drawing: by priority, what expires first, what is older."""

    id: str
    tenant: str
    amount: int
    remaining: int
    starts_ms: int
    expires_ms: float
    order: tuple[Any, ...]
    before: int

    def is_active(self, at_ms: int) -> bool:
        return self.starts_ms <= at_ms < self.expires_ms


async def _lock_grants(connection: AsyncConnection, tenants: set[str]) -> "_Purse":
    if not tenants:
        return _Purse([])
    wanted = grants.c.tenant.in_(sorted(tenants)) & grants.c.voided_ms.is_(None)
    rows = await connection.execute(select(grants).where(wanted).order_by(grants.c.id).with_for_update())
    return _Purse(sorted((_grant_of(row) for row in rows), key=lambda grant: grant.order))


def _grant_of(row: Any) -> _Grant:
    expires_ms = float("inf") if row.expires_ms is None else row.expires_ms
    order = (row.priority, expires_ms, row.created_ms, row.id)
    numbers = (row.amount_nano, row.remaining_nano, row.starts_ms)
    return _Grant(row.id, row.tenant, *numbers, expires_ms, order, row.remaining_nano)


@dataclass(slots=True)
class _Purse:
    """The grants of a batch's tenants."""

    ordered: list[_Grant]
    credited: dict[str, int] = field(default_factory=dict)
    """What this batch already had credit pay, by attempt."""

    def pay(self, one: Booked, due: int) -> int:
        """What credit pays of a posting, or, negative, gets back of it."""
        mine = [grant for grant in self.ordered if grant.tenant == one.event.subject.tenant]
        paid = self._draw(mine, one, due) if due > 0 else -self._return(mine, self._excess(one, due))
        self.credited[one.event.id] = self.credited.get(one.event.id, 0) + paid
        return paid

    def _draw(self, mine: list[_Grant], one: Booked, due: int) -> int:
        left = due
        for grant in mine:
            if grant.is_active(one.event.subject.admitted_ms):
                drawn = min(left, grant.remaining)
                grant.remaining -= drawn
                left -= drawn
        return due - left

    def _excess(self, one: Booked, due: int) -> int:
        """What credit has paid of the attempt beyond what it costs now: what a bill would pay is cut first."""
        before = one.before
        cost = (before.cost_nano or 0) - before.free_nano + due if before else 0
        paid = (before.credit_nano if before else 0) + self.credited.get(one.event.id, 0)
        return max(0, paid - max(0, cost))

    def _return(self, mine: list[_Grant], nano: int) -> int:
        left = nano
        for grant in reversed(mine):
            returned = min(left, grant.amount - grant.remaining)
            grant.remaining += returned
            left -= returned
        return nano - left

    async def write(self, connection: AsyncConnection) -> None:
        """What has changed."""
        drawn = [{"its_id": one.id, "left": one.remaining} for one in self.ordered if one.remaining != one.before]
        if drawn:
            statement = update(grants).where(grants.c.id == bindparam("its_id"))
            await connection.execute(statement.values(remaining_nano=bindparam("left")), drawn)
