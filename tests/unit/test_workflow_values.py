import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.errors import InvalidRequest
from serve.domain.generation import AdapterUse
from serve.domain.media import Asset
from serve.domain.names import AssetId
from serve.domain.port_types import Kind, PortType, parse_type
from serve.workflow.values import asset_ids, convert, decode, digest_of, encode, read

SHA = "sha256:" + "ab" * 32
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
PIXELS = st.none() | st.integers(1, 4096)
ASSETS = st.builds(
    Asset,
    id=st.uuids().map(lambda one: AssetId(str(one))),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    media_type=st.sampled_from(["image/png", "audio/wav"]),
    num_bytes=st.integers(1, 2**30),
    created_ms=st.integers(0, 2**42),
    name=st.none() | TEXTS,
    width=PIXELS,
    height=PIXELS,
    seconds=st.none() | st.floats(0, 1000),
)
ADAPTERS = st.builds(AdapterUse, st.sampled_from([f"acme/{name}@{SHA}" for name in "abc"]), st.floats(-10, 10))
OF_KIND = {
    Kind.TEXT: TEXTS,
    Kind.MODEL: TEXTS,
    Kind.NUMBER: NUMBERS,
    Kind.BOOLEAN: st.booleans(),
    Kind.JSON: JSON,
    Kind.EMBEDDING: st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=5),
    Kind.ADAPTER: ADAPTERS,
} | {kind: ASSETS for kind in Kind if kind.is_media}


@st.composite
def typed_values(draw):
    """(type, value)"""
    kind = draw(st.sampled_from(Kind))
    port_type = PortType(kind, draw(st.booleans()))
    one = OF_KIND[kind]
    return port_type, draw(st.none() | (st.lists(one, max_size=3) if port_type.is_list else one))


@given(typed_values())
def test_a_value_is_the_same_after_it_was_written_and_read(typed):
    port_type, value = typed
    written = json.loads(json.dumps(encode(value, port_type)))
    assert decode(written, port_type) == value
    assert digest_of(decode(written, port_type)) == digest_of(value)


@given(typed_values())
def test_what_is_written_has_the_same_digest_as_itself_read_again(typed):
    port_type, value = typed
    written = encode(value, port_type)
    assert digest_of(json.loads(json.dumps(written))) == digest_of(written)


@given(JSON, JSON)
def test_two_json_values_have_one_digest_just_if_they_are_written_alike(one, other):
    alike = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest_of(one) == digest_of(other)) == alike


@given(ASSETS, ASSETS)
def test_an_asset_is_its_bytes_in_a_digest_and_not_its_id(one, other):
    assert (digest_of(one) == digest_of(other)) == (one.sha256 == other.sha256)
    assert digest_of([one]) != digest_of(one)


@pytest.mark.parametrize(
    "other",
    ["@" + "cd" * 32, {"asset": {"sha256": "cd" * 32}}, "cd" * 32, ["\0asset", "cd" * 32], "~", None],
    ids=["our mark", "as written", "its sha256", "a list", "the other mark", "nothing"],
)
def test_no_text_and_no_json_has_the_digest_of_an_asset(other):
    assert digest_of(Asset(AssetId("1"), "cd" * 32, "image/png", 1, 1)) != digest_of(other)


def test_an_adapter_is_its_id_and_its_scale_in_a_digest():
    one = AdapterUse(f"acme/a@{SHA}", 1.0)
    assert digest_of(one) == digest_of(AdapterUse(f"acme/a@{SHA}", 1.0))
    assert len({digest_of(one), digest_of(AdapterUse(one.id, 0.5)), digest_of(f"+{one.id}*1.0")}) == 3


def test_true_is_not_one_and_the_order_of_keys_counts_as_models_answer_in_it():
    assert digest_of(True) != digest_of(1)
    assert digest_of("1") != digest_of(1)
    assert digest_of({"a": 1, "b": 2}) != digest_of({"b": 2, "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])


@pytest.mark.parametrize("value", [2**70, "\ud800", [2**64, {"\udfff": 1}]], ids=["integer", "surrogate", "both"])
def test_what_orjson_does_not_write_has_a_digest_too(value):
    with pytest.raises(TypeError):
        orjson.dumps(value)
    assert digest_of(value) == digest_of(value)
    assert digest_of(value) != digest_of(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "source", "text"),
    [
        (3, "number", "3"),
        (3.0, "number", "3"),
        (0.5, "number", "0.5"),
        (1e22, "number", "1e+22"),
        (-0.0, "number", "0"),
        (True, "boolean", "true"),
        (False, "boolean", "false"),
        ("as it is", "text", "as it is"),
    ],
)
def test_a_number_or_a_boolean_becomes_the_text_that_people_write(value, source, text):
    assert convert(value, parse_type(source), parse_type("text")) == text
    assert convert([value], parse_type(source).listed, parse_type("list[text]")) == [text]


@given(typed_values(), st.sampled_from(Kind))
def test_whatever_fits_converts_to_a_value_of_the_wanted_type(typed, kind):
    source, value = typed
    for wanted in (PortType(kind), PortType(kind, True)):
        if source.fits(wanted):
            converted = convert(value, source, wanted)
            assert decode(encode(converted, wanted), wanted) == converted


@pytest.mark.parametrize(
    ("written", "port_type"),
    [
        (1, "text"),
        (True, "number"),
        ("1", "number"),
        (float("nan"), "number"),
        (1, "boolean"),
        ("x", "list[text]"),
        (["x", 1], "list[text]"),
        (["x"], "embedding"),
        ("asset:1", "image"),
        ({"asset": {"id": "1"}}, "image"),
        ("acme/a", "adapter"),
        ({"name": "a", "scale": 1.0}, "adapter"),
        ({"id": "acme/a", "scale": 1.0}, "adapter"),
        ({"id": f"acme/a@{SHA}", "scale": 11.0}, "adapter"),
    ],
)
def test_what_was_never_written_so_is_refused(written, port_type):
    with pytest.raises(InvalidRequest) as refused:
        decode(written, parse_type(port_type))
    assert refused.value.code == "wrong_type"


def test_a_user_names_an_asset_by_its_id_and_only_one_that_is_theirs():
    mine = Asset(AssetId("1"), "cd" * 32, "image/png", 1, 1)
    image = parse_type("image")
    assert read(["asset:1", None], image.listed, {"1": mine}) == [mine, None]
    with pytest.raises(InvalidRequest, match="there is no asset '2'"):
        read("asset:2", image, {"1": mine})
    with pytest.raises(InvalidRequest, match="must be an image: asset:<id>"):
        read(encode(mine, image), image, {"1": mine})


@pytest.mark.parametrize(
    ("written", "port_type", "ids"),
    [
        ("asset:1", "image", ["1"]),
        (["asset:1", None, "asset:2"], "list[mask]", ["1", "2"]),
        ("asset:1", "text", []),
        ("data:image/png;base64,", "image", []),
        (None, "image", []),
    ],
)
def test_the_assets_that_inputs_name_are_found(written, port_type, ids):
    assert list(asset_ids(written, parse_type(port_type))) == ids
