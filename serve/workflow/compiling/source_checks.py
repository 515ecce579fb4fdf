"""Whether what an input is given goes where it is put: written values, references, and values with references in
them."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from serve.domain.port_types import Kind, PortType
from serve.domain.workflow import WorkflowInput
from serve.workflow.compiling.findings import Findings, field_at
from serve.workflow.compiling.literals import value_problems
from serve.workflow.compiling.references import Place
from serve.workflow.graph import Composite, Literal, OfInput, OfNode, Port, Source
from serve.workflow.problems import Code

Outputs = Mapping[str, PortType | None]
"""Types by port; None where it is in doubt, since something before it is wrong."""
MAX_TOLD = 16
"""Names that a sentence lists."""
_JSON = PortType(Kind.JSON)


@dataclass(frozen=True, slots=True)
class Scope:
    """What the nodes of one document can refer to. `outputs` are of the nodes whose kind is known, as they are checked;
    `models` are the names of those that are served."""

    inputs: Mapping[str, WorkflowInput]
    input_types: Mapping[str, PortType]
    outputs: dict[str, Outputs]
    models: Container[str]
    findings: Findings

    def type_of(self, part: Literal | OfInput | OfNode) -> PortType | None:
        """Of what a reference stands for; None where that is in doubt."""
        if isinstance(part, OfNode):
            return self.outputs.get(part.node, {}).get(part.port)
        return self.input_types.get(part.name) if isinstance(part, OfInput) else None


@dataclass(frozen=True, slots=True)
class Where:
    """An input that is given something: what problems with it say. `is_listed` if the node is run over it."""

    node: str
    field: str
    name: str
    port: Port
    wanted: PortType
    is_listed: bool = False


def check_source(scope: Scope, where: Where, source: Source) -> None:
    """Find every problem with what one input is given; references within a value, where the value itself is good."""
    if isinstance(source, Literal):
        _check_written(scope, where, source.value, ())
    elif isinstance(source, Composite):
        places = {place for place, _ in source.parts}
        is_well_written = _check_written(scope, where, source.template, places)
        for place, part in source.parts if is_well_written else ():
            wanted = _within(where.wanted, place)
            if wanted is not None:
                _check_reference(scope, where, place, part, wanted)
            else:
                told = f"{where.name} takes {where.wanted}, and can have no reference within its parts"
                _tell(scope, where, place, Code.WRONG_TYPE, told)
    else:
        _check_reference(scope, where, (), source, where.wanted)


def _check_written(scope: Scope, where: Where, value: object, places: Container[Place]) -> bool:
    schema = where.port.schema
    if where.is_listed and schema:
        schema = {"items": schema}
    wrong = value_problems(value, where.wanted, schema, scope.models, places)
    for code, place, says in wrong:
        _tell(scope, where, place, code, f"{where.name} {says}")
    return not wrong


def _within(wanted: PortType, place: Place) -> PortType | None:
    """What may stand at a place within a value of a type."""
    if wanted == _JSON:
        return _JSON
    if wanted.is_list and len(place) == 1:
        return wanted.item
    return _JSON if wanted.kind is Kind.JSON else None


def _check_reference(
    scope: Scope, where: Where, place: Place, part: Literal | OfInput | OfNode, wanted: PortType
) -> None:
    if isinstance(part, OfNode) and not _has_port(scope, where.node, where.field, place, part):
        return
    given = scope.type_of(part)
    if given is not None and given is not wanted and not given.fits(wanted):
        told = f"{where.name} takes {wanted}, and {_told(part)} is {given}{_hint(where, given, wanted)}"
        _tell(scope, where, place, Code.WRONG_TYPE, told)
    elif isinstance(part, OfNode) and where.wanted.kind.is_static:
        told = f"{where.name} is {where.wanted}: it is written down, or an input of the workflow; it cannot be computed"
        _tell(scope, where, place, Code.NOT_STATIC, told)
    elif isinstance(part, OfInput) and scope.inputs[part.name].may_be_nothing and _needs_a_value(where, place, wanted):
        told = f"{where.name} needs a value, and the input {part.name} may be left out; give it a default"
        _tell(scope, where, place, Code.MISSING_INPUT, told)


def _tell(scope: Scope, where: Where, place: Place, code: Code, told: str) -> None:
    scope.findings.add(code, told, where.node, field_at(where.field, place))


def _needs_a_value(where: Where, place: Place, wanted: PortType) -> bool:
    """Whether null cannot stand there."""
    return where.port.is_required or where.is_listed or (bool(place) and wanted != _JSON)


def _has_port(scope: Scope, node: str | None, field: str, place: Place, part: OfNode) -> bool:
    outputs = scope.outputs.get(part.node)
    if outputs is None or part.port in outputs:
        return True
    told = f"{part.node} has no output {part.port[:80]!r}; it has {listed(outputs)}"
    scope.findings.add(Code.UNKNOWN_PORT, told, node, field_at(field, place))
    return False


def has_port(scope: Scope, field: str, part: OfNode) -> bool:
    """Whether a port that the document itself names is there; if not, that is told."""
    return _has_port(scope, None, field, (), part)


def _told(part: Literal | OfInput | OfNode) -> str:
    if isinstance(part, OfNode):
        return f"{part.node}.{part.port}"
    return f"the input {part.name}" if isinstance(part, OfInput) else "the value"


def _hint(where: Where, given: PortType, wanted: PortType) -> str:
    if where.is_listed:
        return "; the node is run over it (map), so it takes a list"
    if given.is_list and not wanted.is_list and given.item.fits(wanted):
        return "; name it in `map` to run the node for each item"
    return ""


def listed(names: Mapping[str, object]) -> str:
    """The first of these names, for a sentence."""
    told = ", ".join(list(names)[:MAX_TOLD])
    return f"{told}, ..." if len(names) > MAX_TOLD else told or "none"
