"""Runs: start, follow, stop, forget."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from serve.auth.access import Caller
from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest
from serve.domain.moments import at
from serve.domain.names import RunId
from serve.domain.run import DeliveryStatus, Run, RunKind, RunStatus
from serve.gateway.access import allowed
from serve.gateway.addresses import Address, addressed
from serve.gateway.bodies import read_json
from serve.gateway.body_budget import held_by
from serve.gateway.exchange import exchange_of
from serve.gateway.playground import card_for, own_key
from serve.gateway.routing import Injected, adapters_of, admission_of, image_inputs_of
from serve.gateway.run_answers import answered, run_events, run_view, with_costs
from serve.gateway.run_requests import RunRequest, new_run, wait_seconds
from serve.gateway.services import Services
from serve.gateway.streaming import EventStream
from serve.gateway.submission import Order, submit
from serve.gateway.views import (
    DeliveryView,
    Page,
    RunView,
    WebhookSecret,
    at_or_none,
)
from serve.runs.store import Delivery
from serve.telemetry import logs

router = APIRouter(tags=["runs"])

_STREAM = {"text/event-stream": {"schema": {"type": "string", "description": "id: seq, event: kind, data: JSON."}}}

Writer = Annotated[Caller, Depends(allowed("runs.write"))]
Reader = Annotated[Caller, Depends(allowed("runs.read"))]


@router.post(
    "/v1/models/{model:path}/runs",
    operation_id="createRun",
    status_code=202,
    responses={202: {"model": RunView}, 200: {"model": RunView, "description": "Finished within Prefer: wait."}},
)
async def create_run(
    model: str,
    request: Request,
    services: Injected,
    caller: Writer,
    prefer: Annotated[str, Header(description="wait=N answers when the run has ended, in at most N (1..60) s.")] = "",
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="The same key and body give the first run again.")
    ] = None,
) -> Response:
    """Start a run of a model. It goes on whether or not anybody waits for it."""
    address = addressed(model)
    card = await card_for(services, caller, address.model)
    logs.bind(model=card.name)
    wait = wait_seconds(prefer)
    run = await _submitted(request, services, card, address, idempotency_key)
    held_by(request.scope).release()
    return await answered(request, run, wait)


async def _submitted(
    request: Request, services: Services, card: Card, address: Address, idempotency_key: str | None
) -> Run:
    """The promised run. The body, which may hold pictures, stays behind in here: a caller may wait for a minute."""
    exchange = exchange_of(request.scope)
    caller, body = exchange.authenticated, await read_json(request)
    key = own_key(exchange.client, idempotency_key)
    asked = RunRequest(card, address, caller, exchange.request_id, body, key)
    new, adapters = await new_run(services, asked)
    resolving = partial(adapters_of(request).run_adapters, caller.tenant, card, adapters)
    admitting = partial(admission_of(request).admit_run, request.scope, card)
    order = Order(card, new, held_by(request.scope), resolving, admitting, path="input")
    run, _ = await submit(services, image_inputs_of(request), order)
    return run


@router.get("/v1/runs", operation_id="listRuns")
async def list_runs(
    services: Injected,
    caller: Reader,
    status: RunStatus | None = None,
    kind: RunKind | None = None,
    model: Annotated[str | None, Query(max_length=120)] = None,
    workflow: Annotated[
        str | None, Query(max_length=120, description="`name@version`, or a name for all of its versions.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[RunId | None, Query(max_length=36, description="The last id of the page before.")] = None,
) -> Page[RunView]:
    """The tenant's runs, newest first."""
    found = await services.runs.list(
        caller.tenant, status=status, kind=kind, target=model, workflow=workflow, limit=limit + 1, after=after
    )
    shown = await with_costs(services, found[:limit])
    return Page(data=[run_view(run) for run in shown], has_more=len(found) > limit)


@router.get("/v1/runs/{run_id}", operation_id="getRun")
async def get_run(run_id: RunId, services: Injected, caller: Reader) -> RunView:
    """One run."""
    (run,) = await with_costs(services, [await services.runs.get(caller.tenant, run_id)])
    return run_view(run)


@router.post("/v1/runs/{run_id}/cancel", operation_id="cancelRun")
async def cancel_run(run_id: RunId, services: Injected, caller: Writer) -> RunView:
    """Stop a run: a queued one at once, a running one within a step or a token."""
    (run,) = await with_costs(services, [await services.runs.request_cancel(caller.tenant, run_id)])
    return run_view(run)


@router.delete("/v1/runs/{run_id}", operation_id="deleteRun", status_code=204)
async def delete_run(run_id: RunId, services: Injected, caller: Writer) -> None:
    """Forget a finished run, its events and its assets."""
    await services.runs.delete(caller.tenant, run_id)


@router.get(
    "/v1/runs/{run_id}/events",
    operation_id="followRun",
    responses={200: {"content": _STREAM, "description": "The run's events, to its end."}},
    response_class=Response,
)
async def follow_run(
    run_id: RunId,
    services: Injected,
    caller: Reader,
    last_event_id: Annotated[str, Header(description="The last id that was seen; the stream goes on after it.")] = "",
) -> Response:
    """A run's events as they happen, and those that have happened."""
    after_seq = _seq(last_event_id)
    await services.runs.progress(caller.tenant, run_id)  # an unknown run is a 404, not a stream that ends at once
    return EventStream(run_events(services, caller.tenant, run_id, after_seq))


def _seq(last_event_id: str) -> int:
    if not last_event_id:
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 9:
        raise InvalidRequest("Last-Event-ID must be the id of an event", "invalid_value", "Last-Event-ID")
    return int(last_event_id)


@router.get("/v1/runs/{run_id}/deliveries", operation_id="listDeliveries")
async def list_deliveries(run_id: RunId, services: Injected, caller: Reader) -> Page[DeliveryView]:
    """What was sent to the run's webhook, oldest first."""
    found = await services.runs.deliveries(caller.tenant, run_id)
    return Page(data=[_delivery_view(delivery) for delivery in found])


@router.get("/v1/webhooks/secret", operation_id="getWebhookSecret")
async def get_webhook_secret(
    services: Injected, caller: Annotated[Caller, Depends(allowed("webhooks.secret"))]
) -> WebhookSecret:
    """What the tenant's webhooks are signed with."""
    return WebhookSecret(secret=(await services.tenants.get(caller.tenant)).webhook_secret)


def _delivery_view(delivery: Delivery) -> DeliveryView:
    is_pending = delivery.status == DeliveryStatus.PENDING
    values: dict[str, Any] = {
        name: getattr(delivery, name)
        for name in ("id", "event", "url", "status", "attempt", "response_status", "error")
    }
    return DeliveryView(
        **values,
        next_attempt_at=at(delivery.next_ms) if is_pending else None,
        created_at=at(delivery.created_ms),
        delivered_at=at_or_none(delivery.delivered_ms),
    )
