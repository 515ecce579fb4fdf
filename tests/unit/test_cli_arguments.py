"""name=value words become what the model's schema asks for."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.cli.arguments import parse_inputs, read_text, spelled, type_label, typed
from serve.cli.exits import CliError, ExitCode
from serve.domain.chat import ChatInput

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "prompt": {"type": "string"},
        "steps": {"type": "integer", "minimum": 1, "maximum": 100},
        "scale": {"type": "number"},
        "stream": {"type": "boolean"},
        "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "stop": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        "size": {"enum": [64, 128]},
        "mode": {"enum": ["fast", "good"]},
        "kind": {"const": "text"},
        "format": {"$ref": "#/$defs/Format"},
        "circle": {"$ref": "#/$defs/Circle"},
        "tokens": {"type": "array"},
    },
    "$defs": {
        "Format": {"type": "object"},
        "Circle": {"anyOf": [{"$ref": "#/$defs/Circle"}, {"type": "integer"}]},
    },
}

GOOD: dict[str, tuple[str, Any]] = {
    "text": ("prompt=a b=c", "a b=c"),
    "text-that-looks-like-a-number": ("prompt=5", "5"),
    "empty-text": ("prompt=", ""),
    "whole-number": ("steps=25", 25),
    "negative": ("seed=-1", -1),
    "null": ("seed=null", None),
    "number": ("scale=7.5", 7.5),
    "exponent": ("scale=1e3", 1000.0),
    "boolean": ("stream=true", True),
    "text-or-array-as-text": ("stop=END", "END"),
    "text-or-array-as-array": ('stop=["a","b"]', ["a", "b"]),
    "text-or-array-broken-array": ("stop=[draft", "[draft"),
    "enumerated-number": ("size=128", 128),
    "enumerated-text": ("mode=good", "good"),
    "constant": ("kind=text", "text"),
    "reference": ('format={"a": 1}', {"a": 1}),
    "reference-in-a-circle": ("circle=3", 3),
    "at-sign": ("prompt=@@home", "@home"),
}


@pytest.mark.parametrize(("word", "value"), GOOD.values(), ids=GOOD.keys())
def test_a_word_becomes_the_value_that_the_schema_asks_for(word: str, value: Any) -> None:
    [found] = parse_inputs([word], SCHEMA).values()
    assert found == value
    assert type(found) is type(value)


BAD: dict[str, tuple[list[str], str]] = {
    "no-equals": (["prompt"], "name=value"),
    "no-name": (["=5"], "name=value"),
    "twice": (["steps=1", "steps=2"], "twice"),
    "unknown-with-a-hint": (["promt=x"], "'prompt'"),
    "unknown": (["zzz=x"], "no input 'zzz'"),
    "not-a-number": (["steps=many"], "a whole number"),
    "fraction-for-a-whole-number": (["steps=1.5"], "a whole number"),
    "boolean-for-a-number": (["steps=true"], "a whole number"),
    "number-for-a-boolean": (["stream=1"], "true or false"),
    "nan": (["scale=NaN"], "a number"),
    "infinity": (["scale=Infinity"], "a number"),
    "deep-nesting": (["tokens=" + "[" * 100_000], "a JSON array"),
    "missing-file": (["prompt=@/no/such/file"], "Cannot read"),
    "a-folder": (["prompt=@/"], "Cannot read"),
    "nul-in-file-name": (["prompt=@\x00"], "Cannot read"),
}


@pytest.mark.parametrize(("words", "says"), BAD.values(), ids=BAD.keys())
def test_a_word_that_does_not_fit_is_a_usage_error_that_says_why(words: list[str], says: str) -> None:
    with pytest.raises(CliError, match=says) as caught:
        parse_inputs(words, SCHEMA)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_file_gives_its_text_typed_like_any_other(tmp_path: Path) -> None:
    text, number = tmp_path / "text.txt", tmp_path / "steps"
    text.write_text("über\nzwei")
    number.write_text("12\n")
    assert parse_inputs([f"prompt=@{text}", f"steps=@{number}"], SCHEMA) == {"prompt": "über\nzwei", "steps": 12}


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(CliError, match="Cannot read"):
        read_text(str(tmp_path / "image.png"))


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


@given(plain_json)
def test_a_value_that_is_spelled_out_comes_back(value: Any) -> None:
    field = {"type": TYPES[type(value)]}
    assert typed("x", spelled(value), field, {}) == value


@given(st.text())
def test_text_is_never_changed(text: str) -> None:
    word = f"prompt={'@' if text.startswith('@') else ''}{text}"
    assert parse_inputs([word], SCHEMA) == {"prompt": text}


@given(plain_json, st.sampled_from(["integer", "number", "boolean", "array", "object"]))
def test_what_is_accepted_is_of_the_type_that_was_asked_for(value: Any, kind: str) -> None:
    try:
        found = typed("x", json.dumps(value), {"type": kind}, {})
    except CliError:
        return
    assert TYPES[type(found)] == kind or (kind, type(found)) == ("number", int)


def test_the_real_chat_schema_types_what_people_write() -> None:
    words = ["max_tokens=64", "temperature=0", "stop=END", "seed=7", 'logit_bias={"5": -1}', "n=2"]
    inputs = parse_inputs(words, ChatInput.model_json_schema(by_alias=True))
    messages = [{"role": "user", "content": "hi"}]
    checked = ChatInput.model_validate(inputs | {"messages": messages})
    assert (checked.max_tokens, checked.stop, checked.seed, checked.n) == (64, "END", 7, 2)


LABELS: dict[str, tuple[str, str]] = {
    "bounds": ("steps", "integer 1..100"),
    "union": ("stop", "string | array"),
    "enumeration": ("mode", "fast | good"),
    "nothing-known": ("circle", "integer"),
}


@pytest.mark.parametrize(("name", "label"), LABELS.values(), ids=LABELS.keys())
def test_a_field_is_labeled_with_what_it_takes(name: str, label: str) -> None:
    assert type_label(SCHEMA["properties"][name], SCHEMA) == label


def test_the_bound_of_a_machine_word_is_not_told() -> None:
    seed = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**53}
    assert type_label(seed, {}) == "integer 0.."
