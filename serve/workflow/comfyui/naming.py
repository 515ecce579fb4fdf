"""Names of ours for what has names of its own, or none."""

import re
from collections.abc import Container

from serve.domain.names import MAX_NAME_LENGTH

_MAX_PORT = 40


def port_name(words: str, fallback: str) -> str:
    """A name of an input, an output or a node that says what `words` say."""
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_").lstrip("0123456789_")
    return plain[:_MAX_PORT].rstrip("_") or fallback


def unused(name: str, taken: Container[str]) -> str:
    """`name`, with a number behind it where it is taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        ending = f"_{number}"
        candidate = name[: _MAX_PORT - len(ending)].rstrip("_") + ending
    return candidate


def adapter_name(stem: str) -> str:
    """The name that an adapter of this file would have."""
    plain = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    return plain[:MAX_NAME_LENGTH].rstrip("-") or "lora"
