"""Values between nodes: how they are written in rows and between processes, what they become on the way from one type
to another, and what they are the same as.

    media       {"asset": {"id", "sha256", "media_type", "num_bytes", ...}}
    adapter     {"id": "tenant/name@sha256:...", "scale": 1.0}
    the others  as JSON

Lists are lists of these, and null is no value.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import orjson

from serve.domain.adapters import MAX_SCALE, parse_id
from serve.domain.errors import InvalidRequest
from serve.domain.generation import AdapterUse
from serve.domain.images import ASSET_SCHEME
from serve.domain.media import Asset
from serve.domain.port_types import Kind, PortType
from serve.domain.written import written_asset

_MAX_DIGITS = 18
MAX_EXACT = 2**53
"""Whole numbers up to this are written without a fraction, whatever they were reckoned in."""
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS
_ASSET_FIELDS = tuple(one.name for one in fields(Asset))
_NEEDED = frozenset({"id", "sha256", "media_type", "num_bytes"})


def encode(value: Any, port_type: PortType) -> Any:
    """`value` as JSON."""
    if value is None:
        return None
    if port_type.is_list:
        item = port_type.item
        return [encode(one, item) for one in value]
    if port_type.kind.is_media:
        return written_asset(value)
    if port_type.kind is Kind.ADAPTER:
        return {"id": value.id, "scale": value.scale}
    return value


def decode(written: Any, port_type: PortType) -> Any:
    """The value that `encode` wrote.

    Raises:
        InvalidRequest: `wrong_type`; what it is about is the caller's to say.
    """
    return _read(written, port_type, _kept_asset)


def read(written: Any, port_type: PortType, assets: Mapping[str, Asset]) -> Any:
    """The value that a user wrote, in a document or for an input: pictures are `asset:<id>`, and `assets` are those of
    the tenant. What `encode` writes of a picture is refused: it says itself whose it is.

    Raises:
        InvalidRequest: `wrong_type`, `unknown_asset`; what it is about is the caller's to say.
    """

    def named(one: Any, kind: Kind) -> Asset:
        if not isinstance(one, str) or not one.startswith(ASSET_SCHEME):
            raise _wrong(f"must be {with_article(kind)}: asset:<id>, the id being that of an asset of yours")
        asset_id = one.removeprefix(ASSET_SCHEME)
        if asset_id not in assets:
            raise InvalidRequest(f"there is no asset {asset_id[:80]!r}", "unknown_asset")
        return assets[asset_id]

    return _read(written, port_type, named)


def asset_ids(written: Any, port_type: PortType) -> Iterator[str]:
    """The ids of the assets that `written` names as `asset:<id>`."""
    if not port_type.kind.is_media:
        return
    for one in written if isinstance(written, list) else [written]:
        if isinstance(one, str) and one.startswith(ASSET_SCHEME):
            yield one.removeprefix(ASSET_SCHEME)


def convert(value: Any, source: PortType, wanted: PortType) -> Any:
    """`value` of one type as another that it fits (`PortType.fits`)."""
    if value is None or wanted.kind is not Kind.TEXT or source.kind is Kind.TEXT:
        return value
    return [as_text(one) for one in value] if source.is_list else as_text(value)


def as_text(value: Any) -> str:
    """A value as people write it: numbers without a fraction that says nothing, true and false, JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(as_whole(value))
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    return str(value)


def as_whole(value: float) -> int | float:
    """The integer that `value` is, if it is one."""
    return int(value) if value.is_integer() and abs(value) <= MAX_EXACT else value


def read_whole(digits: str) -> int | float:
    """A whole number in JSON from outside, as all that write JSON take it: one of a thousand digits is for none of
    them. Raises ValueError where not even a float holds it."""
    if len(digits) <= _MAX_DIGITS:
        return int(digits)
    number = float(digits)
    if math.isinf(number):
        raise ValueError("the number is too large")
    return number


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


STRANGERS_JSON = json.JSONDecoder(parse_constant=_refused, parse_int=read_whole)
"""Reads what models and users wrote as texts, into values that every other reader of JSON takes."""


