"""From a provider's groups to roles: `group=tenant:role`, comma-separated; `group=*:admin` makes administrators."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serve.auth.roles import Role, strongest
from serve.domain.names import TenantName, dns_label

_EVERY_TENANT = "*"
_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Grants:
    """What somebody's groups grant."""

    is_admin: bool
    roles: Mapping[TenantName, Role]


@dataclass(frozen=True, slots=True)
class _Rule:
    group: str
    tenant: TenantName
    role: Role | None
    """None for an administrator."""


class GroupRoles:
    """The rules of settings.auth.group_roles."""

    def __init__(self, text: str) -> None:
        """Raises ValueError with a sentence for what is no rule: nobody must come in by a mistake in it."""
        self._rules = [_rule(part.strip()) for part in text.split(",") if part.strip()]

    def grants(self, groups: Iterable[str]) -> Grants:
        """What these groups grant together: in each tenant the strongest of the roles."""
        held = frozenset(groups)
        rules = [rule for rule in self._rules if rule.group in held]
        roles: dict[TenantName, list[Role]] = {}
        for rule in rules:
            if rule.role is not None:
                roles.setdefault(rule.tenant, []).append(rule.role)
        is_admin = any(rule.role is None for rule in rules)
        return Grants(is_admin, {tenant: strongest(found) for tenant, found in roles.items()})


def _rule(text: str) -> _Rule:
    group, equals, granted = text.rpartition("=")
    tenant, colon, role = granted.partition(":")
    try:
        if not (group and equals and colon):
            raise ValueError("it has not three parts")
        if tenant == _EVERY_TENANT and role == _ADMIN:
            return _Rule(group, TenantName(_EVERY_TENANT), None)
        return _Rule(group, TenantName(dns_label(tenant)), Role(role))
    except ValueError as error:
        raise ValueError(
            f"SLIPWAY_AUTH_GROUP_ROLES: {text!r} does not read group=tenant:role with the role viewer, developer or "
            f"owner, or group=*:admin ({error})"
        ) from None
