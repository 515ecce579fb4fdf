"""The ports of an operation as one node uses it: `many` inputs by their names, and what its T stands for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from serve.domain.port_types import Kind, PortType, parse_type
from serve.workflow.graph import Port
from serve.workflow.operation import In, Operation
from serve.workflow.values import kind_of

ANY = "T"
ANY_LIST = "list[T]"
_JSON = PortType(Kind.JSON)


def input_of(operation: Operation, name: str) -> In | None:
    """The declaration behind an input's name; None where the operation has no such input."""
    stem = stem_of(operation, name)
    return operation.inputs[stem] if stem is not None else None


def stem_of(operation: Operation, name: str) -> str | None:
    """The name under which an input is declared: its own, or that of one that stands for many."""
    own = operation.inputs.get(name)
    if own is not None:
        return None if own.many else name
    fitting = [stem for stem, one in operation.inputs.items() if one.many and name.startswith(f"{stem}_")]
    return max(fitting, key=len) if fitting else None


def is_generic(operation: Operation, name: str) -> bool:
    """Whether the type of an input is T, or a list of it."""
    declared = input_of(operation, name)
    return declared is not None and declared.type in (ANY, ANY_LIST)


@dataclass(frozen=True, slots=True)
class Given:
    """What an input of an operation is given, as one run of it sees it. `type` is None where it is not known: of what
    is written down (then `is_written`, `value`), and of what comes from a node that is itself in doubt."""

    type: PortType | None
    is_written: bool = False
    value: Any = None


@dataclass(frozen=True, slots=True)
class Unified:
    """What T stands for: None where nothing tells, since something before is in doubt. `is_settled` unless an input
    does not go with it; `nested` is one that would make lists of lists."""

    type: PortType | None = None
    is_settled: bool = False
    nested: str | None = None


def unified(operation: Operation, given: Mapping[str, Given]) -> Unified:
    """What T stands for, seeing what the inputs are given; what is written down tells only where nothing else does."""
    told: dict[str, PortType] = {}
    written: dict[str, PortType | None] = {}
    is_in_doubt = False
    for name, one in given.items():
        declared = input_of(operation, name)
        if declared is None or declared.type not in (ANY, ANY_LIST):
            continue
        if one.is_written:
            written[name] = _written_type(one.value, declared.type)
        elif one.type is None:
            is_in_doubt = True
        elif declared.type == ANY:
            told[name] = one.type
        elif one.type.is_list:
            told[name] = one.type.item
    if not told and is_in_doubt:
        return Unified()
    return _agreed(told or {name: one for name, one in written.items() if one is not None}, _has_lists(operation))


def _agreed(candidates: Mapping[str, PortType], has_lists: bool) -> Unified:
    if not candidates:
        return Unified(_JSON, True)
    nested = next((name for name, one in candidates.items() if one.is_list), None) if has_lists else None
    if nested is not None:
        return Unified(nested=nested)
    distinct = list(dict.fromkeys(candidates.values()))
    for wanted in [*distinct, _JSON]:
        if all(one.fits(wanted) for one in distinct):
            return Unified(wanted, True)
    return Unified(distinct[0])


@lru_cache(maxsize=1024)
def _has_lists(operation: Operation) -> bool:
    """Whether it takes or gives lists of T."""
    types = [one.type for one in operation.inputs.values()] + [one.type for one in operation.outputs.values()]
    return ANY_LIST in types


def _written_type(value: Any, declaration: str) -> PortType | None:
    """The type that a written value has by itself; None of an empty list."""
    if declaration == ANY_LIST:
        items = {PortType(kind_of(item)) for item in value} if isinstance(value, list) else set()
        return None if not items else items.pop() if len(items) == 1 else _JSON
    return PortType(kind_of(value))


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


def ports_for(operation: Operation, names: Iterable[str], generic: PortType | None) -> Mapping[str, Port]:
    """A port for every input that stands alone, and for each of `names` that stands for many."""
    ports = _single_ports(operation, generic)
    many = {name: stem for name in names if name not in ports and (stem := stem_of(operation, name)) is not None}
    return {**ports, **{name: _port(operation, stem, generic) for name, stem in many.items()}} if many else ports


@lru_cache(maxsize=1024)
def _single_ports(operation: Operation, generic: PortType | None) -> Mapping[str, Port]:
    return {name: _port(operation, name, generic) for name, one in operation.inputs.items() if not one.many}


@lru_cache(maxsize=1024)
def _port(operation: Operation, stem: str, generic: PortType | None) -> Port:
    """One input as a port; where what T stands for is open, of JSON."""
    declared = operation.inputs[stem]
    return Port(
        resolved(declared.type, generic) or PortType(Kind.JSON, declared.type == ANY_LIST),
        is_required=declared.required and declared.default is None,
        is_lazy=declared.lazy,
        default=declared.default,
        schema=declared.schema,
        description=declared.description,
    )
