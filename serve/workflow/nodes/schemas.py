"""Pieces of JSON Schema that the ports of several operations say."""

from collections.abc import Iterable, Mapping
from typing import Any


def whole(minimum: int, maximum: int) -> Mapping[str, Any]:
    """A whole number."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def between(minimum: float, maximum: float) -> Mapping[str, Any]:
    """A number."""
    return {"minimum": minimum, "maximum": maximum}


def one_of(words: Iterable[str]) -> Mapping[str, Any]:
    """One of a few texts."""
    return {"enum": list(words)}


def at_most(characters: int) -> Mapping[str, Any]:
    """A text."""
    return {"maxLength": characters}
