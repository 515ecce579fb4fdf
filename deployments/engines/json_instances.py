"""The smallest JSON value that satisfies a simple JSON Schema. Pure."""

from typing import Any

MAX_DEPTH = 16

_BY_TYPE: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "null": None}


def minimal_instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A value for `schema`: its const, first enum member or default, else required fields alone.

    Knows type, properties, required, items, minItems, minLength, minimum, maximum, anyOf, oneOf, allOf (first branch)
    and local `$ref`; patterns, formats and the rest are passed over.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return {}
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    if "default" in schema:
        return schema["default"]
    inner = _inner(schema, root)
    if inner is not None:
        return minimal_instance(inner, root, depth + 1)
    return _by_type(schema, root, depth)


def _inner(schema: dict[str, Any], root: Any) -> Any:
    """The schema that this one stands for, if it stands for another."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        return _resolved(reference, root)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    return None


def _resolved(reference: str, root: Any) -> Any:
    target = root
    for part in filter(None, reference[1:].split("/")):
        target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, dict) else {}
    return target


def _by_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "array":
        return [minimal_instance(schema.get("items", {}), root, depth + 1)] * _count(schema, "minItems")
    if kind == "string":
        return "a" * _count(schema, "minLength")
    if kind in ("integer", "number"):
        return _number(schema)
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    return {
        name: minimal_instance(properties.get(name, {}), root, depth + 1)
        for name in (required if isinstance(required, list) else ())
    }


def _count(schema: dict[str, Any], key: str) -> int:
    value = schema.get(key)
    return min(value, 1000) if isinstance(value, int) and value > 0 else 0


def _number(schema: dict[str, Any]) -> int | float:
    low, high = schema.get("minimum"), schema.get("maximum")
    value: int | float = 0
    if isinstance(low, int | float):
        value = max(value, low)
    if isinstance(high, int | float):
        value = min(value, high)
    return value
