"""What an API server does with a custom resource before it keeps it, by the schema of its definition.

Unknown fields are refused (as `kubectl` asks for), nulls where none may be make way for defaults, defaults are filled
in, then the schema is held against it, and only then the rules in CEL: a document with both faults hears of the first.
"""

import copy
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import cel
from jsonschema import Draft4Validator, FormatChecker

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
RULES = "x-kubernetes-validations"
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time")
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or bool(
        re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value)
    )


class Admission:
    """The server's judgement by one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._validator = Draft4Validator(as_draft4(schema), format_checker=_FORMATS)

    def refusals(self, document: Any, old: Any = None) -> list[str]:
        """What it says against `document`, in place of `old` where that is given; nothing where it takes it."""
        if unknown := list(unknown_fields(self._schema, document)):
            return [f'unknown field "{path}"' for path in unknown]
        whole = self.kept(document)
        before = None if old is None else defaulted(self._schema, old)
        return list(self._invalid(whole)) or list(broken_rules(self._schema, whole, before))

    def kept(self, document: Any) -> Any:
        """`document` as it is stored: with its defaults."""
        return defaulted(self._schema, document)

    def takes(self, value: Any) -> bool:
        """Whether a value is valid as it stands, without its defaults."""
        unknown = list(unknown_fields(self._schema, value))
        return not (unknown or list(self._invalid(value)) or list(broken_rules(self._schema, value)))

    def _invalid(self, value: Any) -> Iterator[str]:
        found = [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in self._validator.iter_errors(value)]
        yield from found or _repeated(self._schema, value, "")


def unknown_fields(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """Fields that no schema names."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(schema.get("items", {}), item, f"{path}[{index}]")
    if not isinstance(value, dict) or (path == "metadata"):
        return
    for key, item in value.items():
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        here = f"{path}.{key}".lstrip(".")
        if inner is not None:
            yield from unknown_fields(inner, item, here)
        elif not schema.get(PRESERVE):
            yield here


def defaulted(schema: Schema, value: Any) -> Any:
    """`value` with defaults where nothing is."""
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    found = dict(value)
    for key, inner in schema.get("properties", {}).items():
        if "default" in inner and (key not in found or (found[key] is None and not inner.get("nullable"))):
            found[key] = copy.deepcopy(inner["default"])
    by_key = schema.get("properties", {})
    return {key: defaulted(by_key.get(key, schema.get("additionalProperties", {})), v) for key, v in found.items()}


def as_draft4(schema: Schema) -> Schema:
    """The same for a validator of JSON Schema's fourth draft, which OpenAPI 3.0 is made from."""
    found = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "nullable"}
    if "properties" in found:
        found["properties"] = {key: as_draft4(value) for key, value in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in found:
            found[key] = as_draft4(found[key])
    if "pattern" in found:  # Python's $ also matches before a last line feed, Go's does not.
        found["pattern"] = re.sub(r"\$$", r"\\Z", found["pattern"])
    if schema.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    return found


def _repeated(schema: Schema, value: Any, path: str) -> Iterator[str]:
    for key, inner, item in _inside(schema, value):
        yield from _repeated(inner, item, f"{path}.{key}")
    if schema.get("x-kubernetes-list-type") == "map" and isinstance(value, list):
        keys = [tuple(item.get(name) for name in schema["x-kubernetes-list-map-keys"]) for item in value]
        yield from (f"{path}: Duplicate value: {key}" for key in dict.fromkeys(keys) if keys.count(key) > 1)


def broken_rules(schema: Schema, value: Any, old: Any = None) -> Iterator[str]:
    """Messages of the rules that do not hold. A rule that looks at what is not there is broken."""
    if value is None:
        return
    for rule in schema.get(RULES, ()):
        is_transition = "oldSelf" in rule["rule"]
        if not (is_transition and old is None) and not _holds(rule["rule"], schema, value, old):
            yield rule["message"]
    for key, inner, item in _inside(schema, value):
        before = old.get(key) if isinstance(old, dict) else None
        yield from broken_rules(inner, item, before)


def _holds(rule: str, schema: Schema, value: Any, old: Any) -> bool:
    scope = {"self": as_cel(schema, value)} | ({} if old is None else {"oldSelf": as_cel(schema, old)})
    return _program(rule).execute(scope) is True


@cache
def _program(rule: str) -> Any:
    return cel.compile(rule)


def as_cel(schema: Schema, value: Any) -> Any:
    """`value` as rules see it: null is absent, numbers are of the schema's type."""
    if isinstance(value, list):
        return [as_cel(schema.get("items", {}), item) for item in value]
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        return {
            key: as_cel(inner.get(key, schema.get("additionalProperties", {})), item)
            for key, item in value.items()
            if not (item is None and key in inner)
        }
    return float(value) if schema.get("type") == "number" else value


def _inside(schema: Schema, value: Any) -> Iterator[tuple[str, Schema, Any]]:
    if isinstance(value, list) and "items" in schema:
        yield from ((str(index), schema["items"], item) for index, item in enumerate(value))
    if isinstance(value, dict):
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if inner is not None:
                yield key, inner, item
