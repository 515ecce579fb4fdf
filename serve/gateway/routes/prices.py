"""Prices: what calls cost now and did before, every charge explained, and what a call would cost."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from serve.auth.access import Caller
from serve.domain.adapters import parse_reference
from serve.domain.documents import Prices
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.names import TenantName
from serve.domain.usage import PriceId, Quantities
from serve.gateway.access import allowed
from serve.gateway.addresses import addressed
from serve.gateway.admission import task_of
from serve.gateway.bodies import read_as, read_json
from serve.gateway.body_budget import held_by
from serve.gateway.estimates import Estimate, Planned, estimate
from serve.gateway.exchange import exchange_of
from serve.gateway.model_access import check_model
from serve.gateway.playground import card_for, check_plan, shown_to
from serve.gateway.price_views import (
    BillView,
    ModelPriceView,
    PlanView,
    PriceCheckBody,
    PriceView,
    bill_view,
    line_view,
    price_view,
)
from serve.gateway.routing import Injected, adapters_of, image_inputs_of
from serve.gateway.run_requests import RunRequest, about_input, new_run
from serve.gateway.services import Services
from serve.gateway.views import Page, cost_view
from serve.metering.prices.ceiling import MAX_CALL_SECONDS
from serve.metering.prices.pace import seconds_of
from serve.metering.prices.prices import PriceVersion, bill

router = APIRouter(tags=["prices"])
Reader = Annotated[Caller, Depends(allowed("catalog"))]
Admin = Annotated[Caller, Depends(allowed("admin"))]
Planner = Annotated[Caller, Depends(allowed("runs.write"))]


@router.get("/v1/prices", operation_id="listPrices")
async def list_prices(services: Injected, caller: Reader) -> Page[ModelPriceView]:
    """What every served model that the caller may use costs now, by name."""
    views = []
    for name in sorted(shown_to(caller, await services.catalog.cards())):
        version = await services.prices.current(name, caller.tenant)
        views.append(ModelPriceView(model=name, price=None if version is None else price_view(version)))
    return Page(data=views)


@router.get("/v1/prices/{model}", operation_id="getPrices")
async def get_prices(model: str, services: Injected, caller: Reader) -> Page[PriceView]:
    """The versions of a model's prices that concern the caller, the one that is in force last first."""
    card = await card_for(services, caller, model)
    found = await services.prices.history(card.name)
    return Page(data=[price_view(version) for version in found if _concerns(version, caller)])


@router.put("/v1/admin/prices/{model}", operation_id="setPrices")
async def set_prices(
    model: str,
    request: Request,
    services: Injected,
    caller: Admin,
    tenant: Annotated[str | None, Query(max_length=80, description="For this tenant alone.")] = None,
) -> PriceView:
    """Make a version of a model's prices, in force from `effectiveFrom`, or from now on.

    The same prices again make no new version. Prices with nothing in them take the tenant's own, or the model's, away.
    """
    card = await services.catalog.card(model)
    owner = TenantName("") if tenant is None else (await services.tenants.get(TenantName(tenant))).name
    version = await services.prices.apply(card.name, await read_as(request, Prices), caller.key_id, owner)
    return price_view(version)


@router.post("/v1/prices/check", operation_id="checkPrice")
async def check_price(request: Request, services: Injected, caller: Reader) -> BillView:
    """Work out a charge, line by line, by the prices in force, by those of a moment, or by a version."""
    body = await read_as(request, PriceCheckBody)
    card = await card_for(services, caller, addressed(body.model).model)
    if body.task is not None and body.task not in card.tasks:
        raise InvalidRequest(f"{card.name} does not do {body.task}.", "unsupported_task", "task")
    version = await _version(services, caller, card.name, body)
    if version is None:
        return bill_view(card.name, None, None)
    adapters = [_adapter(text, caller) for text in body.adapters]
    return bill_view(card.name, version, bill(Quantities(**body.quantities.model_dump()), version, adapters))


@router.post("/v1/models/{model:path}/plan", operation_id="planRun")
async def plan_run(model: str, request: Request, services: Injected, caller: Planner) -> PlanView:
    """Check a run without starting it: what it would consume and cost at the most, and how long it may take.

    The body is that of a run. Admission reserves what this says, by the same code.
    """
    address = addressed(model)
    card = await card_for(services, caller, address.model)
    body = await read_json(request)
    asked = RunRequest(card, address, caller, exchange_of(request.scope).request_id, body)
    new, chosen = await new_run(services, asked)
    check_model(caller, card.name, with_adapters=bool(chosen))
    adapters = await adapters_of(request).run_adapters(caller.tenant, card, chosen)
    with about_input():
        check_plan(caller, task_of(new), new.inputs)
        pictures = await image_inputs_of(request).read(
            held_by(request.scope), caller.tenant, card, task_of(new), new.inputs
        )
    source = next(((p.info.width, p.info.height) for p in pictures if p.field == "image"), None)
    seconds = None if new.deadline_ms is None else max(0, new.deadline_ms - services.clock.now_ms()) / 1000
    planned = Planned(card, task_of(new), new.inputs, [adapter.id for adapter in adapters], seconds, source)
    return await _plan_view(services, planned, await estimate(services, caller.tenant, planned))


async def _plan_view(services: Services, planned: Planned, found: Estimate) -> PlanView:
    price, name = found.price, planned.card.name
    lines = bill(found.ceiling, price, planned.adapters).lines if price else ()
    seconds = await seconds_of(services.records, name, found.ceiling)
    return PlanView(
        model=name,
        task=planned.task,
        quantities_at_most=found.ceiling.nonzero(),
        cost_at_most=cost_view(found.cost_nano),
        price=None if price is None else price_view(price),
        lines=[line_view(line) for line in lines],
        estimated_seconds=None if seconds is None else round(seconds, 3),
        notes=_notes(planned, found),
    )


def _notes(planned: Planned, found: Estimate) -> list[str]:
    if found.price is None:
        return ["This model has no price: its usage is booked, and costs nothing until somebody sets one."]
    if found.price.prices.gpu_second is None or not found.ceiling.gpu_ms:
        return []
    seconds = MAX_CALL_SECONDS if planned.seconds is None else planned.seconds
    return [f"GPU time depends on what else runs: it is bounded by {seconds:g} seconds. A deadline lowers that."]


async def _version(services: Services, caller: Caller, model: str, body: PriceCheckBody) -> PriceVersion | None:
    if body.price is None:
        when_ms = services.clock.now_ms() if body.at is None else round(body.at.timestamp() * 1000)
        return await services.prices.at(model, caller.tenant, when_ms)
    version = await services.prices.version(PriceId(body.price))
    if version is None or version.model != model or not _concerns(version, caller):
        raise NotFound(f"{model} has no price version {body.price[:80]!r}.", "price_not_found", "price")
    return version


def _concerns(version: PriceVersion, caller: Caller) -> bool:
    """A tenant's own prices are nobody else's business."""
    return caller.is_admin or version.tenant in ("", caller.tenant)


def _adapter(text: str, caller: Caller) -> str:
    """`tenant/name` of an adapter, which is all that prices go by."""
    try:
        reference = parse_reference(text)
    except ValueError as error:
        raise InvalidRequest(str(error), "invalid_adapter", "adapters") from None
    return f"{reference.tenant or caller.tenant}/{reference.name}"
