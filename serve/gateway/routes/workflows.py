"""Workflows: list, write the draft of one, check, delete; and what they can be made of."""

from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.auth.access import Caller
from serve.domain.errors import InvalidRequest, InvalidWorkflow
from serve.domain.names import dns_label
from serve.domain.workflow import WorkflowSpec
from serve.gateway.access import allowed
from serve.gateway.bodies import read_plain
from serve.gateway.playground import shown_to
from serve.gateway.routing import Injected
from serve.gateway.views import Page
from serve.gateway.workflows.checking import check
from serve.gateway.workflows.palette import palette
from serve.gateway.workflows.problem_answers import read_workflow
from serve.gateway.workflows.publishing import author, is_published
from serve.gateway.workflows.revisions import etag, replaced_revision
from serve.gateway.workflows.template_files import models_of, templates
from serve.gateway.workflows.views import (
    CheckedView,
    DraftView,
    SavedDraftView,
    TemplateView,
    WorkflowView,
    draft_view,
    problem_views,
    saved_view,
    template_view,
    workflow_view,
)
from serve.workflow.interface import input_schema, output_schema

router = APIRouter(tags=["workflows"])

Writer = Annotated[Caller, Depends(allowed("workflows.write"))]
Reader = Annotated[Caller, Depends(allowed("workflows.read"))]


@router.get("/v1/workflows", operation_id="listWorkflows")
async def list_workflows(
    services: Injected,
    caller: Reader,
    q: Annotated[str, Query(max_length=120, description="In name or title.")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[str | None, Query(max_length=40, description="The last name on the page before.")] = None,
) -> Page[WorkflowView]:
    """The tenant's workflows, by name."""
    found = await services.workflows.list(caller.tenant, text=q, limit=limit + 1, after=after)
    return Page(data=[workflow_view(one) for one in found[:limit]], has_more=len(found) > limit)


@router.post("/v1/workflows/validate", operation_id="validateWorkflow")
async def validate_workflow(request: Request, services: Injected, caller: Reader) -> CheckedView:
    """Check a workflow without keeping it: everything that is wrong, and what it would be called with and answer.

    Aliases of other workflows mean what they mean now. What is no workflow/v1 at all is answered in the same way.
    """
    body = await read_plain(request)
    try:
        spec = read_workflow(body)
    except InvalidWorkflow as error:
        return CheckedView(is_valid=False, problems=problem_views([dict(one) for one in error.problems]))
    checked = await check(services, caller.tenant, spec, for_draft=True)
    graph = checked.graph
    return CheckedView(
        is_valid=graph is not None,
        problems=problem_views(checked.problems),
        digest=spec.digest(),
        num_steps=graph.num_steps if graph else None,
        inputs=input_schema(graph) if graph else None,
        outputs=output_schema(graph, spec.interface.outputs) if graph else None,
    )


@router.get("/v1/workflows/{name}", operation_id="getWorkflow")
async def get_workflow(name: str, services: Injected, caller: Reader) -> WorkflowView:
    """A workflow: its versions' aliases, and which state its draft is in."""
    return workflow_view(await services.workflows.get(caller.tenant, name))


@router.delete("/v1/workflows/{name}", operation_id="deleteWorkflow", status_code=204)
async def delete_workflow(name: str, services: Injected, caller: Writer) -> None:
    """Delete a workflow with draft, aliases and versions. Runs that have begun go on, and are kept."""
    await services.workflows.delete(caller.tenant, name)


@router.get("/v1/workflows/{name}/draft", operation_id="getWorkflowDraft", response_model=DraftView)
async def get_workflow_draft(name: str, services: Injected, caller: Reader) -> Response:
    """The draft, with everything that is wrong with it. The ETag is its revision."""
    draft = await services.workflows.draft(caller.tenant, name)
    checked = await check(services, caller.tenant, draft.spec, for_draft=True)
    same = await is_published(services, draft)
    view = draft_view(draft.workflow, draft.spec, checked.problems, same)
    return JSONResponse(view.model_dump(mode="json"), headers={"etag": etag(draft.workflow.revision)})


@router.put(
    "/v1/workflows/{name}/draft",
    operation_id="saveWorkflowDraft",
    response_model=SavedDraftView,
    responses={201: {"model": SavedDraftView, "description": "The workflow is new."}},
)
async def save_workflow_draft(name: str, request: Request, services: Injected, caller: Writer) -> Response:
    """Save the draft of a workflow, or begin one. It is kept whatever is wrong with it, which is answered.

    `If-Match: "<revision>"` says which state was changed; if somebody else has saved in the meantime the answer is a
    409 (`revision_mismatch`), and nothing is lost. Without it, and with `If-None-Match: *`, the workflow must be new.
    `If-Match: *` replaces whatever is there. Sending what is there already changes nothing.
    """
    revision = replaced_revision(request)
    spec = read_workflow(await read_plain(request))
    saved, is_new = await services.workflows.save(
        caller.tenant, new_name(name), spec, author(caller), revision=revision
    )
    checked = await check(services, caller.tenant, spec, for_draft=True)
    shown = saved_view(saved, checked.problems).model_dump(mode="json")
    return JSONResponse(shown, 201 if is_new else 200, headers={"etag": etag(saved.revision)})


def new_name(name: str) -> str:
    """The name, if a workflow can have it. Raises InvalidRequest."""
    try:
        return dns_label(name)
    except ValueError as error:
        raise InvalidRequest(str(error), "invalid_value", "name") from None


@router.get("/v1/node-types", operation_id="listNodeTypes")
async def list_node_types(
    services: Injected,
    caller: Reader,
    q: Annotated[str, Query(max_length=120, description="In type, title, description, category or tags.")] = "",
) -> Page[dict[str, Any]]:
    """Everything that a node can be: models that the caller may use, operations, and the tenant's own workflows in
    their latest versions; each with its ports, their types, and the JSON Schemas that forms are made from."""
    return Page(data=await palette(services, caller, q.casefold().split()))


@router.get("/v1/workflow-templates", operation_id="listWorkflowTemplates")
async def list_workflow_templates(services: Injected, caller: Reader) -> Page[TemplateView]:
    """Workflows to begin with, and whether the models that they need are here; saving one as a draft makes it one's
    own."""
    cards = shown_to(caller, await services.catalog.cards())
    return Page(data=[template_view(one.name, one.spec, models_of(one.spec), cards) for one in templates()])


@router.get("/v1/schemas/workflow", operation_id="getWorkflowSchema")
async def get_workflow_schema(caller: Reader) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a `workflow/v1` document."""
    return workflow_schema()


@cache
def workflow_schema() -> dict[str, Any]:
    """The same; callers must not change it."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "workflow/v1"}
    return WorkflowSpec.model_json_schema() | dialect
