"""Usage: sums, single postings, exports, and other prices for what is booked."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from serve.auth.access import Caller
from serve.domain.errors import InvalidRequest, PermissionDenied
from serve.domain.moments import at
from serve.domain.usage import PriceId
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.routing import Injected
from serve.gateway.usage_views import (
    RerateBody,
    RerateView,
    UsageEventHistory,
    UsageEventView,
    UsageView,
    event_view,
    history_view,
    rerate_view,
    usage_view,
)
from serve.gateway.views import Page
from serve.metering.ledger import queries as usage_queries
from serve.metering.ledger.exports import ExportFormat, exported
from serve.metering.ledger.ledger import Ledger
from serve.metering.ledger.queries import Asked, Granularity, Which
from serve.metering.ledger.rollups import tag_names

router = APIRouter(tags=["usage"])

EVERYONE = "*"
_DEFAULT_DAYS = 30
_MAX_PAGES = 100_000

Reader = Annotated[Caller, Depends(allowed("usage"))]
Admin = Annotated[Caller, Depends(allowed("admin"))]
From = Annotated[AwareDatetime | None, Query(alias="from", description="Admitted then or later; 30 days before `to`.")]
To = Annotated[AwareDatetime | None, Query(alias="to", description="Admitted before; now, if nothing is said.")]
OfTenant = Annotated[str | None, Query(max_length=40, description="Another tenant, or * for all; admins only.")]
Text = Annotated[str | None, Query(max_length=120)]
Tags = Annotated[list[str] | None, Query(max_length=5, description="key=value, of a declared tag key.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


class _Scope:
    """Whose usage a request is about: what the caller may see, narrowed by what it asks for."""

    def __init__(
        self,
        services: Injected,
        caller: Reader,
        since: From = None,
        until: To = None,
        tenant: OfTenant = None,
        project: Text = None,
        key: Text = None,
        model: Text = None,
        tag: Tags = None,
    ) -> None:
        now = at(services.clock.now_ms())
        until = until or now + timedelta(milliseconds=1)
        since = since or until - timedelta(days=_DEFAULT_DAYS)
        if since >= until:
            raise InvalidRequest("`from` must be before `to`.", "invalid_value", "from")
        self.which = Which(
            since_ms=round(since.timestamp() * 1000),
            until_ms=round(until.timestamp() * 1000),
            tenant=_tenant(caller, tenant),
            project=_project(caller, project),
            key_id=key,
            model=model,
            tags=_tags(tag or ()),
        )


InScope = Annotated[_Scope, Depends()]


@router.get("/v1/usage", operation_id="getUsage")
async def get_usage(
    services: Injected,
    scope: InScope,
    group_by: Annotated[
        list[str] | None,
        Query(max_length=8, description="tenant, project, key, model, adapter, workflow, node, tag:<key>; repeatable."),
    ] = None,
    granularity: Granularity = Granularity.TOTAL,
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=_MAX_PAGES, description="How many groups to leave out.")] = 0,
) -> Page[UsageView]:
    """Usage summed by what it is grouped by and by hour, day or month (UTC), in the order of time and names."""
    names = list(dict.fromkeys(group_by or ()))
    tags = tag_names(services.settings.metering.tag_keys)
    found = await usage_queries.usage(services.records, scope.which, names, granularity, tags, limit + 1, after)
    return Page(data=[usage_view(used) for used in found[:limit]], has_more=len(found) > limit)


@router.get(
    "/v1/usage/events",
    operation_id="listUsageEvents",
    responses={200: {"model": Page[UsageEventView], "content": {"text/csv": {}, "application/x-ndjson": {}}}},
    response_class=JSONResponse,
)
async def list_events(
    services: Injected,
    scope: InScope,
    request_id: Text = None,
    run_id: Text = None,
    limit: Limit = 50,
    after: Annotated[str | None, Query(max_length=160, description="The last id of the page before.")] = None,
    format: Annotated[ExportFormat | None, Query(description="A whole export, as it was booked.")] = None,
    booked_since: Annotated[AwareDatetime | None, Query(description="Of an export: booked then or later.")] = None,
) -> Response:
    """Single postings, newest admitted first; with `format` all of them, in the order they were booked."""
    asked = Asked(scope.which, request_id, run_id)
    if format is not None:
        booked_ms = 0 if booked_since is None else round(booked_since.timestamp() * 1000)
        parts = exported(services.records, services.clock, asked, format, booked_ms)
        return StreamingResponse(parts, media_type=format.media_type)
    found = await usage_queries.events(services.records, asked, limit + 1, after)
    page = Page[UsageEventView](data=[event_view(row) for row in found[:limit]], has_more=len(found) > limit)
    return JSONResponse(page.model_dump(mode="json"))


@router.get("/v1/usage/events/{event_id:path}", operation_id="getUsageEvent")
async def get_event(event_id: str, services: Injected, caller: Reader) -> UsageEventHistory:
    """One posting, and what was posted on it since."""
    tenant = None if caller.is_admin else caller.tenant
    rows = await usage_queries.event(services.records, event_id, tenant, _project(caller, None))
    return history_view(rows)


@router.post("/v1/admin/rerate", operation_id="rerateUsage")
async def rerate(request: Request, services: Injected, caller: Admin) -> RerateView:
    """Charge what was booked without a price, or by a wrong one, by another version. Again changes nothing."""
    body = await read_as(request, RerateBody)
    since_ms, until_ms = (round(moment.timestamp() * 1000) for moment in (body.since, body.until))
    wrong = None if body.wrong is None else PriceId(body.wrong)
    ledger = Ledger(services.records, services.clock, services.settings.metering, services.prices)
    done = await ledger.rerate(body.model, since_ms, until_ms, PriceId(body.version), wrong)
    return rerate_view(done)


def _tenant(caller: Caller, asked: str | None) -> str | None:
    if asked not in (None, caller.tenant) and not caller.is_admin:
        raise PermissionDenied("Only an administrator sees other tenants' usage.", "permission_denied", "tenant")
    return None if asked == EVERYONE else asked or caller.tenant


def _project(caller: Caller, asked: str | None) -> str | None:
    """None for all: a key that does not reach its tenant sees its own project, and in any other nothing."""
    if caller.reaches_tenant:
        return asked
    if asked not in (None, caller.project):
        raise PermissionDenied("This key sees the usage of its own project only.", "permission_denied", "project")
    return caller.project


def _tags(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InvalidRequest("A tag is given as key=value.", "invalid_value", "tag")
        found[key] = value
    return found
