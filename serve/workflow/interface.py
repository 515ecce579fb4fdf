"""The interface of a workflow: what its inputs and outputs are in JSON Schema, and whether given inputs fit.

An input is as narrow as the narrowest port that it goes to, so that a form shows, and a request meets, the bounds of
the models behind it without anybody repeating them.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.port_types import Kind, PortType, parse_type
from serve.domain.workflow import InputConstraints, WorkflowInput, WorkflowOutput
from serve.workflow.graph import Graph, OfInput, Port
from serve.workflow.ports.port_words import titled, widget_of
from serve.workflow.problems import Code, Problem
from serve.workflow.schemas import MEDIA_FORMATS, Schema, check_depth, check_value, schema_of, unfetched
from serve.workflow.values import as_whole

Inputs = Mapping[str, WorkflowInput] | Sequence[WorkflowInput]

_CODES = {
    Code.MISSING_INPUT: "missing_field",
    Code.UNKNOWN_INPUT: "unknown_field",
    Code.WRONG_TYPE: "invalid_type",
    Code.INVALID_VALUE: "invalid_value",
}
_LARGER, _SMALLER = ("minimum", "exclusiveMinimum", "minLength", "minItems"), ("maximum", "exclusiveMaximum")
_NARROWS: Mapping[str, Any] = dict.fromkeys(_LARGER, max) | dict.fromkeys((*_SMALLER, "maxLength", "maxItems"), min)
_TOLD = ("type", "title", "description", "pattern", "multipleOf", "format", "properties", "required", "anyOf")
"""What of a port's schema holds for an input that does not say it itself."""


def schema_of_input(one: WorkflowInput) -> dict[str, Any]:
    """The JSON Schema of an input's values, by its type and its own constraints."""
    port_type = parse_type(one.type)
    schema = schema_of(port_type)
    bounds = _bounds(one.constraints, port_type.kind)
    if port_type.is_list:
        schema["items"] = schema["items"] | bounds
        most = one.constraints.max_items
        return schema | ({} if most is None else {"maxItems": most})
    return schema | bounds


def input_schema(graph: Graph | Inputs) -> dict[str, Any]:
    """The JSON Schema of a workflow's inputs: one object, an input a property. Of a graph it has also the bounds of
    the ports that the inputs go to."""
    uses = _uses(graph) if isinstance(graph, Graph) else {}
    inputs = _inputs(graph)
    properties = {
        one.name: _shown(one, _narrowed(schema_of_input(one), uses.get(one.name, ())), index)
        for index, one in enumerate(inputs)
    }
    required = [one.name for one in inputs if one.is_required]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def ports_of_graph(graph: Graph) -> Mapping[str, Port]:
    """The ports of a node that is this workflow."""
    properties = input_schema(graph)["properties"]
    return {
        name: Port(parse_type(one.type), one.is_required, False, one.default, properties[name], one.description)
        for name, one in graph.inputs.items()
    }


def narrowing_problems(graph: Graph) -> list[Problem]:
    """Inputs that can have no value, and defaults that are none, seeing all that the inputs go to."""
    properties = input_schema(graph)["properties"]
    found = []
    for index, (name, one) in enumerate(graph.inputs.items()):
        schema, field = properties[name], f"interface.inputs.{index}"
        if _is_empty(schema) or _is_empty(schema.get("items", {})):
            told = f"no value of {name} is good for everything that it goes to: its bounds leave nothing"
            found.append(Problem(Code.INVALID_VALUE, told, field=field))
        elif one.default is not None and (told := check_value(schema, one.default) or ""):
            found.append(Problem(Code.INVALID_VALUE, f"default {told}", field=f"{field}.default"))
    return found


