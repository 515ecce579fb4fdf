"""From pydantic's findings to one sentence with a code and the path of the field.

Codes are OpenAI's: unknown_parameter, missing_required_parameter, invalid_type, invalid_value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from serve.domain.errors import InvalidRequest

_MAX_SHOWN = 80
_CODES = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter", "json_invalid": "invalid_json"}


def invalid_request(findings: Sequence[Mapping[str, Any]], value: Any, skip: int = 0) -> InvalidRequest:
    """The finding that says most, as an error. `skip` leading parts of each location name no field of `value`.

    Of a union's findings, one per member, the deepest is of the member that was meant.
    """
    located = [(_path(value, finding["loc"][skip:], finding["type"]), finding) for finding in findings]
    path, finding = max(located, key=lambda pair: len(pair[0]))
    param = _written(path)
    return InvalidRequest(_sentence(param, finding), _code(finding["type"]), param or None)


def _code(kind: str) -> str:
    if kind in _CODES:
        return _CODES[kind]
    return "invalid_type" if kind.endswith(("_type", "_parsing")) else "invalid_value"


def _sentence(param: str, finding: Mapping[str, Any]) -> str:
    match finding["type"]:
        case "extra_forbidden":
            return f"Unknown parameter: {param!r}."
        case "missing":
            return f"Missing required parameter: {param!r}."
        case "json_invalid":
            return "The body is not valid JSON."
        case "value_error":
            said = str(finding["msg"]).removeprefix("Value error, ")
        case _:
            said = str(finding["msg"])
    return f"Invalid {param!r}: {said}." if param else f"Invalid request: {said}."


def _path(value: Any, location: Sequence[int | str], kind: str) -> list[int | str]:
    """`location` without the parts that name a union's member instead of a field: those are not in `value`."""
    path: list[int | str] = []
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(value, Mapping) and (part in value or (is_last and kind == "missing")):
            path.append(part)
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, Sequence) and not isinstance(value, str | bytes):
            path.append(part)
            value = value[part] if part < len(value) else None
    return path or [part for part in location if kind == "missing" or value is None][:_MAX_SHOWN]


def _written(path: Sequence[int | str]) -> str:
    """`messages[0].content`."""
    text = ""
    for part in path:
        shown = f"[{part}]" if isinstance(part, int) else f".{part[:_MAX_SHOWN]}"
        text += shown
    return text.removeprefix(".")
