"""From a document to a graph, or to everything that is wrong with it.

    read values ──> references ──> order, cycles ──> types, node by node ──> interface ──> size ──> Graph

Workflows that it calls are compiled first, each once however often it is called, innermost first. The time is linear
in the size of the documents; nothing is executed, and what is too large is refused before it is looked at.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from serve.domain.port_types import parse_type
from serve.domain.steps import MAX_LABEL
from serve.domain.workflow import MAX_STEPS, WorkflowSpec
from serve.workflow.compiling import run_sizes
from serve.workflow.compiling.findings import MAX_KEY, Findings
from serve.workflow.compiling.interface_checks import check_inputs, interface_outputs, target_outputs
from serve.workflow.compiling.nesting import Nesting, nesting_of
from serve.workflow.compiling.node_checks import Written, check_node
from serve.workflow.compiling.ordering import Needs, cycles, ordered, reachable
from serve.workflow.compiling.references import parts_of, read_source
from serve.workflow.compiling.shapes import Shapes
from serve.workflow.compiling.source_checks import Scope
from serve.workflow.facts import Known
from serve.workflow.graph import Graph, Literal, Node, OfInput, OfNode, Source
from serve.workflow.interface import narrowing_problems
from serve.workflow.operation import Operation
from serve.workflow.operations import OPERATIONS
from serve.workflow.problems import Code, Problem

_MAX_PATH = 12
"""Nodes of a cycle that are named."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """`graph` is there where no problem is an error. Problems are about the document first, then by node."""

    graph: Graph | None
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """The problems that are more than warnings."""
        return [problem for problem in self.problems if problem.is_error]


def compile_workflow(
    spec: WorkflowSpec,
    known: Known,
    *,
    targets: Sequence[str] = (),
    for_draft: bool = False,
    operations: Mapping[str, Operation] = OPERATIONS,
) -> Compiled:
    """Check a workflow, and resolve everything in it.

    With `targets` (`node`, or `node.port`) these are its outputs, under these names; then only what they need is
    compiled, and the rest may be as wrong as it likes. A draft may name other workflows by their aliases.
    """
    nesting = nesting_of(spec, known.workflows)
    if nesting.num_nodes > MAX_STEPS:
        told = (
            f"the workflows that this one calls have more than {MAX_STEPS} nodes together: call fewer, or smaller ones"
        )
        return Compiled(None, [Problem(Code.TOO_LARGE, told, field="nodes")])
    graphs, broken = _nested(nesting, known, operations)
    shapes = Shapes(known, operations, nesting, graphs, broken, for_draft)
    return _Document(spec, known, shapes).compiled(targets)


def _nested(
    nesting: Nesting, known: Known, operations: Mapping[str, Operation]
) -> tuple[dict[str, Graph], dict[str, tuple[Code, str]]]:
    graphs: dict[str, Graph] = {}
    broken = dict(nesting.refused)
    shapes = Shapes(known, operations, nesting, graphs, broken, is_draft=True)
    for own in nesting.order:
        compiled = _Document(nesting.workflows[own].spec, known, shapes).compiled(())
        if compiled.graph is not None:
            graphs[own] = compiled.graph
        else:
            first = compiled.errors[0]
            broken[own] = (first.code, f"{own} cannot run any more: {first.param}: {first.message}"[:1000])
    return graphs, broken


class _Document:
    """One document on its way to a graph."""

    def __init__(self, spec: WorkflowSpec, known: Known, shapes: Shapes) -> None:
        self._spec = spec
        self._shapes = shapes
        self._findings = Findings()
        inputs = {one.name: one for one in spec.interface.inputs}
        types = {name: parse_type(one.type) for name, one in inputs.items()}
        self._scope = Scope(inputs, types, {}, known.models, self._findings)
        self._nodes: dict[str, Node] = {}

    def compiled(self, targets: Sequence[str]) -> Compiled:
        """The graph, if there are no errors."""
        written = self._read([target.partition(".")[0] for target in targets] or self._spec.nodes)
        needs = {name: one.needs for name, one in written.items()}
        order = ordered(needs)
        self._tell_cycles(needs, order, written)
        for name in [*order, *(needs.keys() - set(order))]:
            node = check_node(written[name], self._scope, self._shapes)
            if node is not None:
                self._nodes[name] = node
        if targets:
            outputs = target_outputs(targets, self._spec, self._scope)
        else:
            outputs = interface_outputs(self._spec, self._scope)
            check_inputs(self._spec.interface, self._scope)
        self._check_size()
        if not targets:
            self._warn(needs, outputs, written)
        problems = self._findings.told(self._spec.nodes)
        if any(problem.is_error for problem in problems):
            return Compiled(None, problems)
        graph = self._graph(order, outputs)
        narrowed = [] if targets else narrowing_problems(graph)
        return Compiled(None if narrowed else graph, [*narrowed, *problems])

    def _read(self, names: Iterable[str]) -> dict[str, Written]:
        """These nodes and all that they need, as the document has them."""
        found: dict[str, Written] = {}
        waiting = [name for name in names if name in self._spec.nodes]
        for name in waiting:
            if name not in found:
                found[name] = self._read_node(name)
                waiting += found[name].needs
        return {name: found[name] for name in self._spec.nodes if name in found}

    def _read_node(self, name: str) -> Written:
        spec = self._spec.nodes[name]
        sources: dict[str, Source] = {}
        in_doubt = set()
        for port, value in spec.inputs.items():
            if value is None:
                continue
            source = self._read_value(name, f"inputs.{port[:MAX_KEY]}", value)
            if source is None:
                in_doubt.add(port)
            else:
                sources[port] = source
        when = None if spec.when is None else self._read_value(name, "when", spec.when)
        return Written(name, spec, sources, when, _needs([*sources.values(), when]), frozenset(in_doubt))

    def _read_value(self, node: str, field: str, value: JsonValue) -> Source | None:
        """None where it cannot be read, or refers to what is not there."""
        source, wrong = read_source(value)
        for place, part in parts_of(source):
            if isinstance(part, OfNode) and part.node not in self._spec.nodes:
                wrong.append((Code.UNKNOWN_NODE, place, f"there is no node {part.node[:80]!r}"))
            elif isinstance(part, OfInput) and part.name not in self._scope.inputs:
                wrong.append((Code.UNKNOWN_INPUT, place, f"the interface has no input {part.name[:80]!r}"))
        self._findings.add_wrong(wrong, node, field)
        return None if wrong else source

    def _tell_cycles(self, needs: Needs, order: Sequence[str], written: Mapping[str, Written]) -> None:
        for cycle in cycles(needs, order):
            first, second = cycle[0], cycle[1 % len(cycle)]
            told = " -> ".join([*cycle[:_MAX_PATH], *(["..."] if len(cycle) > _MAX_PATH else []), first])
            message = f"these nodes wait for one another: {told}"
            self._findings.add(Code.CYCLE, message, first, _field_that_needs(written[first], second))

    def _warn(self, needs: Needs, outputs: Mapping[str, OfNode], written: Mapping[str, Written]) -> None:
        """About nodes that no output needs, and inputs that none of the others asks for."""
        used = reachable([part.node for part in outputs.values()], needs)
        if not used:
            return
        for name in written:
            if name not in used:
                self._findings.add(Code.UNREACHABLE_NODE, "no output needs this node, so it does not run", name)
        asked = {
            part.name
            for name in used
            for part in _parts([*written[name].sources.values(), written[name].when])
            if isinstance(part, OfInput)
        }
        for index, one in enumerate(self._spec.interface.inputs):
            if one.name not in asked:
                told = f"no node that runs asks for the input {one.name}"
                self._findings.add(Code.UNUSED_INPUT, told, field=f"interface.inputs.{index}")

    def _check_size(self) -> None:
        nodes = self._nodes.values()
        total = sum(map(run_sizes.num_steps, nodes))
        if total > MAX_STEPS:
            node = max(nodes, key=run_sizes.num_steps)
            told = f"a run could have {total} steps, and has at most {MAX_STEPS}; this node has the most: give it fewer"
            self._findings.add(Code.TOO_LARGE, told, node.name, "maxItems" if node.map else "type")
        for node in nodes:
            length = self._shapes.label_length(node)
            if length > MAX_LABEL:
                told = f"the name of a step within would have {length} characters, and has at most {MAX_LABEL}"
                self._findings.add(Code.TOO_DEEP, f"{told}; shorten names", node.name, "type")

    def _graph(self, order: Sequence[str], outputs: Mapping[str, OfNode]) -> Graph:
        nodes = {name: self._nodes[name] for name in order}
        depths = [1 + node.graph.depth for node in nodes.values() if node.graph is not None]
        return Graph(
            digest=self._spec.digest(),
            nodes=nodes,
            inputs=self._scope.inputs,
            outputs=outputs,
            output_types={name: nodes[part.node].outputs[part.port] for name, part in outputs.items()},
            num_steps=sum(map(run_sizes.num_steps, nodes.values())),
            depth=max(depths, default=0),
        )


def _parts(sources: Iterable[Source | None]) -> Iterator[Literal | OfInput | OfNode]:
    for source in sources:
        for _, part in parts_of(source):
            yield part


def _needs(sources: Iterable[Source | None]) -> list[str]:
    """The nodes that these refer to, each once."""
    return list(dict.fromkeys(part.node for part in _parts(sources) if isinstance(part, OfNode)))


def _field_that_needs(written: Written, other: str) -> str:
    for name, source in written.sources.items():
        if any(isinstance(part, OfNode) and part.node == other for _, part in parts_of(source)):
            return f"inputs.{name}"
    return "when"
