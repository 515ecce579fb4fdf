"""Weights in prompts: what is read as one, and that everything else is text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.diffusion.weighting import HIGHEST, LOWEST, Fragment, escape, fragments

texts = st.text() | st.text(alphabet="ab ()[]\\:.123-")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        pytest.param("a (cat) here", [("a ", 1), ("cat", 1.1), (" here", 1)], id="round brackets"),
        pytest.param("((cat))", [("cat", 1.21)], id="twice"),
        pytest.param("(a cat:1.3), dog", [("a cat", 1.3), (", dog", 1)], id="a number"),
        pytest.param("(cat : .5 )", [("cat", 0.5)], id="a number with spaces"),
        pytest.param("[cat]", [("cat", 1 / 1.1)], id="square brackets"),
        pytest.param("(a (cat:1.5) b:0.5)", [("a ", 0.5), ("cat", 0.75), (" b", 0.5)], id="nested"),
        pytest.param(r"a \(cat\) (dog)", [("a (cat) ", 1), ("dog", 1.1)], id="escaped"),
        pytest.param("(time 12:30)", [("time 12", 2.0)], id="a number all the same, and bounded"),
        pytest.param("(cat:much)", [("cat:much", 1.1)], id="a colon without a number"),
        pytest.param("cat:1.3", [("cat:1.3", 1)], id="a number without brackets"),
        pytest.param("(cat:-2)", [("cat", 0)], id="a negative number"),
        pytest.param("(cat:nan)", [("cat:nan", 1.1)], id="no number"),
        pytest.param("a smile :) there", [("a smile :) there", 1)], id="closing alone"),
        pytest.param("a frown :( there", [("a frown :( there", 1)], id="opening alone"),
        pytest.param("(a [cat:1.2) b", [("a [cat", 1.2), (" b", 1)], id="another kind inside, alone"),
        pytest.param("()", [], id="nothing in brackets"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_a_prompt_is_cut_where_its_weight_changes(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert [(fragment.text, pytest.approx(fragment.weight)) for fragment in fragments(prompt)] == expected


@given(texts)
def test_no_prompt_is_an_error_and_every_weight_is_bounded(prompt: str) -> None:
    for fragment in fragments(prompt):
        assert LOWEST <= fragment.weight <= HIGHEST
        assert fragment.text


@given(texts)
def test_text_is_kept_but_for_brackets_numbers_and_escapes(prompt: str) -> None:
    rest = iter(prompt)
    assert all(letter in rest for fragment in fragments(prompt) for letter in fragment.text)


@given(st.text().filter(lambda text: not set(text) & set("()[]")))
def test_a_prompt_without_brackets_is_itself(prompt: str) -> None:
    assert fragments(prompt) == ([Fragment(prompt)] if prompt else [])


@given(texts)
def test_escaped_text_is_read_as_itself(text: str) -> None:
    assert fragments(escape(text)) == ([Fragment(text)] if text else [])


@given(texts, st.floats(0.01, 2).map(lambda weight: round(weight, 2)))
def test_a_weight_around_any_text_is_the_weight_of_all_of_it(text: str, weight: float) -> None:
    assert fragments(f"({escape(text)} :{weight})") == [Fragment(f"{text} ".rstrip(), weight)] * bool(text.rstrip())


@pytest.mark.parametrize(
    "prompt", ["(" * 16_384, "(" * 8_192 + ")" * 8_192, "([)" * 5_000, "(:9" * 4_000 + ":0)" * 4_000]
)
def test_deep_nesting_is_no_danger(prompt: str) -> None:
    assert all(LOWEST <= fragment.weight <= HIGHEST for fragment in fragments(prompt))
