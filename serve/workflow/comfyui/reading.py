"""From a file, or from JSON, to a graph: within bounds, since files come from strangers.

    API format       {"3": {"class_type": ..., "inputs": {...}, "_meta": {"title": ...}}, ...}; also as `prompt` of what
                     is sent to ComfyUI, or as `output` beside `workflow`
    save format      {"nodes": [...], "links": [...], "extra": {...}}
    pictures         PNG with these in the texts `prompt` and `workflow`, WebP and JPEG with them in their Exif block;
                     and PNG files of our own, which carry a workflow of ours

Where both formats are there, the API format says what is done, and the save format how it looks.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from serve.domain import validation
from serve.domain.errors import InvalidRequest, PayloadTooLarge
from serve.domain.workflow import FORMAT, MAX_ORIGINS, WORKFLOW_TEXT, WorkflowSpec
from serve.media.exif_texts import read_exif_texts
from serve.media.png_chunks import SIGNATURE, read_text
from serve.workflow.comfyui.saved import read_look, read_saved
from serve.workflow.comfyui.source import API_FORMAT, Link, SourceGraph, SourceNode

MAX_GRAPH_BYTES = 4 * 2**20
"""Of a graph as JSON; honest ones have a tenth of it."""
_MAX_DEPTH = 40
_MAX_VALUES = 200_000
_LARGEST = 2**64
_PROMPT, _WORKFLOW = "prompt", "workflow"
_EXIF_MARKS = {f"{name}:": name for name in (_PROMPT, _WORKFLOW)}
"""What the texts of an Exif block begin with."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was found: a workflow of ours, or a graph."""

    spec: WorkflowSpec | None = None
    graph: SourceGraph | None = None


def read(data: bytes | Mapping[str, Any]) -> Read:
    """What a file, or a JSON object, holds.

    Raises:
        InvalidRequest: `invalid_json`, `no_workflow`, `invalid_graph`, `too_large`.
    """
    if isinstance(data, Mapping):
        return _of_json(data)
    if data[: len(SIGNATURE)] == SIGNATURE:
        return _of_texts({name: read_text(data, name) for name in (WORKFLOW_TEXT, _PROMPT, _WORKFLOW)})
    if data[:3] == b"\xff\xd8\xff" or data[8:12] == b"WEBP":
        return _of_texts(_exif_texts(data))
    return _of_json(_object(data))


def _exif_texts(data: bytes) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in read_exif_texts(data):
        mark = next((mark for mark in _EXIF_MARKS if text[: len(mark)].lower() == mark), None)
        if mark is not None:
            found[_EXIF_MARKS[mark]] = text[len(mark) :]
    return found


