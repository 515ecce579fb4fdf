"""API keys: make, list, rotate, revoke."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from serve.auth.access import Caller
from serve.auth.key_grants import KeyInfo
from serve.auth.tenants import is_name
from serve.domain.errors import NotFound, PermissionDenied
from serve.domain.moments import at
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.routing import Injected
from serve.gateway.views import (
    KeyView,
    NewKeyBody,
    NewKeyView,
    Page,
    RotationBody,
    at_or_none,
    limits_of,
    limits_view,
)

router = APIRouter(tags=["keys"])
KeyMaker = Annotated[Caller, Depends(allowed("keys"))]
OfTenant = Annotated[str | None, Query(max_length=40, description="Another tenant's keys; admin keys only.")]


@router.post("/v1/keys", operation_id="createKey", status_code=201)
async def create_key(request: Request, services: Injected, caller: KeyMaker) -> NewKeyView:
    """Make a key that may do no more than one's own. It is shown in this answer and never again."""
    body = await read_as(request, NewKeyBody)
    info, token = await services.keys.create(
        tenant=body.tenant or caller.tenant,
        project=body.project or caller.project,
        title=body.title,
        scopes=body.scopes,
        models=body.models,
        limits=limits_of(body.limits),
        expires_ms=None if body.expires_at is None else round(body.expires_at.timestamp() * 1000),
        parent=caller,
    )
    return NewKeyView(**_fields(info), key=token)


@router.get("/v1/keys", operation_id="listKeys")
async def list_keys(services: Injected, caller: KeyMaker, tenant: OfTenant = None) -> Page[KeyView]:
    """The keys of one's project; for people the whole tenant's, for admins another's, too. Revoked ones are there."""
    found = await services.keys.list(_tenant(caller, tenant), None if caller.reaches_tenant else caller.project)
    return Page(data=[KeyView(**_fields(info)) for info in found])


@router.post("/v1/keys/{key_id}/rotate", operation_id="rotateKey", status_code=201)
async def rotate_key(
    key_id: str, request: Request, services: Injected, caller: KeyMaker, tenant: OfTenant = None
) -> NewKeyView:
    """Make another key that may do the same, and have the old one end after a while. It is shown this once."""
    body = await read_as(request, RotationBody)
    info, token = await services.keys.rotate(_tenant(caller, tenant), key_id, body.grace_seconds, caller)
    return NewKeyView(**_fields(info), key=token)


@router.delete("/v1/keys/{key_id}", operation_id="revokeKey", status_code=204)
async def revoke_key(
    key_id: str,
    services: Injected,
    caller: KeyMaker,
    tenant: OfTenant = None,
    made_keys: Annotated[bool, Query(description="End the keys that it made, too, and those that they made.")] = False,
) -> None:
    """End a key. Within seconds no gateway takes it."""
    await services.keys.revoke(_tenant(caller, tenant), key_id, caller, made_keys=made_keys)


def _tenant(caller: Caller, asked: str | None) -> str:
    if asked not in (None, caller.tenant) and not caller.is_admin:
        raise PermissionDenied("Only an admin key sees another tenant's keys.", "permission_denied", "tenant")
    if asked and not is_name(asked):
        raise NotFound(f"There is no tenant {asked!r}.", param="tenant")
    return asked or caller.tenant


def _fields(info: KeyInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "title": info.title,
        "tenant": info.tenant,
        "project": info.project,
        "scopes": sorted(info.scopes),
        "models": None if info.models is None else list(info.models),
        "limits": limits_view(info.limits),
        "created_at": at(info.created_ms),
        "expires_at": at_or_none(info.expires_ms),
        "revoked_at": at_or_none(info.revoked_ms),
        "replaced_by": info.replaced_by,
        "made_by": info.made_by,
    }
