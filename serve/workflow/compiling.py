"""From a document to a graph, or to everything that is wrong with it.

    read values ──> references ──> order, cycles ──> types, node by node ──> interface ──> size ──> Graph

Workflows that it calls are compiled first, each once however often it is called, innermost first. The time is linear
in the size of the documents; nothing is executed, and what is too large is refused before it is looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from serve.domain.port_types import parse_type
from serve.domain.steps import MAX_LABEL
from serve.domain.workflow import MAX_STEPS, WorkflowSpec
from serve.workflow import sizes
from serve.workflow.facts import Known
from serve.workflow.findings import Findings
from serve.workflow.graph import Graph, Node, OfInput, OfNode, Source
from serve.workflow.interface_checks import check_interface, chosen_outputs
from serve.workflow.nesting import Nesting, nesting_of
from serve.workflow.node_checks import Written, check_node
from serve.workflow.operation import Operation
from serve.workflow.operations import OPERATIONS
from serve.workflow.ordering import cycles, ordered, reachable
from serve.workflow.problems import Code, Problem
from serve.workflow.references import parts_of, read_source
from serve.workflow.shapes import Shapes
from serve.workflow.source_checks import Scope


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
        told = f"the workflows that this one calls have more than {MAX_STEPS} nodes together"
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
        written = self._read()
        needs = {name: list(dict.fromkeys(self._needs(one))) for name, one in written.items()}
        wanted = self._wanted(targets, needs)
        needs = {name: others for name, others in needs.items() if wanted is None or name in wanted}
        order = ordered(needs)
        self._check_order(needs, order, written)
        for name in [*order, *(needs.keys() - set(order))]:
            node = check_node(written[name], self._scope, self._shapes)
            if node is not None:
                self._nodes[name] = node
        check_interface(self._spec.interface, self._scope, is_whole=not targets)
        outputs = chosen_outputs(self._spec, targets, self._scope)
        if not targets:
            self._warn(needs, outputs, written)
        graph = self._graph(order, outputs)
        problems = self._findings.told(self._spec.nodes)
        return Compiled(graph, problems)
