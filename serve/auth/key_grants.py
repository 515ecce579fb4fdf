"""What a key may do, and what it may hand on: never more than it has, to nobody else, and for no longer."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from serve.auth.access import Caller, Scope
from serve.auth.limits import UNLIMITED, Limits
from serve.auth.model_lists import excess
from serve.domain.errors import InvalidRequest, PermissionDenied
from serve.domain.names import KeyId, ProjectName, TenantName

MAX_TITLE_CHARS = 120


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A stored key, without its secret. Times are Unix milliseconds.

    `models` None is every model. `made_by` is the key, or the person, that made it. `family`
    is the first of the keys that this one replaced in turn. `makers` and the limits of project and tenant are there
    where the key was looked up to let somebody in.
    """

    id: KeyId
    tenant: TenantName
    project: ProjectName
    title: str
    scopes: frozenset[Scope]
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    models: tuple[str, ...] | None = None
    limits: Limits = UNLIMITED
    replaced_by: KeyId | None = None
    made_by: KeyId | None = None
    family: KeyId | None = None
    makers: tuple[tuple[KeyId, Limits], ...] = ()
    project_limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED

    def is_live(self, now_ms: int) -> bool:
        """Whether the key opens anything at `now_ms`."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)

    def caller(self) -> Caller:
        """Who a request with this key comes from."""
        return Caller(
            self.tenant,
            self.project,
            self.id,
            self.scopes,
            self.models,
            self.limits,
            self.project_limits,
            self.tenant_limits,
            family=self.family,
            makers=self.makers,
        )


def narrowed(child: KeyInfo, parent: Caller) -> KeyInfo:
    """`child` with the parent's models and limits where it names none."""
    models = parent.models if child.models is None else child.models
    return replace(child, models=models, limits=child.limits.filled_from(parent.limits))


def check_attenuation(parent: Caller, child: KeyInfo) -> None:
    """Raises PermissionDenied unless everything that `child` may do, `parent` may do."""
    beyond = sorted(scope for scope in child.scopes if not parent.has(scope))
    if beyond:
        raise PermissionDenied(
            f"A key cannot give scopes that it lacks: {', '.join(beyond)}. Leave them out, or use a key that has them.",
            param="scopes",
        )
    _check_models(parent, child)
    _check_limits(parent, child)
    if parent.is_admin:
        return
    if parent.tenant != child.tenant:
        raise PermissionDenied(
            f"Only an admin key makes keys for another tenant; this one belongs to {parent.tenant!r}.", param="tenant"
        )
    if parent.project != child.project and not parent.reaches_tenant:
        raise PermissionDenied(
            f"Only an admin key makes keys for another project; this one belongs to {parent.project!r}.",
            param="project",
        )


def _check_models(parent: Caller, child: KeyInfo) -> None:
    beyond = excess(child.models, parent.models)
    if beyond:
        raise PermissionDenied(
            f"A key cannot give models that it may not use: {', '.join(beyond[:5])}. Leave them out.", param="models"
        )


def _check_limits(parent: Caller, child: KeyInfo) -> None:
    wider = child.limits.excess_over(parent.limits)
    if wider:
        most = dict(parent.limits.items())[wider[0]]
        raise PermissionDenied(
            f"A key cannot give more than it may use itself: {wider[0]} is {most} at the most.",
            param=f"limits.{wider[0]}",
        )


def bounded_by(child: KeyInfo, parent: KeyInfo) -> KeyInfo:
    """`child`, ending when `parent` does if it named no end. Raises PermissionDenied if it named a later one."""
    if parent.expires_ms is None:
        return child
    if child.expires_ms is not None and child.expires_ms > parent.expires_ms:
        raise PermissionDenied(
            "A key cannot outlive the key that makes it; give an earlier expires_at.", param="expires_at"
        )
    return replace(child, expires_ms=parent.expires_ms if child.expires_ms is None else child.expires_ms)


def check_power_over(by: Caller, key: KeyInfo) -> None:
    """Raises PermissionDenied unless `by`, who can see the key, could have made it."""
    if by.is_admin:
        return
    wider = key.limits.excess_over(by.limits) or excess(key.models, by.models)
    if wider or not all(by.has(scope) for scope in key.scopes):
        raise PermissionDenied("This key may do more than yours: scopes, models or limits. Use an admin key.")


def valid_title(title: str) -> str:
    """`title`, if it is one. PostgreSQL's text holds no NUL, and a title is one line wherever it is shown."""
    if not title.strip() or len(title) > MAX_TITLE_CHARS or not title.isprintable():
        raise InvalidRequest(f"A title is one printable line of 1 to {MAX_TITLE_CHARS} characters.", param="title")
    return title


def valid_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """`scopes`, if they are some of ours, and at least one. Raises InvalidRequest."""
    try:
        found = frozenset(Scope(scope) for scope in scopes)
    except ValueError as error:
        raise InvalidRequest(f"{error}. Scopes are {', '.join(Scope)}.", param="scopes") from None
    if not found:
        raise InvalidRequest(f"A key needs at least one scope of {', '.join(Scope)}.", param="scopes")
    return found
