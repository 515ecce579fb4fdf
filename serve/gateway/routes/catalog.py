"""The catalogue: what is served, what it takes, and how it is doing."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serve.auth.access import Caller
from serve.catalog.adapters.bases import architecture_of
from serve.catalog.cards import Card
from serve.domain.modality import Modality
from serve.domain.moments import at
from serve.domain.serving import ModelState, ModelStatus
from serve.domain.task import Task
from serve.gateway.access import allowed
from serve.gateway.addresses import addressed_model
from serve.gateway.playground import card_for, shown_to
from serve.gateway.price_views import spelled
from serve.gateway.routing import Injected
from serve.gateway.views import AdapterPolicyView, CardView, Modalities, Page, Replicas
from serve.metering.prices.prices import PriceVersion
from serve.workflow.ports.model_ports import form_of

router = APIRouter(tags=["catalog"])
Reader = Annotated[Caller, Depends(allowed("catalog"))]
_NOT_DEPLOYED = ModelStatus(ModelState.LOADING, message="This model is not deployed yet.")


@router.get("/v1/catalog", operation_id="listCatalog")
async def list_catalog(
    services: Injected,
    caller: Reader,
    modality: Annotated[Modality | None, Query(description="Among the model's inputs or outputs.")] = None,
    task: Task | None = None,
    base: Annotated[str, Query(max_length=64, description="The base architecture, exactly.")] = "",
    q: Annotated[str, Query(max_length=200, description="Words of name, title, description or tags.")] = "",
) -> Page[CardView]:
    """The models that match every filter, by name."""
    cards = shown_to(caller, await services.catalog.cards())
    statuses = await services.models.statuses()
    wanted = [
        card
        for _, card in sorted(cards.items())
        if _matches(card, modality, task, base) and _mentions(card, q.casefold().split())
    ]
    prices = [await services.prices.current(card.name, caller.tenant) for card in wanted]
    return Page(
        data=[
            _view(card, statuses.get(card.name, _NOT_DEPLOYED), price)
            for card, price in zip(wanted, prices, strict=True)
        ]
    )


@router.get("/v1/catalog/{model}", operation_id="getCard")
async def get_card(model: str, services: Injected, caller: Reader) -> CardView:
    """One model."""
    card = await card_for(services, caller, addressed_model(model))
    statuses = await services.models.statuses()
    price = await services.prices.current(card.name, caller.tenant)
    return _view(card, statuses.get(card.name, _NOT_DEPLOYED), price)


def _matches(card: Card, modality: Modality | None, task: Task | None, base: str) -> bool:
    spec = card.document.spec
    return (
        (modality is None or modality in spec.input_modalities or modality in spec.output_modalities)
        and (task is None or task in spec.tasks)
        and (not base or base == spec.card.base_architecture)
    )


def _mentions(card: Card, words: Iterable[str]) -> bool:
    shown = card.document.spec.card
    text = " ".join((card.name, shown.title, shown.description, *shown.tags)).casefold()
    return all(word in text for word in words)


def _view(card: Card, status: ModelStatus, price: PriceVersion | None) -> CardView:
    spec, record = card.document.spec, card.record
    return CardView(
        name=card.name,
        title=spec.card.title,
        description=spec.card.description,
        family=spec.family,
        tasks=spec.tasks,
        modalities=Modalities(input=spec.input_modalities, output=spec.output_modalities),
        base_architecture=spec.card.base_architecture,
        license=spec.card.license,
        tags=list(spec.card.tags),
        adapters=AdapterPolicyView(
            enabled=spec.adapters.enabled,
            architecture=architecture_of(card) if spec.adapters.enabled else None,
            max_rank=spec.adapters.max_rank,
            max_per_call=spec.adapters.max_per_call,
        ),
        state=status.state,
        message=status.message,
        replicas=Replicas(ready=status.ready_replicas, desired=status.desired_replicas),
        cold_start_seconds=record.cold_start_seconds if record else None,
        inputs={task.value: dict(form_of(card.input_schema(task))) for task in spec.tasks},
        examples=list(spec.card.examples),
        prices=None if price is None else spelled(price.prices),
        playground=spec.card.playground,
        digest=card.digest,
        created_at=at(record.created_ms) if record else None,
        updated_at=at(record.updated_ms) if record else None,
    )
