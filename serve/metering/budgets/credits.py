"""Credit: grants of money that pay a tenant's usage before a bill does, or, where it is prepaid, instead of one.

Drawn by priority, the lowest number first, then what expires first (`serve.metering.budgets.spending`).
"""

import builtins
from dataclasses import dataclass, fields

from sqlalchemy import insert, select, update

from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.names import TenantName
from serve.domain.ports import Clock, Ids
from serve.metering.budgets.accounts import balances, credit_account, is_active
from serve.storage.metering_tables import grants
from serve.storage.records import Records
from serve.storage.tables import tenants

MAX_PRIORITY = 100
_MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class CreditGrant:
    """One grant; it pays usage admitted from `starts_ms` to before `expires_ms`, unless it was voided."""

    id: str
    tenant: str
    amount_nano: int
    remaining_nano: int
    priority: int
    note: str
    created_ms: int
    starts_ms: int
    expires_ms: int | None
    voided_ms: int | None

    def is_active(self, now_ms: int) -> bool:
        """Whether it pays anything now."""
        is_over = self.expires_ms is not None and self.expires_ms <= now_ms
        return self.voided_ms is None and self.starts_ms <= now_ms and not is_over


@dataclass(frozen=True, slots=True)
class CreditBalance:
    """What a tenant's active grants have left, and how much of it calls under way hold (prepaid tenants only)."""

    is_prepaid: bool
    remaining_nano: int
    held_nano: int
    grants: tuple[CreditGrant, ...]


class Credits:
    """The credit of this installation's tenants."""

    def __init__(self, records: Records, clock: Clock, ids: Ids) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids

    async def grant(
        self,
        tenant: TenantName,
        amount_nano: int,
        *,
        priority: int = 0,
        note: str = "",
        starts_ms: int | None = None,
        expires_ms: int | None = None,
    ) -> CreditGrant:
        """Give credit.

        Raises:
            NotFound: no such tenant.
            InvalidRequest: nothing is given, or it would be over before it begins.
        """
        now_ms = self._clock.now_ms()
        starts_ms = now_ms if starts_ms is None else starts_ms
        _check(amount_nano, priority, note)
        if expires_ms is not None and expires_ms <= max(now_ms, starts_ms):
            raise InvalidRequest("The grant would be over before it begins.", "invalid_value", "expires_at")
        numbers = (amount_nano, amount_nano, priority, note, now_ms, starts_ms, expires_ms, None)
        made = CreditGrant(self._ids.new(), tenant, *numbers)
        async with self._records.write() as connection:
            if (await connection.execute(select(tenants.c.name).where(tenants.c.name == tenant))).first() is None:
                raise NotFound(f"There is no tenant {tenant[:80]!r}. GET /v1/admin/tenants lists them.", param="tenant")
            await connection.execute(insert(grants).values({name: getattr(made, name) for name in _COLUMNS}))
        return made

    async def list(self, tenant: TenantName | None = None) -> builtins.list[CreditGrant]:
        """The newest first, voided and used ones too; of one tenant, or of all."""
        query = select(grants).order_by(grants.c.id.desc()).limit(_MAX_LISTED)
        if tenant is not None:
            query = query.where(grants.c.tenant == tenant)
        async with self._records.read() as connection:
            return [CreditGrant(**row._mapping) for row in await connection.execute(query)]

    async def void(self, grant_id: str) -> None:
        """Take back what a grant has left; what it paid stays paid. Raises NotFound."""
        unknown = NotFound(f"There is no grant {grant_id[:80]!r}.")
        if not grant_id.isprintable():
            raise unknown
        async with self._records.write() as connection:
            values = {"voided_ms": self._clock.now_ms()}
            live = (grants.c.id == grant_id) & grants.c.voided_ms.is_(None)
            if (await connection.execute(update(grants).where(live).values(values))).rowcount == 0:
                raise unknown

    async def balance(self, tenant: TenantName) -> CreditBalance:
        """A tenant's own: its active grants, in the order of drawing."""
        now_ms = self._clock.now_ms()
        async with self._records.read() as connection:
            query = select(grants).where((grants.c.tenant == tenant) & is_active(now_ms))
            active = [CreditGrant(**row._mapping) for row in await connection.execute(query)]
            (account,) = await balances(connection, [credit_account(tenant)], tenant, now_ms)
            billing = await connection.execute(select(tenants.c.billing).where(tenants.c.name == tenant))
            is_prepaid = billing.scalar_one_or_none() == "prepaid"
        active.sort(key=lambda grant: (grant.priority, grant.expires_ms or float("inf"), grant.created_ms, grant.id))
        left = sum(grant.remaining_nano for grant in active)
        return CreditBalance(is_prepaid, left, account.held_nano, tuple(active))


_COLUMNS = tuple(field.name for field in fields(CreditGrant))


def _check(amount_nano: int, priority: int, note: str) -> None:
    if amount_nano <= 0:
        raise InvalidRequest("A grant is of more than nothing.", "invalid_value", "amount_usd")
    if not 0 <= priority <= MAX_PRIORITY:
        raise InvalidRequest(f"A priority is from 0 to {MAX_PRIORITY}.", "invalid_value", "priority")
    if len(note) > 200 or not note.isprintable():
        raise InvalidRequest("A note is one printable line of at most 200 characters.", "invalid_value", "note")
