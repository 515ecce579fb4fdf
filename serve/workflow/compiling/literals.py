"""Whether a value that was written down is one of a port's type, and within its bounds."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

from serve.domain.adapters import MAX_SCALE, parse_id, parse_reference
from serve.domain.images import ASSET_SCHEME
from serve.domain.port_types import Kind, PortType
from serve.workflow.compiling.references import Place, Wrong
from serve.workflow.problems import Code
from serve.workflow.schemas import check_value
from serve.workflow.values import with_article

_MAX_ASSET = 80
MAX_NUMBER = 1.7e308
_MEDIA = "{}, written as asset:<id>: the id of an asset of yours"
_LENGTHS = ("minItems", "maxItems")


def value_problems(
    value: Any,
    wanted: PortType,
    schema: Mapping[str, Any],
    models: Container[str],
    referenced: Container[Place] = (),
) -> list[Wrong]:
    """What is wrong with `value`: each sentence goes on after its name (`must be a number`). `models` are the names of
    those that are served; at the places in `referenced` stands what is not known yet, and `value` has None there."""
    if not wanted.is_list:
        wrong = list(_single(value, wanted.kind, models, ()))
    elif isinstance(value, list):
        wrong = list(_items(value, wanted.kind, models, referenced))
    else:
        wrong = [(Code.WRONG_TYPE, (), f"must be a list, {wanted}")]
    if not wrong and schema and (bounds := _bounds(schema, wanted, bool(referenced))):
        sentence = check_value(bounds, value)
        if sentence is not None:
            wrong.append((Code.INVALID_VALUE, (), sentence))
    return wrong


def _bounds(schema: Mapping[str, Any], wanted: PortType, is_partial: bool) -> Mapping[str, Any]:
    """What of a schema can be asked of a value that has, maybe, holes."""
    if not is_partial and not wanted.kind.is_static:
        return schema
    return {word: schema[word] for word in _LENGTHS if word in schema} if wanted.is_list else {}


def _items(items: Iterable[Any], kind: Kind, models: Container[str], referenced: Container[Place]) -> Iterator[Wrong]:
    for index, item in enumerate(items):
        if (index,) not in referenced:
            yield from _single(item, kind, models, (index,))


def _single(value: Any, kind: Kind, models: Container[str], place: Place) -> Iterator[Wrong]:
    if kind is Kind.MODEL and isinstance(value, str):
        if value not in models:
            yield (
                Code.UNKNOWN_MODEL,
                place,
                f"names the model {value[:80]!r}, which there is not; GET /v1/models lists them",
            )
    elif kind is Kind.ADAPTER:
        told = _adapter(value)
        if told is not None:
            yield Code.INVALID_VALUE if isinstance(value, str | dict) else Code.WRONG_TYPE, place, told
    elif not _TESTS[kind](value):
        yield Code.WRONG_TYPE, place, f"must be {_MUST.get(kind) or _MEDIA.format(with_article(kind))}"


def _is_asset(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(ASSET_SCHEME) and len(ASSET_SCHEME) < len(value) <= _MAX_ASSET


def _adapter(value: Any) -> str | None:
    """What is wrong with an adapter, as users write it or as runs keep it."""
    if isinstance(value, str):
        return _refusal(parse_reference, value)
    if not isinstance(value, dict) or len(value) - ("scale" in value) != 1 or not value.keys() & {"name", "id"}:
        return 'must be an adapter: its name, or {"name": ..., "scale": 1.0}'
    scale = value.get("scale", 1.0)
    if not (_is_number(scale) and abs(scale) <= MAX_SCALE):
        return f"must have a scale from -{MAX_SCALE:g} to {MAX_SCALE:g}"
    read, name = (parse_id, value["id"]) if "id" in value else (parse_reference, value["name"])
    return _refusal(read, name) if isinstance(name, str) else "must have a name that is a text"


def _refusal(read: Callable[[str], object], text: str) -> str | None:
    try:
        read(text)
    except ValueError as error:
        return f"must be an adapter: {error}"
    return None


def _is_number(value: Any) -> bool:
    """Neither true nor false, nor beyond what a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER <= value <= MAX_NUMBER


def _is_embedding(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


_TESTS: dict[Kind, Callable[[Any], bool]] = {
    Kind.TEXT: lambda value: isinstance(value, str),
    Kind.MODEL: lambda value: isinstance(value, str),
    Kind.NUMBER: _is_number,
    Kind.BOOLEAN: lambda value: isinstance(value, bool),
    Kind.JSON: lambda value: True,
    Kind.EMBEDDING: _is_embedding,
}
_TESTS |= dict.fromkeys((kind for kind in Kind if kind.is_media), _is_asset)
_MUST: dict[Kind, str] = {
    Kind.TEXT: "a text",
    Kind.MODEL: "the name of a model",
    Kind.NUMBER: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.EMBEDDING: "an embedding: a list of numbers",
}
