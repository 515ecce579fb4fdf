"""OpenAI's image routes. Each call is a run underneath: see `serve.gateway.image_runs`."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest
from serve.domain.task import Task
from serve.gateway.access import caller_of
from serve.gateway.adapter_choices import chosen
from serve.gateway.addresses import Address, addressed
from serve.gateway.bodies import EDITS_PATH, read_json
from serve.gateway.body_budget import held_by
from serve.gateway.exchange import exchange_of
from serve.gateway.image_runs import Started, consumed_of, ended, frames, painted, start
from serve.gateway.openai.frames import cost_headers
from serve.gateway.openai.image_requests import AskedImages, form_values, image_fields, read_images
from serve.gateway.openai.images import Kind, whole_images
from serve.gateway.openai.schemas import ImageList
from serve.gateway.playground import card_for
from serve.gateway.routing import LeanRoute, services_of
from serve.gateway.run_requests import hash_of
from serve.gateway.streaming import EventStream
from serve.telemetry import logs

router = APIRouter(tags=["openai"], route_class=LeanRoute)
_STREAM = {"text/event-stream": {"schema": {"type": "string", "description": "Pictures as server-sent events."}}}
_HEADERS = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "The same key and body give the first call's pictures. The retries of OpenAI's clients "
            "join their first try without one.",
        }
    ]
}
_MAX_FILES = 4
_MAX_FIELDS = 64
_MAX_FIELD_BYTES = 256 * 1024
"""Of one text field: the longest prompt, in four-byte characters, and room."""


@router.post(
    "/v1/images/generations",
    operation_id="createImage",
    responses={200: {"model": ImageList, "content": _STREAM}},
    openapi_extra=_HEADERS,
)
async def create_image(request: Request) -> Response:
    """Paint pictures from words; with `stream: true` as server-sent events."""
    caller_of(request, "inference")
    body = await read_json(request)
    address = addressed(body.get("model"))
    asked = read_images(body, await _card(request, address), Task.TEXT_TO_IMAGE)
    started = await _started(request, asked, address, "image_generation", body)
    return await _answer(request, asked, started, "image_generation")


@router.post(
    EDITS_PATH,
    operation_id="createImageEdit",
    responses={200: {"model": ImageList, "content": _STREAM}},
    openapi_extra=_HEADERS,
)
async def create_image_edit(request: Request) -> Response:
    """Paint pictures from a picture: all of it, or what the mask leaves free.

    A form. `image` and `mask` are files, or text: asset:<id>, a data: URL or an http(s) address. A mask says by its
    transparent parts what is painted anew, as OpenAI's do; one without any transparency is read as ours, white painted
    anew. With a mask `strength` is by default the highest there is, without one the model's own default.
    """
    caller_of(request, "inference")
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidRequest("Send a form (multipart/form-data) with an image and a prompt.", "invalid_form")
    asked, started = await _started_edit(request)
    return await _answer(request, asked, started, "image_edit")


async def _started_edit(request: Request) -> tuple[AskedImages, Started]:
    """The run of a form. The form's files stay behind in here: a call may wait for its pictures for long."""
    async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES) as form:
        fields, files = await _parts(form, services_of(request).settings.images.max_bytes)
    address = addressed(fields.get("model"))
    asked = read_images(form_values(fields), await _card(request, address), Task.IMAGE_TO_IMAGE, files)
    digests = await asyncio.to_thread(_digests, files)
    started = await _started(request, asked, address, "image_edit", {**fields, "files": digests})
    return replace(asked, files={}), started


async def _card(request: Request, address: Address) -> Card:
    card = await card_for(services_of(request), caller_of(request, "inference"), address.model)
    logs.bind(model=card.name)
    return card


async def _parts(form: FormData, max_bytes: int) -> tuple[dict[str, str], dict[str, bytes]]:
    """The text fields and the files of a form, each name once; `image[]` is how clients write a list of one."""
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for written, value in form.multi_items():
        name = written.removesuffix("[]")
        if name in fields or name in files:
            raise InvalidRequest(f"{name} is given twice; this model takes one.", "too_many_values", name)
        if isinstance(value, str):
            fields[name] = value
        else:
            files[name] = await _content(name, value, max_bytes)
    return fields, files


async def _content(name: str, file: UploadFile, max_bytes: int) -> bytes:
    if name not in image_fields(Task.IMAGE_TO_IMAGE):
        raise InvalidRequest(f"{name} takes no file.", "invalid_type", name)
    if (file.size or 0) > max_bytes:
        raise InvalidRequest(f"{name} holds more than {max_bytes} bytes.", "image_too_large", name)
    return await file.read()


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


async def _started(
    request: Request, asked: AskedImages, address: Address, kind: Kind, sent: Mapping[str, Any]
) -> Started:
    """`sent` is what the request says, files as digests: what tells it from another one."""
    key_id, client = caller_of(request, "inference").key_id, exchange_of(request.scope).client
    asker = key_id if client is None else f"{key_id} {client.name}"
    request_hash = hash_of({"kind": kind, "key": asker, "sent": sent})
    return await start(request, asked, chosen(address, asked.choices), request_hash)


async def _answer(request: Request, asked: AskedImages, started: Started, kind: Kind) -> Response:
    held_by(request.scope).release()
    services = services_of(request)
    if services.settings.log.prompts:
        logs.bind(inputs=started.run.inputs)
    if asked.stream:
        return EventStream(frames(services, started, kind, previews=asked.inputs["previews"] > 0))
    return await _whole(request, asked, started)


async def _whole(request: Request, asked: AskedImages, started: Started) -> Response:
    run = await ended(request, started)
    base_url = str(request.base_url) if asked.wants_url else None
    pictures = await painted(services_of(request), run, run.outputs, base_url=base_url, with_bytes=asked.wants_bytes)
    created = run.created_ms // 1000
    body = whole_images(created, pictures, consumed_of(run))
    return StreamingResponse(body, media_type="application/json", headers=cost_headers(run.cost_nano))
