"""Administration of tenants and of the people of the installation."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from serve.auth.access import Caller
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.people_views import (
    TenantBody,
    TenantChange,
    TenantView,
    UserChange,
    UserView,
    tenant_view,
    user_view,
)
from serve.gateway.routing import Injected
from serve.gateway.views import Page, limits_of

router = APIRouter(tags=["admin"])
Admin = Annotated[Caller, Depends(allowed("admin"))]


@router.post("/v1/admin/tenants", operation_id="createTenant", status_code=201)
async def create_tenant(request: Request, services: Injected, caller: Admin) -> TenantView:
    """Make a tenant, with a project `default`."""
    body = await read_as(request, TenantBody)
    return tenant_view(await services.tenants.create(body.name, body.billing, limits_of(body.limits)))


@router.get("/v1/admin/tenants", operation_id="listTenants")
async def list_tenants(services: Injected, caller: Admin) -> Page[TenantView]:
    """Every tenant, by name."""
    return Page(data=[tenant_view(tenant) for tenant in await services.tenants.list()])


@router.get("/v1/admin/tenants/{name}", operation_id="getTenant")
async def get_tenant(name: str, services: Injected, caller: Admin) -> TenantView:
    """One tenant."""
    return tenant_view(await services.tenants.get(name))


@router.patch("/v1/admin/tenants/{name}", operation_id="updateTenant")
async def update_tenant(name: str, request: Request, services: Injected, caller: Admin) -> TenantView:
    """Set how a tenant pays, and what a minute of it may hold. Gateways follow within seconds."""
    body = await read_as(request, TenantChange)
    limits = limits_of(body.limits) if "limits" in body.model_fields_set else None
    return tenant_view(await services.tenants.change(name, billing=body.billing, limits=limits))


@router.get("/v1/admin/users", operation_id="listUsers")
async def list_users(services: Injected, caller: Admin) -> Page[UserView]:
    """Everybody who has logged in at the identity provider."""
    return Page(data=[user_view(user) for user in await services.people.users.list()])


@router.patch("/v1/admin/users/{user_id}", operation_id="updateUser")
async def update_user(user_id: str, request: Request, services: Injected, caller: Admin) -> UserView:
    """Make somebody an administrator of the installation, or no longer one."""
    body = await read_as(request, UserChange)
    user = await services.people.users.set_admin(user_id, body.administrator)
    services.people.sessions.forget(user_id)
    return user_view(user)
