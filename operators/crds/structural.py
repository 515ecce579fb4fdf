"""JSON Schema, as pydantic writes it, in the narrower form that an API server takes: structural schemas.

Such a schema says every field once, with its type: no references, no unions, no closed objects (what it does not name
is refused or dropped by the server itself). What is lost on the way comes back as rules in CEL.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from operators.crds.engines import merged
from operators.crds.rules import CHANGES, FORMS, RULES

Schema = dict[str, Any]
_KEPT = (
    "type", "format", "pattern", "enum", "minLength", "maxLength", "minimum", "maximum", "multipleOf", "minItems",
    "maxItems", "minProperties", "maxProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
)  # fmt: skip
ANYTHING: Schema = {"x-kubernetes-preserve-unknown-fields": True}
VALIDATIONS = "x-kubernetes-validations"


class _Generator(GenerateJsonSchema):
    """Pydantic's, with the forms of our own types, and defaults as a document would write them."""

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        form = FORMS.get(schema["function"]["function"], {})
        return super().function_after_schema(schema) | form

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            return _plain(dft.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True))
        return _plain(super().encode_default(dft))


def _plain(value: Any) -> Any:
    """Whole numbers without a fraction: the server would write them so, and every comparison would differ."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def structural(model: type[BaseModel], *, has_defaults: bool = True) -> Schema:
    """The structural schema of a model. Without defaults, they stay in words."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return _Structure(schema.get("$defs", {}), has_defaults).of(schema)


@dataclass(frozen=True, slots=True)
class _Structure:
    definitions: Mapping[str, Schema]
    has_defaults: bool

    def of(self, schema: Schema) -> Schema:
        schema = self._resolved(schema)
        shape = self._shape(schema)
        described = _description(schema) or shape.pop("description", "")
        default = schema.get("default")
        if self.has_defaults and _is_worth_saying(default, shape):
            shape["default"] = default
        return ({"description": described} if described else {}) | shape

    def _resolved(self, schema: Schema) -> Schema:
        """What a reference names, with what stands beside it."""
        while "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self.definitions[schema["$ref"].rsplit("/", 1)[1]], **beside}
        return schema

    def _shape(self, schema: Schema) -> Schema:
        if "anyOf" in schema:
            return self._union([self._resolved(one) for one in schema["anyOf"]])
        if "discriminator" in schema:
            tag, variants = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
            without = _Structure(self.definitions, has_defaults=False)
            noun = schema.get("title", tag).lower()
            return merged(noun, tag, {name: without.of({"$ref": ref}) for name, ref in variants.items()})
        if "properties" in schema:
            return self._object(schema)
        if schema.get("type") == "object":
            return self._map(schema)
        if "type" not in schema and not {"const", "enum"} & schema.keys():
            return ANYTHING | {"nullable": True}
        return self._value(schema)

    def _union(self, branches: Sequence[Schema]) -> Schema:
        """Null besides one form, or several forms of a text; there is no other union in the documents."""
        real = [one for one in branches if one.get("type") != "null"]
        inner = self.of(real[0]) if len(real) == 1 else _texts([self._value(one) for one in real])
        # The server holds null against an enumeration even where the field is nullable.
        may_be_null = len(real) < len(branches) and "enum" not in inner
        return inner | ({"nullable": True} if may_be_null else {})

    def _object(self, schema: Schema) -> Schema:
        name = schema.get("title", "")
        properties = {key: self._field(name, key, value) for key, value in schema["properties"].items()}
        shape: Schema = {"type": "object"}
        if required := schema.get("required"):
            shape["required"] = required
        shape["properties"] = properties
        if rules := RULES.get(name):
            shape[VALIDATIONS] = [rule.as_schema() for rule in rules]
        return shape

    def _field(self, owner: str, key: str, schema: Schema) -> Schema:
        field = self.of(schema)
        extra = CHANGES.get((owner, key))
        if extra is None:
            return field
        return {name: value for name, value in field.items() if name not in extra.without} | dict(extra.beside)

    def _map(self, schema: Schema) -> Schema:
        """Keys of any name. Those of an enumeration are fields, which says more."""
        names, values = schema.get("propertyNames", {}), schema.get("additionalProperties", {})
        patterns: Mapping[str, Schema] = schema.get("patternProperties", {})
        if "enum" in (keys := self._resolved(names)):
            fields = {
                key: {"description": f"How many {key.replace('_', ' ')}."} | self.of(values) for key in keys["enum"]
            }
            return {"type": "object", "properties": fields}
        pattern, values = next(iter(patterns.items()), (names.get("pattern"), values))
        shape = {"type": "object"} | {key: schema[key] for key in _KEPT if key in schema}
        inner = self.of({} if values is True else values)
        if "x-kubernetes-preserve-unknown-fields" in inner and "type" not in inner:
            return shape | ANYTHING
        shape["additionalProperties"] = inner
        if pattern is not None:
            shape[VALIDATIONS] = [_key_rule(pattern, names.get("maxLength"))]
        return shape

    def _value(self, schema: Schema) -> Schema:
        shape = {key: schema[key] for key in _KEPT if key in schema}
        if "const" in schema:
            shape["enum"] = [schema["const"]]
        shape.setdefault("type", "string")
        for bound in ("minimum", "maximum"):
            exclusive = f"exclusive{bound.capitalize()}"
            if exclusive in schema:
                shape |= {bound: schema[exclusive], exclusive: True}
        if "items" in schema:
            shape["items"] = self.of(schema["items"])
        return {key: _plain(value) for key, value in shape.items()}


def _texts(branches: Collection[Schema]) -> Schema:
    """Several forms of a text as one pattern."""
    patterns = []
    for one in branches:
        if one.get("type") != "string" or not {"enum", "pattern"} & one.keys():
            raise TypeError(f"a union with no structural form: {one}")
        patterns += [re.escape(word) for word in one["enum"]] if "enum" in one else [one["pattern"].strip("^$")]
    longest = max(one.get("maxLength", 0) for one in branches)
    return {"type": "string", "pattern": f"^({'|'.join(patterns)})$", "maxLength": longest}


def _key_rule(pattern: str, max_length: int | None) -> Schema:
    sized = f" && key.size() <= {max_length}" if max_length is not None else ""
    told = f", of at most {max_length} characters" if max_length is not None else ""
    rule = f"self.all(key, key.matches({json.dumps(pattern)}){sized})"
    return {"rule": rule, "message": f"keys must match {pattern}{told}"}


def _is_worth_saying(default: Any, shape: Schema) -> bool:
    """Whether the server is to fill a default in: an empty one would only be noise, but for an object whose own fields
    have some."""
    if default == {}:
        return any("default" in field for field in shape.get("properties", {}).values())
    return default not in (None, "", [])


def _description(schema: Schema) -> str:
    text = " ".join(schema.get("description", "").split())
    default = schema.get("default")
    if isinstance(default, bool):
        default = str(default).lower()
    if default in (None, "") or isinstance(default, dict | list):
        return text
    return f"{text} Default: {default}.".lstrip()
