"""Versions of workflows: publish, list, look, compare, keep in git; and the aliases that mean them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.auth.access import Caller
from serve.domain.errors import InvalidRequest
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import Page
from serve.gateway.workflows.checking import check
from serve.gateway.workflows.publishing import author, publish_draft
from serve.gateway.workflows.revisions import seen_revision
from serve.gateway.workflows.sources import source_of
from serve.gateway.workflows.views import (
    AliasBody,
    AliasView,
    DifferencesView,
    DifferenceView,
    PublishBody,
    RollbackBody,
    VersionDetailView,
    VersionView,
    alias_view,
    plain_workflow_document,
    problem_views,
    version_fields,
)
from serve.workflow.interface import input_schema, output_schema
from serve.workflow.library.addresses import DRAFT, LATEST, WorkflowAddress, parse_which
from serve.workflow.library.differences import differences
from serve.workflow.library.stored_workflows import StoredVersion

router = APIRouter(tags=["workflows"])

Writer = Annotated[Caller, Depends(allowed("workflows.write"))]
Reader = Annotated[Caller, Depends(allowed("workflows.read"))]
Which = Annotated[str, Query(max_length=40, description="A version's number, an alias, `latest` or `draft`.")]


@router.post(
    "/v1/workflows/{name}/versions",
    operation_id="publishWorkflow",
    status_code=201,
    responses={
        201: {"model": VersionView},
        200: {
            "model": VersionView,
            "description": "The latest version says all that the draft does: there is no new one.",
        },
    },
)
async def publish_workflow(name: str, request: Request, services: Injected, caller: Writer) -> Response:
    """Make a version of the draft, which never changes. Aliases of other workflows in it are pinned to the versions
    that they mean now. `If-Match` publishes that revision of the draft or nothing.

    A draft that cannot run is a 422 (`invalid_workflow`) with everything that is wrong in `error.problems`.
    """
    body = await read_as(request, PublishBody)
    version, is_new = await publish_draft(services, caller, name, body, seen_revision(request))
    return JSONResponse((await _view(services, version)).model_dump(mode="json"), 201 if is_new else 200)


@router.get("/v1/workflows/{name}/versions", operation_id="listWorkflowVersions")
async def list_workflow_versions(
    name: str,
    services: Injected,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[int | None, Query(ge=1, description="The last version on the page before.")] = None,
) -> Page[VersionView]:
    """The versions of a workflow, the newest first."""
    found = await services.workflows.versions.list(caller.tenant, name, limit + 1, after)
    aliases = (await services.workflows.get(caller.tenant, name)).aliases
    shown = [VersionView(**version_fields(version, aliases)) for version in found[:limit]]
    return Page(data=shown, has_more=len(found) > limit)


@router.get("/v1/workflows/{name}/versions/{version}", operation_id="getWorkflowVersion")
async def get_workflow_version(name: str, version: str, services: Injected, caller: Reader) -> VersionDetailView:
    """A version by its number, by an alias or as `latest`, with its document and what it is called with."""
    found = await services.workflows.versions.resolve(caller.tenant, _version_address(name, version))
    spec = await services.workflows.versions.spec(found)
    checked = await check(services, caller.tenant, spec)
    aliases = (await services.workflows.get(caller.tenant, name)).aliases
    return VersionDetailView(
        **version_fields(found, aliases),
        workflow=spec.written(),
        inputs=input_schema(checked.graph) if checked.graph else None,
        outputs=output_schema(checked.graph, spec.interface.outputs) if checked.graph else None,
        problems=problem_views(checked.problems),
    )


@router.delete("/v1/workflows/{name}/versions/{version}", operation_id="deleteWorkflowVersion", status_code=204)
async def delete_workflow_version(name: str, version: str, services: Injected, caller: Writer) -> None:
    """Delete a version that no alias and no other workflow means. Its number is never given again."""
    address = _version_address(name, version)
    if not isinstance(address.which, int):
        raise InvalidRequest("Say by its number which version goes.", "invalid_value", "version")
    await services.workflows.versions.delete(caller.tenant, name, address.which)


@router.get("/v1/workflows/{name}/aliases", operation_id="listWorkflowAliases")
async def list_workflow_aliases(name: str, services: Injected, caller: Reader) -> Page[AliasView]:
    """The aliases of a workflow, by name. `latest` is none: it is always the newest version."""
    return Page(data=[alias_view(one) for one in await services.workflows.aliases.list(caller.tenant, name)])


@router.get("/v1/workflows/{name}/aliases/{alias}", operation_id="getWorkflowAlias")
async def get_workflow_alias(name: str, alias: str, services: Injected, caller: Reader) -> AliasView:
    """What an alias means."""
    return alias_view(await services.workflows.aliases.get(caller.tenant, name, alias))


@router.put("/v1/workflows/{name}/aliases/{alias}", operation_id="setWorkflowAlias")
async def set_workflow_alias(name: str, alias: str, request: Request, services: Injected, caller: Writer) -> AliasView:
    """Have an alias mean a version, from the next call on. Runs that have begun keep the one that they have."""
    body = await read_as(request, AliasBody)
    moved = await services.workflows.aliases.set(caller.tenant, name, alias, body.version, author(caller))
    return alias_view(moved)


@router.post("/v1/workflows/{name}/aliases/{alias}/rollback", operation_id="rollBackWorkflowAlias")
async def roll_back_workflow_alias(
    name: str, alias: str, request: Request, services: Injected, caller: Writer
) -> AliasView:
    """Have an alias mean the version that it meant before. With `current` in the body only if it still means that."""
    body = await read_as(request, RollbackBody)
    moved = await services.workflows.aliases.rollback(caller.tenant, name, alias, author(caller), body.current)
    return alias_view(moved)


@router.delete("/v1/workflows/{name}/aliases/{alias}", operation_id="deleteWorkflowAlias", status_code=204)
async def delete_workflow_alias(name: str, alias: str, services: Injected, caller: Writer) -> None:
    """Forget an alias. Calls that name it get a 404 from now on."""
    await services.workflows.aliases.delete(caller.tenant, name, alias)


@router.get("/v1/workflows/{name}/diff", operation_id="compareWorkflow")
async def compare_workflow(
    name: str,
    services: Injected,
    caller: Reader,
    from_: Annotated[
        str, Query(alias="from", max_length=40, description="A version's number, an alias, `latest` or `draft`.")
    ] = LATEST,
    to: Which = DRAFT,
) -> DifferencesView:
    """What changed in the meaning of a workflow, and apart from that in its words and layout."""
    before, after = _address(name, from_, "from"), _address(name, to, "to")
    old, new = [(await source_of(services, caller.tenant, one)).spec for one in (before, after)]
    found = [
        DifferenceView(
            kind=one.kind, node=one.node, field=one.field, before=one.before, after=one.after, message=one.sentence
        )
        for one in differences(old, new)
    ]
    is_same = old.digest() == new.digest()
    return DifferencesView(from_=str(before.which), to=str(after.which), is_same=is_same, differences=found)


@router.get("/v1/workflows/{name}/document", operation_id="getWorkflowDocumentToKeep")
async def get_workflow_document_to_keep(
    name: str, services: Injected, caller: Reader, version: Which = LATEST
) -> dict[str, Any]:
    """The document of a workflow, as it is kept in git, and applied by `slipway apply` or kubectl."""
    source = await source_of(services, caller.tenant, _address(name, version, "version"))
    return plain_workflow_document(name, source.spec)


async def _view(services: Services, version: StoredVersion) -> VersionView:
    workflow = await services.workflows.get(version.tenant, version.name)
    return VersionView(**version_fields(version, workflow.aliases))


def _address(name: str, which: str, param: str) -> WorkflowAddress:
    try:
        return WorkflowAddress(name, parse_which(which))
    except ValueError:
        raise InvalidRequest(
            f"{param} is a version's number, an alias, {LATEST} or {DRAFT}: {which[:80]!r}", "invalid_value", param
        ) from None


def _version_address(name: str, version: str) -> WorkflowAddress:
    address = _address(name, version, "version")
    if address.which == DRAFT:
        raise InvalidRequest(
            f"The draft is no version: GET /v1/workflows/{name[:80]}/draft.", "invalid_value", "version"
        )
    return address
