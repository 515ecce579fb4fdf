"""Reading the request that brings a graph from elsewhere, and what comes of it."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, JsonValue
from starlette.datastructures import UploadFile
from starlette.requests import Request

from serve.auth.access import Caller
from serve.catalog.manifests import read_values
from serve.domain import validation
from serve.domain.errors import InvalidRequest
from serve.gateway.bodies import is_form, read_plain, validated
from serve.gateway.playground import shown_to
from serve.gateway.services import Services
from serve.gateway.views import Body
from serve.gateway.workflows.views import ProblemView
from serve.workflow.comfyui.importing import Imported, import_comfyui
from serve.workflow.facts import ModelFacts

_FILE, _MODELS = "file", "models"
_MAX_FIELD_BYTES = 64 * 1024
_MAX_CHOSEN = 256
_YAML = re.compile(
    rb"(\xef\xbb\xbf)?(\s|#[^\n]*\n|---)*(apiVersion|kind|metadata|spec|format|nodes|interface|title)\s*:"
)
"""How a workflow in YAML begins, and neither JSON nor a picture does."""
_LOOKED_AT = 4096


class ImportBody(Body):
    """A graph of ComfyUI, in the API format or the save format. `models` names served models for its checkpoints, and
    adapters for its LoRAs, by the names of their files."""

    graph: dict[str, JsonValue]
    models: dict[str, str] = Field(default_factory=dict, max_length=_MAX_CHOSEN)


class ImportedView(BaseModel):
    """A workflow that a graph has become; it is not kept. `problems` are what keeps it from running, `warnings` what it
    does otherwise than the graph did."""

    spec: dict[str, JsonValue]
    problems: list[ProblemView]
    warnings: list[str]


class _Choice(Body):
    models: dict[str, str] = Field(default_factory=dict, max_length=_MAX_CHOSEN)


@dataclass(frozen=True, slots=True)
class AskedImport:
    """The graph, or the file that holds it."""

    data: bytes | Mapping[str, Any]
    models: Mapping[str, str]


async def read_import(request: Request) -> AskedImport:
    """What was sent. Raises InvalidRequest, PayloadTooLarge."""
    if not is_form(request.scope):
        body = validated(ImportBody, await read_plain(request))
        return AskedImport(body.graph, body.models)
    async with request.form(max_files=1, max_fields=1, max_part_size=_MAX_FIELD_BYTES) as form:
        file, models = form.get(_FILE), form.get(_MODELS)
        if not isinstance(file, UploadFile):
            raise InvalidRequest(f"{_FILE} is missing: a PNG, WebP, JPEG, JSON or YAML file.", "missing_field", _FILE)
        chosen = validation.parse_json(models.encode()) if isinstance(models, str) else {}
        return AskedImport(await file.read(), validated(_Choice, {_MODELS: chosen}).models)


async def imported(services: Services, caller: Caller, asked: AskedImport) -> Imported:
    """The workflow, made of models that the caller may use. Raises InvalidRequest."""
    cards = shown_to(caller, await services.catalog.cards())
    facts = await services.knowledge.models()
    models = {name: facts[name] for name in sorted(cards) if name in facts}
    return await asyncio.to_thread(_imported, asked, models)


def _imported(asked: AskedImport, models: Mapping[str, ModelFacts]) -> Imported:
    data = asked.data
    if isinstance(data, bytes) and _YAML.match(data[:_LOOKED_AT]):
        data = _manifest(data)
    return import_comfyui(data, models, asked.models)


def _manifest(data: bytes) -> Mapping[str, Any]:
    """What a YAML file says. Raises InvalidRequest."""
    try:
        values = read_values(data.decode(), "the file")
    except UnicodeDecodeError:
        raise InvalidRequest("The file is no text.", "invalid_document", _FILE) from None
    if len(values) != 1 or not isinstance(values[0][0], dict):
        raise InvalidRequest("A YAML file to import has one workflow in it.", "invalid_document", _FILE)
    found: Mapping[str, Any] = values[0][0]
    return found
