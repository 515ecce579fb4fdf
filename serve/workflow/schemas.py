"""JSON Schemas of values: what forms, ports and OpenAPI documents say of them, and what values are checked against.

Of JSON Schema (2020-12) this checks what those schemas are written in; other words are for readers, and pass. Our own
are `format` image, mask, audio and video, whose values are `asset:<id>`, and `x-ui`, how a form shows a value:
`{"widget", "group", "order", "advanced"}`.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from serve.domain.adapters import MAX_SCALE, parse_reference
from serve.domain.images import ASSET_SCHEME
from serve.domain.port_types import Kind, PortType
from serve.domain.workflow import MAX_DEPTH, MAX_ITEMS, is_deeper
from serve.workflow.values import MAX_EXACT, is_number, with_article

Schema = Mapping[str, Any]
MEDIA_FORMATS = frozenset(kind.value for kind in Kind if kind.is_media)
SOURCES = (ASSET_SCHEME, "data:", "https://", "http://")
"""What a request may write where media are asked for, beginning so; the gateway makes assets of them."""
SOURCE = "x-source"
MAX_SHOWN = 60
"""Characters of a bad value that an answer repeats."""

_ADAPTER: Schema = {
    "format": "adapter",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "id": {"type": "string", "minLength": 1},
                "scale": {"type": "number", "minimum": -MAX_SCALE, "maximum": MAX_SCALE},
            },
            "additionalProperties": False,
        },
    ],
}
_OF_KIND: dict[Kind, Schema] = {
    Kind.TEXT: {"type": "string"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.IMAGE: {"type": "string", "format": "image"},
    Kind.MASK: {"type": "string", "format": "mask"},
    Kind.AUDIO: {"type": "string", "format": "audio"},
    Kind.VIDEO: {"type": "string", "format": "video"},
    Kind.JSON: {},
    Kind.EMBEDDING: {"type": "array", "items": {"type": "number"}},
    Kind.ADAPTER: _ADAPTER,
    Kind.MODEL: {"type": "string", "format": "model", "minLength": 1},
}


def schema_of(port_type: PortType) -> dict[str, Any]:
    """The schema of every value of a type, as users write it."""
    if port_type.is_list:
        return {"type": "array", "items": schema_of(port_type.item), "maxItems": MAX_ITEMS}
    return dict(_OF_KIND[port_type.kind])


def check_value(schema: Schema, value: Any) -> str | None:
    """What is wrong with `value`: the end of a sentence that its name begins (`must be at most 100 (got 101)`), or None
    where it is good. Null is for the caller to judge."""
    for keyword, fault in _CHECKS.items():
        if keyword in schema and (told := fault(schema[keyword], value, schema)):
            return told
    return None


def unfetched(schema: Schema) -> Schema:
    """The same where media are as requests write them, and need not be assets yet."""
    if "items" in schema:
        return {**schema, "items": unfetched(schema["items"])}
    if schema.get("format") not in MEDIA_FORMATS:
        return schema
    return {SOURCE: schema["format"]}


def check_depth(value: Any) -> str | None:
    """Whether a JSON value is nested too deeply to be passed on."""
    return f"is nested more than {MAX_DEPTH} levels deep" if is_deeper(value, MAX_DEPTH) else None


def _is_integer(value: Any) -> bool:
    return is_number(value) and value == int(value)


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a text", lambda value: isinstance(value, str)),
    "number": ("a number", is_number),
    "integer": ("a whole number", _is_integer),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "null": ("null", lambda value: value is None),
}


def _type(wanted: Any, value: Any, schema: Schema) -> str | None:
    names = [wanted] if isinstance(wanted, str) else wanted
    if any(_TYPES[name][1](value) for name in names):
        return None
    if schema.get("format") in MEDIA_FORMATS:
        return _media(schema["format"], None, schema)
    return f"must be {' or '.join(_TYPES[name][0] for name in names)}{_got(value)}"


def _got(value: Any) -> str:
    if isinstance(value, list | dict):
        return f" (got {'a list' if isinstance(value, list) else 'an object'})"
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return f" (got {shown[:MAX_SHOWN]})"


def _media(wanted: Any, value: Any, schema: Schema) -> str | None:
    if wanted == Kind.ADAPTER:
        return _adapter(value)
    if wanted not in MEDIA_FORMATS:
        return None
    if isinstance(value, str) and value.startswith(ASSET_SCHEME) and len(value) > len(ASSET_SCHEME):
        return None
    return f"must be {with_article(Kind(wanted))}, written as asset:<id>: the id of an asset of yours"


def _source(wanted: Any, value: Any, schema: Schema) -> str | None:
    if isinstance(value, str) and value.startswith(SOURCES):
        return None
    return f"must be {with_article(Kind(wanted))}: asset:<id>, a data: URL or an http(s) address"


def _adapter(value: Any) -> str | None:
    named = [value] if isinstance(value, str) else []
    if isinstance(value, dict):
        named = [value[key] for key in ("name", "id") if isinstance(value.get(key), str)]
    if len(named) != 1:
        return 'must be an adapter: "name", "tenant/name@sha256:..." or {"name": ..., "scale": 1.0}'
    try:
        parse_reference(named[0])
    except ValueError as error:
        return f"must be an adapter: {error}"
    return None


def _enum(listed: Any, value: Any, schema: Schema) -> str | None:
    if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in listed):
        return None
    shown = ", ".join(str(one) for one in listed[:32])
    return f"must be one of {shown}{', ...' if len(listed) > 32 else ''}{_got(value)}"


def _bound(says: str, holds: Callable[[float, float], bool]) -> Callable[[Any, Any, Schema], str | None]:
    def check(bound: Any, value: Any, schema: Schema) -> str | None:
        if not is_number(value) or holds(value, bound):
            return None
        return f"must be {says} {bound:g}{_got(value)}" if abs(bound) < 1e6 else f"must be {says} {bound}{_got(value)}"

    return check


def _is_multiple(value: float, step: float) -> bool:
    """With room for what binary fractions lose: 0.3 is a multiple of 0.1."""
    if isinstance(value, int) and float(step).is_integer():
        return value % int(step) == 0
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return False
    return math.isclose(value, round(value / step) * step, rel_tol=1e-9, abs_tol=1e-9 * abs(step))


def _length(
    says: str, unit: str, of: type, holds: Callable[[int, int], bool]
) -> Callable[[Any, Any, Schema], str | None]:
    def check(bound: Any, value: Any, schema: Schema) -> str | None:
        if not isinstance(value, of) or holds(len(value), bound):  # type: ignore[arg-type]  # str, list and dict have one
            return None
        return f"must have {says} {bound} {unit}, and has {len(value)}"  # type: ignore[arg-type]  # as above

    return check


def _pattern(wanted: Any, value: Any, schema: Schema) -> str | None:
    if not isinstance(value, str) or re.search(wanted, value):
        return None
    return f"must match {wanted}{_got(value)}"


def _items(wanted: Any, value: Any, schema: Schema) -> str | None:
    for index, one in enumerate(value if isinstance(value, list) else ()):
        if told := check_value(wanted, one):
            return f"is wrong in its item {index}, which {told}"
    return None


def _properties(wanted: Any, value: Any, schema: Schema) -> str | None:
    if not isinstance(value, dict):
        return None
    for name, inner in wanted.items():
        if name in value and (told := check_value(inner, value[name])):
            return f"is wrong in its {name}, which {told}"
    unknown = [name for name in value if name not in wanted] if schema.get("additionalProperties") is False else []
    return f"has no {unknown[0][:MAX_SHOWN]!r}; it has {', '.join(wanted)}" if unknown else None


def _required(wanted: Any, value: Any, schema: Schema) -> str | None:
    missing = [name for name in wanted if isinstance(value, dict) and name not in value]
    return f"lacks {', '.join(missing)}" if missing else None


def _any_of(branches: Any, value: Any, schema: Schema) -> str | None:
    told = [check_value(branch, value) for branch in branches]
    if None in told:
        return None
    meant = [says for says in told if says and not says.startswith("must be a")]
    return (meant or [says for says in told if says])[0]


_CHECKS: dict[str, Callable[[Any, Any, Schema], str | None]] = {
    "type": _type,
    "enum": _enum,
    "format": _media,
    SOURCE: _source,
    "minimum": _bound("at least", lambda value, bound: value >= bound),
    "maximum": _bound("at most", lambda value, bound: value <= bound),
    "exclusiveMinimum": _bound("more than", lambda value, bound: value > bound),
    "exclusiveMaximum": _bound("less than", lambda value, bound: value < bound),
    "multipleOf": _bound("a multiple of", _is_multiple),
    "minLength": _length("at least", "character(s)", str, lambda size, bound: size >= bound),
    "maxLength": _length("at most", "character(s)", str, lambda size, bound: size <= bound),
    "minItems": _length("at least", "item(s)", list, lambda size, bound: size >= bound),
    "maxItems": _length("at most", "item(s)", list, lambda size, bound: size <= bound),
    "pattern": _pattern,
    "items": _items,
    "properties": _properties,
    "required": _required,
    "anyOf": _any_of,
    "oneOf": _any_of,
}
