"""Weights in prompts, in the syntax that users of the common front ends know.

    (word)        1.1 times
    ((word))      1.1 times 1.1
    (word:1.3)    1.3 times; brackets nest, and their weights multiply
    [word]        divided by 1.1
    \\( \\) \\[ \\]   the bracket itself

A bracket without its partner is text. So is everything else: no prompt is an error.
"""

import re
from dataclasses import dataclass
from typing import Final

STRONGER: Final = 1.1
LOWEST: Final = 0.0
HIGHEST: Final = 2.0
"""Beyond twice its weight a word tears the picture apart."""
_CLOSES: Final = {")": "(", "]": "["}
_MARK: Final = re.compile(r"\\([()\[\]])|[()\[\]]")
_NUMBER: Final = re.compile(r"\s*:\s*([+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))\s*$")
_CEILING: Final = 1e9
"""Of nested factors, so that none becomes infinite, and no number by a zero within."""
_TAIL: Final = 64
"""Characters before a closing bracket among which a number is looked for."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of text and its weight, between LOWEST and HIGHEST; 1 is as it is."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Mark:
    """A bracket: where it stands, where the text after it begins."""

    bracket: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Group:
    """A pair of brackets as what it does: text ends at `cut` (before the number, if there is one)."""

    factor: float
    cut: int


def fragments(prompt: str) -> list[Fragment]:
    """Cut `prompt` into stretches of one weight. Neighbours differ in weight; none is empty, and the list may be."""
    marks = [_Mark(found[0], *found.span()) for found in _MARK.finditer(prompt)]
    groups = _groups(prompt, marks)
    factors, pieces, at = [1.0], [], 0
    for index, mark in enumerate(marks):
        group = groups.get(index)
        is_closing = group is not None and mark.bracket in _CLOSES
        pieces.append((prompt[at : group.cut if group is not None and is_closing else mark.start], factors[-1]))
        at = mark.end
        if group is None:
            pieces.append((mark.bracket[-1], factors[-1]))
        elif is_closing:
            factors.pop()
        else:
            factors.append(min(factors[-1] * group.factor, _CEILING))
    pieces.append((prompt[at:], factors[-1]))
    return _joined(pieces)


def escape(text: str) -> str:
    """`text` so written that it is read as itself, with no weights."""
    return re.sub(r"([()\[\]])", r"\\\1", text)


def _groups(prompt: str, marks: list[_Mark]) -> dict[int, _Group]:
    """For the indices of both brackets of every pair, what the pair does."""
    groups: dict[int, _Group] = {}
    waiting: list[int] = []
    num_waiting = {"(": 0, "[": 0}
    for index, mark in enumerate(marks):
        if mark.bracket in num_waiting:
            waiting.append(index)
            num_waiting[mark.bracket] += 1
        elif num_waiting.get(_CLOSES.get(mark.bracket, ""), 0):
            # An opening bracket of the other kind in between never finds its partner: it is text.
            while marks[opening := waiting.pop()].bracket != _CLOSES[mark.bracket]:
                num_waiting[marks[opening].bracket] -= 1
            num_waiting[marks[opening].bracket] -= 1
            groups[opening] = groups[index] = _group(prompt, marks, opening, index)
    return groups


def _group(prompt: str, marks: list[_Mark], opening: int, closing: int) -> _Group:
    end = marks[closing].start
    if marks[closing].bracket == "]":
        return _Group(1 / STRONGER, end)
    # The number belongs to the pair that it directly stands in: no bracket lies between it and the closing one.
    start = max(marks[closing - 1].end, end - _TAIL)
    number = _NUMBER.search(prompt, start, end)
    if number is None:
        return _Group(STRONGER, end)
    return _Group(max(LOWEST, float(number[1])), number.start())


def _joined(pieces: list[tuple[str, float]]) -> list[Fragment]:
    joined: list[Fragment] = []
    for text, factor in pieces:
        weight = min(max(factor, LOWEST), HIGHEST)
        if not text:
            continue
        if joined and joined[-1].weight == weight:
            joined[-1] = Fragment(joined[-1].text + text, weight)
        else:
            joined.append(Fragment(text, weight))
    return joined
