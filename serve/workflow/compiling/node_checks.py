"""One node at a time: its ports and their types, what is given to them, and every problem with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serve.domain.port_types import Kind, PortType
from serve.domain.workflow import NodeSpec
from serve.workflow.compiling.run_sizes import written_length
from serve.workflow.compiling.shapes import Shape, Shapes, UnknownShape
from serve.workflow.compiling.source_checks import Outputs, Scope, Where, check_source, listed
from serve.workflow.graph import Composite, Literal, Node, Port, Source
from serve.workflow.operation import Operation
from serve.workflow.ports.operation_ports import Given, input_of, is_generic, ports_for, resolved, stem_of, unified
from serve.workflow.problems import Code

_BOOLEAN = PortType(Kind.BOOLEAN)
_WHEN = Port(_BOOLEAN, is_required=True)


@dataclass(frozen=True, slots=True)
class Written:
    """A node as the document has it, its values read. Inputs that are given null are given nothing; `in_doubt` are
    those that are given something that cannot be read, which is told already. `needs` are the nodes it refers to."""

    name: str
    spec: NodeSpec
    sources: Mapping[str, Source]
    when: Source | None
    needs: list[str]
    in_doubt: frozenset[str] = frozenset()


def check_node(written: Written, scope: Scope, shapes: Shapes) -> Node | None:
    """The node, or None where it is wrong: then `scope` has the problems. Its outputs are in `scope` from now on, as
    far as they are known."""
    try:
        shape = shapes.of(written.spec, written.sources, scope.inputs)
    except UnknownShape as unknown:
        scope.findings.add(unknown.code, unknown.message, written.name, unknown.field)
        return None
    return _Check(written, scope, shape).node()


class _Check:
    """The checks of one node."""

    def __init__(self, written: Written, scope: Scope, shape: Shape) -> None:
        self._written = written
        self._scope = scope
        self._shape = shape
        self._mapped = frozenset(written.spec.map)
        self._ports = shape.ports
        self._outputs: Outputs = shape.outputs
        self._open: frozenset[str] = frozenset()
        """Inputs whose type depends on something that is in doubt."""

    def node(self) -> Node | None:
        """The node, if nothing is wrong with it."""
        if self._shape.operation is None:
            self._check_written()
        else:
            self._check_operation(self._shape.operation)
        self._check_references()
        self._check_names()
        self._check_map()
        self._check_policy()
        if self._written.when is not None:
            check_source(self._scope, Where(self._written.name, "when", "when", _WHEN, _BOOLEAN), self._written.when)
        outputs = _lifted(self._outputs) if self._mapped else self._outputs
        self._scope.outputs[self._written.name] = outputs
        known = {port: one for port, one in outputs.items() if one is not None}
        if self._scope.findings.is_in_error(self._written.name) or len(known) < len(outputs):
            return None
        return self._made(known)

    def _made(self, outputs: Mapping[str, PortType]) -> Node:
        spec, shape = self._written.spec, self._shape
        return Node(
            name=self._written.name,
            type=spec.type,
            kind=shape.kind,
            inputs=self._written.sources,
            ports=self._ports,
            outputs=outputs,
            policy=spec.policy,
            map=tuple(spec.map),
            max_items=spec.max_items if spec.map else 0,
            concurrency=spec.concurrency if spec.map else 1,
            when=self._written.when,
            model=shape.model,
            task=shape.task,
            operation=shape.operation,
            graph=shape.graph,
        )

    def _tell(self, code: Code, message: str, field: str) -> None:
        self._scope.findings.add(code, message, self._written.name, field)

    def _check_written(self) -> None:
        for name, source in self._written.sources.items():
            if isinstance(source, Literal) and name in self._ports and name not in self._open:
                check_source(self._scope, self._where(name), source)

    def _check_references(self) -> None:
        for name, source in self._written.sources.items():
            if not isinstance(source, Literal) and name in self._ports and name not in self._open:
                check_source(self._scope, self._where(name), source)

    def _where(self, name: str) -> Where:
        port = self._ports[name]
        is_listed = name in self._mapped and not port.type.is_list
        wanted = port.type.listed if is_listed else port.type
        return Where(self._written.name, f"inputs.{name}", name, port, wanted, is_listed)

    def _check_names(self) -> None:
        for name in self._written.sources:
            if name not in self._ports:
                told = f"{self._written.spec.type[:80]} has no input {name[:80]!r}; it has {listed(self._ports)}"
                self._tell(Code.UNKNOWN_INPUT, told, f"inputs.{name[:80]}")
        for name in self._missing():
            self._tell(Code.MISSING_INPUT, f"{name} needs a value", f"inputs.{name}")

    def _missing(self) -> Iterator[str]:
        """Inputs that are given nothing and need something; of those that stand for many, the first of them."""
        sources = self._written.sources
        given = sources.keys() | self._written.in_doubt
        yield from (name for name, port in self._ports.items() if port.is_required and name not in given)
        if (operation := self._shape.operation) is not None:
            stems = {stem_of(operation, name) for name in given}
            needed = (name for name, one in operation.inputs.items() if one.many and one.required)
            yield from (f"{stem}_1" for stem in needed if stem not in stems)
            written = {name: source.value for name, source in sources.items() if isinstance(source, Literal)}
            yield from sorted(operation.needs(written) - given)

    def _check_policy(self) -> None:
        """The nodes of a nested workflow have policies of their own: one around them would try finished nodes again."""
        policy = self._written.spec.policy
        if self._shape.graph is not None and (policy.retries or policy.timeout_seconds is not None):
            field = "policy.retries" if policy.retries else "policy.timeoutSeconds"
            self._tell(Code.INVALID_VALUE, "a workflow is tried and timed node by node: say it of its nodes", field)

    def _check_map(self) -> None:
        spec, sources = self._written.spec, self._written.sources
        lengths: dict[str, int] = {}
        for index, name in enumerate(spec.map):
            wrong = self._not_mappable(index, name)
            if wrong is not None:
                self._tell(*wrong, f"map.{index}")
            elif (length := written_length(sources.get(name))) is not None:
                lengths[name] = length
                if length > spec.max_items:
                    told = f"{name} has {length} items, and the node takes {spec.max_items} (maxItems)"
                    self._tell(Code.TOO_LARGE, told, f"inputs.{name}")
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            self._tell(Code.INVALID_VALUE, f"the lists must be of one length: {told}", "map")

    def _not_mappable(self, index: int, name: str) -> tuple[Code, str] | None:
        if name in self._written.spec.map[:index]:
            return Code.DUPLICATE_NAME, f"{name} stands there twice"
        if name not in self._ports:
            return Code.UNKNOWN_INPUT, f"there is no input {name!r}; there are {listed(self._ports)}"
        if self._ports[name].type.is_list:
            return Code.WRONG_TYPE, f"{name} takes a list itself, and there are no lists of lists"
        if name not in self._written.sources and name not in self._written.in_doubt:
            return Code.MISSING_INPUT, f"{name} is given nothing to run the node over"
        return None

    def _check_operation(self, operation: Operation) -> None:
        """Find what T stands for; ask the operation about what was written down, if that is what its ports take."""
        given = {name: self._given(name, source) for name, source in self._written.sources.items()}
        given |= dict.fromkeys(self._written.in_doubt, Given(None))
        generic = unified(operation, given)
        self._ports = ports_for(operation, given, generic.type)
        if generic.type is None:
            self._open = frozenset(name for name in given if is_generic(operation, name))
        if generic.nested is not None:
            told = f"{generic.nested} is {given[generic.nested].type}, and there are no lists of lists"
            self._tell(Code.WRONG_TYPE, told, f"inputs.{generic.nested}")
        found = generic.type if generic.is_settled else None
        self._outputs = {name: resolved(one.type, found) for name, one in operation.outputs.items()}
        num_before = self._scope.findings.num_found
        self._check_written()
        if self._scope.findings.num_found == num_before:
            self._ask(operation, given)

    def _ask(self, operation: Operation, given: Mapping[str, Given]) -> None:
        values = {name: one.default for name, one in operation.inputs.items() if one.default is not None}
        values = {name: value for name, value in values.items() if name not in given}
        values |= {name: one.value for name, one in given.items() if one.is_written and name in self._ports}
        wrong = operation.problems(values)
        for name, told in wrong:
            self._tell(_expression_code(operation, name), told, f"inputs.{name}")
        if not wrong:
            types = {name: one.type or self._ports[name].type for name, one in given.items() if name in self._ports}
            self._outputs = operation.output_types(types, values) or self._outputs

    def _given(self, name: str, source: Source) -> Given:
        """What one run of the operation is given: an item, where it is run over a list."""
        is_mapped = name in self._mapped
        if isinstance(source, Literal):
            is_list = is_mapped and isinstance(source.value, list)
            return Given(None, True, next(iter(source.value), None) if is_list else source.value)
        scope = self._scope
        found = _composite_type(source, scope) if isinstance(source, Composite) else scope.type_of(source)
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


def _expression_code(operation: Operation, name: str) -> Code:
    """A text that its operation cannot read is an expression; anything else is a value."""
    declared = input_of(operation, name)
    return Code.INVALID_EXPRESSION if declared is not None and declared.type == Kind.TEXT else Code.INVALID_VALUE


def _lifted(outputs: Outputs) -> Outputs:
    """As lists of what the items put out. An output that is a list already has none: lists do not nest."""
    return {
        name: None if one is None else one.listed for name, one in outputs.items() if one is None or not one.is_list
    }
