"""The smallest JSON value of a schema."""

import pytest

from deployments.engines.json_instances import minimal_instance


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        ({"type": "string"}, ""),
        ({"type": "string", "minLength": 3}, "aaa"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "number", "maximum": -1.5}, -1.5),
        ({"type": ["null", "string"]}, None),
        ({"const": 7}, 7),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 0),
        (
            {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]},
            {"a": ""},
        ),
        (
            {
                "$defs": {"x": {"const": 1}},
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/x"}},
                "required": ["a"],
            },
            {"a": 1},
        ),
    ],
    ids=str,
)
def test_the_instance_is_the_smallest(schema, value):
    assert minimal_instance(schema) == value


def test_a_schema_that_never_ends_ends():
    assert minimal_instance({"$ref": "#"}) == {}
