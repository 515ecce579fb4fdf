"""What people are in a tenant, and what each role may do there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import ALL_SCOPES, Scope
from serve.domain.names import KeyId, TenantName
from serve.storage.tables import members, users

_NUM_USER_CHARS = 19
"""Of a user's id in the place of a key's id, which has room for 24 characters. All of a UUIDv7's random bits."""


class Role(StrEnum):
    """A person's part in a tenant, the weakest first."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    OWNER = "owner"


_VIEWER = frozenset({Scope.READ})
_DEVELOPER = _VIEWER | {Scope.INFERENCE, Scope.ADAPTERS_WRITE, Scope.WORKFLOWS_WRITE}
ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: _VIEWER,
    Role.DEVELOPER: _DEVELOPER,
    Role.OWNER: _DEVELOPER | {Scope.KEYS, Scope.BUDGETS, Scope.MEMBERS},
}
"""Each has all of the weaker ones. An administrator of the installation has every scope, in every tenant."""


def strongest(roles: Iterable[Role]) -> Role:
    """The role with the most scopes."""
    return max(roles, key=lambda role: len(ROLE_SCOPES[role]))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is at this moment. `roles` is in the order in which they were granted."""

    is_admin: bool
    roles: Mapping[TenantName, Role]

    def scopes_in(self, tenant: str) -> frozenset[Scope]:
        """What the person may do in `tenant`: nothing where they are no member."""
        if self.is_admin:
            return ALL_SCOPES
        role = self.roles.get(TenantName(tenant))
        return frozenset() if role is None else ROLE_SCOPES[role]


async def standing_of(connection: AsyncConnection, user_id: str) -> Standing:
    """What the person is now; nothing, if unknown."""
    admin_by = await connection.scalar(select(users.c.admin_by).where(users.c.id == user_id))
    query = select(members.c.tenant, members.c.role).where(members.c.user_id == user_id)
    rows = await connection.execute(query.order_by(members.c.created_ms, members.c.tenant))
    return Standing(admin_by is not None, {TenantName(row.tenant): Role(row.role) for row in rows})


def user_key_id(user_id: str) -> KeyId:
    """What stands for a person where usage, logs and runs name a key."""
    return KeyId("user:" + user_id.replace("-", "")[-_NUM_USER_CHARS:])
