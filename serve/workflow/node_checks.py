"""One node at a time: its ports and their types, what is given to them, and every problem with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serve.domain.port_types import Kind, PortType
from serve.domain.workflow import NodeSpec
from serve.workflow.graph import Composite, Literal, Node, Port, Source
from serve.workflow.operation import Operation
from serve.workflow.operation_ports import Given, Unified, input_of, ports_for, resolved, unified
from serve.workflow.problems import Code
from serve.workflow.shapes import Shape, Shapes, UnknownShape
from serve.workflow.sizes import written_length
from serve.workflow.source_checks import Outputs, Scope, Where, check_source, listed

_BOOLEAN = PortType(Kind.BOOLEAN)
_WHEN = Port(_BOOLEAN, is_required=True)


@dataclass(frozen=True, slots=True)
class Written:
    """A node as the document has it, its values read. Inputs that are given null are given nothing."""

    name: str
    spec: NodeSpec
    sources: Mapping[str, Source]
    when: Source | None


def check_node(written: Written, scope: Scope, shapes: Shapes) -> Node | None:
    """The node, or None where it is wrong: then `scope` has the problems. Its outputs are in `scope` from now on, as
    far as they are known."""
    findings, name = scope.findings, written.name
    try:
        shape = shapes.of(written.spec, written.sources, scope.inputs)
    except UnknownShape as unknown:
        findings.add(unknown.code, unknown.message, name, unknown.field)
        return None
    found = _typed(written, scope, shape)
    scope.outputs[name] = _lifted(found.outputs) if written.spec.map else found.outputs
    _check_inputs(written, scope, found)
    if written.when is not None:
        check_source(scope, Where(name, "when", "when", _WHEN, _BOOLEAN), written.when)
    if findings.is_in_error(name) or None in found.outputs.values():
        return None
    return _node(written, shape, found.ports, {p: t for p, t in scope.outputs[name].items() if t is not None})


@dataclass(frozen=True, slots=True)
class _Found:
    """A node's ports, and its outputs as one run of it gives them. `many` are the ports that stand for any number."""

    ports: Mapping[str, Port]
    outputs: Outputs
    many: tuple[str, ...] = ()


def _typed(written: Written, scope: Scope, shape: Shape) -> _Found:
    operation = shape.operation
    if operation is None:
        return _Found(shape.ports, shape.outputs)
    given = {name: _given(source, name in written.spec.map, scope) for name, source in written.sources.items()}
    generic = unified(operation, given)
    if generic.doubtful is not None:
        _tell_doubt(written, scope, generic, given[generic.doubtful])
    ports = ports_for(operation, list(written.sources), generic.type)
    many = tuple(stem for stem, one in operation.inputs.items() if one.many and one.required and one.default is None)
    return _Found(ports, _operation_outputs(operation, written, scope, generic, given, ports), many)


def _given(source: Source, is_mapped: bool, scope: Scope) -> Given:
    if isinstance(source, Literal):
        is_list = is_mapped and isinstance(source.value, list)
        return Given(None, True, next(iter(source.value), None) if is_list else source.value)
    if isinstance(source, Composite):
        found = _composite_type(source, scope)
    else:
        found = scope.type_of(source)
    if is_mapped and found is not None:
        found = found.item if found.is_list else None
    return Given(found)


def _composite_type(source: Composite, scope: Scope) -> PortType | None:
    """A list, if all that is known of it has one type; else JSON; None where a part of it is in doubt."""
    parts = {scope.type_of(part) for _, part in source.parts}
    if None in parts:
        return None
    is_flat = isinstance(source.template, list) and all(len(place) == 1 for place, _ in source.parts)
    if is_flat and len(parts) == 1 and (only := parts.pop()) is not None and not only.is_list:
        return only.listed
    return PortType(Kind.JSON)


def _tell_doubt(written: Written, scope: Scope, generic: Unified, given: Given) -> None:
    name = generic.doubtful or ""
    told = f"{name} is {given.type}, which does not go with the other inputs, {generic.type}"
    if generic.type is None:
        told = f"{name} is {given.type}, and there are no lists of lists"
    scope.findings.add(Code.WRONG_TYPE, told, written.name, f"inputs.{name}")


def _operation_outputs(
    operation: Operation,
    written: Written,
    scope: Scope,
    generic: Unified,
    given: Mapping[str, Given],
    ports: Mapping[str, Port],
) -> Outputs:
    """The types of its outputs; the operation is asked only about values that are what its ports take."""
    values = {name: one.default for name, one in operation.inputs.items() if one.default is not None and not one.many}
    values |= {name: one.value for name, one in given.items() if one.is_written and name in ports}
    own: Mapping[str, PortType] | None = None
    if _is_well_written(written, scope, ports):
        wrong = operation.problems(values)
        for name, told in wrong:
            code = _expression_code(operation, name)
            scope.findings.add(code, told, written.name, f"inputs.{name}")
        if not wrong:
            types = {name: one.type or ports[name].type for name, one in given.items() if name in ports}
            own = operation.output_types(types, values)
    if own is not None:
        return own
    is_in_doubt = generic.is_in_doubt or generic.doubtful is not None
    found = None if is_in_doubt else generic.type
    return {name: resolved(one.type, found) for name, one in operation.outputs.items()}


def _is_well_written(written: Written, scope: Scope, ports: Mapping[str, Port]) -> bool:
    """Check the values that are written down, ahead of the others."""
    before = scope.findings.num_found
    for name, source in written.sources.items():
        if name in ports and isinstance(source, Literal):
            check_source(scope, _where(written, name, ports[name]), source)
    return scope.findings.num_found == before


def _expression_code(operation: Operation, name: str) -> Code:
    """A text that its operation cannot read is an expression; anything else is a value."""
    declared = input_of(operation, name)
    return Code.INVALID_EXPRESSION if declared is not None and declared.type == Kind.TEXT else Code.INVALID_VALUE


def _where(written: Written, name: str, port: Port) -> Where:
    is_listed = name in written.spec.map and not port.type.is_list
    wanted = port.type.listed if is_listed else port.type
    return Where(written.name, f"inputs.{name}", name, port, wanted, is_listed)


def _check_inputs(written: Written, scope: Scope, found: _Found) -> None:
    is_operation = bool(scope.findings.num_found) and found.many is not None
    for name, source in written.sources.items():
        port = found.ports.get(name)
        if port is None:
            told = f"{written.spec.type[:80]} has no input {name[:80]!r}; it has {listed(found.ports)}"
            scope.findings.add(Code.UNKNOWN_INPUT, told, written.name, f"inputs.{name[:80]}")
        else:
            check_source(scope, _where(written, name, port), source)
    for name in _missing(written, found):
        scope.findings.add(Code.MISSING_INPUT, f"{name} needs a value", written.name, f"inputs.{name}")
    _check_map(written, scope, found.ports)
