"""What routes about people, tenants and projects take and give."""

from pydantic import BaseModel, Field

from serve.auth.access import Scope
from serve.auth.members import Member
from serve.auth.projects import Project
from serve.auth.roles import Role
from serve.auth.tenants import Billing, Tenant
from serve.auth.users import User
from serve.domain.moments import at
from serve.gateway.views import Body, LimitsBody, LimitsView, Timestamp, limits_view


class TenantBody(Body):
    """A tenant to make. prepaid: nothing runs beyond the credit; postpaid: what runs is billed afterwards."""

    name: str
    billing: Billing = Billing.POSTPAID
    limits: LimitsBody | None = None


class TenantChange(Body):
    """What is to change of a tenant; what is left out stays. `limits` replaces all of them, null takes them away."""

    billing: Billing | None = None
    limits: LimitsBody | None = None


class TenantView(BaseModel):
    """A tenant."""

    name: str
    billing: Billing
    limits: LimitsView
    created_at: Timestamp


def tenant_view(tenant: Tenant) -> TenantView:
    """A tenant, to be seen."""
    return TenantView(
        name=tenant.name,
        billing=tenant.billing,
        limits=limits_view(tenant.limits),
        created_at=at(tenant.created_ms),
    )


class ProjectBody(Body):
    """A project to make."""

    name: str
    limits: LimitsBody | None = None


class ProjectChange(Body):
    """The limits of a project, all of them; null takes them away."""

    limits: LimitsBody | None


class ProjectView(BaseModel):
    """A project of a tenant."""

    tenant: str
    name: str
    limits: LimitsView
    created_at: Timestamp


def project_view(project: Project) -> ProjectView:
    """A project, to be seen."""
    return ProjectView(
        tenant=project.tenant,
        name=project.name,
        limits=limits_view(project.limits),
        created_at=at(project.created_ms),
    )


class RoleBody(Body):
    """A member's role."""

    role: Role


class MemberView(BaseModel):
    """A person in a tenant. Roles granted by `groups` follow the provider at each login, those by `hand` stay."""

    user_id: str
    email: str
    name: str
    tenant: str
    role: Role
    granted_by: str
    created_at: Timestamp
    last_login_at: Timestamp


def member_view(member: Member) -> MemberView:
    """A member, to be seen."""
    return MemberView(
        user_id=member.user.id,
        email=member.user.identity.email,
        name=member.user.identity.name,
        tenant=member.tenant,
        role=member.role,
        granted_by=member.granted_by,
        created_at=at(member.created_ms),
        last_login_at=at(member.user.last_login_ms),
    )


class UserView(BaseModel):
    """Somebody who has logged in."""

    id: str
    issuer: str
    email: str
    name: str
    administrator: bool
    created_at: Timestamp
    last_login_at: Timestamp


class UserChange(Body):
    """Whether somebody is an administrator of the installation."""

    administrator: bool


def user_view(user: User) -> UserView:
    """A person, to be seen."""
    return UserView(
        id=user.id,
        issuer=user.identity.issuer,
        email=user.identity.email,
        name=user.identity.name,
        administrator=user.admin_by is not None,
        created_at=at(user.created_ms),
        last_login_at=at(user.last_login_ms),
    )


class TenantChoice(Body):
    """The tenant that a session is to be in."""

    tenant: str = Field(max_length=200)


class PersonView(BaseModel):
    """The person behind a session."""

    id: str
    email: str
    name: str


class MembershipView(BaseModel):
    """One's own role in a tenant; null for an administrator who is no member."""

    tenant: str
    role: Role | None


class MeView(BaseModel):
    """Who asks, and what it may do. `tenant` is null for somebody who is a member nowhere.

    With a session: `csrf_token` is what `x-csrf-token` must say in requests that change something, `tenants` are
    those that the session can be switched to, and `expires_at` is when it ends.
    """

    user: PersonView | None
    key_id: str
    tenant: str | None
    project: str
    scopes: list[Scope]
    models: list[str] | None
    limits: LimitsView
    administrator: bool
    tenants: list[MembershipView]
    csrf_token: str | None
    expires_at: Timestamp | None


class LinkCode(Body):
    """The code of a link that logs in once: what stands behind `#code=` in its address."""

    code: str = Field(max_length=200)


class LoginLinkView(BaseModel):
    """A link that logs in one browser, once, as the local administrator. It is shown this one time."""

    url: str
    code: str
    expires_at: Timestamp


class LoggedOutView(BaseModel):
    """Where to go to log out at the identity provider, too; null where there is no such place."""

    provider_logout_url: str | None
