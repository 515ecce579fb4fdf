"""Request bodies: how much is read, how long it may take, and what JSON is accepted."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.domain import validation
from serve.domain.errors import InvalidRequest, PayloadTooLarge
from serve.domain.workflow import MAX_BYTES
from serve.gateway.body_budget import BodyBudget, HeldBytes, attach
from serve.gateway.errors import RequestTimedOut
from serve.gateway.exchange import exchange_of
from serve.gateway.services import Services

Model = TypeVar("Model", bound=BaseModel)

UPLOAD_PATH = "/v1/assets"
_IMAGES_PREFIX = "/v1/images/"
EDITS_PATH = f"{_IMAGES_PREFIX}edits"
_RUNS_PATH = re.compile(r"/v1/(models/.+|workflows/[^/]+)/(runs|plan)")
_NUM_PICTURES = 4
"""As large as they may be, in one form that starts a run."""
IMPORT_PATH = "/v1/workflows/import"
_WORKFLOW_PATH = re.compile(r"/v1/workflows/(validate|import|[^/]+/draft)|/v1/admin/documents/Workflow/[^/]+")
_WORKFLOW_BYTES = 4 * MAX_BYTES
"""A document as people write it, with room between its words."""
ADAPTERS_PATH = "/v1/adapters"
_ASK_FOR_MORE = "Send a smaller adapter, or ask an administrator to raise SLIPWAY_ADAPTERS_MAX_BYTES."
MAX_DEPTH = 64
"""Levels of arrays and objects. Deeper JSON is an attack on whatever walks it next: pickle, a template, a schema."""


class BodyLimit:
    """Refuses a body over the limit: by its Content-Length before a byte is read, else while it is counted.

    One that may carry a picture also needs room in the gateway's budget, until its route lets it go.
    """

    def __init__(self, app: ASGIApp, services: Services, budget: BodyBudget) -> None:
        self._app = app
        self._budget = budget
        self._settings = services.settings.gateway
        self._images = services.settings.images
        self._adapters = services.settings.adapters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path, declared = scope["path"], _declared_bytes(scope)
        is_run = _RUNS_PATH.fullmatch(path) is not None
        limit = self._limit(path, is_run, is_form(scope))
        if declared > limit.num_bytes:
            raise limit.passed()
        counted = _CountedBody(receive, limit, self._settings.body_idle_seconds)
        if not is_run and path != IMPORT_PATH and not path.startswith(_IMAGES_PREFIX):
            await self._app(scope, counted.receive, send)
            return
        with self._budget.holding(exchange_of(scope).authenticated.tenant) as held:
            held.grow_to(declared)
            counted.held = held
            attach(scope, held)
            await self._app(scope, counted.receive, send)

    def _limit(self, path: str, is_run: bool, is_form: bool) -> "_Limit":
        """A form brings a picture, its mask and a few words, or an adapter, which goes to the disk as it comes; a run's
        picture may be a data: URL. JSON is read into memory."""
        settings, images = self._settings, self._images
        if path == UPLOAD_PATH:
            return _Limit(settings.max_upload_bytes)
        if path == ADAPTERS_PATH and is_form:
            return _Limit(self._adapters.max_bytes + settings.max_body_bytes, _ASK_FOR_MORE)
        if path == EDITS_PATH:
            return _Limit(min(settings.max_upload_bytes, 2 * images.max_bytes + settings.max_body_bytes))
        if is_run and is_form:
            return _Limit(min(settings.max_upload_bytes, _NUM_PICTURES * images.max_bytes + settings.max_body_bytes))
        if path == IMPORT_PATH and is_form:
            return _Limit(min(settings.max_upload_bytes, images.max_bytes + settings.max_body_bytes))
        if _WORKFLOW_PATH.fullmatch(path):
            return _Limit(min(settings.max_body_bytes, _WORKFLOW_BYTES), "A workflow has at most a megabyte.")
        return _Limit(max(settings.max_body_bytes, images.max_body_bytes if is_run else 0))


@dataclass(frozen=True, slots=True)
class _Limit:
    """How many bytes a body may have, and what to do about more."""

    num_bytes: int
    advice: str = "Send less, or upload it as an asset."

    def passed(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"The body is over the limit of {self.num_bytes} bytes. {self.advice}")


class _CountedBody:
    """`receive` that counts, and that gives up on a client which stops sending."""

    def __init__(self, receive: Receive, limit: _Limit, idle_seconds: float) -> None:
        self._receive = receive
        self._limit = limit
        self._idle_seconds = idle_seconds
        self.held: HeldBytes | None = None
        self._num_bytes = 0
        self._is_whole = False

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimedOut(f"No more of the body came for {self._idle_seconds:g} seconds.") from None
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._limit.num_bytes:
            raise self._limit.passed()
        if self.held is not None:
            self.held.grow_to(self._num_bytes)
        self._is_whole = not message.get("more_body", False)
        return message


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise InvalidRequest("Content-Length is no number.", "invalid_header")
            return int(value)
    return 0


def is_form(scope: Scope) -> bool:
    """Whether the body is a form with files, by its content type."""
    return any(
        name == b"content-type" and value.lower().startswith(b"multipart/form-data") for name, value in scope["headers"]
    )


async def read_json(request: Request) -> dict[str, Any]:
    """The request's JSON object; of equal keys the last counts. Raises InvalidRequest, PayloadTooLarge."""
    return _object(await _read(request))


async def read_plain(request: Request) -> dict[str, Any]:
    """The same, where no text in it holds a NUL: it goes to the database, and PostgreSQL takes one for an error."""
    body = await _read(request)
    value = _object(body)
    if b"\\u0000" in body:  # how JSON writes it
        for name, given in value.items():
            if "\x00" in name or _has_nul(given):
                raise InvalidRequest(f"{name} holds a NUL character.".replace("\x00", ""), "invalid_value", name[:80])
    return value


async def _read(request: Request) -> bytes:
    return b"".join([chunk async for chunk in request.stream()])  # not `body()`: that keeps it as long as the request


def _object(body: bytes) -> dict[str, Any]:
    value = validation.parse_json(body)
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep", "invalid_json")
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", "invalid_json")
    return value


async def read_as(request: Request, model: type[Model]) -> Model:
    """The request's JSON as `model`, without a NUL. Raises InvalidRequest with the field's path, PayloadTooLarge."""
    return validated(model, await read_plain(request))


def validated(model: type[Model], value: dict[str, Any]) -> Model:
    """`value` as `model`. Raises InvalidRequest with the field's path."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise validation.invalid_request(error, value, model.model_fields) from None


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\x00" in name or _has_nul(inner) for name, inner in value.items())
    return any(map(_has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\x00" in value


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(container: Any) -> list[Any]:
    values = container.values() if isinstance(container, dict) else container
    return [value for value in values if isinstance(value, dict | list)]
