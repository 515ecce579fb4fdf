"""What a caller may do: scopes, and which group of routes asks for which."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from serve.auth.limits import UNLIMITED, Limits
from serve.auth.model_lists import lets_pass
from serve.domain.errors import PermissionDenied
from serve.domain.names import KeyId, ProjectName, TenantName


class Scope(StrEnum):
    """One permission of a key or a person. `admin` includes the others and reaches every tenant."""

    INFERENCE = "inference"
    READ = "read"
    KEYS = "keys"
    ADAPTERS_WRITE = "adapters.write"
    WORKFLOWS_WRITE = "workflows.write"
    BUDGETS = "budgets"
    MEMBERS = "members"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = frozenset({Scope.INFERENCE, Scope.READ})
"""What a new key gets when nobody says otherwise: enough for an application, too little to make more keys."""

ROUTE_SCOPES: Mapping[str, Scope] = {
    "inference": Scope.INFERENCE,
    "catalog": Scope.READ,
    "runs.write": Scope.INFERENCE,
    "runs.read": Scope.READ,
    "assets.write": Scope.INFERENCE,
    "assets.read": Scope.READ,
    "adapters.write": Scope.ADAPTERS_WRITE,
    "adapters.read": Scope.READ,
    "workflows.write": Scope.WORKFLOWS_WRITE,
    "workflows.read": Scope.READ,
    "webhooks.secret": Scope.KEYS,
    "keys": Scope.KEYS,
    "members": Scope.MEMBERS,
    "budgets.read": Scope.READ,
    "budgets.write": Scope.BUDGETS,
    "usage": Scope.READ,
    "projects.read": Scope.READ,
    "projects.write": Scope.MEMBERS,
    "admin": Scope.ADMIN,
}
"""Route group -> the scope it asks for. Moving an adapter's name, or publishing a workflow, changes what running
applications answer, so a key that only calls models cannot. The webhook secret signs in the platform's name, so reading
it is as grave as making a key."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is behind a request: everything downstream takes tenant and project from here, never from a header.

    `models` is an allow-list, None for every model; the limits are those of the key, its project and its tenant.
    `user_id` is there for a person, who is of the whole tenant; a key is of its project. `family` is the first of the
    keys that this one replaced in turn, and `makers` are the families that it comes from, with their limits: they bind
    it, too (`serve.storage.key_lines`).
    """

    tenant: TenantName
    project: ProjectName
    key_id: KeyId
    scopes: frozenset[Scope]
    models: tuple[str, ...] | None = None
    limits: Limits = UNLIMITED
    project_limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED
    user_id: str | None = None
    family: KeyId | None = None
    makers: tuple[tuple[KeyId, Limits], ...] = ()

    @property
    def line(self) -> frozenset[str]:
        """The families whose budgets bind the caller, its own among them."""
        return frozenset((self.family or self.key_id, *(maker for maker, _ in self.makers)))

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def reaches_tenant(self) -> bool:
        """Whether every project of the tenant is within reach."""
        return self.is_admin or self.user_id is not None

    def may_use(self, model: str, *, with_adapters: bool = False) -> bool:
        """Whether the allow-list lets calls of `model` pass, alone or with adapters."""
        return lets_pass(self.models, model, with_adapters)

    def has(self, scope: Scope) -> bool:
        """Whether the caller may do what asks for `scope`."""
        return self.is_admin or scope in self.scopes


def require(caller: Caller, scope: Scope) -> None:
    """Let `caller` pass, or raise PermissionDenied with the scope that is missing."""
    if caller.user_id is not None and not caller.scopes:
        raise PermissionDenied(
            "You are a member of no tenant yet. An administrator takes you in by your id, which GET /v1/me shows."
        )
    if not caller.has(scope):
        held = ", ".join(sorted(caller.scopes)) or "none"
        raise PermissionDenied(
            f"This {'key' if caller.user_id is None else 'role'} lacks the scope {scope.value!r} (it has: {held}). "
            f"Use a key that has it, or ask an administrator for one."
        )


def require_group(caller: Caller, group: str) -> None:
    """Let `caller` pass to the routes of `group`, a key of ROUTE_SCOPES, or raise PermissionDenied."""
    require(caller, ROUTE_SCOPES[group])
