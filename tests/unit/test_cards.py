"""What a card accepts, and how it says no."""

import json
from typing import Any

import pytest
from fakes.effort import effort

from serve.catalog.cards import Card
from serve.domain.chat import ChatInput
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import InvalidRequest
from serve.domain.task import Task

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def card(
    inputs: dict[str, Any] | None = None, examples: list[Any] | None = None, tasks: str = "chat completion"
) -> Card:
    document = ModelDocument.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "Model",
            "metadata": {"name": "m"},
            "spec": {
                "family": "llm",
                "tasks": tasks.split(),
                "engine": {"kind": "echo", "maxModelLen": 1000},
                "card": {"title": "M", "inputs": inputs or {}, "examples": examples or []},
            },
        }
    )
    return Card(document, document.digest())


def refused(value: Any, task: Task = Task.CHAT, inputs: dict[str, Any] | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        card(inputs).validate(task, value)
    return caught.value


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


CASES = {
    "nothing": ({}, "missing_field", "messages"),
    "no messages": ({"messages": []}, "out_of_range", "messages"),
    "a message that is a number": ({"messages": [5]}, "invalid_type", "messages.0"),
    "no role": ({"messages": [{"content": "a"}]}, "missing_field", "messages.0.role"),
    "a role nobody plays": ({"messages": [{"role": "x", "content": "a"}]}, "invalid_value", "messages.0.role"),
    "no content": ({"messages": [{"role": "user"}]}, "missing_field", "messages.0.content"),
    "content of neither type": (user(5), "invalid_type", "messages.0.content"),
    "a part without its text": (user([{"type": "text"}]), "missing_field", "messages.0.content.0.text"),
    "a part whose text is none": (user([{"type": "text", "text": 5}]), "invalid_type", "messages.0.content.0.text"),
    "a part with more": (user([{"type": "text", "text": "a", "b": 1}]), "unknown_field", "messages.0.content.0.b"),
    "a part of no kind": (user([{"type": "x"}]), "invalid_value", "messages.0.content.0.type"),
    "over the family": (HELLO | {"temperature": 3}, "out_of_range", "temperature"),
    "over the context": (HELLO | {"max_tokens": 1001}, "out_of_range", "max_tokens"),
    "a huge n": (HELLO | {"n": 2**31}, "out_of_range", "n"),
    "a fraction of a token": (HELLO | {"max_tokens": 1.5}, "invalid_type", "max_tokens"),
    "a number in quotes": (HELLO | {"max_tokens": "5"}, "invalid_type", "max_tokens"),
    "a long stop": (HELLO | {"stop": "x" * 300}, "out_of_range", "stop"),
    "a stop that is none": (HELLO | {"stop": ["a", 5]}, "invalid_type", "stop.1"),
    "a template": (HELLO | {"chat_template": "{{ x }}"}, "unknown_field", "chat_template"),
    "an engine's option": (HELLO | {"cache_salt": "x"}, "unknown_field", "cache_salt"),
    "a choice of no tool": (HELLO | {"tool_choice": "auto"}, "invalid_value", "tool_choice"),
    "a choice that is none": (HELLO | {"tool_choice": "maybe"}, "invalid_value", "tool_choice"),
    "a bias of a word": (HELLO | {"logit_bias": {"a": 1}}, "invalid_value", "logit_bias.a"),
    "half a schema": (
        HELLO | {"response_format": {"type": "json_schema"}},
        "missing_field",
        "response_format.json_schema",
    ),
    "not a number": (HELLO | {"temperature": float("nan")}, "out_of_range", "temperature"),
    "a list": (b"[]", "invalid_type", None),
}


@pytest.mark.parametrize(("value", "code", "param"), CASES.values(), ids=CASES)
def test_a_refusal_names_code_and_field(value: Any, code: str, param: str | None) -> None:
    error = refused(value)
    assert (error.code, error.param) == (code, param)
    assert param is None or param in error.message


@pytest.mark.parametrize(
    ("prompt", "param"),
    [(["a", 5], "prompt.1"), ([1, 2, "a"], "prompt.2"), (5, "prompt"), ([[1, "a"]], "prompt.0.1")],
    ids=["texts", "tokens", "neither", "lists of tokens"],
)
def test_of_a_union_the_branch_that_was_meant_is_told(prompt: Any, param: str) -> None:
    assert refused({"prompt": prompt}, Task.COMPLETION).param == param


@pytest.mark.parametrize(
    ("prompt", "message"),
    [([-1], "prompt.0 must be at least 0 (got -1)"), (["a"] * 65, "prompt must have at most 64 item(s)")],
    ids=["a token out of range", "too many texts"],
)
def test_a_value_of_the_right_type_is_told_its_range(prompt: Any, message: str) -> None:
    assert refused({"prompt": prompt}, Task.COMPLETION).message == message


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"a":', "column 6"),
        (b'{"messages": "\xff"}', "byte 14"),
        (b'{"temperature": NaN}', "column 17"),
        (b'"\\ud800"', "column 2"),
    ],
    ids=["cut short", "not UTF-8", "not a number", "half a surrogate pair"],
)
def test_bytes_that_are_not_json_are_told_where(data: bytes, told: str) -> None:
    error = refused(data)
    assert error.code == "invalid_json"
    assert told in error.message


