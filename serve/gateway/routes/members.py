"""Members and projects of a tenant."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from serve.auth.access import Caller
from serve.auth.tenants import is_name
from serve.domain.errors import NotFound, PermissionDenied
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.people_views import (
    MemberView,
    ProjectBody,
    ProjectChange,
    ProjectView,
    RoleBody,
    member_view,
    project_view,
)
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import Page, limits_of

router = APIRouter(tags=["members"])
MemberReader = Annotated[Caller, Depends(allowed("members"))]
ProjectReader = Annotated[Caller, Depends(allowed("projects.read"))]
ProjectWriter = Annotated[Caller, Depends(allowed("projects.write"))]
OfTenant = Annotated[str | None, Query(max_length=40, description="Another tenant's; for administrators.")]
KeepKeys = Annotated[bool, Query(description="Leave the keys that the person made.")]


@router.get("/v1/members", operation_id="listMembers")
async def list_members(services: Injected, caller: MemberReader, tenant: OfTenant = None) -> Page[MemberView]:
    """The tenant's members, the longest first."""
    found = await services.people.members.list(_tenant(caller, tenant))
    return Page(data=[member_view(member) for member in found])


@router.put("/v1/members/{user_id}", operation_id="setRole")
async def set_role(
    user_id: str,
    request: Request,
    services: Injected,
    caller: MemberReader,
    tenant: OfTenant = None,
    keep_keys: KeepKeys = False,
) -> MemberView:
    """Give a member another role, which stays until it is changed here, and end the keys that the person made and that
    may do more than the role. An administrator takes new people in so."""
    body = await read_as(request, RoleBody)
    owner = _tenant(caller, tenant)
    member = await services.people.members.set_role(owner, user_id, body.role, caller, keep_keys=keep_keys)
    services.people.sessions.forget(user_id)
    return member_view(member)


@router.delete("/v1/members/{user_id}", operation_id="removeMember", status_code=204)
async def remove_member(
    user_id: str,
    services: Injected,
    caller: MemberReader,
    tenant: OfTenant = None,
    keep_keys: KeepKeys = False,
) -> None:
    """Let a member go, and end the keys that the person made and what these made. Whom a group made a member comes
    back with the next login; take the person out of the group first."""
    await services.people.members.remove(_tenant(caller, tenant), user_id, caller, keep_keys=keep_keys)
    services.people.sessions.forget(user_id)


@router.get("/v1/projects", operation_id="listProjects")
async def list_projects(services: Injected, caller: ProjectReader, tenant: OfTenant = None) -> Page[ProjectView]:
    """The tenant's projects, by name."""
    found = await services.people.projects.list(_tenant(caller, tenant))
    return Page(data=[project_view(project) for project in found])


@router.post("/v1/projects", operation_id="createProject", status_code=201)
async def create_project(
    request: Request, services: Injected, caller: ProjectWriter, tenant: OfTenant = None
) -> ProjectView:
    """Make a project: keys, budgets and usage are of one."""
    body = await read_as(request, ProjectBody)
    owner = await _known_tenant(services, caller, tenant)
    return project_view(await services.people.projects.create(owner, body.name, limits_of(body.limits), caller))


@router.get("/v1/projects/{name}", operation_id="getProject")
async def get_project(name: str, services: Injected, caller: ProjectReader, tenant: OfTenant = None) -> ProjectView:
    """One project."""
    return project_view(await services.people.projects.get(_tenant(caller, tenant), name))


@router.patch("/v1/projects/{name}", operation_id="updateProject")
async def update_project(
    name: str, request: Request, services: Injected, caller: ProjectWriter, tenant: OfTenant = None
) -> ProjectView:
    """Set what a minute of the project may hold. Gateways follow within seconds."""
    body = await read_as(request, ProjectChange)
    owner = _tenant(caller, tenant)
    return project_view(await services.people.projects.change(owner, name, limits_of(body.limits), caller))


async def _known_tenant(services: Services, caller: Caller, asked: str | None) -> str:
    return (await services.tenants.get(_tenant(caller, asked))).name


def _tenant(caller: Caller, asked: str | None) -> str:
    if asked not in (None, caller.tenant) and not caller.is_admin:
        raise PermissionDenied("Only an administrator reaches another tenant.", param="tenant")
    if asked and not is_name(asked):
        raise NotFound(f"There is no tenant {asked!r}.", param="tenant")
    return asked or caller.tenant
