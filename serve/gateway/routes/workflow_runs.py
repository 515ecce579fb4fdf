"""Runs of workflows: start, plan, look at the steps. What all runs have in common is in `serve.gateway.routes.runs`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.auth.access import Caller
from serve.domain.errors import NotFound
from serve.domain.names import RunId
from serve.domain.run import Run
from serve.domain.steps import MAX_LABEL
from serve.gateway.access import allowed
from serve.gateway.body_budget import held_by
from serve.gateway.routing import Injected, image_inputs_of
from serve.gateway.run_answers import answered, run_events
from serve.gateway.run_requests import wait_seconds
from serve.gateway.streaming import EventStream
from serve.gateway.submission import submit
from serve.gateway.views import Page, RunView
from serve.gateway.workflows.openapi_of import openapi_of
from serve.gateway.workflows.plans import plan_of
from serve.gateway.workflows.run_requests import read_workflow_run, workflow_address
from serve.gateway.workflows.run_views import RunWorkflowView, StepView, WorkflowPlanView, step_view
from serve.gateway.workflows.submission import WorkflowOrder, promised
from serve.telemetry import logs

router = APIRouter(tags=["workflows"])
Writer = Annotated[Caller, Depends(allowed("runs.write"))]
Reader = Annotated[Caller, Depends(allowed("runs.read"))]
Library = Annotated[Caller, Depends(allowed("workflows.read"))]
_STREAM = {"text/event-stream": {"schema": {"type": "string", "description": "id: seq, event: kind, data: JSON."}}}
_EVENT_STREAM = "text/event-stream"


@router.post(
    "/v1/workflows/{name}/runs",
    operation_id="createWorkflowRun",
    status_code=202,
    responses={
        202: {"model": RunView},
        200: {"model": RunView, "content": _STREAM, "description": "Finished within Prefer: wait; or its events."},
    },
)
async def create_workflow_run(
    name: str,
    request: Request,
    services: Injected,
    caller: Writer,
    prefer: Annotated[str, Header(description="wait=N answers when the run has ended, in at most N (1..60) s.")] = "",
    accept: Annotated[str, Header(description="text/event-stream: the run's events, from now to its end.")] = "",
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="The same key and body give the first run again.")
    ] = None,
) -> Response:
    """Start a run of a workflow: `name` is its latest version, `name@3`, `name@prod` or `name@draft` another.

    The body is JSON, or a form with the inputs by name; pictures may be files of it. The run goes on whether or not
    anybody waits for it, or listens; to whoever listens, the header Location says where it is.
    """
    wait = wait_seconds(prefer)
    run = await _submitted(request, services, name, idempotency_key)
    held_by(request.scope).release()
    if _EVENT_STREAM in accept.lower():
        return EventStream(run_events(services, caller.tenant, run.id), {"Location": f"/v1/runs/{run.id}"})
    return await answered(request, run, wait)


async def _submitted(request: Request, services: Injected, name: str, idempotency_key: str | None) -> Run:
    """The promised run. The body, which may hold pictures, stays behind in here."""
    asked = await read_workflow_run(request, name)
    logs.bind(workflow=str(asked.address))
    order = WorkflowOrder(request, asked, promised(request, asked, idempotency_key))
    run, _ = await submit(services, image_inputs_of(request), order)
    return run


@router.post("/v1/workflows/{name}/plan", operation_id="planWorkflowRun")
async def plan_workflow_run(name: str, request: Request, caller: Writer) -> WorkflowPlanView:
    """Check a run without starting it: what is there already, what would run, how long, and for how much at the most.

    The body is that of a run. Admission holds what `cost_at_most` says, by the same code.
    """
    return await plan_of(request, await read_workflow_run(request, name))


@router.get("/v1/workflows/{name}/openapi.json", operation_id="getWorkflowOpenApi", response_class=JSONResponse)
async def get_workflow_openapi(name: str, services: Injected, caller: Library) -> dict[str, Any]:
    """The OpenAPI document of one version's API, for clients made by a generator. `name@3` is a version."""
    return await openapi_of(services, caller.tenant, workflow_address(name))


@router.get("/v1/runs/{run_id}/steps", operation_id="listRunSteps")
async def list_run_steps(
    run_id: RunId,
    services: Injected,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
    after: Annotated[str, Query(max_length=MAX_LABEL, description="The last label of the page before.")] = "",
) -> Page[StepView]:
    """The steps of a workflow's run, by label; of a model's run there are none."""
    found = await services.runs.steps(caller.tenant, run_id, after=after, limit=limit + 1)
    return Page(data=[step_view(step) for step in found[:limit]], has_more=len(found) > limit)


@router.get("/v1/runs/{run_id}/workflow", operation_id="getRunWorkflow")
async def get_run_workflow(run_id: RunId, services: Injected, caller: Reader) -> RunWorkflowView:
    """The document that a workflow's run executes, which the draft that it began from may have left behind.

    A model's run has none: a 404, `document_not_found`.
    """
    terms = (await services.runs.get(caller.tenant, run_id)).workflow
    if terms is None:
        raise NotFound("It is the run of a model, and has no workflow.", "document_not_found", "run_id")
    spec = await services.workflows.documents.get(caller.tenant, terms.digest)
    return RunWorkflowView(workflow=spec.written(), targets=list(terms.targets), seeds=terms.seeds)
