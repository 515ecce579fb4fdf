"""The ports of an operation as one node uses it: `many` inputs by their names, and what its T stands for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from serve.domain.port_types import Kind, PortType, parse_type
from serve.workflow.graph import Port
from serve.workflow.operation import In, Operation

ANY = "T"
ANY_LIST = "list[T]"
_JSON = PortType(Kind.JSON)


def input_of(operation: Operation, name: str) -> In | None:
    """The declaration behind an input's name; None where the operation has no such input."""
    own = operation.inputs.get(name)
    if own is not None:
        return None if own.many else own
    fitting = [stem for stem, one in operation.inputs.items() if one.many and name.startswith(f"{stem}_")]
    return operation.inputs[max(fitting, key=len)] if fitting else None


@dataclass(frozen=True, slots=True)
class Given:
    """What an input of an operation is given, as one run of it sees it. `type` is None where it is not known: of what
    is written down (then `is_written`, `value`), and of what comes from a node that is itself in doubt."""

    type: PortType | None
    is_written: bool = False
    value: Any = None


@dataclass(frozen=True, slots=True)
class Unified:
    """What T stands for: None where nothing tells. `doubtful` is the input that does not go with the others."""

    type: PortType | None = None
    doubtful: str | None = None
    is_in_doubt: bool = False
    """Something that would tell is itself unknown."""


def unified(operation: Operation, given: Mapping[str, Given]) -> Unified:
    """What T stands for, seeing what the inputs are given; what is written down tells only where nothing else does."""
    declared = {name: one for name in given if (one := input_of(operation, name)) is not None}
    generic = {name: one.type for name, one in declared.items() if one.type in (ANY, ANY_LIST)}
    told, written, is_in_doubt = {}, {}, False
    for name, declaration in generic.items():
        one = given[name]
        if one.is_written:
            written[name] = _written_type(one.value, declaration)
        elif one.type is None:
            is_in_doubt = True
        elif declaration == ANY:
            told[name] = one.type
        elif one.type.is_list:
            told[name] = one.type.item
    if not told and is_in_doubt:
        return Unified(is_in_doubt=True)
    candidates = told or {name: one for name, one in written.items() if one is not None}
    return _agreed(candidates, ANY_LIST in _types_of(operation))


def _agreed(candidates: Mapping[str, PortType], has_lists: bool) -> Unified:
    if not candidates:
        return Unified(_JSON)
    if has_lists:
        nested = next((name for name, one in candidates.items() if one.is_list), None)
        if nested is not None:
            return Unified(doubtful=nested, is_in_doubt=True)
    distinct = list(dict.fromkeys(candidates.values()))
    for wanted in [*distinct, _JSON]:
        if all(one.fits(wanted) for one in distinct):
            return Unified(wanted)
    odd = next(name for name, one in candidates.items() if not one.fits(distinct[0]))
    return Unified(distinct[0], doubtful=odd)


def _types_of(operation: Operation) -> set[str]:
    return {one.type for one in operation.inputs.values()} | {one.type for one in operation.outputs.values()}


def _written_type(value: Any, declaration: str) -> PortType | None:
    """The type that a written value has by itself; None of an empty list."""
    if declaration == ANY_LIST:
        items = {_single_type(item) for item in value} if isinstance(value, list) else set()
        return None if not items else items.pop() if len(items) == 1 else _JSON
    return _single_type(value)


def _single_type(value: Any) -> PortType:
    if isinstance(value, bool):
        return PortType(Kind.BOOLEAN)
    if isinstance(value, (int, float)):
        return PortType(Kind.NUMBER)
    return PortType(Kind.TEXT) if isinstance(value, str) else _JSON


@cache
def _parsed(text: str) -> PortType:
    return parse_type(text)


def resolved(text: str, generic: PortType | None) -> PortType | None:
    """The type that an operation writes as `text`, where T stands for `generic`; None where that is not known."""
    if text == ANY:
        return generic
    if text == ANY_LIST:
        return None if generic is None or generic.is_list else generic.listed
    return _parsed(text)


def ports_for(operation: Operation, names: list[str], generic: PortType | None) -> dict[str, Port]:
    """A port for every input that stands alone, and for each of `names` that stands for many."""
    declared = {name: one for name, one in operation.inputs.items() if not one.many}
    declared |= {name: one for name in names if name not in declared and (one := input_of(operation, name)) is not None}
    return {name: port_of(one, generic) for name, one in declared.items()}


def port_of(declared: In, generic: PortType | None) -> Port:
    """One input as a port. What T stands for may be open: such a port takes JSON, which refuses no more than it must."""
    return Port(
        resolved(declared.type, generic) or PortType(Kind.JSON, declared.type == ANY_LIST),
        is_required=declared.required and declared.default is None,
        is_lazy=declared.lazy,
        default=declared.default,
        schema=declared.schema,
        description=declared.description,
    )
