"""Bringing workflows from elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

from serve.auth.access import Caller
from serve.gateway.access import allowed
from serve.gateway.routing import Injected
from serve.gateway.workflows.checking import check
from serve.gateway.workflows.importing import ImportedView, imported, read_import
from serve.gateway.workflows.views import problem_views

router = APIRouter(tags=["workflows"])
Reader = Annotated[Caller, Depends(allowed("workflows.read"))]
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "PNG, WebP, JPEG, JSON or YAML."},
        "models": {"type": "string", "description": "As in JSON, written as JSON."},
    },
}
_BODY = {"content": {"multipart/form-data": {"schema": _FORM}}}
"""Besides JSON."""


@router.post("/v1/workflows/import", operation_id="importWorkflow", openapi_extra={"requestBody": _BODY})
async def import_workflow(request: Request, services: Injected, caller: Reader) -> ImportedView:
    """Make a workflow of a ComfyUI graph, or of a picture that carries one, without keeping it.

    Common graphs become nodes that run here; what has no equivalent is kept as `comfy:` nodes, each with a problem that
    says so, and whatever is done otherwise here is a warning. Pictures that were made here give their own workflow, and
    so do documents of workflows, as JSON or YAML.
    """
    found = await imported(services, caller, await read_import(request))
    checked = await check(services, caller.tenant, found.spec, for_draft=True)
    return ImportedView(spec=found.spec.written(), problems=problem_views(checked.problems), warnings=found.warnings)
