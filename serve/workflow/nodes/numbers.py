"""Operations on numbers."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import whole
from serve.workflow.operation import In, Out, Quick
from serve.workflow.values import MAX_EXACT, as_whole

_CATEGORY = "Numbers"
_MAX_DIGITS = 400
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_OF_TWO: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "modulo": lambda a, b: a % b,
    "power": lambda a, b: math.pow(a, b),
    "minimum": min,
    "maximum": max,
}
_OF_ONE: dict[str, Callable[[float], float]] = {
    "round": round,
    "floor": math.floor,
    "ceiling": math.ceil,
    "absolute": abs,
    "negate": lambda a: -a,
    "square_root": math.sqrt,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "less": lambda a, b: a < b,
    "at_most": lambda a, b: a <= b,
    "more": lambda a, b: a > b,
    "at_least": lambda a, b: a >= b,
}
_ROUNDINGS: dict[str, Callable[[float], float]] = {"nearest": round, "down": math.floor, "up": math.ceil}


def exact(number: float, param: str) -> float:
    """`number`, whole where it is whole and can be told from its neighbours. Raises InvalidRequest for what is none."""
    if isinstance(number, complex) or not math.isfinite(number):
        raise InvalidRequest("the result is no finite number", "invalid_value", param)
    return as_whole(float(number))


def _small(number: float) -> float:
    """A whole number that is too large to be exact goes on as a float, which has a bounded size."""
    return number if abs(number) <= MAX_EXACT else float(number)


class Calculate(Quick):
    """Arithmetic with one or two numbers."""

    name = "number.calculate"
    title = "Calculate"
    description = "Does arithmetic with a and b, or with a alone."
    category = _CATEGORY
    inputs = {
        "operation": In("text", "What to do.", default="add", required=False, schema={"enum": [*_OF_TWO, *_OF_ONE]}),
        "a": In("number", "A number."),
        "b": In("number", "Another one, for what takes two.", required=False),
    }
    outputs = {"result": Out("number")}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Dividing by a written zero."""
        divides = values.get("operation") in ("divide", "modulo")
        return [("b", "b is zero, and nothing can be divided by it")] if divides and values.get("b") == 0 else []

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        word = given.text("operation")
        try:
            a = _small(given.number("a"))
            result = _OF_ONE[word](a) if word in _OF_ONE else _OF_TWO[word](a, _small(given.number("b")))
            return {"result": exact(result, "a")}
        except ZeroDivisionError:
            raise InvalidRequest("b is zero, and nothing can be divided by it", "invalid_value", "b") from None
        except (OverflowError, ValueError):
            raise InvalidRequest(f"{word} of these has no result", "invalid_value", "a") from None


class Round(Quick):
    """To a multiple: sides of pictures to multiples of 8."""

    name = "number.round"
    title = "Round"
    description = "Rounds to a multiple of another number: a picture's side to a multiple of 8."
    category = _CATEGORY
    inputs = {
        "value": In("number", "A number."),
        "multiple": In("number", "Of what.", required=False, default=1, schema={"minimum": 1e-9}),
        "direction": In("text", "Which way.", required=False, default="nearest", schema={"enum": list(_ROUNDINGS)}),
    }
    outputs = {"result": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        try:
            multiple = _small(given.number("multiple"))
            count = _ROUNDINGS[given.text("direction")](_small(given.number("value")) / multiple)
            return {"result": exact(count * multiple, "value")}
        except OverflowError:
            raise InvalidRequest("value is too large to be rounded", "invalid_value", "value") from None


class ParseNumber(Quick):
    """From a text."""

    name = "number.parse"
    title = "Number from text"
    description = "Reads a number: the whole text, or with `find` the first number in it."
    category = _CATEGORY
    inputs = {
        "text": In("text", "Where the number is."),
        "find": In("boolean", "Look for it within other words.", required=False, default=False),
        "default": In("number", "Answered where there is no number.", required=False),
    }
    outputs = {"value": Out("number")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        text = given.text("text").strip()
        found = _NUMBER.search(text) if given.flag("find") else _NUMBER.fullmatch(text)
        if found is not None and len(found[0]) <= _MAX_DIGITS:
            word = found[0]
            number = int(word) if word.lstrip("+-").isdecimal() else float(word)
            if math.isfinite(_as_float(number)):
                return {"value": exact(number, "text")}
        default = given.number_or_none("default")
        if default is None:
            raise InvalidRequest(f"text holds no number: {text[:80]!r}", "invalid_value", "text")
        return {"value": default}


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


class FormatNumber(Quick):
    """To a text."""

    name = "number.format"
    title = "Number to text"
    description = "Writes a number with a fixed count of decimals."
    category = _CATEGORY
    inputs = {
        "value": In("number", "A number."),
        "decimals": In("number", "Behind the point.", required=False, default=0, schema=whole(0, 12)),
    }
    outputs = {"text": Out("text")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        return {"text": f"{_small(given.number('value')):.{given.whole('decimals')}f}"}


class CompareNumbers(Quick):
    """Two of them."""

    name = "number.compare"
    title = "Compare numbers"
    description = "Whether a is equal to, not_equal to, less than, at_most, more than, or at_least b."
    category = _CATEGORY
    inputs = {
        "a": In("number", "A number."),
        "comparison": In("text", "How.", required=False, default="equal", schema={"enum": list(_COMPARISONS)}),
        "b": In("number", "The number that it is compared with."),
    }
    outputs = {"result": Out("boolean")}

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Quick`."""
        given = Given(self, values)
        return {"result": _COMPARISONS[given.text("comparison")](given.number("a"), given.number("b"))}
