"""Whether usage adds up, and what somebody who has looked at it decides."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from sqlalchemy import select
from starlette.requests import Request

from serve.auth.access import Caller
from serve.gateway.access import allowed
from serve.gateway.audit_views import (
    AcceptBody,
    AcceptedView,
    AuditView,
    ConflictView,
    ResolveBody,
    accepted_view,
    audit_view,
    conflict_view,
)
from serve.gateway.bodies import read_as
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import Page
from serve.metering.ledger.audit import audit
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.queries import DAY_MS
from serve.metering.ledger.reviews import Review, accept, resolve
from serve.storage.metering_tables import usage_conflicts

router = APIRouter(tags=["usage"])

_AUDIT_DAYS = 7

Admin = Annotated[Caller, Depends(allowed("admin"))]


@router.get("/v1/admin/reconcile", operation_id="reconcileUsage")
async def reconcile(
    services: Injected,
    caller: Admin,
    since: Annotated[AwareDatetime | None, Query(description="Sources that reported since; 7 days ago.")] = None,
    all: Annotated[bool, Query(description="Also the sources that add up.")] = False,
) -> AuditView:
    """Whether every source's events are whole, add up to what it says, and agree with its engine's counters."""
    now_ms = services.clock.now_ms()
    since_ms = now_ms - _AUDIT_DAYS * DAY_MS if since is None else round(since.timestamp() * 1000)
    found = await audit(services.records, services.clock, services.settings.metering, since_ms)
    return audit_view(found, only_differences=not all)


@router.post("/v1/admin/reconcile/accept", operation_id="acceptDifferences")
async def accept_differences(request: Request, services: Injected, caller: Admin) -> AcceptedView:
    """Take note of what does not add up at one source, so that it is told as known from now on."""
    body = await read_as(request, AcceptBody)
    tokens = services.settings.metering.checkpoint_tokens
    accepted = await accept(_ledger(services), body.source, Review(caller.key_id, body.note), tokens)
    return accepted_view(body.source, accepted)


@router.get("/v1/admin/conflicts", operation_id="listUsageConflicts")
async def list_conflicts(
    services: Injected,
    caller: Admin,
    all: Annotated[bool, Query(description="Also those that are decided.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[ConflictView]:
    """Records in quarantine, the newest first: each contradicts what is booked, or makes no sense."""
    table = usage_conflicts.c
    newest = select(usage_conflicts).order_by(table.received_ms.desc(), table.id, table.payload_sha256).limit(limit + 1)
    if not all:
        newest = newest.where(table.resolved_ms.is_(None))
    async with services.records.read() as connection:
        rows = (await connection.execute(newest)).all()
    return Page(data=[conflict_view(row) for row in rows[:limit]], has_more=len(rows) > limit)


@router.post("/v1/admin/conflicts/resolve", operation_id="resolveUsageConflict", status_code=204)
async def resolve_conflict(request: Request, services: Injected, caller: Admin) -> None:
    """Decide on a record in quarantine: the ledger is right, or the record is. A decision is final."""
    body = await read_as(request, ResolveBody)
    review = Review(caller.key_id, body.note)
    await resolve(_ledger(services), body.id, body.payload_sha256, body.right == "record", review)


def _ledger(services: Services) -> Ledger:
    return Ledger(services.records, services.clock, services.settings.metering, services.prices)
