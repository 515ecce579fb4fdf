"""Bodies in protobuf, of the kinds that Helm's client sends so: Secrets, and the options of a deletion."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

MAGIC = b"k8s\0"
Fields = Mapping[int, tuple[str, Any]]
"""By number: name and what is there: `str`, `map`, `data` (a map of bytes), or an object's fields."""
_METADATA: Fields = {
    1: ("name", "str"),
    2: ("generateName", "str"),
    3: ("namespace", "str"),
    5: ("uid", "str"),
    6: ("resourceVersion", "str"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
}
_KINDS: Mapping[str, Fields] = {
    "Secret": {1: ("metadata", _METADATA), 2: ("data", "data"), 3: ("type", "str")},
    "DeleteOptions": {4: ("propagationPolicy", "str")},
}
_TYPE: Fields = {1: ("apiVersion", "str"), 2: ("kind", "str")}


def decoded(body: bytes) -> dict[str, Any]:
    """The object that a body holds."""
    unknown = dict(_fields(body.removeprefix(MAGIC)))
    about = _object(unknown[1], _TYPE)
    return about | _object(unknown[2], _KINDS[about["kind"]])


def _object(body: bytes, fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(body):
        name, form = fields.get(number, ("", ""))
        if form == "str" and value:
            found[name] = value.decode()
        elif form in ("map", "data"):
            entry = dict(_fields(value))
            text = entry.get(2, b"")
            put = base64.b64encode(text).decode() if form == "data" else text.decode()
            found.setdefault(name, {})[entry[1].decode()] = put
        elif isinstance(form, Mapping):
            found[name] = _object(value, form)
    return found


def _fields(body: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(body):
        key, place = _number(body, place)
        if key & 7 == 0:
            value, place = _number(body, place)
            yield key >> 3, value
        else:
            size, place = _number(body, place)
            yield key >> 3, body[place : place + size]
            place += size


def _number(body: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
