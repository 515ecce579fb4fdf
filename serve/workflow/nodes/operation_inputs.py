"""What an operation was given: values with defaults filled in, checked against what its ports say.

Values that were written down are checked when a workflow is compiled; those that other nodes computed are checked
here, by the same schema.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.workflow.operation import Operation


class Given:
    """The inputs of one operation. What does not fit raises InvalidRequest with the input as `param`."""

    __slots__ = ("_operation", "_values")

    def __init__(self, operation: Operation, values: Mapping[str, Any]) -> None:
        self._operation = operation
        self._values = values

    def value(self, name: str) -> Any:
        """Whatever it is; the default, or None, where nothing was given."""
        value = self._values.get(name)
        return self._operation.inputs[name].default if value is None else value

    def needed(self, name: str) -> Any:
        """Whatever it is, but not None."""
        value = self.value(name)
        if value is None:
            raise InvalidRequest(f"{name} is missing", "missing_input", name)
        return value

    def text(self, name: str) -> str:
        """A text, of no more than `maxLength` characters; one of `enum`, where there is one."""
        value = self.needed(name)
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a text", "invalid_value", name)
        schema = self._operation.inputs[name].schema
        if (choices := schema.get("enum")) is not None and value not in choices:
            raise InvalidRequest(f"{name} must be one of {', '.join(choices)}: {value[:80]!r}", "invalid_value", name)
        if len(value) > schema.get("maxLength", math.inf):
            raise InvalidRequest(f"{name} has more than {schema['maxLength']} characters", "too_large", name)
        return value

    def flag(self, name: str) -> bool:
        """A boolean."""
        value = self.needed(name)
        if not isinstance(value, bool):
            raise InvalidRequest(f"{name} must be true or false", "invalid_value", name)
        return value

    def number(self, name: str) -> float:
        """A finite number within its bounds: an int where it was given as one."""
        return self._number(name, self.needed(name))

    def whole(self, name: str) -> int:
        """A whole number within its bounds."""
        return self._whole(name, self.needed(name))

    def whole_or_none(self, name: str) -> int | None:
        """The same, where something was given."""
        value = self.value(name)
        return None if value is None else self._whole(name, value)

    def number_or_none(self, name: str) -> float | None:
        """The same for any number."""
        value = self.value(name)
        return None if value is None else self._number(name, value)

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.needed(name)
        if not isinstance(value, list):
            raise InvalidRequest(f"{name} must be a list", "invalid_value", name)
        return value

    def many(self, name: str) -> Iterator[tuple[str, Any]]:
        """What stands after `name_` in the names of a port that stands for many, with its value: numbered ones in the
        order of their numbers, then words."""
        mark = name + "_"
        endings = [given.removeprefix(mark) for given in self._values if given.startswith(mark)]
        return ((ending, self._values[mark + ending]) for ending in sorted(endings, key=_order))

    def present(self, name: str) -> Iterator[tuple[str, Any]]:
        """The same without those that are None, as inputs that were skipped are."""
        return ((ending, value) for ending, value in self.many(name) if value is not None)

    def _whole(self, name: str, value: Any) -> int:
        number = self._number(name, value)
        if number != int(number):
            raise InvalidRequest(f"{name} must be a whole number, not {number}", "invalid_value", name)
        return int(number)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidRequest(f"{name} must be a number", "invalid_value", name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequest(f"{name} must be a finite number", "invalid_value", name)
        schema = self._operation.inputs[name].schema
        if value < schema.get("minimum", -math.inf) or value > schema.get("maximum", math.inf):
            raise InvalidRequest(f"{name} must be {_bounds(schema)}, and is {value:.6g}", "invalid_value", name)
        return value


def _order(ending: str) -> tuple[int, int, str]:
    is_number = ending.isdecimal()
    return (0, int(ending[:18]), ending) if is_number else (1, 0, ending)


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"
