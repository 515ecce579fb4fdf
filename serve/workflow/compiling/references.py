"""References within the values of a document: how `{"$ref": ...}`, `{"$input": ...}` and `{"$literal": ...}` are read.

A value that holds a reference somewhere becomes a `Composite`: the value with None where a reference stood, and the
references with their places. Everything is read with a bound on depth, so no value can exhaust the stack.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from serve.domain.workflow import MAX_DEPTH, is_deeper
from serve.workflow.graph import Composite, Literal, Node, OfInput, OfNode, Source
from serve.workflow.problems import Code

REF = "$ref"
INPUT = "$input"
LITERAL = "$literal"
_MARKS = frozenset({REF, INPUT, LITERAL})

Place = tuple[str | int, ...]
Wrong = tuple[Code, Place, str]
"""Code, place within the value, sentence."""

_SHAPES = {REF: '{"$ref": ["node", "port"]}', INPUT: '{"$input": "name"}'}
_IN_LITERAL = 'a value that only looks like a reference is written {"$literal": ...}'


def read_source(value: Any) -> tuple[Source, list[Wrong]]:
    """What `value` says, and what is wrong with it. A part that is wrong reads as None."""
    if not isinstance(value, (dict, list)):
        return Literal(value), []
    if len(value) == 1 and isinstance(value, dict) and (whole := _reference(*next(iter(value.items())))) is not None:
        return whole, []
    reading = _Reading()
    template = reading.plain(value, ())
    if not reading.parts:
        return Literal(template), reading.wrong
    return Composite(template, tuple(reading.parts)), reading.wrong


def parts_of(source: Source | None) -> tuple[tuple[Place, Literal | OfInput | OfNode], ...]:
    """The references in a source with their places; a literal has none."""
    if isinstance(source, Composite):
        return source.parts
    return () if source is None or isinstance(source, Literal) else (((), source),)


def outputs_named(node: Node) -> Iterator[OfNode]:
    """The outputs of other nodes that a node refers to, its condition included."""
    for source in (*node.inputs.values(), node.when):
        for _, part in parts_of(source):
            if isinstance(part, OfNode):
                yield part


def references_in(value: Any) -> Iterator[tuple[str, str]]:
    """(node, port) of every reference in a value as documents write it."""
    if isinstance(value, list):
        for item in value:
            yield from references_in(item)
    elif isinstance(value, dict):
        whole = _reference(*next(iter(value.items()))) if len(value) == 1 else None
        if isinstance(whole, OfNode):
            yield whole.node, whole.port
        else:
            for item in value.values():
                yield from references_in(item)


class _Reading:
    """One value: what was found in it so far."""

    def __init__(self) -> None:
        self.parts: list[tuple[Place, OfInput | OfNode]] = []
        self.wrong: list[Wrong] = []

    def plain(self, value: Any, place: Place) -> Any:
        """`value` with None where references stand."""
        if not isinstance(value, (dict, list)):
            return value
        if len(place) >= MAX_DEPTH:
            self._reject(Code.TOO_DEEP, place, f"a value is at most {MAX_DEPTH} levels deep")
            return None
        if isinstance(value, list):
            return [self.plain(item, (*place, index)) for index, item in enumerate(value)]
        if _MARKS.isdisjoint(value):
            return {key: self.plain(item, (*place, key)) for key, item in value.items()}
        return self._marked(value, place)

    def _marked(self, value: Mapping[str, Any], place: Place) -> Any:
        if len(value) > 1:
            marks = ", ".join(sorted(_MARKS.intersection(value)))
            self._reject(Code.INVALID_VALUE, place, f"beside {marks} nothing else may stand; {_IN_LITERAL}")
            return None
        ((mark, inner),) = value.items()
        if mark == LITERAL:
            return self._literal(inner, place)
        reference = _reference(mark, inner)
        if reference is None:
            self._reject(Code.INVALID_VALUE, place, f"a reference reads {_SHAPES[mark]}; {_IN_LITERAL}")
        else:
            self.parts.append((place, reference))
        return None

    def _literal(self, value: Any, place: Place) -> Any:
        if is_deeper(value, MAX_DEPTH - len(place)):
            self._reject(Code.TOO_DEEP, place, f"a value is at most {MAX_DEPTH} levels deep")
            return None
        return value

    def _reject(self, code: Code, place: Place, message: str) -> None:
        self.wrong.append((code, place, message))


def _reference(mark: str, inner: Any) -> OfInput | OfNode | None:
    if mark == INPUT:
        return OfInput(inner) if isinstance(inner, str) else None
    if mark == REF and isinstance(inner, list) and len(inner) == 2 and all(isinstance(word, str) for word in inner):
        return OfNode(inner[0], inner[1])
    return None
