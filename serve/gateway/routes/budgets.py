"""Budgets and credit: what a tenant, a project or a key may spend, and who may say so."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from serve.auth.access import Caller, Scope
from serve.domain.errors import NotFound, PermissionDenied
from serve.domain.names import TenantName
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.budget_views import (
    BudgetChange,
    BudgetView,
    CreditsView,
    GrantView,
    NewBudgetBody,
    NewGrantBody,
    budget_view,
    credits_view,
    grant_view,
    nano_or_none,
)
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import Page
from serve.metering.budgets.budgets import ADMIN, TENANT, Budgets, BudgetState, NewBudget
from serve.metering.budgets.credits import Credits

router = APIRouter(tags=["budgets"])
Reader = Annotated[Caller, Depends(allowed("budgets.read"))]
Owner = Annotated[Caller, Depends(allowed("budgets.write"))]
Admin = Annotated[Caller, Depends(allowed("admin"))]
OfTenant = Annotated[str | None, Query(max_length=40, description="Another tenant's; administrators only.")]


@router.get("/v1/budgets", operation_id="listBudgets")
async def list_budgets(services: Injected, caller: Reader, tenant: OfTenant = None) -> Page[BudgetView]:
    """Budgets with what is spent and held against them: those that apply to this key; all of the tenant, with the
    scope `budgets`."""
    found = await _budgets(services).list(_tenant(caller, tenant))
    return Page(data=[budget_view(state) for state in found if _sees(caller, state)])


@router.get("/v1/budgets/{budget_id}", operation_id="getBudget")
async def get_budget(budget_id: str, services: Injected, caller: Reader) -> BudgetView:
    """One budget."""
    return budget_view(await _found(services, caller, budget_id))


@router.post("/v1/budgets", operation_id="createBudget", status_code=201)
async def create_budget(request: Request, services: Injected, caller: Owner) -> BudgetView:
    """Limit what a tenant, a project or a key spends in a day, a month, or in all. Several may apply to a call: each
    must have room for it. What the present day or month has cost already counts."""
    body = await read_as(request, NewBudgetBody)
    new = NewBudget(
        tenant=_tenant(caller, body.tenant),
        period=body.period,
        limit_nano=nano_or_none(body.limit_usd),
        soft_nano=nano_or_none(body.soft_limit_usd),
        project=body.project or "",
        key_id=body.key_id or "",
        title=body.title,
        set_by=ADMIN if caller.is_admin else TENANT,
    )
    return budget_view(await _budgets(services).create(new))


@router.patch("/v1/budgets/{budget_id}", operation_id="updateBudget")
async def update_budget(budget_id: str, request: Request, services: Injected, caller: Owner) -> BudgetView:
    """Change limits or title. Gateways follow within seconds."""
    before = (await _changeable(services, caller, budget_id)).budget
    body = await read_as(request, BudgetChange)
    given = body.model_fields_set
    limit = nano_or_none(body.limit_usd) if "limit_usd" in given else before.limit_nano
    soft = nano_or_none(body.soft_limit_usd) if "soft_limit_usd" in given else before.soft_nano
    title = before.title if body.title is None else body.title
    return budget_view(await _budgets(services).update(budget_id, limit_nano=limit, soft_nano=soft, title=title))


@router.delete("/v1/budgets/{budget_id}", operation_id="deleteBudget", status_code=204)
async def delete_budget(budget_id: str, services: Injected, caller: Owner) -> None:
    """Limit no longer."""
    await _changeable(services, caller, budget_id)
    await _budgets(services).delete(budget_id)


@router.get("/v1/credits", operation_id="getCredits")
async def get_credits(services: Injected, caller: Reader, tenant: OfTenant = None) -> CreditsView:
    """The tenant's own credit."""
    owner = _tenant(caller, tenant)
    return credits_view(owner, await _credits(services).balance(owner))


@router.post("/v1/admin/credits", operation_id="grantCredit", status_code=201)
async def grant_credit(request: Request, services: Injected, caller: Admin) -> GrantView:
    """Give a tenant credit, which pays its usage before a bill does."""
    body = await read_as(request, NewGrantBody)
    starts, expires = (
        None if moment is None else round(moment.timestamp() * 1000) for moment in (body.starts_at, body.expires_at)
    )
    made = await _credits(services).grant(
        TenantName(body.tenant),
        nano_or_none(body.amount_usd) or 0,
        priority=body.priority,
        note=body.note,
        starts_ms=starts,
        expires_ms=expires,
    )
    return grant_view(made)


@router.get("/v1/admin/credits", operation_id="listCredit")
async def list_credit(services: Injected, caller: Admin, tenant: OfTenant = None) -> Page[GrantView]:
    """Grants, the newest first; used, expired and voided ones too."""
    found = await _credits(services).list(None if tenant is None else TenantName(tenant))
    return Page(data=[grant_view(grant) for grant in found])


@router.delete("/v1/admin/credits/{grant_id}", operation_id="voidCredit", status_code=204)
async def void_credit(grant_id: str, services: Injected, caller: Admin) -> None:
    """Take back what a grant has left. What it paid stays paid."""
    await _credits(services).void(grant_id)


def _budgets(services: Services) -> Budgets:
    return Budgets(services.records, services.clock, services.ids)


def _credits(services: Services) -> Credits:
    return Credits(services.records, services.clock, services.ids)


def _tenant(caller: Caller, asked: str | None) -> TenantName:
    if asked not in (None, caller.tenant) and not caller.is_admin:
        raise PermissionDenied("Only an administrator sees another tenant's budgets and credit.", param="tenant")
    return caller.tenant if asked is None else TenantName(asked)


def _sees(caller: Caller, state: BudgetState) -> bool:
    """Whoever sets budgets sees all of the tenant, others what limits them; a person is of the whole tenant."""
    if caller.has(Scope.BUDGETS) or caller.user_id is not None:
        return True
    return state.budget.covers(caller.project, caller.line)


async def _found(services: Services, caller: Caller, budget_id: str) -> BudgetState:
    state = await _budgets(services).get(budget_id, None if caller.is_admin else caller.tenant)
    if not _sees(caller, state):
        raise NotFound(f"There is no budget {budget_id[:80]!r}. GET /v1/budgets lists them.")
    return state


async def _changeable(services: Services, caller: Caller, budget_id: str) -> BudgetState:
    state = await _found(services, caller, budget_id)
    if state.budget.set_by == ADMIN and not caller.is_admin:
        raise PermissionDenied("An administrator set this budget, and only an administrator changes it.")
    return state
