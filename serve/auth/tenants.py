"""Tenants: who pays and how, what they may ask for in a minute, and the secret that signs what is sent to them."""

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.limits import UNLIMITED, Limits, limits_from, valid_limits
from serve.domain.errors import Conflict, InvalidRequest, NotFound
from serve.domain.names import ProjectName, TenantName, dns_label
from serve.domain.ports import Clock
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import projects, tenants

DEFAULT_TENANT = TenantName("default")
DEFAULT_PROJECT = ProjectName("default")
_WEBHOOK_SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""


class Billing(StrEnum):
    """prepaid: nothing runs beyond the credit; postpaid: what runs is billed afterwards."""

    PREPAID = "prepaid"
    POSTPAID = "postpaid"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant. `webhook_secret` is Standard Webhooks' form: `whsec_` and base64."""

    name: TenantName
    webhook_secret: str = field(repr=False)
    created_ms: int
    billing: Billing = Billing.POSTPAID
    limits: Limits = UNLIMITED


class Tenants:
    """The tenants of this installation. `random_bytes(n)` gives n unpredictable bytes."""

    def __init__(
        self, records: Records, clock: Clock, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._records = records
        self._clock = clock
        self._random_bytes = random_bytes

    async def create(self, name: str, billing: Billing = Billing.POSTPAID, limits: Limits = UNLIMITED) -> Tenant:
        """Make a tenant with its project `default`.

        Raises InvalidRequest for the name or the limits, Conflict if the name is taken.
        """
        values = {"billing": billing.value, "limits": valid_limits(limits).row()}
        async with self._records.write() as connection:
            if not await self.ensure(connection, name):
                raise Conflict(f"There is a tenant {name!r} already; choose another name.", param="name")
            await connection.execute(update(tenants).where(tenants.c.name == name).values(**values))
        return await self.get(name)

    async def change(self, name: str, *, billing: Billing | None = None, limits: Limits | None = None) -> Tenant:
        """Set what is given. Gateways know within seconds. Raises NotFound, InvalidRequest."""
        before = await self.get(name)
        wanted = before.limits if limits is None else valid_limits(limits)
        values = {"billing": (billing or before.billing).value, "limits": wanted.row()}
        async with self._records.write() as connection:
            await connection.execute(update(tenants).where(tenants.c.name == name).values(**values))
        return await self.get(name)

    async def ensure(self, connection: AsyncConnection, name: str) -> bool:
        """Within the caller's transaction, make the tenant if it is absent; True if this call made it."""
        row = {"name": valid_name(name, "name"), "webhook_secret": self._secret(), "created_ms": self._clock.now_ms()}
        created = await insert_if_absent(connection, tenants, row)
        if created:
            await ensure_project(connection, name, DEFAULT_PROJECT, self._clock.now_ms())
        return created

    async def get(self, name: str) -> Tenant:
        """Raises NotFound."""
        row = None
        if is_name(name):
            async with self._records.read() as connection:
                row = (await connection.execute(select(tenants).where(tenants.c.name == name))).mappings().one_or_none()
        if row is None:
            raise NotFound(f"There is no tenant {name[:80]!r}.")
        return _tenant(row)

    async def list(self) -> list[Tenant]:
        """Every tenant, by name."""
        async with self._records.read() as connection:
            rows = (await connection.execute(select(tenants).order_by(tenants.c.name))).mappings().all()
        return [_tenant(row) for row in rows]

    def _secret(self) -> str:
        return "whsec_" + base64.b64encode(self._random_bytes(_WEBHOOK_SECRET_BYTES)).decode()


async def ensure_project(connection: AsyncConnection, tenant: str, name: str, now_ms: int) -> None:
    """Within the caller's transaction, make the tenant's project if it is absent."""
    await insert_if_absent(connection, projects, {"tenant": tenant, "name": name, "created_ms": now_ms})


def valid_name(value: str, param: str) -> str:
    """`value`, if it is a name. Raises InvalidRequest about the field `param`."""
    try:
        return dns_label(value)
    except ValueError as error:
        raise InvalidRequest(str(error), param=param) from None


def is_name(value: str) -> bool:
    """Whether `value` can be a name at all: what cannot, is not asked of the database (PostgreSQL refuses NUL)."""
    try:
        return dns_label(value) == value
    except ValueError:
        return False


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(
        TenantName(row["name"]),
        row["webhook_secret"],
        row["created_ms"],
        Billing(row["billing"]),
        limits_from(row["limits"]),
    )