def _of_texts(texts: Mapping[str, str | None]) -> Read:
    ours = texts.get(WORKFLOW_TEXT)
    if ours is not None:
        return Read(spec=_spec(_object(ours.encode("utf-8", "replace"))))
    found = {
        name: _object(text.encode("utf-8", "replace")) for name in (_PROMPT, _WORKFLOW) if (text := texts.get(name))
    }
    if not found:
        told = "The picture carries no workflow: it was made otherwise, or its texts were taken out on the way."
        raise InvalidRequest(told, "no_workflow")
    return Read(graph=_graph(found.get(_PROMPT), found.get(_WORKFLOW)))


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_GRAPH_BYTES:
        raise PayloadTooLarge(f"A graph has at most {MAX_GRAPH_BYTES} bytes of JSON.", "too_large")
    try:
        # ComfyUI itself writes NaN, which is no JSON, where a node is never to be kept.
        value = json.loads(data.decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"This is no JSON that can be read: {str(error)[:200]}", "invalid_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest("A graph is a JSON object.", "invalid_graph")
    return value


def _of_json(value: Mapping[str, Any]) -> Read:
    if len(value) > 2 * MAX_ORIGINS:
        raise InvalidRequest(f"A graph has at most {MAX_ORIGINS} nodes.", "too_large")
    _check(value)
    if value.get("format") == FORMAT or value.get("kind") == "Workflow":
        body = value.get("spec") if value.get("kind") == "Workflow" else value
        return Read(spec=_spec(body))
    if isinstance(value.get("nodes"), list):
        return Read(graph=_graph(None, value))
    prompt = next((value[name] for name in (_PROMPT, "output") if isinstance(value.get(name), Mapping)), None)
    if prompt is not None and "class_type" not in prompt:
        return Read(graph=_graph(prompt, _workflow_beside(value)))
    return Read(graph=_graph(value, None))


def _workflow_beside(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    place: Any = value
    for name in ("extra_data", "extra_pnginfo"):
        place = place.get(name) if isinstance(place, Mapping) else None
    for holder in (value, place):
        if isinstance(holder, Mapping) and isinstance(holder.get(_WORKFLOW), Mapping):
            found: Mapping[str, Any] = holder[_WORKFLOW]
            return found
    return None


def _spec(body: Any) -> WorkflowSpec:
    _check(body)
    try:
        return WorkflowSpec.model_validate(body)
    except ValidationError as error:
        raise validation.invalid_request(error, body) from None


def _check(value: Any) -> None:
    """Depth, and what neither JSON nor a database takes: looked at once, so that nothing later trips over it."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    num_values = 0
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, Mapping | list):
            if depth > _MAX_DEPTH:
                raise InvalidRequest(f"The graph is nested more than {_MAX_DEPTH} levels deep.", "invalid_graph")
            num_values += len(one)
            if num_values > _MAX_VALUES:
                raise InvalidRequest(f"The graph has more than {_MAX_VALUES} values.", "too_large")
            inner: Iterable[Any] = [*one.keys(), *one.values()] if isinstance(one, Mapping) else one
            waiting += [(item, depth + 1) for item in inner]
        elif isinstance(one, str):
            if "\0" in one or not _is_encodable(one):
                raise InvalidRequest("The graph holds a text with a NUL, or half a character.", "invalid_graph")
        elif isinstance(one, int | float) and not -_LARGEST < one < _LARGEST:
            raise InvalidRequest("The graph holds a number that is too large.", "invalid_graph")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _graph(prompt: Mapping[str, Any] | None, workflow: Mapping[str, Any] | None) -> SourceGraph:
    """A graph of what there is of it."""
    for one in (prompt, workflow):
        _check(one)
    if prompt is None:
        graph = read_saved(workflow or {}, MAX_ORIGINS)
    else:
        graph = _of_prompt(prompt)
        if workflow is not None and isinstance(workflow.get("nodes"), list):
            graph = read_look(graph, workflow, MAX_ORIGINS)
    if not graph.nodes:
        raise InvalidRequest("The graph has no nodes.", "invalid_graph")
    return graph


def _of_prompt(prompt: Mapping[str, Any]) -> SourceGraph:
    if len(prompt) > MAX_ORIGINS:
        raise InvalidRequest(f"A graph has at most {MAX_ORIGINS} nodes; this has {len(prompt)}.", "too_large")
    nodes = {key: node for key, value in prompt.items() if (node := _node(key, value)) is not None}
    others = [key for key in prompt if key not in nodes]
    if not nodes:
        told = (
            "This is no graph of ComfyUI: export it there as API format, or take a picture that ComfyUI has saved. "
            "In an API export each node has a class_type."
        )
        raise InvalidRequest(told, "invalid_graph", others[0][:80] if others else None)
    warnings = tuple(f"{key[:80]}: this entry of the file is no node, and is left out" for key in others)
    return SourceGraph(API_FORMAT, nodes, warnings=warnings)


def _node(key: str, value: Any) -> SourceNode | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("class_type"), str) or not value["class_type"]:
        return None
    given, meta = value.get("inputs"), value.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    inputs = {name: _value(one) for name, one in given.items()} if isinstance(given, Mapping) else {}
    return SourceNode(key, value["class_type"].strip() or "?", inputs, value, title if isinstance(title, str) else "")


def _value(value: Any) -> Any:
    """A list of two means a link, so that lists themselves are wrapped."""
    if isinstance(value, list) and len(value) == 2 and _is_link(*value):
        return Link(str(value[0]), value[1])
    if isinstance(value, Mapping) and "__value__" in value:
        return value["__value__"]
    return value


def _is_link(node: Any, slot: Any) -> bool:
    return isinstance(node, str) and isinstance(slot, int) and not isinstance(slot, bool) and 0 <= slot < 256
