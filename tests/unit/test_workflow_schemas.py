import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.port_types import Kind, PortType
from serve.workflow.schemas import check_depth, check_value, schema_of

NUMBERS = st.integers(-50, 50) | st.floats(-50, 50)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
BOUNDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "number", "integer", "boolean", "array", "object", ["string", "number"]]),
        "minimum": st.integers(-10, 10),
        "maximum": st.integers(-10, 10),
        "exclusiveMinimum": st.integers(-10, 10),
        "exclusiveMaximum": st.integers(-10, 10),
        "multipleOf": st.sampled_from([1, 2, 8]),
        "minLength": st.integers(0, 4),
        "maxLength": st.integers(0, 4),
        "minItems": st.integers(0, 4),
        "maxItems": st.integers(0, 4),
        "pattern": st.sampled_from(["^a", "[0-9]"]),
        "enum": st.lists(st.booleans() | st.integers(0, 3) | st.text(max_size=1), min_size=1, max_size=3),
        "required": st.lists(st.sampled_from("abc"), max_size=2),
    },
)
SCHEMAS = st.recursive(
    BOUNDS,
    lambda inner: st.builds(
        lambda own, more: own | more,
        BOUNDS,
        st.fixed_dictionaries(
            {},
            optional={
                "items": inner,
                "properties": st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2),
                "additionalProperties": st.just(False),
                "anyOf": st.lists(inner, min_size=1, max_size=2),
            },
        ),
    ),
    max_leaves=4,
).filter(lambda schema: "additionalProperties" not in schema or "properties" in schema)


@given(SCHEMAS, VALUES)
def test_values_are_judged_as_json_schema_judges_them(schema, value):
    judged = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (check_value(schema, value) is None) == judged


@given(st.sampled_from(Kind), st.booleans())
def test_the_schema_of_every_type_is_a_json_schema(kind, is_list):
    jsonschema.Draft202012Validator.check_schema(schema_of(PortType(kind, is_list)))


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        ({"type": "integer", "maximum": 100}, 101, "must be at most 100 (got 101)"),
        ({"type": "integer"}, 1.5, "must be a whole number (got 1.5)"),
        ({"type": "number", "exclusiveMinimum": 0}, 0, "must be more than 0 (got 0)"),
        ({"type": "integer", "multipleOf": 8}, 513, "must be a multiple of 8 (got 513)"),
        ({"type": "string"}, True, "must be a text (got true)"),
        ({"type": "string", "maxLength": 3}, "abcd", "must have at most 3 character(s), and has 4"),
        ({"enum": ["a", "b"]}, "c", "must be one of a, b (got 'c')"),
        ({"enum": [1]}, True, "must be one of 1 (got true)"),
        (
            {"type": "array", "items": {"type": "string"}},
            ["a", 1],
            "is wrong in its item 1, which must be a text (got 1)",
        ),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"z": 1}, "has no 'z'; it has a"),
        ({"type": "object", "required": ["role"]}, {}, "lacks role"),
        (
            schema_of(PortType(Kind.IMAGE)),
            "x.png",
            "must be an image, written as asset:<id>: the id of an asset of yours",
        ),
        (schema_of(PortType(Kind.MASK)), 3, "must be a mask, written as asset:<id>: the id of an asset of yours"),
        (schema_of(PortType(Kind.ADAPTER)), "a/b/c", "must be an adapter: "),
        (schema_of(PortType(Kind.ADAPTER)), {"name": "a", "id": "b"}, 'must be an adapter: "name"'),
        (schema_of(PortType(Kind.ADAPTER)), {"name": "a", "scale": 11}, "must be at most 10 (got 11)"),
    ],
)
def test_what_is_wrong_is_told_with_the_bound_and_the_value(schema, value, says):
    assert says in (check_value(schema, value) or "")


@pytest.mark.parametrize("value", ["stripes", "acme/stripes", {"name": "stripes"}, {"name": "stripes", "scale": 0.5}])
def test_an_adapter_is_a_name_or_a_name_with_a_scale(value):
    assert check_value(schema_of(PortType(Kind.ADAPTER)), value) is None


def test_a_tenth_goes_into_three_tenths():
    assert check_value({"multipleOf": 0.1}, 0.3) is None
    assert check_value({"multipleOf": 0.1}, 0.35) is not None
    assert check_value({"multipleOf": 8}, 10**400) is None


def test_json_is_nested_so_deeply_and_no_deeper():
    value: object = 0
    for _ in range(16):
        value = [value]
    assert check_depth(value) is None
    assert check_depth({"a": value}) == "is nested more than 16 levels deep"
