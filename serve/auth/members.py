"""Members: who is what in which tenant. Roles come from a provider's groups, or are given by hand.

What groups grant follows them at each login. What was given by hand stays until it is taken by hand, and counts where
both speak of the same tenant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import Caller, Scope
from serve.auth.groups import Grants
from serve.auth.made_keys import end_made_keys
from serve.auth.roles import ROLE_SCOPES, Role, user_key_id
from serve.auth.tenants import Tenants
from serve.auth.users import BY_GROUPS, BY_HAND, User, unknown_user, user_from
from serve.domain.errors import NotFound, PermissionDenied
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import members, tenants, users


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a tenant. `granted_by` is `groups` or `hand`."""

    tenant: TenantName
    user: User
    role: Role
    granted_by: str
    created_ms: int


class Members:
    """The members of this installation's tenants."""

    def __init__(self, records: Records, clock: Clock, tenants: Tenants) -> None:
        self._records = records
        self._clock = clock
        self._tenants = tenants

    async def list(self, tenant: str) -> list[Member]:
        """The tenant's members, the longest first."""
        query = _joined().where(members.c.tenant == tenant).order_by(members.c.created_ms, members.c.user_id)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_member(row) for row in rows]

    async def set_role(self, tenant: str, user_id: str, role: Role, by: Caller, *, keep_keys: bool = False) -> Member:
        """Give a member another role, by hand, and end the keys that the person made here and that may do more than
        the role, unless `keep_keys`. Only administrators take in somebody who is no member yet.

        Raises:
            NotFound: no such member; for an administrator, no such user or tenant.
            PermissionDenied: `by` has less than the role, or than the member has, or is a key of one project.
        """
        _check_grant(by, role)
        if "\x00" in user_id:  # PostgreSQL's text holds none
            raise unknown_user(user_id)
        async with self._records.write() as connection:
            member = await self._member(connection, tenant, user_id)
            if member is not None:
                _check_grant(by, member.role)
                values = {"role": role.value, "granted_by": BY_HAND}
                await connection.execute(update(members).where(*_is(tenant, user_id)).values(**values))
                if not keep_keys and member.user.admin_by is None:
                    await self._end_keys(connection, tenant, user_id, ROLE_SCOPES[role])
            else:
                await self._take_in(connection, tenant, user_id, role, by)
            changed = await self._member(connection, tenant, user_id)
        if changed is None:
            raise unknown_user(user_id)
        return changed

    async def _take_in(self, connection: AsyncConnection, tenant: str, user_id: str, role: Role, by: Caller) -> None:
        known = await connection.scalar(select(users.c.id).where(users.c.id == user_id))
        if not by.is_admin or known is None:
            raise unknown_user(user_id)
        if await connection.scalar(select(tenants.c.name).where(tenants.c.name == tenant)) is None:
            raise NotFound(f"There is no tenant {tenant[:80]!r}.")
        row = {"tenant": tenant, "user_id": user_id, "role": role.value, "granted_by": BY_HAND}
        await insert_if_absent(connection, members, row | {"created_ms": self._clock.now_ms()})

    async def ensure(self, connection: AsyncConnection, tenant: TenantName, user_id: str, role: Role) -> None:
        """Within the caller's transaction: a member of a tenant that is there from now on; who is one stays it."""
        await self._tenants.ensure(connection, tenant)
        row = {"tenant": tenant, "user_id": user_id, "role": role.value, "granted_by": BY_HAND}
        await insert_if_absent(connection, members, row | {"created_ms": self._clock.now_ms()})

    async def remove(self, tenant: str, user_id: str, by: Caller, *, keep_keys: bool = False) -> None:
        """Let somebody go, and end the keys that the person made here and what these made, unless `keep_keys`.

        Raises:
            NotFound: no such member.
            PermissionDenied: the member has more than `by`, or `by` is a key of one project.
        """
        _check_reach(by)
        async with self._records.write() as connection:
            member = await self._member(connection, tenant, user_id)
            if member is None:
                raise unknown_user(user_id)
            _check_grant(by, member.role)
            await connection.execute(delete(members).where(*_is(tenant, user_id)))
            if not keep_keys:
                await self._end_keys(connection, tenant, user_id, frozenset())

    async def _end_keys(self, connection: AsyncConnection, tenant: str, user_id: str, keeps: frozenset[Scope]) -> None:
        await end_made_keys(connection, user_key_id(user_id), self._clock.now_ms(), lambda _: keeps, tenant)

    async def _member(self, connection: AsyncConnection, tenant: str, user_id: str) -> Member | None:
        if "\x00" in user_id:
            return None
        row = (await connection.execute(_joined().where(*_is(tenant, user_id)))).mappings().one_or_none()
        return None if row is None else _member(row)

    async def follow_groups(self, connection: AsyncConnection, user: User, grants: Grants) -> None:
        """Within the caller's transaction: what the groups grant now is granted, what they no longer do is not."""
        await self._follow_admin(connection, user, grants.is_admin)
        of_user = members.c.user_id == user.id, members.c.granted_by == BY_GROUPS
        await connection.execute(delete(members).where(*of_user, members.c.tenant.not_in(grants.roles)))
        for tenant, role in sorted(grants.roles.items()):
            await self._tenants.ensure(connection, tenant)
            row = {"tenant": tenant, "user_id": user.id, "role": role.value, "granted_by": BY_GROUPS}
            if not await insert_if_absent(connection, members, row | {"created_ms": self._clock.now_ms()}):
                here = members.c.tenant == tenant
                await connection.execute(update(members).where(*of_user, here).values(role=role.value))

    async def _follow_admin(self, connection: AsyncConnection, user: User, is_admin: bool) -> None:
        if user.admin_by != BY_HAND:
            values = {"admin_by": BY_GROUPS if is_admin else None}
            await connection.execute(update(users).where(users.c.id == user.id).values(**values))


def _check_grant(by: Caller, role: Role) -> None:
    _check_reach(by)
    lacking = sorted(scope for scope in ROLE_SCOPES[role] if not by.has(scope))
    if lacking:
        raise PermissionDenied(f"You cannot give or take the role {role.value}: you lack {', '.join(lacking)}.")


def _check_reach(by: Caller) -> None:
    """A role is good for every project of the tenant, and a key for one."""
    if not by.reaches_tenant:
        raise PermissionDenied(
            f"This key is of the project {by.project!r} alone, and a role of the whole tenant. Members are changed by "
            "an owner who has logged in, or with an admin key."
        )


def _joined() -> Any:
    columns = members.c.tenant, members.c.role, members.c.granted_by, members.c.created_ms.label("member_ms")
    return select(users, *columns).select_from(members.join(users, users.c.id == members.c.user_id))


def _is(tenant: str, user_id: str) -> Iterable[Any]:
    return members.c.tenant == tenant, members.c.user_id == user_id


def _member(row: Mapping[Any, Any]) -> Member:
    return Member(TenantName(row["tenant"]), user_from(row), Role(row["role"]), row["granted_by"], row["member_ms"])
