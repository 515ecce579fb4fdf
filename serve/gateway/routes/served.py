"""How things are, for whoever keeps documents in step with another place, as the operator of a cluster does."""

from importlib.metadata import version
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from serve.auth.access import Caller
from serve.catalog.adapters.digests import adapter_digests
from serve.domain.serving import ModelState, ModelStatus
from serve.gateway.access import allowed
from serve.gateway.applied_documents import OfTenant, owner_of
from serve.gateway.routing import Injected
from serve.gateway.served_views import (
    DigestView,
    PlatformVersionView,
    QueueView,
    ServedView,
    digest_view,
    queue_view,
    served_view,
)
from serve.gateway.views import Page
from serve.runs.queues import queues

router = APIRouter(tags=["admin"])
Admin = Annotated[Caller, Depends(allowed("admin"))]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows of one page.")]
After = Annotated[str, Query(max_length=40, description="The last name of the page before.")]
_NOT_DEPLOYED = ModelStatus(ModelState.LOADING, message="This model is not deployed yet.")


@router.get("/v1/admin/version", operation_id="getVersion")
async def get_version(caller: Admin) -> PlatformVersionView:
    """Which Slipway this is."""
    return PlatformVersionView(version=version("slipway-serve"))


@router.get("/v1/admin/served", operation_id="listServed")
async def list_served(services: Injected, caller: Admin, limit: Limit = 500, after: After = "") -> Page[ServedView]:
    """How the models are doing, by name: replicas, the last start from zero, the last decisions of the scaling.

    Read anew, whatever gateway is asked: two answers after a change must not contradict one another.
    """
    services.catalog.forget()
    cards = await services.catalog.cards()
    names = sorted(name for name in cards if name > after)
    statuses, prices = await services.models.statuses(), await services.prices.in_force()
    changes = await services.scaling_changes()
    shown = [
        served_view(cards[name], statuses.get(name, _NOT_DEPLOYED), prices.get(name), changes.get(name, ()))
        for name in names[:limit]
    ]
    return Page(data=shown, has_more=len(names) > limit)


@router.get("/v1/admin/queues", operation_id="listQueues")
async def list_queues(services: Injected, caller: Admin) -> Page[QueueView]:
    """How many runs wait and run, by model; workflows are one queue. What is empty is left out."""
    return Page(data=[queue_view(queue) for queue in await queues(services.records)])


@router.get("/v1/admin/digests", operation_id="listDigests")
async def list_digests(
    services: Injected,
    caller: Admin,
    kind: Literal["Adapter", "Workflow"],
    tenant: OfTenant = None,
    limit: Limit = 500,
    after: After = "",
) -> Page[DigestView]:
    """The digests of a tenant's documents, by name: enough to tell which one has to be applied anew."""
    owner = owner_of(caller, tenant)
    if kind == "Adapter":
        found = await adapter_digests(services.records, owner, limit + 1, after)
    else:
        found = await services.workflows.digests.page(owner, limit + 1, after)
    return Page(data=[digest_view(one) for one in found[:limit]], has_more=len(found) > limit)
