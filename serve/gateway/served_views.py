"""What is told of documents, and of the models that come of them, to whoever keeps them in step with others."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from serve.catalog.cards import Card
from serve.domain.applied import AppliedDocument
from serve.domain.moments import at
from serve.domain.serving import ModelState, ModelStatus, ScalingChange
from serve.domain.usage import PriceId
from serve.gateway.views import Replicas, Timestamp, at_or_none
from serve.runs.queues import Queue


class PlatformVersionView(BaseModel):
    """Which Slipway this is."""

    version: str


class DigestView(BaseModel):
    """A stored document by its digest. `version` is the digest of the adapter's files, or the workflow's latest
    number; `base` the served model that an adapter was found to fit."""

    name: str
    digest: str
    managed_by: str
    version: str
    base: str | None = None


class ScalingChangeView(BaseModel):
    """A change of the number of replicas that a model should have, and why."""

    at: Timestamp
    before: int
    after: int
    reason: str


class PlacementView(BaseModel):
    """Where a replica runs, and what it takes there."""

    pool: str
    gpus: float
    cpus: float


class ScalingView(BaseModel):
    """Between how many replicas a model is kept, and how long the last one stays without work."""

    min_replicas: int
    max_replicas: int
    idle_seconds: float


class QueueView(BaseModel):
    """Runs that wait and run, of every tenant: those of a model, or, where `model` is null, of all workflows."""

    object: Literal["queue"] = "queue"
    model: str | None
    waiting: int
    running: int
    oldest_waiting_at: Timestamp | None


class ServedView(BaseModel):
    """A model as it is served: without its schemas, and so cheap for hundreds. `document` is that of a model that was
    applied over HTTP, with its defaults left out, and null for others: their author has it."""

    name: str
    digest: str
    managed_by: str
    generation: int
    state: ModelState
    message: str
    replicas: Replicas
    placement: PlacementView
    scaling: ScalingView
    cold_start_seconds: float | None
    weights_digest: str | None
    price_version: str | None
    scaling_decisions: list[ScalingChangeView]
    document: dict[str, JsonValue] | None


def digest_view(document: AppliedDocument) -> DigestView:
    """A row of a listing."""
    return DigestView(
        name=document.name,
        digest=document.digest,
        managed_by=document.managed_by,
        version=document.version,
        base=document.base,
    )


def served_view(card: Card, status: ModelStatus, price: PriceId | None, changes: Sequence[ScalingChange]) -> ServedView:
    """A model of the catalogue."""
    record = card.record
    managed_by = record.managed_by if record else "api"
    return ServedView(
        name=card.name,
        digest=card.digest,
        managed_by=managed_by,
        generation=record.generation if record else 1,
        state=status.state,
        message=status.message,
        replicas=Replicas(ready=status.ready_replicas, desired=status.desired_replicas),
        placement=_placement_view(card),
        scaling=_scaling_view(card),
        cold_start_seconds=record.cold_start_seconds if record else None,
        weights_digest=record.weights_digest if record else None,
        price_version=price,
        scaling_decisions=[_change_view(change) for change in changes],
        document=_written(card) if managed_by == "api" else None,
    )


def queue_view(queue: Queue) -> QueueView:
    """A row of a listing."""
    return QueueView(
        model=queue.model,
        waiting=queue.num_waiting,
        running=queue.num_running,
        oldest_waiting_at=at_or_none(queue.oldest_ms),
    )


def _placement_view(card: Card) -> PlacementView:
    placement = card.document.spec.placement
    return PlacementView(pool=placement.pool, gpus=placement.gpus, cpus=placement.cpus)


def _scaling_view(card: Card) -> ScalingView:
    scaling = card.document.spec.scaling
    fixed = scaling.replicas
    return ScalingView(
        min_replicas=scaling.min_replicas if fixed is None else fixed,
        max_replicas=scaling.max_replicas if fixed is None else fixed,
        idle_seconds=scaling.idle_seconds,
    )


def _change_view(change: ScalingChange) -> ScalingChangeView:
    return ScalingChangeView(at=at(change.at_ms), before=change.before, after=change.after, reason=change.reason)


def _written(card: Card) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(card.document.canonical())
    return body
