"""Administration: the documents that say what is served."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from starlette.requests import Request

from serve.auth.access import Caller
from serve.catalog.cards import Card
from serve.domain.documents import ModelDocument
from serve.gateway.access import allowed, caller_of
from serve.gateway.applied_documents import ManagedBy, OfTenant, check_name, owner_of
from serve.gateway.bodies import read_as
from serve.gateway.routes.adapter_documents import adapter_documents
from serve.gateway.routes.workflow_documents import workflow_documents
from serve.gateway.routing import Injected, applying_of
from serve.gateway.services import Services
from serve.gateway.views import AppliedView, DocumentView, Page, plain_document

router = APIRouter(tags=["admin"])
Admin = Annotated[Caller, Depends(allowed("admin"))]


@router.get("/v1/admin/documents", operation_id="listDocuments")
async def list_documents(
    request: Request,
    services: Injected,
    kind: Literal["Model", "Adapter", "Workflow"] = "Model",
    tenant: OfTenant = None,
) -> Page[DocumentView]:
    """The stored documents, by name: of the models, or of a tenant's adapters or published workflows."""
    if kind == "Adapter":
        owner = owner_of(caller_of(request, "adapters.read"), tenant)
        return Page(data=await adapter_documents(services, owner))
    if kind == "Workflow":
        return Page(data=await workflow_documents(services, owner_of(caller_of(request, "workflows.read"), tenant)))
    caller_of(request, "admin")
    cards = await services.catalog.cards()
    return Page(data=[_document_view(card) for _, card in sorted(cards.items())])


@router.get("/v1/admin/documents/Model/{name}", operation_id="getDocument")
async def get_document(name: str, services: Injected, caller: Admin) -> DocumentView:
    """One document."""
    return _document_view(await services.catalog.card(name))


@router.put("/v1/admin/documents/Model/{name}", operation_id="applyDocument")
async def apply_document(
    name: str, request: Request, services: Injected, caller: Admin, managed_by: ManagedBy = "api"
) -> AppliedView:
    """Make a model what the document says. Applying it again changes nothing, and repairs what was not served."""
    document = await read_as(request, ModelDocument)
    check_name(document, name)
    async with applying_of(request):
        await services.catalog.check(document, managed_by)
        # Before the document: whoever finds its digest here takes it for applied, and would not come again.
        if document.spec.prices is not None:
            await services.prices.apply(document.name, document.spec.prices, caller.key_id)
        result = await services.catalog.apply(document, managed_by)
        await _serve(services)
    return AppliedView(result=result, document=plain_document(document))


@router.delete("/v1/admin/documents/Model/{name}", operation_id="deleteDocument", status_code=204)
async def delete_document(
    name: str, request: Request, services: Injected, caller: Admin, managed_by: ManagedBy = "api"
) -> None:
    """Serve a model no longer."""
    async with applying_of(request):
        await services.catalog.delete(name, managed_by)
        await _serve(services)


async def _serve(services: Services) -> None:
    """The whole state each time: an executor that missed one change catches up with the next."""
    cards = await services.catalog.cards()
    await services.desired.apply([card.document for _, card in sorted(cards.items())])


@router.get("/v1/admin/models/{name}/counters", operation_id="getModelCounters")
async def get_counters(name: str, services: Injected, caller: Admin) -> dict[str, float]:
    """The own counters of one of the model's engines: `running` calls, tokens since its start."""
    card = await services.catalog.card(name)
    return dict(await services.models.counters(card.name))


def _document_view(card: Card) -> DocumentView:
    record = card.record
    return DocumentView(
        document=plain_document(card.document),
        digest=card.digest,
        managed_by=record.managed_by if record else "api",
        generation=record.generation if record else 1,
    )
