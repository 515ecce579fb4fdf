"""Operations on JSON values."""

import json
from collections.abc import Mapping
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.port_types import Kind, PortType, parse_type
from serve.workflow.nodes import json_path
from serve.workflow.nodes.bounds import bounded_json, bounded_text
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import at_most, one_of
from serve.workflow.operation import In, Out, Quick
from serve.workflow.values import STRANGERS_JSON, as_text

_CATEGORY = "JSON"
_KINDS = (Kind.JSON, Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN)
_TYPES = [str(PortType(kind, is_list)) for is_list in (False, True) for kind in _KINDS]
_MAX_BEGINNINGS = 64
"""Brackets in a text that a JSON value is looked for at."""
_MAX_READ = 500_000
"""Characters that are read in vain: each beginning may break off at the very end."""


class Path(Quick):
    """What a path leads to."""

    name = "json.path"
    title = "JSON path"
    description = "Takes a part out of a JSON value: $.user.name, $.items[0], $.items[*].price, $..price (RFC 9535)."
    category = _CATEGORY
    inputs = {
        "value": In("json", "The value."),
        "path": In("text", "Names, places, slices, wildcards and descendants.", schema=at_most(json_path.MAX_LENGTH)),
        "type": In("text", "Of the result; a list is of all matches.", False, "json", one_of(_TYPES)),
        "default": In("json", "Given where the path leads to nothing.", required=False),
    }
    outputs = {"value": Out("json"), "found": Out("boolean", "Whether the path leads to anything.")}

    def output_types(self, given: Mapping[str, PortType], values: Mapping[str, Any]) -> Mapping[str, PortType] | None:
        """What `type` says."""
        said = values.get("type")
        wanted = parse_type(said) if said in _TYPES else PortType(Kind.JSON)
        return {"value": wanted, "found": PortType(Kind.BOOLEAN)}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """A path that cannot be read."""
        path = values.get("path")
        if not isinstance(path, str):
            return []
        try:
            json_path.parse(path)
        except ValueError as error:
            return [("path", str(error))]
        return []

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        wanted = parse_type(given.text("type"))
        try:
            found = json_path.find(json_path.parse(given.text("path")), values.get("value"))
        except ValueError as error:
            raise InvalidRequest(str(error), "invalid_expression", "path") from None
        if not found:
            return {"value": _instead(given, wanted), "found": False}
        if wanted.is_list:
            return {"value": bounded_json([_as(one, wanted.kind) for one in found], "path"), "found": True}
        return {"value": _as(found[0], wanted.kind), "found": True}


def _instead(given: Given, wanted: PortType) -> Any:
    default = given.value("default")
    if default is None:
        if wanted.is_list:
            return []
        raise InvalidRequest("path leads to nothing in this value; `default` would be given then", "no_match", "path")
    return [_as(one, wanted.kind) for one in given.items("default")] if wanted.is_list else _as(default, wanted.kind)


def _as(value: Any, kind: Kind) -> Any:
    is_flag = isinstance(value, bool)
    if kind is Kind.TEXT:
        return as_text(value)
    if (kind is Kind.NUMBER and (is_flag or not isinstance(value, int | float))) or (
        kind is Kind.BOOLEAN and not is_flag
    ):
        raise InvalidRequest(f"path leads to what is no {kind}: {as_text(value)[:80]}", "wrong_type", "path")
    return value


class Parse(Quick):
    """From a text."""

    name = "json.parse"
    title = "JSON from text"
    description = "Reads JSON: the whole text, or with `find` the first object or list in it, as models answer them."
    category = _CATEGORY
    inputs = {
        "text": In("text", "Where the JSON is."),
        "find": In("boolean", "Look for it within other words.", required=False, default=True),
        "default": In("json", "Given where there is none.", required=False),
    }
    outputs = {"value": Out("json")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        text = given.text("text").strip()
        is_there, value = _read(text)
        if not is_there and given.flag("find"):
            is_there, value = _find(text)
        if not is_there:
            value = given.value("default")
            if value is None:
                raise InvalidRequest(f"text is no JSON: {text[:80]!r}", "invalid_value", "text")
        return {"value": bounded_json(value, "text")}


def _read(text: str) -> tuple[bool, Any]:
    try:
        return True, STRANGERS_JSON.decode(text)
    except (ValueError, RecursionError):
        return False, None


def _find(text: str) -> tuple[bool, Any]:
    """The first object or list in `text`; what only begins like one is passed over."""
    at, room = -1, _MAX_READ
    for _ in range(_MAX_BEGINNINGS):
        beginnings = [place for bracket in "{[" if (place := text.find(bracket, at + 1)) >= 0]
        if not beginnings:
            break
        at = min(beginnings)
        try:
            return True, STRANGERS_JSON.raw_decode(text, at)[0]
        except json.JSONDecodeError as error:
            room -= error.pos - at
        except (ValueError, RecursionError):
            room -= _MAX_READ // _MAX_BEGINNINGS
        if room < 0:
            break
    return False, None


class Write(Quick):
    """To a text."""

    name = "json.write"
    title = "JSON to text"
    description = "Writes a value as JSON, on one line or indented."
    category = _CATEGORY
    inputs = {
        "value": In("json", "The value."),
        "indent": In("boolean", "One line for each part.", required=False, default=False),
    }
    outputs = {"text": Out("text")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        indent = 2 if Given(self, values).flag("indent") else None
        value = bounded_json(values.get("value"), "value")
        return {"text": bounded_text(json.dumps(value, ensure_ascii=False, indent=indent), "value")}


class Object(Quick):
    """One object out of several values."""

    name = "json.object"
    title = "Make JSON object"
    description = "Makes an object: field_name becomes its field `name`."
    category = _CATEGORY
    inputs = {
        "field": In("json", "The field that follows field_.", many=True),
        "base": In("json", "An object that the fields are added to.", required=False),
    }
    outputs = {"value": Out("json")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        base = given.value("base")
        if not isinstance(base, dict | None):
            raise InvalidRequest("base is no object", "wrong_type", "base")
        return {"value": bounded_json({**(base or {}), **dict(given.many("field"))}, "field")}
