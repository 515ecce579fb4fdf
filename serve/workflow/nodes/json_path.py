"""A part of RFC 9535 (JSONPath): names, places, slices, wildcards, lists of these, and descendants.

    $.store.book[0].title      $['store']["book"]      $.book[-1]      $.book[0:4:2]
    $.book[*].title            $.book[0,2]             $..title        $.*

Filters, `[?...]`, are left out: they are expressions, and nothing here is to be code.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 1000
"""Characters of a path."""
MAX_VISITS = 100_000
"""Values that are looked at: descendants of descendants multiply."""

_NAME = r"[A-Za-z_\u0080-\U0010FFFF][A-Za-z0-9_\u0080-\U0010FFFF]*"
_INT = r"-?(?:0|[1-9][0-9]{0,8})"
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_SEGMENT = re.compile(rf"(?P<deep>\.\.)?(?:(?P<bracket>\[)|(?P<dot>\.)?(?P<name>\*|{_NAME}))", re.DOTALL)
_SELECTOR = re.compile(
    rf"\s*(?:(?P<quoted>{_QUOTED})|(?P<star>\*)"
    rf"|(?P<start>{_INT})?\s*:\s*(?P<stop>{_INT})?\s*(?::\s*(?P<step>{_INT})?)?|(?P<index>{_INT}))\s*(?P<end>[,\]])",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\", "'": "'", '"': '"'}

Selector = str | int | slice | None
"""A name, a place, several places; None is all."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What is selected of each value so far; `is_deep`, also of everything in it."""

    selectors: tuple[Selector, ...]
    is_deep: bool = False


def parse(path: str) -> tuple[Segment, ...]:
    """The segments of `path`. Raises ValueError with a sentence."""
    if len(path) > MAX_LENGTH:
        raise ValueError(f"a path has at most {MAX_LENGTH} characters")
    if not path.startswith("$"):
        raise ValueError("a path begins with $, the whole value: $.name, $[0], $..name")
    segments, at = [], 1
    while at < len(path):
        found = _SEGMENT.match(path, at)
        if found is None or not (found["deep"] or found["bracket"] or found["dot"]):
            raise ValueError(f"the path cannot be read from character {at + 1} on: {path[at : at + 40]!r}")
        if found["bracket"]:
            selectors, at = _brackets(path, found.end())
        elif found["deep"] and found["dot"]:
            raise ValueError(f"there are too many dots at character {at + 1}")
        else:
            selectors, at = (None if found["name"] == "*" else found["name"],), found.end()
        segments.append(Segment(selectors, found["deep"] is not None))
    return tuple(segments)


def _brackets(path: str, at: int) -> tuple[tuple[Selector, ...], int]:
    """What stands in brackets from `at` on, and where they end."""
    selectors: list[Selector] = []
    while True:
        found = _SELECTOR.match(path, at)
        if found is None:
            if path[at:].lstrip().startswith("?"):
                raise ValueError("filters, [?...], are no part of these paths: they would be code")
            raise ValueError(f"what is in brackets cannot be read from character {at + 1} on: {path[at : at + 40]!r}")
        selectors.append(_selector(found))
        at = found.end()
        if found["end"] == "]":
            return tuple(selectors), at


def _selector(found: re.Match[str]) -> Selector:
    if found["quoted"]:
        return _ESCAPED.sub(_unescaped, found["quoted"][1:-1])
    if found["star"]:
        return None
    if found["index"]:
        return int(found["index"])
    bounds = [None if found[part] is None else int(found[part]) for part in ("start", "stop", "step")]
    return slice(*bounds)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    if code not in _ESCAPES:
        raise ValueError(f"\\{code} stands for nothing in a name")
    return _ESCAPES[code]


def find(segments: Iterable[Segment], value: Any) -> list[Any]:
    """Every value that the path leads to, in document order. Raises ValueError where the search takes too long."""
    room = [MAX_VISITS]
    found = [value]
    for segment in segments:
        within = _descendants(found, room) if segment.is_deep else found
        found = [one for part in within for selector in segment.selectors for one in _selected(part, selector, room)]
    return found


def _descendants(values: Iterable[Any], room: list[int]) -> Iterator[Any]:
    """Each value, and then everything in it."""
    waiting = [*values][::-1]
    while waiting:
        value = waiting.pop()
        _count(room, 1)
        yield value
        if isinstance(value, dict | list):
            waiting.extend([*(value.values() if isinstance(value, dict) else value)][::-1])


def _selected(value: Any, selector: Selector, room: list[int]) -> Iterable[Any]:
    if isinstance(value, dict):
        if selector is None:
            _count(room, len(value))
            return value.values()
        return (value[selector],) if isinstance(selector, str) and selector in value else ()
    if not isinstance(value, list) or isinstance(selector, str):
        return ()
    if isinstance(selector, int):
        return (value[selector],) if -len(value) <= selector < len(value) else ()
    # A step of 0 selects nothing (RFC 9535, 2.3.4.2.2); Python raises.
    chosen = value if selector is None else [] if selector.step == 0 else value[selector]
    _count(room, len(chosen))
    return chosen


def _count(room: list[int], number: int) -> None:
    room[0] -= number
    if room[0] < 0:
        raise ValueError(f"the path looks at more than {MAX_VISITS} values")
