"""What a gateway knows of its tenants' budgets, and who waits for room in them: memory of `wallets`."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import select

from serve.domain.errors import QuotaExceeded
from serve.domain.moments import at, rfc3339
from serve.domain.money import shown
from serve.metering.budgets.accounts import AccountId, Balance, Budget, balances, budgets_of, credit_account
from serve.metering.budgets.leases import Lease, Reservation
from serve.storage.key_lines import lines_of
from serve.storage.records import Records
from serve.storage.tables import tenants

PREPAID = "prepaid"
NEVER_MS = 2**62
_SLICE_CALLS = 256
"""A first slice is for this many calls like the one that asks, if it is a small part of what is left."""
_SOON_MS = 30_000
"""A slice that is used up within this time was too small: the next is twice as large."""


class Waiter:
    """A call that waits for room."""

    def __init__(self, nano: int, request_id: str) -> None:
        self.nano = nano
        self.request_id = request_id
        self.future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()

    def give(self, lease: Lease) -> None:
        """Room was found."""
        if not self.future.done():
            self.future.set_result(Reservation(lease, self.nano, self.request_id))

    def fail(self, error: Exception) -> None:
        """It was not."""
        if not self.future.done():
            self.future.set_exception(error)

    def abandon(self) -> None:
        """The call does not wait any longer; room that was found a moment ago is not taken."""
        if self.future.done() and not self.future.cancelled() and self.future.exception() is None:
            self.future.result().settle(0)


class Allowance:
    """The calls that the same limits apply to, and the lease that they draw from."""

    def __init__(self, tenant: str, budgets: Sequence[Budget], is_prepaid: bool) -> None:
        self.tenant = tenant
        self.budgets = tuple(budgets)
        self.is_prepaid = is_prepaid
        self.lease: Lease | None = None
        self.waiting: list[Waiter] = []
        self.flight: asyncio.Task[None] | None = None
        self._want = 0
        self._grown_ms = -_SOON_MS

    def accounts(self, now_ms: int) -> list[AccountId]:
        """The accounts that calls of this moment draw on."""
        found = [budget.account(now_ms) for budget in self.budgets]
        return [*found, credit_account(self.tenant)] if self.is_prepaid else found

    def period_end_ms(self, now_ms: int) -> int:
        """When the first of its budgets' periods ends."""
        ends = (budget.period.end_ms(now_ms) for budget in self.budgets)
        return min((end for end in ends if end is not None), default=NEVER_MS)

    def want(self, need: int, num_calls: int, now_ms: int) -> int:
        """How much to ask for where there is plenty."""
        is_soon = now_ms - self._grown_ms < _SOON_MS
        self._want = max(_SLICE_CALLS * need // max(1, num_calls), 2 * self._want if is_soon else self._want // 2)
        self._grown_ms = now_ms
        return self._want

    def hand_out(self, waiters: Iterable[Waiter]) -> list[Waiter]:
        """Give room to those that the lease has room for, in their order; answers of the others."""
        left = []
        for waiter in waiters:
            if waiter.future.done():
                continue
            if self.lease is not None and waiter.nano <= self.lease.free:
                waiter.give(self.lease)
            else:
                left.append(waiter)
        return left

    def refusal(self, balance: Balance, nano: int, now_ms: int) -> QuotaExceeded:
        """What to tell a call of at most `nano` that `balance` cannot cover."""
        budget = next((one for one in self.budgets if one.id == balance.account.budget_id), None)
        return credit_refusal(self.tenant, balance, nano) if budget is None else refusal(budget, balance, nano, now_ms)


def refusal(budget: Budget, balance: Balance, nano: int, now_ms: int) -> QuotaExceeded:
    """What to tell a call that a budget cannot cover."""
    whose = f"this project ({budget.project})" if budget.project else "this tenant"
    if budget.key_id:
        whose = f"the key {budget.key_id} and all that came from it"
    end_ms = budget.period.end_ms(now_ms)
    resets = "It does not reset" if end_ms is None else f"It resets at {rfc3339(at(end_ms))}"
    name = f" {budget.title!r}" if budget.title else ""
    return QuotaExceeded(
        f"The {_PERIODS[budget.period]} budget{name} of {whose} cannot cover this call, which may cost up to "
        f"${shown(nano)}: of ${shown(balance.limit_nano or 0)}, ${shown(balance.spent_nano)} is spent and "
        f"${shown(balance.held_nano)} is held for calls under way. {resets}. Ask for less output, or have it raised "
        f"(budget {budget.id})."
    )


def credit_refusal(tenant: str, balance: Balance, nano: int) -> QuotaExceeded:
    """What to tell a call that prepaid credit cannot cover."""
    left = (balance.limit_nano or 0) - balance.spent_nano
    return QuotaExceeded(
        f"The prepaid credit of the tenant {tenant!r} cannot cover this call, which may cost up to ${shown(nano)}: "
        f"${shown(left)} is left, of which ${shown(balance.held_nano)} is held for calls under way. Ask for less "
        f"output, or have credit added (GET /v1/credits)."
    )


_PERIODS = {"day": "daily", "month": "monthly", "total": "total"}


class KnownTenant:
    """A tenant's budgets as they were a moment ago, and the allowance of each of its callers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.budgets: tuple[Budget, ...] = ()
        self.is_prepaid = False
        self.fresh_ms = 0
        """Until when this is believed."""
        self.used_ms = 0
        self.soft: dict[str, Budget] = {}
        """The budgets that are past their soft limit."""
        self.callers: dict[tuple[str, str], Allowance | None] = {}
        self.allowances: dict[tuple[str, ...], Allowance] = {}
        self._lines: dict[str, frozenset[str]] = {}

    def told(self, budgets: Sequence[Budget], is_prepaid: bool, soft: dict[str, Budget]) -> None:
        """What the database says now."""
        if (self.budgets, self.is_prepaid) != (tuple(budgets), is_prepaid):
            self.callers.clear()
        self.budgets, self.is_prepaid, self.soft = tuple(budgets), is_prepaid, soft

    async def meet(self, records: Records, project: str, key_id: str) -> Allowance | None:
        """`allowance` of a caller who may be new here: what line its key is of never changes, and is read once."""
        if key_id not in self._lines and any(budget.key_id for budget in self.budgets):
            if len(self._lines) >= _MAX_CALLERS:
                self._lines.clear()
            async with records.read() as connection:
                self._lines |= await lines_of(connection, [key_id])
        return self.allowance(project, key_id)

    def line(self, key_id: str) -> frozenset[str]:
        """The families whose budgets bind this key, as far as any are for keys."""
        return self._lines.get(key_id) or frozenset((key_id,))

    def allowance(self, project: str, key_id: str) -> Allowance | None:
        """What this caller, who was met, draws from; None where nothing limits it."""
        line = self.line(key_id)
        limits = [one for one in self.budgets if one.limit_nano is not None and one.covers(project, line)]
        found = None
        if limits or self.is_prepaid:
            key = (PREPAID if self.is_prepaid else "", *(budget.id for budget in limits))
            found = self.allowances.setdefault(key, Allowance(self.name, limits, self.is_prepaid))
            found.budgets = tuple(limits)
        if len(self.callers) >= _MAX_CALLERS:
            self.callers.clear()
        self.callers[project, key_id] = found
        return found


_MAX_CALLERS = 10_000


async def look_up(records: Records, known: Collection[KnownTenant], now_ms: int) -> None:
    """Read what applies to these tenants: two statements for all, one more for each that has soft limits."""
    names = [tenant.name for tenant in known]
    async with records.read() as connection:
        budgets = await budgets_of(connection, names)
        query = select(tenants.c.name).where(tenants.c.name.in_(names) & (tenants.c.billing == PREPAID))
        prepaid = {row.name for row in await connection.execute(query)}
        for tenant in known:
            mine = budgets.get(tenant.name, [])
            accounts = {one.account(now_ms): one for one in mine if one.soft_nano is not None}
            found = await balances(connection, accounts, tenant.name, now_ms) if accounts else ()
            soft = {
                accounts[one.account].id: accounts[one.account]
                for one in found
                if one.spent_nano > (accounts[one.account].soft_nano or 0)
            }
            tenant.told(mine, tenant.name in prepaid, soft)