def output_schema(graph: Graph, words: Sequence[WorkflowOutput] = ()) -> dict[str, Any]:
    """The JSON Schema of what a run puts out. `words` are the interface's own outputs, for titles and descriptions. Any
    output may be null: what it comes from was skipped."""
    told = {one.name: one for one in words}
    properties = {name: _output(name, port_type, told.get(name)) for name, port_type in graph.output_types.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def check_inputs(inputs: Graph | Inputs, given: Mapping[str, Any], *, fetched: bool = True) -> dict[str, Any]:
    """`given` with defaults filled in; what is left out and has none is not there. With `fetched` pictures must be
    assets already; without it they may be written in any way that a request may.

    Raises:
        InvalidRequest: about everything that is wrong; `param` is the first input's name.
    """
    if wrong := input_problems(inputs, given, fetched=fetched):
        told = "; ".join(one.message for one in wrong)
        raise InvalidRequest(told, _CODES[wrong[0].code], wrong[0].field)
    properties = input_schema(inputs)["properties"]
    taken = {
        one.name: _exact(given.get(one.name), properties[one.name]) if given.get(one.name) is not None else one.default
        for one in _inputs(inputs)
    }
    return {name: value for name, value in taken.items() if value is not None}


def input_problems(inputs: Graph | Inputs, given: Mapping[str, Any], *, fetched: bool = True) -> list[Problem]:
    """Everything that is wrong with given inputs; `field` is the input's name."""
    properties = input_schema(inputs)["properties"]
    found = [_unknown(name, list(properties)) for name in given if name not in properties]
    for one in _inputs(inputs):
        value = given.get(one.name)
        if value is not None:
            found += _wrong(one.name, properties[one.name], value, fetched)
        elif one.is_required:
            found.append(Problem(Code.MISSING_INPUT, f"{one.name} is required", field=one.name))
    return found


def _inputs(inputs: Graph | Inputs) -> Sequence[WorkflowInput]:
    held = inputs.inputs if isinstance(inputs, Graph) else inputs
    return list(held.values()) if isinstance(held, Mapping) else held


def _bounds(constraints: InputConstraints, kind: Kind) -> dict[str, Any]:
    """A number's bounds are no text's: what cannot hold for the type is left out."""
    found: dict[str, Any] = {"enum": constraints.enum}
    if kind is Kind.NUMBER:
        found |= {
            "type": "integer" if constraints.integer else None,
            "minimum": _number(constraints.minimum),
            "maximum": _number(constraints.maximum),
            "multipleOf": _number(constraints.multiple_of),
        }
    if kind is Kind.TEXT:
        found["maxLength"] = constraints.max_length
    return {key: value for key, value in found.items() if value is not None}


def _number(bound: float | None) -> float | None:
    return None if bound is None else as_whole(bound)


@dataclass(frozen=True, slots=True)
class _Use:
    """A port that an input goes to; `is_mapped`: item by item."""

    port: Port
    is_mapped: bool


def _uses(graph: Graph) -> dict[str, list[_Use]]:
    """Where each input goes. Nodes of one model share their ports, and each of those counts once."""
    found: dict[str, dict[tuple[int, bool], _Use]] = {}
    for node in graph.nodes.values():
        for name, source in node.inputs.items():
            if isinstance(source, OfInput) and name in node.ports:
                port, is_mapped = node.ports[name], name in node.map
                found.setdefault(source.name, {})[id(port), is_mapped] = _Use(port, is_mapped)
    return {name: list(uses.values()) for name, uses in found.items()}


def _narrowed(schema: dict[str, Any], uses: Sequence[_Use]) -> dict[str, Any]:
    for use in uses:
        if use.is_mapped and "items" in schema:
            schema = schema | {"items": _meet(schema["items"], use.port.type, use.port.schema)}
        elif not use.is_mapped:
            schema = _meet(schema, use.port.type, use.port.schema)
    return schema


def _meet(schema: dict[str, Any], port_type: PortType, port_schema: Schema) -> dict[str, Any]:
    """Both schemas at once. A port of another kind (a text that a number goes into) says nothing of the input."""
    other = schema_of(port_type) | dict(port_schema)
    if not _is_like(schema, other):
        return schema
    met = {key: other[key] for key in _TOLD if key in other} | schema
    for key, pick in _NARROWS.items():
        if key in other:
            met[key] = pick(schema[key], other[key]) if key in schema else other[key]
    if "integer" in (schema.get("type"), other.get("type")):
        met["type"] = "integer"
    if "enum" in other:
        met["enum"] = [one for one in schema.get("enum", other["enum"]) if one in other["enum"]]
    if port_type.is_list and "items" in schema:
        met["items"] = _meet(schema["items"], port_type.item, other["items"])
    if widget := other.get("x-ui", {}).get("widget"):
        met["x-ui"] = {"widget": widget} | schema.get("x-ui", {})
    return met


def _is_empty(schema: Schema) -> bool:
    return schema.get("enum") == [] or schema.get("minimum", -math.inf) > schema.get("maximum", math.inf)


def _is_like(schema: Schema, other: Schema) -> bool:
    if not schema.keys() & {"type", "anyOf"}:
        return True
    kinds = {"number" if one.get("type") == "integer" else one.get("type") for one in (schema, other)}
    media = {one.get("format") for one in (schema, other)} & MEDIA_FORMATS
    return len(kinds) == 1 and (not media or "image" in media or len(media) == 1)


def _shown(one: WorkflowInput, schema: dict[str, Any], index: int) -> dict[str, Any]:
    """With the words and the widget that the interface gives it, or the port."""
    described = one.description or schema.get("description", "")
    own = {"group": one.ui.group or "", "order": index if one.ui.order is None else one.ui.order}
    widget = one.ui.widget or schema.get("x-ui", {}).get("widget") or widget_of(parse_type(one.type), schema)
    shown = {"title": one.title or titled(one.name)} | ({"description": described} if described else {})
    schema |= {"x-ui": {"widget": widget, **own, "advanced": one.ui.advanced}}
    return shown | {key: schema[key] for key in schema if key not in ("title", "description")} | _default(one)


def _default(one: WorkflowInput) -> dict[str, Any]:
    return {} if one.default is None else {"default": one.default}


_ASSET: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "media_type": {"type": "string"},
        "num_bytes": {"type": "integer"},
        "sha256": {"type": "string"},
        "name": {"type": ["string", "null"]},
        "width": {"type": ["integer", "null"]},
        "height": {"type": ["integer", "null"]},
        "seconds": {"type": ["number", "null"]},
        "url": {"type": "string", "description": "Reads its bytes."},
    },
    "required": ["id", "media_type", "num_bytes", "sha256"],
}


