"""Tags: what a request says of itself in `x-slipway-tags: team=search,feature=chat`, for usage to be summed by."""

import re
from collections.abc import Collection

from starlette.types import Scope

from serve.domain.errors import InvalidRequest

HEADER = "x-slipway-tags"
Tags = tuple[tuple[str, str], ...]

_NAME = HEADER.encode()
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,63}", re.ASCII)
_MAX_CHARS = 600


def tags_of(scope: Scope, declared: Collection[str]) -> Tags:
    """The request's tags, by key. Raises InvalidRequest: `undeclared_tag`, `invalid_tag`."""
    written = [value for name, value in scope["headers"] if name == _NAME]
    return parsed(b",".join(written).decode("latin-1"), declared) if written else ()


def parsed(text: str, declared: Collection[str]) -> Tags:
    """`key=value,key=value` as pairs, sorted by key."""
    if len(text) > _MAX_CHARS:
        raise _invalid(f"{HEADER} has at most {_MAX_CHARS} characters.")
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if key not in declared:
            raise _undeclared(key, declared)
        if key in found or not equals or not _VALUE.fullmatch(value):
            raise _invalid(
                f"{HEADER} is key=value,key=value with each key once, and values of 1 to 64 letters, digits, spaces "
                f"and ._:/@+-; this is not: {pair[:80]!r}"
            )
        found[key] = value
    return tuple(sorted(found.items()))


def _undeclared(key: str, declared: Collection[str]) -> InvalidRequest:
    known = ", ".join(sorted(declared)) or "none; SLIPWAY_METERING_TAG_KEYS declares them"
    return InvalidRequest(f"There is no tag {key[:40]!r}. The declared ones are: {known}.", "undeclared_tag", HEADER)


def _invalid(sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, "invalid_tag", HEADER)
