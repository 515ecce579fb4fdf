"""How large values may become.

A node can join a text to itself, and the next one that: without these, forty nodes of a valid workflow would ask for
more memory than there is.
"""

from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.workflow import MAX_DEPTH
from serve.workflow.volumes import bounded

MAX_TEXT = 1_000_000
"""Characters."""
MAX_LIST = 4096
"""Items."""
MAX_JSON_PARTS = 100_000
"""Values in a JSON value, nested ones included."""


def bounded_text(text: str, param: str) -> str:
    """`text`. Raises InvalidRequest `too_large` where it has too many characters."""
    if len(text) > MAX_TEXT:
        raise InvalidRequest(f"{param} makes a text of more than {MAX_TEXT} characters", "too_large", param)
    return text


def bounded_list(items: list[Any], param: str) -> list[Any]:
    """`items`. Raises InvalidRequest `too_large` where there are too many."""
    if len(items) > MAX_LIST:
        raise InvalidRequest(f"{param} makes a list of more than {MAX_LIST} items", "too_large", param)
    bounded(items, param)
    return items


def bounded_json(value: Any, param: str) -> Any:
    """`value`. Raises InvalidRequest: `too_large`, `too_deep`."""
    room_for_text, num_parts = MAX_TEXT, 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        num_parts += len(level)
        room_for_text -= sum(len(part) for part in level if isinstance(part, str))
        if num_parts > MAX_JSON_PARTS or room_for_text < 0:
            raise InvalidRequest(f"{param} makes a JSON value that is too large", "too_large", param)
        level = _below(level, MAX_JSON_PARTS - num_parts)
        if not level:
            return value
    raise InvalidRequest(f"{param} makes a JSON value of more than {MAX_DEPTH} levels", "too_deep", param)


def _below(level: list[Any], room: int) -> list[Any]:
    """The values within those of a level; once there is one too many, no more of them."""
    below: list[Any] = []
    for part in level:
        if isinstance(part, dict):
            below.extend(part)
            below.extend(part.values())
        elif isinstance(part, list):
            below.extend(part)
        if len(below) > room:
            break
    return below