def _output(name: str, port_type: PortType, words: WorkflowOutput | None) -> dict[str, Any]:
    schema = _written(port_type)
    if "type" in schema:
        schema["type"] = [schema["type"], "null"]
    shown: dict[str, Any] = {"title": (words.title if words else "") or titled(name)}
    if words and words.description:
        shown["description"] = words.description
    return shown | schema | ({"x-primary": True} if words and words.primary else {})


def _written(port_type: PortType) -> dict[str, Any]:
    """As runs write values of a type (`serve.workflow.values.encode`)."""
    if port_type.is_list:
        return {"type": "array", "items": _written(port_type.item)}
    if port_type.kind.is_media:
        asset = {"type": "object", "properties": {"asset": _ASSET}, "required": ["asset"]}
        return asset | {"format": str(port_type.kind)}
    if port_type.kind is Kind.ADAPTER:
        return {"type": "object", "properties": {"id": {"type": "string"}, "scale": {"type": "number"}}}
    return schema_of(port_type)


def _exact(value: Any, schema: Schema) -> Any:
    """2.0 is 2 where a whole number is asked for."""
    if isinstance(value, list) and "items" in schema:
        return [_exact(one, schema["items"]) for one in value]
    return as_whole(value) if isinstance(value, float) and schema.get("type") == "integer" else value


def _unknown(name: str, known: list[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}" if known else "it takes none"
    return Problem(Code.UNKNOWN_INPUT, f"{name[:80]} is no input of this workflow; {hint}", field=name[:80])


def _wrong(name: str, schema: Schema, value: Any, fetched: bool) -> Iterator[Problem]:
    told = check_value(schema if fetched else unfetched(schema), value) or check_depth(value)
    if told:
        is_type = told.startswith("must be a ") or told.startswith("must be true")
        yield Problem(Code.WRONG_TYPE if is_type else Code.INVALID_VALUE, f"{name} {told}", field=name)
