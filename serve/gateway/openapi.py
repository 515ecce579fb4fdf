"""The OpenAPI document: what FastAPI finds, and what it cannot see.

Bodies are read by `serve.gateway.bodies` and not by FastAPI, so their schemas are named here; every operation can
answer with the error envelope. `python -m serve.gateway.openapi > tests/contract/openapi.json` refreshes the snapshot
that a contract test compares with.
"""

import sys
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, create_model
from pydantic.json_schema import models_json_schema

from serve.domain.chat import ChatInput, CompletionInput, EmbeddingInput
from serve.domain.documents import AdapterDocument, ModelDocument, Prices
from serve.domain.images import ImageToImageInput, TextToImageInput
from serve.domain.workflow import WorkflowDocument, WorkflowSpec
from serve.gateway.access import PUBLIC_PATHS
from serve.gateway.adapter_views import AdapterWords, NewAdapterBody
from serve.gateway.audit_views import AcceptBody, ResolveBody
from serve.gateway.budget_views import BudgetChange, NewBudgetBody, NewGrantBody
from serve.gateway.cookies import SESSION
from serve.gateway.openai.image_requests import ImageExtras
from serve.gateway.openai.requests import ChatExtras, EmbeddingExtras, GenerationExtras
from serve.gateway.people_views import (
    LinkCode,
    ProjectBody,
    ProjectChange,
    RoleBody,
    TenantBody,
    TenantChange,
    TenantChoice,
    UserChange,
)
from serve.gateway.price_views import PriceCheckBody
from serve.gateway.usage_views import RerateBody
from serve.gateway.views import NewKeyBody, NewRunBody, RotationBody
from serve.gateway.workflows.importing import ImportBody
from serve.gateway.workflows.run_requests import NewWorkflowRunBody
from serve.gateway.workflows.views import AliasBody, ProblemView, PublishBody, RollbackBody

_REF = "#/components/schemas/{model}"


class ErrorDetail(BaseModel):
    """`code` is for programs, `message` for people, `param` the path of the field that is wrong. `problems` are there
    where a workflow cannot run: all that is wrong with it."""

    message: str
    type: str
    param: str | None
    code: str
    problems: list[ProblemView] | None = None


class Error(BaseModel):
    """Every answer of 400 and above, in OpenAI's shape."""

    error: ErrorDetail


def _request(name: str, inputs: type[BaseModel], extras: type[BaseModel]) -> type[BaseModel]:
    """Where both have a field, it is OpenAI's that is meant."""
    doc = f"{inputs.__doc__} A model's card may narrow the ranges: GET /v1/catalog/{{model}} has its own schema."
    return create_model(name, __base__=(extras, inputs), __doc__=doc)


BODIES: Mapping[str, type[BaseModel]] = {
    "createChatCompletion": _request("ChatCompletionRequest", ChatInput, ChatExtras),
    "createCompletion": _request("CompletionRequest", CompletionInput, GenerationExtras),
    "createEmbedding": _request("EmbeddingRequest", EmbeddingInput, EmbeddingExtras),
    "createImage": _request("ImageGenerationRequest", TextToImageInput, ImageExtras),
    "createImageEdit": _request("ImageEditRequest", ImageToImageInput, ImageExtras),
    "createRun": NewRunBody,
    "createKey": NewKeyBody,
    "planRun": NewRunBody,
    "applyDocument": ModelDocument,
    "setPrices": Prices,
    "checkPrice": PriceCheckBody,
    "rotateKey": RotationBody,
    "rerateUsage": RerateBody,
    "acceptDifferences": AcceptBody,
    "resolveUsageConflict": ResolveBody,
    "createBudget": NewBudgetBody,
    "updateBudget": BudgetChange,
    "grantCredit": NewGrantBody,
    "createTenant": TenantBody,
    "updateTenant": TenantChange,
    "updateUser": UserChange,
    "setRole": RoleBody,
    "createProject": ProjectBody,
    "updateProject": ProjectChange,
    "switchTenant": TenantChoice,
    "createSessionByLink": LinkCode,
    "createAdapter": NewAdapterBody,
    "updateAdapter": AdapterWords,
    "updateTenantAdapter": AdapterWords,
    "applyAdapterDocument": AdapterDocument,
    "createWorkflowRun": NewWorkflowRunBody,
    "planWorkflowRun": NewWorkflowRunBody,
    "importWorkflow": ImportBody,
    "validateWorkflow": WorkflowSpec,
    "saveWorkflowDraft": WorkflowSpec,
    "publishWorkflow": PublishBody,
    "setWorkflowAlias": AliasBody,
    "rollBackWorkflowAlias": RollbackBody,
    "applyWorkflowDocument": WorkflowDocument,
}
"""Operation id -> what its body is."""

FORMS = frozenset({"createImageEdit"})
"""Operations whose body is a form; the others take JSON."""


def document_of(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        refs, schemas = _schemas()
        document["components"]["schemas"] = schemas | _without_fastapi_errors(document["components"]["schemas"])
        document["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": SESSION},
        }
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(operation, refs, is_public=path in PUBLIC_PATHS)
        app.openapi_schema = document
    return app.openapi_schema


def _schemas() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """References by operation id, and the schemas they lead to."""
    wanted: dict[str, type[BaseModel]] = {**BODIES, "": Error}
    found, definitions = models_json_schema([(m, "validation") for m in wanted.values()], ref_template=_REF)
    refs = {operation: found[(model, "validation")] for operation, model in wanted.items()}
    return refs, definitions["$defs"]


def _without_fastapi_errors(schemas: dict[str, Any]) -> dict[str, Any]:
    return {name: schema for name, schema in schemas.items() if name not in ("HTTPValidationError", "ValidationError")}


def _complete(operation: dict[str, Any], refs: Mapping[str, dict[str, Any]], is_public: bool) -> None:
    operation["security"] = [] if is_public else [{"key": []}, {"session": []}]
    operation["responses"].pop("422", None)  # FastAPI's own shape, which is never sent
    error = {"description": "An error.", "content": {"application/json": {"schema": refs[""]}}}
    operation["responses"] |= {"4XX": error, "5XX": error}
    body = refs.get(operation["operationId"])
    if body is not None:
        kind = "multipart/form-data" if operation["operationId"] in FORMS else "application/json"
        others = operation.get("requestBody", {}).get("content", {})
        operation["requestBody"] = {"required": True, "content": others | {kind: {"schema": body}}}


def main() -> None:
    """Write the document of an app without services: routes do not depend on them."""
    from serve.gateway.app import create_app  # here, because the app imports this module

    document = create_app(None).openapi()  # type: ignore[arg-type]  # no route is called
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


if __name__ == "__main__":
    main()
