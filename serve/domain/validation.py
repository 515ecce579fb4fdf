"""From pydantic's errors to ours: one sentence, one code and one path that a client can read.

A `ValidationError` names the branches it tried (`messages.0.user.content.list[...].0.text`). Callers wrote no such
words, so paths are read against the value itself: what cannot be stepped into there is a branch, and is left out.
"""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serve.domain.errors import InvalidRequest

Path = tuple[str | int, ...]

MAX_ERRORS = 256
"""Errors of one body that are looked at. Telling a million apart, as a hostile body asks for, takes seconds."""

_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
}
_RANGES = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length} item(s), and has {actual_length}",
    "too_long": "must have at most {max_length} item(s)",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} character(s)",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field. `says` completes the sentence that the field's path begins.

    `expected` is set where only the type is wrong: the branches of a union are then told together.
    """

    path: Path
    code: str
    says: str
    expected: str | None = None
    is_sentence: bool = False
    """Whether `says` stands alone, without the path in front."""

    @property
    def param(self) -> str | None:
        return ".".join(map(str, self.path)) or None

    def sentence(self) -> str:
        """For an answer: `messages.0.role must be ...`."""
        return self.says if self.is_sentence else f"{self.param or 'the body'} {self.says}"


def parse_json(data: bytes) -> Any:
    """The value that `data` writes as JSON (RFC 8259: no NaN, no lone surrogates).

    Raises:
        InvalidRequest: `invalid_json`, with the position.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        told = _bad_byte(data) or f"{error.msg} ({where})"
        raise InvalidRequest(f"the body is not valid JSON: {told}", "invalid_json") from None


def _bad_byte(data: bytes) -> str | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    return None


def invalid_request(error: ValidationError, value: object, fields: Collection[str] = ()) -> InvalidRequest:
    """The first problem as an error to raise. `value` is what was validated, `fields` what it may have at the top."""
    if (num_errors := error.error_count()) > MAX_ERRORS:
        return InvalidRequest(f"the body has {num_errors} problems", "too_many_problems")
    first = problems(error, value)[0]
    message = first.sentence()
    if first.code == "unknown_field" and len(first.path) == 1:
        message += _suggestion(str(first.path[0]), fields)
    return InvalidRequest(message, first.code, first.param or _named_field(first, fields))


def problems(error: ValidationError, value: object) -> list[Problem]:
    """Every problem once, in the order of the fields; a union's branches count as one."""
    found = [_Found(e["loc"], _kept(e, value), e) for e in error.errors(include_url=False)]
    return _fold(found, 0, ())


