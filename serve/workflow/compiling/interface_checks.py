"""What the interface of a workflow says of itself, and whether it holds."""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from serve.domain.port_types import PortType
from serve.domain.workflow import MAX_DEPTH, Interface, WorkflowInput, WorkflowSpec, is_deeper
from serve.workflow.compiling.findings import field_at
from serve.workflow.compiling.literals import value_problems
from serve.workflow.compiling.source_checks import Scope, has_port
from serve.workflow.graph import OfNode
from serve.workflow.interface import schema_of_input
from serve.workflow.problems import Code


def check_inputs(interface: Interface, scope: Scope) -> None:
    """Names, and whether defaults and choices are what the inputs take."""
    _check_names("inputs", [one.name for one in interface.inputs], scope)
    for index, one in enumerate(interface.inputs):
        field = f"interface.inputs.{index}"
        for where, sentence in _contradictions(one):
            scope.findings.add(Code.INVALID_VALUE, sentence, field=f"{field}.{where}")
        _check_values(one, scope.input_types[one.name], field, scope)


def _check_names(side: str, names: Sequence[str], scope: Scope) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            told = f"there is another of the {side} called {name}"
            scope.findings.add(Code.DUPLICATE_NAME, told, field=f"interface.{side}.{index}.name")


def _contradictions(one: WorkflowInput) -> Iterator[tuple[str, str]]:
    bounds = one.constraints
    if bounds.minimum is not None and bounds.maximum is not None and bounds.minimum > bounds.maximum:
        yield "constraints.minimum", f"minimum {bounds.minimum:g} is more than maximum {bounds.maximum:g}"


def _check_values(one: WorkflowInput, port_type: PortType, field: str, scope: Scope) -> None:
    schema = schema_of_input(one)
    for index, choice in enumerate(one.constraints.enum or ()):
        single = PortType(port_type.kind)
        _check_value(choice, single, {}, f"{field}.constraints.enum.{index}", scope)
    if one.default is not None:
        _check_value(one.default, port_type, schema, f"{field}.default", scope)


def _check_value(value: JsonValue, port_type: PortType, schema: Mapping[str, Any], field: str, scope: Scope) -> None:
    if is_deeper(value, MAX_DEPTH):
        scope.findings.add(Code.TOO_DEEP, f"a value is at most {MAX_DEPTH} levels deep", field=field)
        return
    name = field.rpartition(".")[2] if field.endswith("default") else "the choice"
    for code, place, says in value_problems(value, port_type, schema, scope.models):
        scope.findings.add(code, f"{name} {says}", field=field_at(field, place))


def interface_outputs(spec: WorkflowSpec, scope: Scope) -> dict[str, OfNode]:
    """The outputs that there are, by name; what is wrong with the others is told."""
    outputs = spec.interface.outputs
    if not outputs:
        scope.findings.add(Code.NO_OUTPUTS, "a workflow needs an output", field="interface.outputs")
    _check_names("outputs", [one.name for one in outputs], scope)
    primary = [index for index, one in enumerate(outputs) if one.primary]
    for index in primary[1:]:
        told = f"{outputs[primary[0]].name} is the primary output already"
        scope.findings.add(Code.INVALID_VALUE, told, field=f"interface.outputs.{index}.primary")
    found = {}
    for index, one in enumerate(outputs):
        part = _existing(OfNode(*one.from_), f"interface.outputs.{index}.from", spec.nodes, scope)
        if part is not None:
            found[one.name] = part
    return found


def target_outputs(targets: Sequence[str], spec: WorkflowSpec, scope: Scope) -> dict[str, OfNode]:
    """`node.port` for every output of a target that is a node, and for every target that is an output."""
    found = {}
    for index, target in enumerate(targets):
        node, _, port = target.partition(".")
        ports = [port] if port else scope.outputs.get(node, ())
        for name in ports:
            part = _existing(OfNode(node, name), f"targets.{index}", spec.nodes, scope)
            if part is not None:
                found[f"{node}.{name}"] = part
        if node not in spec.nodes and not ports:
            scope.findings.add(Code.UNKNOWN_NODE, f"there is no node {node[:80]!r}", field=f"targets.{index}")
    return found


def _existing(part: OfNode, field: str, nodes: Container[str], scope: Scope) -> OfNode | None:
    if part.node not in nodes:
        scope.findings.add(Code.UNKNOWN_NODE, f"there is no node {part.node[:80]!r}", field=field)
        return None
    return part if has_port(scope, field, part) else None
