"""Workflows as documents: a tenant's own key applies them to its tenant, an administrator's to any."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import Request

from serve.auth.access import Caller
from serve.domain.names import TenantName
from serve.domain.workflow import WorkflowDocument
from serve.gateway.access import allowed
from serve.gateway.applied_documents import ManagedBy, OfTenant, check_name, owner_of
from serve.gateway.bodies import read_plain
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import AppliedView, DocumentView
from serve.gateway.workflows.problem_answers import malformed
from serve.gateway.workflows.publishing import apply_document
from serve.gateway.workflows.views import plain_workflow_document
from serve.workflow.library.addresses import WorkflowAddress
from serve.workflow.library.stored_workflows import StoredVersion, StoredWorkflow

router = APIRouter(tags=["admin"])
Writer = Annotated[Caller, Depends(allowed("workflows.write"))]
Reader = Annotated[Caller, Depends(allowed("workflows.read"))]


@router.get("/v1/admin/documents/Workflow/{name}", operation_id="getWorkflowDocument")
async def get_workflow_document(name: str, services: Injected, caller: Reader, tenant: OfTenant = None) -> DocumentView:
    """The document of a workflow: its latest version."""
    owner = owner_of(caller, tenant)
    version = await services.workflows.versions.resolve(owner, WorkflowAddress(name))
    return await _document_view(services, await services.workflows.get(owner, name), version)


@router.put("/v1/admin/documents/Workflow/{name}", operation_id="applyWorkflowDocument")
async def apply_workflow_document(
    name: str,
    request: Request,
    services: Injected,
    caller: Writer,
    tenant: OfTenant = None,
    managed_by: ManagedBy = "api",
) -> AppliedView:
    """Publish what the document says, if the latest version does not say it already.

    It becomes the draft, too, unless that has changes that no version has: those stay.
    """
    owner = owner_of(caller, tenant)
    body = await read_plain(request)
    try:
        document = WorkflowDocument.model_validate(body)
    except ValidationError as error:
        raise malformed(error, body, skip="spec.") from None
    check_name(document, name)
    await services.tenants.get(owner)
    _, result = await apply_document(services, caller, owner, document, managed_by)
    return AppliedView(result=result, document=plain_workflow_document(name, document.spec))


@router.delete("/v1/admin/documents/Workflow/{name}", operation_id="deleteWorkflowDocument", status_code=204)
async def delete_workflow_document(
    name: str, services: Injected, caller: Writer, tenant: OfTenant = None, managed_by: ManagedBy = "api"
) -> None:
    """Delete a workflow with draft, aliases and versions. Runs that have begun go on."""
    await services.workflows.delete(owner_of(caller, tenant), name, managed_by)


async def workflow_documents(services: Services, owner: TenantName) -> list[DocumentView]:
    """The tenant's published workflows as documents, by name."""
    found: list[StoredWorkflow] = []
    while page := await services.workflows.list(owner, limit=100, after=found[-1].name if found else None):
        found += page
    named = [f"{one.name}@{one.latest}" for one in found if one.latest is not None]
    versions = await services.workflows.versions.named(owner, named)
    shown = ((one, versions.get(f"{one.name}@{one.latest}")) for one in found)
    return [await _document_view(services, one, version) for one, version in shown if version is not None]


async def _document_view(services: Services, workflow: StoredWorkflow, version: StoredVersion) -> DocumentView:
    spec = await services.workflows.versions.spec(version)
    return DocumentView(
        document=plain_workflow_document(workflow.name, spec),
        digest=version.digest,
        managed_by=workflow.managed_by,
        generation=version.version,
    )