def _suggestion(name: str, fields: Collection[str]) -> str:
    near = difflib.get_close_matches(name, fields, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _named_field(problem: Problem, fields: Collection[str]) -> str | None:
    """A rule over several fields names the one at fault first."""
    first_word = problem.says.split(maxsplit=1)[0].rstrip(":,")
    return first_word if first_word in fields else None


@dataclass(frozen=True, slots=True)
class _Found:
    loc: Path
    kept: tuple[bool, ...]
    """Which segments of `loc` are steps into the value; the others are branches of a union."""
    error: ErrorDetails


def _kept(error: ErrorDetails, value: object) -> tuple[bool, ...]:
    loc = error["loc"]
    if error["type"] in ("missing", "extra_forbidden"):
        parent = error["input"] if error["type"] == "missing" else None
        return (*(_align(loc[:-1], value, parent, loc[-1]) or _guess(loc[:-1], value)), True) if loc else ()
    return _align(loc, value, error["input"]) or _guess(loc, value)


def _align(loc: Path, value: object, target: object, last: str | int | None = None) -> tuple[bool, ...] | None:
    """Which segments lead from `value` to `target` (or, with `target` None, to what holds `last`)."""
    if not loc:
        reached = _has(value, last) if last is not None and target is None else value is target or value == target
        return () if reached else None
    if _has(value, loc[0]):
        rest = _align(loc[1:], value[loc[0]], target, last)  # type: ignore[index]  # _has has looked
        if rest is not None:
            return (True, *rest)
    rest = _align(loc[1:], value, target, last)
    return None if rest is None else (False, *rest)


def _guess(loc: Path, value: object) -> tuple[bool, ...]:
    """For values that validators replaced on the way: every step that can be taken."""
    kept = []
    for segment in loc:
        kept.append(_has(value, segment))
        if kept[-1]:
            value = value[segment]  # type: ignore[index]  # a step that is there
    return tuple(kept)


def _has(value: object, segment: str | int | None) -> bool:
    if isinstance(value, Mapping):
        return segment in value
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and isinstance(segment, int) and 0 <= segment < len(value)  # type: ignore[arg-type]  # it has a length


def _fold(found: list[_Found], depth: int, path: Path) -> list[Problem]:
    """Walk the errors as a tree by segment; where branches of a union part, keep the best one."""
    told = [problem(f.error, path) for f in found if len(f.loc) == depth]
    branches: list[list[Problem]] = []
    deeper = [f for f in found if len(f.loc) > depth]
    for (segment, kept), group in groupby(deeper, key=lambda f: (f.loc[depth], f.kept[depth])):
        inner = _fold(list(group), depth + 1, (*path, segment) if kept else path)
        if kept:
            told += inner
        else:
            branches.append(inner)
    return told + (_best(branches, path) if branches else [])


def _best(branches: list[list[Problem]], path: Path) -> list[Problem]:
    """The branch that the value was meant for: the one whose types fit, that got further in, with fewest problems."""
    further = [b for b in branches if any(len(p.path) > len(path) or p.code != "invalid_type" for p in b)]
    if further:
        return min(further, key=lambda b: _strangeness(b, len(path)))
    words = list(dict.fromkeys(p.expected for b in branches for p in b if p.expected))
    return [_wrong_type(path, " or ".join(words))] if words else branches[0]


def _strangeness(branch: list[Problem], depth: int) -> tuple[bool, int, int, int]:
    """A branch with a bad range knew the type; of equals, the one that found a fault deeper, and later in a list."""
    path = branch[0].path
    return (branch[0].code != "out_of_range", len(branch), -len(path), -_index(path, depth))


def _index(path: Path, depth: int) -> int:
    segment = path[depth] if depth < len(path) else -1
    return segment if isinstance(segment, int) else -1


def _wrong_type(path: Path, expected: str) -> Problem:
    return Problem(path, "invalid_type", f"must be {expected}", expected)


def problem(error: ErrorDetails, path: Path) -> Problem:
    """One error of pydantic's, as one of the field at `path`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _TYPES:
        return _wrong_type(path, _TYPES[kind])
    if kind in _RANGES:
        return Problem(path, "out_of_range", _RANGES[kind].format(**context) + _got(error["input"]))
    if kind in _SPECIAL:
        return _SPECIAL[kind](path, context)
    return Problem(path, "invalid_value", f"is not valid: {error['msg']}")


def _got(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f" (got {str(value)[:40]})" if is_number else ""


def _discriminator(context: Mapping[str, Any]) -> str:
    return str(context["discriminator"]).strip("'")


_SPECIAL: dict[str, Callable[[Path, Mapping[str, Any]], Problem]] = {
    "missing": lambda path, _: Problem(path, "missing_field", "is required"),
    "extra_forbidden": lambda path, _: Problem(path, "unknown_field", "is not a known field"),
    "value_error": lambda path, c: Problem(path, "invalid_value", str(c["error"]), is_sentence=True),
    "literal_error": lambda path, c: Problem(path, "invalid_value", f"must be {c['expected']}"),
    "enum": lambda path, c: Problem(path, "invalid_value", f"must be {c['expected']}"),
    "string_pattern_mismatch": lambda path, c: Problem(path, "invalid_value", f"must match {c['pattern']}"),
    "union_tag_not_found": lambda path, c: Problem((*path, _discriminator(c)), "missing_field", "is required"),
    "union_tag_invalid": lambda path, c: Problem(
        (*path, _discriminator(c)), "invalid_value", f"must be one of {c['expected_tags']}"
    ),
}
