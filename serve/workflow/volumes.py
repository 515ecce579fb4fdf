"""How much there may be of what nodes make.

Operations bound what each of them makes, and models what they answer. But a workflow has thousands of steps, and a list
may have the same large text hundreds of times: without these bounds one small document could take all memory of a
runner, which others' runs share.
"""

from collections.abc import Mapping
from typing import Any

from serve.domain.errors import InvalidRequest

MAX_RUN_SIZE = 2**26
"""Of all that the steps of one run put out, as `size_of` counts."""
MAX_VALUE_SIZE = 2**22
"""Of a list, or of a value that is put together from others."""
_PART = 4


def size_of(value: Any, most: int) -> int:
    """Characters of texts and names, and four for every single value; once it is more than `most`, no more is looked
    at."""
    size, left = 0, [value]
    while left and size <= most:
        one = left.pop()
        size += _PART
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, dict):
            size += sum(map(len, one))
            left.extend(one.values())
        elif isinstance(one, list):
            if len(one) > most:
                return len(one)
            left.extend(one)
    return size


def bounded(value: Any, param: str) -> Any:
    """`value`. Raises InvalidRequest `too_large` where there is too much of it."""
    if size_of(value, MAX_VALUE_SIZE) > MAX_VALUE_SIZE:
        told = f"{param} makes a value of more than {MAX_VALUE_SIZE >> 20} million characters: give it less"
        raise InvalidRequest(told, "too_large", param)
    return value


class Volume:
    """What the steps of one run have put out."""

    def __init__(self) -> None:
        self._size = 0

    def add(self, outputs: Mapping[str, Any]) -> None:
        """Count these in. Raises InvalidRequest `too_large` where there is no room for them."""
        size = sum(size_of(value, MAX_RUN_SIZE) for value in outputs.values())
        if self._size + size > MAX_RUN_SIZE:
            told = (
                f"The steps of this run have put out more than {MAX_RUN_SIZE >> 20} million characters. "
                "Shorten texts and lists, or do a part of it in another run."
            )
            raise InvalidRequest(told, "too_large")
        self._size += size