def kind_of(value: Any) -> Kind:
    """What a single JSON value is by itself."""
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int | float):
        return Kind.NUMBER
    return Kind.TEXT if isinstance(value, str) else Kind.JSON


def is_number(value: Any) -> bool:
    """Whether it is a finite number; true and false are none."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def digest_of(value: Any) -> str:
    """sha256 in hexadecimal of what `value` means: equal values have one digest, others another. An asset is its bytes,
    whatever its id. The order within an object counts: a schema's properties are answered in theirs."""
    try:
        written = orjson.dumps(value, default=_apart, option=_OPTIONS)
    except TypeError:
        # Integers over 64 bits, lone surrogates and very deep values, which orjson does not write.
        written = b"~" + json.dumps(value, default=_apart_as_text).encode()
    return hashlib.sha256(written).hexdigest()


def _apart(value: Any) -> orjson.Fragment:
    """Words that are no JSON, so that no JSON value is taken for an asset or an adapter."""
    return orjson.Fragment(_apart_as_text(value).encode())


def _apart_as_text(value: Any) -> str:
    if isinstance(value, Asset):
        return f"@{value.sha256}"
    if isinstance(value, AdapterUse):
        return f"+{value.id}*{value.scale!r}"
    raise TypeError(f"no value of a port: {type(value).__name__}")


def _read(written: Any, port_type: PortType, asset: Callable[[Any, Kind], Asset]) -> Any:
    if written is None:
        return None
    if port_type.is_list:
        if not isinstance(written, list):
            raise _wrong("must be a list")
        item = port_type.item
        return [_read(one, item, asset) for one in written]
    if port_type.kind.is_media:
        return asset(written, port_type.kind)
    return _READERS[port_type.kind](written)


def _kept_asset(written: Any, kind: Kind) -> Asset:
    known = written.get("asset") if isinstance(written, dict) else None
    if not isinstance(known, dict) or not known.keys() >= _NEEDED:
        raise _wrong(f"must be {with_article(kind)} as runs keep it")
    return Asset(**{"created_ms": 0} | {name: known[name] for name in _ASSET_FIELDS if name in known})


def with_article(kind: Kind) -> str:
    """The kind in a sentence: an image."""
    return _ARTICLES.get(kind, f"a {kind}")


def _text(written: Any) -> str:
    if not isinstance(written, str):
        raise _wrong("must be a text")
    return written


def _number(written: Any) -> int | float:
    if not is_number(written):
        raise _wrong("must be a number")
    return written  # type: ignore[no-any-return]  # is_number has looked


def _boolean(written: Any) -> bool:
    if not isinstance(written, bool):
        raise _wrong("must be true or false")
    return written


def _embedding(written: Any) -> list[float]:
    if not isinstance(written, list):
        raise _wrong("must be an embedding: a list of numbers")
    return [_number(one) for one in written]


def _adapter(written: Any) -> AdapterUse:
    if isinstance(written, dict) and set(written) == {"id", "scale"} and isinstance(written["id"], str):
        scale = _number(written["scale"])
        try:
            adapter_id = parse_id(written["id"]).id
        except ValueError as error:
            raise _wrong(str(error)) from None
        if abs(scale) <= MAX_SCALE:
            return AdapterUse(adapter_id, float(scale))
    raise _wrong('must be an adapter as runs keep it: {"id": "tenant/name@sha256:...", "scale": 1.0}')


def _json(written: Any) -> Any:
    return written


def _wrong(says: str) -> InvalidRequest:
    return InvalidRequest(says, "wrong_type")


_ARTICLES = {
    Kind.IMAGE: "an image",
    Kind.AUDIO: "an audio",
    Kind.EMBEDDING: "an embedding",
    Kind.ADAPTER: "an adapter",
    Kind.JSON: "a JSON value",
    Kind.BOOLEAN: "true or false",
}
_READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.MODEL: _text,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.JSON: _json,
    Kind.EMBEDDING: _embedding,
    Kind.ADAPTER: _adapter,
}
