"""Tool calls out of text, however the text is cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.tools import AnswerReader, ForcedCalls, HermesCalls, PlainText
from serve.domain.folds import Answer

NAMES = ("weather", "add")

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": "}\\"{", "b": [1, {"c": 2}]}}\n</tool_call>'


def read(reader: AnswerReader, pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    answer = Answer()
    for piece in pieces:
        answer.add(reader.feed(piece, ()))
    answer.add(reader.finish())
    choice = answer.choices.get(0)
    if choice is None:
        return "", []
    assert all(call.id for call in choice.tool_calls.values())
    assert list(choice.tool_calls) == list(range(reader.num_calls))
    return choice.text, [(call.name, call.arguments) for call in choice.tool_calls.values()]


def hermes(max_calls: int | None = None) -> HermesCalls:
    numbers = itertools.count()
    return HermesCalls(0, NAMES, lambda: f"call_{next(numbers)}", max_calls)


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        pytest.param("just words <b> & more", "just words <b> & more", [], id="no call"),
        pytest.param("  spaces stay \n", "  spaces stay \n", [], id="white space"),
        pytest.param(CALL, "", [("add", '{"a": "}\\"{", "b": [1, {"c": 2}]}')], id="braces in strings"),
        pytest.param(f"Let me see.\n{CALL}\n{CALL}", "Let me see.", [("add", None), ("add", None)], id="two calls"),
        pytest.param(f"{CALL} and so on", "and so on", [("add", None)], id="text after"),
        pytest.param('<tool_call>{"arguments": {"a": 1}, "name": "add"}', "", [("add", '{"a": 1}')], id="name last"),
        pytest.param('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}', "", [("add", '{"a": 1}')], id="string"),
        pytest.param('<tool_call>{"name": "add", "parameters": {"a": 1}}', "", [("add", '{"a": 1}')], id="parameters"),
        pytest.param('<tool_call>{"name": "add"}</tool_call>', "", [("add", "{}")], id="no arguments"),
        pytest.param('<tool_call>{"name": "add", "arguments": null}', "", [("add", "{}")], id="null"),
        pytest.param('<tool_call>{"name": "add", "arguments": {"a": ', "", [("add", '{"a": ')], id="cut in arguments"),
        pytest.param('<tool_call>{"na', '<tool_call>{"na', [], id="cut before the name"),
        pytest.param("so <tool_c", "so <tool_c", [], id="cut in the tag"),
        pytest.param("<tool_call>no json", "<tool_call>no json", [], id="no json"),
        pytest.param(
            '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
            '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
            [],
            id="a function not on offer stays text",
        ),
    ],
)
def test_hermes_text_becomes_calls(text, said, calls):
    found_text, found_calls = read(hermes(), [text])
    assert found_text == said
    assert [name for name, _ in found_calls] == [name for name, _ in calls]
    for (_, found), (_, wanted) in zip(found_calls, calls, strict=True):
        assert wanted is None or found == wanted


FRAGMENTS = st.sampled_from(
    [
        CALL,
        "<tool_call>",
        "</tool_call>",
        '{"name": "add", "arguments": {}}',
        '{"name":"rm"}',
        "hi ",
        " \n",
        "<",
        "{",
        "]",
    ]
)


@given(parts=st.lists(FRAGMENTS, max_size=8), cuts=st.lists(st.integers(0, 400), max_size=30))
def test_where_hermes_text_is_cut_changes_nothing(parts, cuts):
    text = "".join(parts)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[begin:end] for begin, end in itertools.pairwise(bounds)]
    assert read(hermes(), pieces) == read(hermes(), [text])


@given(st.text(alphabet="ab<>/tool_c \n{}", max_size=60))
def test_text_without_a_call_comes_out_as_it_went_in(text):
    if "<tool_call>" not in text:
        assert read(hermes(), list(text)) == (text, [])


def test_one_call_is_all_when_calls_may_not_be_parallel():
    assert read(hermes(max_calls=1), [CALL + CALL])[1] == [("add", '{"a": "}\\"{", "b": [1, {"c": 2}]}')]


def test_arguments_are_streamed_before_the_call_is_whole():
    reader = hermes()
    reader.feed('<tool_call>{"name": "add", "arguments": {"a": ', ())
    assert [delta.arguments for delta in reader.feed("1, ", ())] == ["1, "]


ARRAY = [{"name": "weather", "arguments": {"city": 'a"}]'}}, {"name": "add", "arguments": {}}]


@given(cuts=st.lists(st.integers(0, 200), max_size=20), compact=st.booleans())
def test_a_forced_array_becomes_calls_wherever_it_is_cut(cuts, compact):
    text = json.dumps(ARRAY, separators=(",", ":") if compact else None)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[begin:end] for begin, end in itertools.pairwise(bounds)]
    said, calls = read(ForcedCalls(0, NAMES, lambda: "call"), pieces)
    assert said == ""
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [
        (call["name"], call["arguments"]) for call in ARRAY
    ]


def test_a_named_call_gets_the_text_as_its_arguments():
    assert read(ForcedCalls(0, NAMES, lambda: "call", "add"), ['{"a"', ":1}"]) == ("", [("add", '{"a":1}')])


def test_plain_text_is_never_held_back():
    assert [delta.text for delta in PlainText(0).feed("<tool_call>", ())] == ["<tool_call>"]
