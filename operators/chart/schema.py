"""values.schema.json: what Helm holds values against before it renders, with the path of what is wrong.

Models, adapters and the Platform's spec are checked here as the custom resources' own schemas do, so that a misspelt
field is found by `helm lint` and not on the cluster.
"""

from collections.abc import Iterator
from typing import Any

from operators.chart.values import Values

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def values_schema() -> dict[str, Any]:
    """The schema, complete in itself."""
    schema = Values.model_json_schema(by_alias=True, mode="validation")
    for part in list(_parts(schema)):
        if isinstance(part.get("title"), str):
            # The field's name again.
            del part["title"]
        _as_one_alternative(part)
        _by_discriminator(part)
        _with_named_keys(part)
    return {"$schema": _DIALECT, "title": "Values of the chart slipway", **schema}


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """All schemas within one, fields named like a keyword left alone."""
    if isinstance(node, list):
        for item in node:
            yield from _parts(item)
    elif isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key in ("properties", "$defs", "patternProperties"):
                for item in value.values():
                    yield from _parts(item)
            elif key not in ("default", "enum", "const", "examples"):
                yield from _parts(value)


def _as_one_alternative(part: dict[str, Any]) -> None:
    """What may be null is held against its schema where it is not: of two alternatives a validator tells both."""
    alternatives = part.get("anyOf", [])
    rest = [each for each in alternatives if each != {"type": "null"}]
    if len(rest) == 1 < len(alternatives):
        del part["anyOf"]
        part |= {"if": {"not": {"type": "null"}}, "then": rest[0]}


def _by_discriminator(part: dict[str, Any]) -> None:
    """A union whose members say what they are is held against that member alone."""
    if (by := part.pop("discriminator", None)) is None:
        return
    del part["oneOf"]
    field, members = by["propertyName"], by["mapping"]
    part |= {"type": "object", "required": [field], "properties": {field: {"enum": sorted(members)}}}
    part["allOf"] = [
        {"if": {"properties": {field: {"const": name}}}, "then": {"$ref": reference}}
        for name, reference in sorted(members.items())
    ]


def _with_named_keys(part: dict[str, Any]) -> None:
    """Keys that match the pattern and no others, which is told with the right path, as `propertyNames` is not."""
    if "patternProperties" in part:
        part.pop("propertyNames", None)
        part["additionalProperties"] = False
