"""Requests for runs of workflows: JSON, or a form whose parts are the inputs by name.

A form brings files for pictures, and text for the others: a text as it is, what is none as JSON, a list as several
parts of one name or as one JSON list. What a JSON body says beside `input` stands in the part `_options`, as JSON.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.requests import Request

from serve.domain import validation
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.images import MAX_PREVIEWS
from serve.domain.names import RunId
from serve.domain.port_types import Kind, parse_type
from serve.domain.workflow import MAX_PORTS, NodeName, WorkflowInput
from serve.gateway.bodies import is_form, read_json, validated
from serve.gateway.routing import services_of
from serve.gateway.run_requests import hash_of
from serve.gateway.views import MAX_DEADLINE_SECONDS, Body, WebhookBody
from serve.workflow.library.addresses import WorkflowAddress, parse_address

OPTIONS = "_options"
"""The part of a form that has what is no input; no input has such a name."""
MAX_TARGETS = 64
_MAX_FILES = 64
_MAX_FIELDS = 1024
_MAX_FIELD_BYTES = 2**20
_PLAIN = frozenset({Kind.TEXT, Kind.MODEL, Kind.IMAGE, Kind.MASK, Kind.AUDIO, Kind.VIDEO})
"""Kinds whose values are texts in a request: they are taken as they are."""


class NewWorkflowRunBody(Body):
    """A run of a workflow to start. `input` has the workflow's inputs by name; pictures are asset:<id>, a data: URL or
    an http(s) address. `targets` are nodes to run to, in place of the outputs. With `use_cache` false everything is
    made anew. Seeds that nobody gives are those of the run `seeds_of`, where it has them: what it made is then found,
    and not made again. `previews` are unfinished pictures of each image among the events, of nodes that ask for
    none. `metadata` false keeps the workflow and its inputs out of the PNG files that it makes."""

    input: dict[str, Any] = Field(default_factory=dict)
    webhook: WebhookBody | None = None
    deadline_s: float | None = Field(default=None, gt=0, le=MAX_DEADLINE_SECONDS)
    priority: int = Field(default=0, ge=-10, le=10)
    targets: list[NodeName] = Field(default_factory=list, max_length=MAX_TARGETS)
    use_cache: bool = True
    seeds_of: RunId | None = Field(default=None, max_length=36)
    previews: int = Field(default=0, ge=0, le=MAX_PREVIEWS)
    metadata: bool = True


@dataclass(frozen=True, slots=True)
class AskedWorkflow:
    """What a request says. `texts` and `files` are the parts of a form, by input; `hash` tells it from any other."""

    address: WorkflowAddress
    body: NewWorkflowRunBody
    hash: str
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Sequence[bytes]] = field(default_factory=dict)

    def given(self, inputs: Mapping[str, WorkflowInput]) -> dict[str, Any]:
        """The inputs as they were sent; a file stands there as the path of its part, like `asset:photos.0`.

        Raises:
            InvalidRequest: a part does not read as its input's type, or an input takes no file.
        """
        read = {name: _read(name, texts, inputs.get(name)) for name, texts in self.texts.items()}
        files = {name: _placed(name, files, inputs.get(name)) for name, files in self.files.items()}
        return self.body.input | read | files

    def file_at(self, path: str) -> bytes | None:
        """The file that stands for the picture at `photo`, or at `photos.0`."""
        name, _, index = path.partition(".")
        files = self.files.get(name)
        return None if files is None else files[int(index) if index else 0]


def workflow_address(text: str) -> WorkflowAddress:
    """The workflow that a path names. Raises NotFound for what none can be called."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise NotFound(f"There is no such workflow: {error}.", "workflow_not_found") from None


async def read_workflow_run(request: Request, name: str) -> AskedWorkflow:
    """What the request asks for. Raises InvalidRequest with the path of the field, PayloadTooLarge, Overloaded."""
    address = workflow_address(name)
    if not is_form(request.scope):
        body = await read_json(request)
        return AskedWorkflow(address, validated(NewWorkflowRunBody, body), hash_of({"workflow": name, "body": body}))
    texts, files = await _parts(request)
    options = _options(texts.pop(OPTIONS, []))
    digests = {part: [hashlib.sha256(data).hexdigest() for data in sent] for part, sent in files.items()}
    told = {"workflow": name, "body": options, "texts": texts, "files": digests}
    return AskedWorkflow(address, validated(NewWorkflowRunBody, options), hash_of(told), texts, files)


async def _parts(request: Request) -> tuple[dict[str, list[str]], dict[str, list[bytes]]]:
    texts: dict[str, list[str]] = {}
    files: dict[str, list[bytes]] = {}
    max_bytes = services_of(request).settings.images.max_bytes
    async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES) as form:
        for written, value in form.multi_items():
            name = written.removesuffix("[]")
            if isinstance(value, str):
                texts.setdefault(name, []).append(value)
            else:
                files.setdefault(name, []).append(await _content(name, value, max_bytes))
    if both := texts.keys() & files.keys():
        name = min(both)
        raise InvalidRequest(f"{name} is sent as a file and as a text: send one of them.", "invalid_form", name)
    if len(texts) + len(files) > MAX_PORTS + 1:
        raise InvalidRequest(f"A workflow has at most {MAX_PORTS} inputs.", "invalid_form")
    return texts, files


async def _content(name: str, file: UploadFile, max_bytes: int) -> bytes:
    if (file.size or 0) > max_bytes:
        raise InvalidRequest(f"{name} holds more than {max_bytes} bytes.", "image_too_large", name)
    return await file.read()


def _options(parts: Sequence[str]) -> dict[str, Any]:
    if not parts:
        return {}
    options = validation.parse_json(parts[0].encode())
    if len(parts) > 1 or not isinstance(options, dict) or "input" in options:
        raise InvalidRequest(
            f"{OPTIONS} is one JSON object of what is no input: webhook, deadline_s, ...", "invalid_form", OPTIONS
        )
    return options


def _read(name: str, texts: Sequence[str], port: WorkflowInput | None) -> Any:
    """The value that the parts of this name write."""
    if port is None:
        return texts[0]
    wanted = parse_type(port.type)
    if not wanted.is_list:
        if len(texts) > 1:
            raise InvalidRequest(f"{name} is given {len(texts)} times, and takes one.", "too_many_values", name)
        return _single(name, texts[0], wanted.kind)
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        return _json(name, texts[0])
    return [_single(name, text, wanted.kind) for text in texts]


def _single(name: str, text: str, kind: Kind) -> Any:
    if kind in _PLAIN or (kind is Kind.ADAPTER and not text.lstrip().startswith("{")):
        return text
    return _json(name, text)


def _json(name: str, text: str) -> Any:
    try:
        return validation.parse_json(text.encode())
    except InvalidRequest:
        raise InvalidRequest(f"{name} must be JSON.", "invalid_json", name) from None


def _placed(name: str, files: Sequence[bytes], port: WorkflowInput | None) -> Any:
    wanted = None if port is None else parse_type(port.type)
    if wanted is not None and wanted.kind not in (Kind.IMAGE, Kind.MASK):
        raise InvalidRequest(f"{name} takes no file.", "invalid_type", name)
    if wanted is not None and wanted.is_list:
        return [f"asset:{name}.{index}" for index in range(len(files))]
    if len(files) > 1:
        raise InvalidRequest(f"{name} is given {len(files)} times, and takes one.", "too_many_values", name)
    return f"asset:{name}"
