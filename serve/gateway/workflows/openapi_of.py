"""The OpenAPI document of one version of a workflow: its own inputs and outputs by name, for generated clients."""

from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.names import TenantName
from serve.domain.port_types import Kind, parse_type
from serve.domain.workflow import WorkflowSpec
from serve.gateway.services import Services
from serve.gateway.workflows.checking import ready
from serve.gateway.workflows.run_requests import OPTIONS, NewWorkflowRunBody
from serve.gateway.workflows.sources import source_of
from serve.workflow.graph import Graph
from serve.workflow.interface import input_schema, output_schema
from serve.workflow.library.addresses import WorkflowAddress

_EXAMPLES: dict[Kind, Any] = {
    Kind.TEXT: "a red kite over a green hill",
    Kind.NUMBER: 1,
    Kind.BOOLEAN: True,
    Kind.JSON: {},
    Kind.EMBEDDING: [0.1, 0.2],
    Kind.ADAPTER: "my-adapter",
    Kind.MODEL: "my-model",
}
_ASSET = "asset:0197f2a0-0000-7000-8000-000000000000"
_STATUSES = ["queued", "running", "succeeded", "failed", "canceled"]
_TEXT_OR_NULL = {"type": ["string", "null"]}


async def openapi_of(services: Services, tenant: TenantName, address: WorkflowAddress) -> dict[str, Any]:
    """OpenAPI 3.1. Raises NotFound; InvalidWorkflow for a draft that cannot run."""
    source = await source_of(services, tenant, address)
    found = await ready(services, tenant, source.spec)
    return document_of(source.target, found.spec, found.graph)


def document_of(target: str, spec: WorkflowSpec, graph: Graph) -> dict[str, Any]:
    """The document of a compiled workflow. `target` is `name@3`."""
    name, _, version = target.partition("@")
    return {
        "openapi": "3.1.0",
        "info": {"title": spec.title or name, "version": version, "description": spec.description},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {
            f"/v1/workflows/{target}/runs": {"post": _start(name, spec, graph)},
            "/v1/runs/{run_id}": {"get": _get()},
            "/v1/runs/{run_id}/cancel": {"post": _get() | {"operationId": "cancelRun", "summary": "Stop a run."}},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Inputs": input_schema(graph),
                "Outputs": output_schema(graph, spec.interface.outputs),
                **_body(),
                "Form": _form(graph),
                "Run": _run(),
                "Error": _error(),
            },
        },
    }


def _start(name: str, spec: WorkflowSpec, graph: Graph) -> dict[str, Any]:
    example = {"input": _example(graph)}
    return {
        "operationId": f"run_{name.replace('-', '_')}",
        "summary": spec.title or f"Run {name}.",
        "description": spec.description,
        "parameters": [
            _header("Prefer", "wait=N answers when the run has ended, in at most N (1..60) seconds.", "wait=60"),
            _header("Idempotency-Key", "The same key and body give the first run again.", "order-1042"),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ref("NewRun"), "examples": {"one": {"value": example}}},
                "multipart/form-data": {"schema": _ref("Form")},
            },
        },
        "responses": {
            "200": _answer("The run, which has ended within the time to wait."),
            "202": _answer("The run, which goes on."),
            **_errors(),
        },
    }


def _get() -> dict[str, Any]:
    parameter = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "operationId": "getRun",
        "summary": "One run.",
        "parameters": [parameter],
        "responses": {"200": _answer("The run."), **_errors()},
    }


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "schema": schema, "description": description, "example": example}


def _answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref("Run")}}}


def _errors() -> dict[str, Any]:
    error = {"description": "An error.", "content": {"application/json": {"schema": _ref("Error")}}}
    return {"4XX": error, "5XX": error}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _body() -> dict[str, Any]:
    """What every workflow's run takes, with this one's inputs. Each class is a component, as generators want it."""
    schema = NewWorkflowRunBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["properties"]["input"] = _ref("Inputs")
    return {**schema.pop("$defs", {}), "NewRun": schema}


def _form(graph: Graph) -> dict[str, Any]:
    """The same as a form: pictures are files, or texts that name them."""
    properties = {}
    for name, schema in input_schema(graph)["properties"].items():
        kind = parse_type(graph.inputs[name].type)
        is_file = kind.kind in (Kind.IMAGE, Kind.MASK)
        one = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
        properties[name] = ({"type": "array", "items": one} if kind.is_list else one) if is_file else schema
    options = {"type": "string", "contentMediaType": "application/json", "description": "What is no input, as JSON."}
    return {"type": "object", "properties": properties | {OPTIONS: options}}


def _run() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "workflow": _TEXT_OR_NULL,
            "status": {"type": "string", "enum": _STATUSES},
            "output": {"anyOf": [_ref("Outputs"), {"type": "null"}]},
            "usage": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
            "cost": {
                "type": ["object", "null"],
                "properties": {"nano_usd": {"type": "integer"}, "usd": {"type": "string"}},
            },
            "error": {
                "type": ["object", "null"],
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "param": _TEXT_OR_NULL},
            },
        },
        "required": ["id", "status", "output"],
    }


def _error() -> dict[str, Any]:
    detail = {
        "type": "object",
        "properties": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": _TEXT_OR_NULL,
            "code": {"type": "string"},
        },
        "required": ["message", "type", "code"],
    }
    return {"type": "object", "properties": {"error": detail}, "required": ["error"]}


def _example(graph: Graph) -> dict[str, Any]:
    """Inputs that a run would take: what is required, and what has a default."""
    properties = input_schema(graph)["properties"]
    return {
        name: _value(one.type, properties[name]) if one.default is None else one.default
        for name, one in graph.inputs.items()
        if one.default is not None or one.is_required
    }


def _value(type_text: str, schema: dict[str, Any]) -> Any:
    wanted = parse_type(type_text)
    if wanted.is_list:
        return [_value(str(wanted.item), schema.get("items", {}))] * max(1, schema.get("minItems", 1))
    if enum := schema.get("enum"):
        return enum[0]
    if wanted.kind.is_media:
        return _ASSET
    if wanted.kind is Kind.NUMBER:
        return schema.get("minimum", min(1, schema.get("maximum", 1)))
    if wanted.kind is Kind.TEXT:
        return str(_EXAMPLES[Kind.TEXT])[: schema.get("maxLength")]
    if wanted.kind not in _EXAMPLES:
        raise InvalidRequest(f"there is no example of {wanted}")
    return _EXAMPLES[wanted.kind]
