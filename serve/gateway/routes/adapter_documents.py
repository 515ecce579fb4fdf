"""Adapters as documents: a tenant's own key applies them to its tenant, an administrator's to any."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from serve.auth.access import Caller
from serve.catalog.adapters.registry import unknown_adapter
from serve.catalog.adapters.stored import StoredAdapter, Words
from serve.domain.documents import AdapterDocument
from serve.domain.names import TenantName
from serve.gateway.access import allowed
from serve.gateway.adapter_uploads import Wanted, checked, fetch_parts, workspace
from serve.gateway.applied_documents import ManagedBy, OfTenant, check_name, owner_of
from serve.gateway.bodies import read_as
from serve.gateway.routes.adapters import check_sharing, free_name
from serve.gateway.routing import Injected, adapters_of, uploads_of
from serve.gateway.services import Services
from serve.gateway.views import AppliedView, DocumentView, plain_document

router = APIRouter(tags=["admin"])
Writer = Annotated[Caller, Depends(allowed("adapters.write"))]
Reader = Annotated[Caller, Depends(allowed("adapters.read"))]
_URI, _BASE, _DIGEST = "spec.weights.uri", "spec.base", "spec.weights.digest"


@router.get("/v1/admin/documents/Adapter/{name}", operation_id="getAdapterDocument")
async def get_adapter_document(name: str, services: Injected, caller: Reader, tenant: OfTenant = None) -> DocumentView:
    """The document of an adapter; one that was uploaded has none."""
    owner = owner_of(caller, tenant)
    found = await services.adapters.find(owner, owner, name)
    if found is None or found.tenant != owner or found.document is None:
        raise unknown_adapter(owner, name)
    return adapter_document_view(found)


@router.put("/v1/admin/documents/Adapter/{name}", operation_id="applyAdapterDocument")
async def apply_adapter_document(
    name: str,
    request: Request,
    services: Injected,
    caller: Writer,
    tenant: OfTenant = None,
    managed_by: ManagedBy = "api",
) -> AppliedView:
    """Make an adapter what the document says. Other files become a new version of the name."""
    document = await read_as(request, AdapterDocument)
    check_name(document, name)
    owner, spec = owner_of(caller, tenant), document.spec
    check_sharing(caller, tuple(spec.shared_with), "spec.sharedWith")
    await services.tenants.get(owner)
    wanted = Wanted(free_name(name, "metadata.name"), spec.base, spec.weights.digest, _URI, _BASE, _DIGEST)
    async with uploads_of(request).place(caller.tenant, "adapters"), workspace(services) as folder:
        parts = await fetch_parts(services, folder, caller, spec.weights.uri, _URI)
        new = await checked(services, folder, parts, owner, wanted)
        words = words_of(document, new.contents.facts.trigger_words)
        shown = plain_document(document)
        _, result = await services.adapters.add(new, words, managed_by=managed_by, document=shown)
    adapters_of(request).forget()
    return AppliedView(result=result, document=shown)


@router.delete("/v1/admin/documents/Adapter/{name}", operation_id="deleteAdapterDocument", status_code=204)
async def delete_adapter_document(
    name: str,
    request: Request,
    services: Injected,
    caller: Writer,
    tenant: OfTenant = None,
    managed_by: ManagedBy = "api",
) -> None:
    """Delete an adapter with all its versions. Runs and calls that have one keep it."""
    owner = owner_of(caller, tenant)
    await services.adapters.delete(owner, name, manager=managed_by)
    adapters_of(request).forget()


def words_of(document: AdapterDocument, found_words: tuple[str, ...]) -> Words:
    """What a document says of its adapter: all of it, so that what it leaves out goes."""
    spec = document.spec
    return Words(spec.title, spec.description, spec.trigger_words or found_words, spec.default_scale, spec.shared_with)


async def adapter_documents(services: Services, owner: TenantName) -> list[DocumentView]:
    """The tenant's documents, by name."""
    found: list[StoredAdapter] = []
    after = (str(owner), "")
    while page := await services.adapters.list(owner, limit=100, after=after):
        found += [adapter for adapter in page if adapter.tenant == owner and adapter.document is not None]
        after = (page[-1].tenant, page[-1].name)
        if page[-1].tenant != owner:
            break
    return [adapter_document_view(adapter) for adapter in found]


def adapter_document_view(adapter: StoredAdapter) -> DocumentView:
    """An adapter as it was applied."""
    document = AdapterDocument.model_validate(adapter.document)
    return DocumentView(
        document=plain_document(document),
        digest=document.digest(),
        managed_by=adapter.managed_by,
        generation=1,
    )