def test_a_near_miss_is_told_its_name() -> None:
    assert "did you mean max_tokens?" in refused(HELLO | {"max_token": 1}).message


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ["a"] * 500_000},
        {"input": [1] * 300_000 + ["a"] * 200_000},
        user([{"type": "text", "text": 5}] * 100_000),
        {f"x{n}": 1 for n in range(300_000)},
    ],
    ids=["prompts", "tokens", "parts", "fields"],
)
def test_a_hostile_body_is_refused_at_once(body: dict[str, Any]) -> None:
    task = {"prompt": Task.COMPLETION, "input": Task.EMBEDDING}.get(next(iter(body)), Task.CHAT)
    made = card(tasks="chat completion embedding")
    with effort() as spent, pytest.raises(InvalidRequest):
        made.validate(task, body)
    assert spent.seconds < 2, "collecting every error took 11 seconds"


def test_defaults_are_the_cards_before_the_familys() -> None:
    made = card({"max_tokens": {"default": 64}, "temperature": {"default": 0.2, "maximum": 1}})
    value = made.validate(Task.CHAT, json.dumps(HELLO).encode())
    assert isinstance(value, ChatInput)
    assert (value.max_tokens, value.temperature, value.top_p) == (64, 0.2, 1.0)


def test_the_schema_shows_what_the_card_narrowed() -> None:
    inputs = {"temperature": {"default": 0, "enum": [0, 0.5], "description": "How wild."}, "n": {"maximum": 2}}
    properties = card(inputs).input_schema(Task.CHAT)["properties"]
    assert properties["temperature"]["enum"] == [0, 0.5]
    assert properties["temperature"]["description"] == "How wild."
    assert properties["n"]["maximum"] == 2
    assert properties["max_tokens"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 1000}


def test_only_listed_values_are_taken() -> None:
    error = refused(HELLO | {"temperature": 0.7}, inputs={"temperature": {"default": 0, "enum": [0, 0.5]}})
    assert (error.code, error.message) == ("invalid_value", "temperature must be one of 0, 0.5")


def test_a_task_of_another_model_is_refused() -> None:
    assert refused({"input": "a"}, Task.EMBEDDING).code == "unsupported_task"


def test_classes_are_made_once() -> None:
    made = card()
    assert made.input_model(Task.CHAT) is made.input_model(Task.CHAT)


BAD_CARDS = {
    "an input nobody has": ({"steps": {"default": 3}}, "no task of this model has this input"),
    "a higher maximum": ({"temperature": {"maximum": 3}}, "widens what the family allows, at most 2"),
    "a lower minimum": ({"n": {"minimum": 0}}, "widens what the family allows, at least 1"),
    "the bound that is left out": ({"top_p": {"minimum": 0}}, "more than 0"),
    "a default over its maximum": ({"n": {"default": 5, "maximum": 2}}, "default: 5 must be at most 2"),
    "the family's default over it": ({"temperature": {"maximum": 0.5}}, "set a default that is allowed"),
    "a default of another type": ({"n": {"default": "two"}}, "must be an integer"),
    "a default that is not listed": ({"n": {"enum": [2, 3]}}, "must be one of 2, 3"),
    "a listed value out of bounds": ({"n": {"default": 1, "enum": [1, 99]}}, "enum: 99 must be at most 16"),
    "an empty list": ({"n": {"enum": []}}, "enum lists no value"),
    "bounds of a text": ({"stop": {"maximum": 3}}, "are for numbers"),
    "half a token": ({"max_tokens": {"maximum": 10.5}}, "whole number"),
    "crossed bounds": ({"n": {"minimum": 3, "maximum": 2, "default": 2}}, "is more than maximum"),
    "a default for what is required": ({"messages": {"default": []}}, "takes no default"),
    "a default over the context": ({"max_tokens": {"default": 2000}}, "must be at most 1000"),
}


@pytest.mark.parametrize(("inputs", "told"), BAD_CARDS.values(), ids=BAD_CARDS)
def test_a_card_that_does_not_narrow_is_refused(inputs: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        card(inputs)
    assert caught.value.code == "invalid_card"
    assert told in caught.value.message
    assert caught.value.param == f"spec.card.inputs.{next(iter(inputs))}"


def test_an_example_must_be_an_input() -> None:
    card(examples=[{"task": "chat", "input": HELLO}, {"input": HELLO}])
    with pytest.raises(InvalidRequest, match=r"spec.card.examples.0.input.messages: is required"):
        card(examples=[{"input": {}}])


@pytest.mark.parametrize(
    "output", [{"text": "Paris."}, {"images": ["data:image/webp;base64,UklGRg=="]}], ids=["text", "picture"]
)
def test_an_example_may_say_what_came_out(output: dict[str, Any]) -> None:
    assert card(examples=[{"input": HELLO, "output": output}]).document.spec.card.examples[0]["output"] == output


@pytest.mark.parametrize(
    "output",
    [
        {},
        "Paris.",
        {"text": ""},
        {"pictures": []},
        {"images": ["https://elsewhere.example/a.png"]},
        {"images": ["data:image/svg+xml;base64,PHN2Zz4="]},
        {"images": ["data:image/png;base64," + "A" * 70_000]},
    ],
    ids=["nothing", "no object", "empty", "unknown", "elsewhere", "svg", "large"],
)
def test_what_came_out_of_an_example_is_small_and_inside_the_card(output: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"spec.card.examples.0.output"):
        card(examples=[{"input": HELLO, "output": output}])
