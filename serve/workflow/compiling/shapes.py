"""What a node is before anything is said of its inputs' types: its ports, its outputs, and what does its work."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.domain.port_types import PortType
from serve.domain.task import Task
from serve.domain.workflow import NodePrefix, NodeSpec, WorkflowInput
from serve.workflow.compiling.nesting import Nesting
from serve.workflow.compiling.pinning import is_pinned
from serve.workflow.compiling.run_sizes import label_length
from serve.workflow.facts import Known, ModelFacts
from serve.workflow.graph import Graph, Literal, Node, NodeKind, OfInput, Port, Source
from serve.workflow.interface import ports_of_graph
from serve.workflow.operation import Operation
from serve.workflow.ports.model_calls import outputs_of
from serve.workflow.ports.model_ports import MODEL_PORT, ports_of, task_for, task_ports
from serve.workflow.problems import Code

_LISTED = "GET /v1/node-types lists what there is"


@dataclass(frozen=True, slots=True)
class Shape:
    """`ports` and `outputs` of an operation are found later: they depend on what it is given."""

    kind: NodeKind
    ports: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, PortType] = field(default_factory=dict)
    model: ModelFacts | None = None
    task: Task | None = None
    operation: Operation | None = None
    graph: Graph | None = None


class UnknownShape(Exception):
    """There is no such node; `field` is the one that says so."""

    def __init__(self, code: Code, message: str, field: str = "type") -> None:
        super().__init__(code, message, field)
        self.code = code
        self.message = message
        self.field = field


class Shapes:
    """Finds the shape of nodes."""

    def __init__(
        self,
        known: Known,
        operations: Mapping[str, Operation],
        nesting: Nesting,
        graphs: Mapping[str, Graph],
        broken: Mapping[str, tuple[Code, str]],
        is_draft: bool,
    ) -> None:
        """`graphs` are those of nested workflows by address, `broken` says why others have none."""
        self._known = known
        self._operations = operations
        self._nesting = nesting
        self._graphs = graphs
        self._broken = broken
        self._is_draft = is_draft
        self._ports: dict[str, Mapping[str, Port]] = {}
        self._labels: dict[str, int] = {}

    def of(self, node: NodeSpec, sources: Mapping[str, Source], inputs: Mapping[str, WorkflowInput]) -> Shape:
        """Raises UnknownShape."""
        prefix, _, rest = node.type.partition(":")
        if prefix == NodePrefix.MODEL:
            return self._model(rest, node.task, sources.keys())
        if node.task is not None:
            raise UnknownShape(Code.UNKNOWN_TASK, "only a node model:<name> is told its task", "task")
        if prefix == NodePrefix.TASK:
            return self._task(rest, sources, inputs)
        if prefix == NodePrefix.OPERATION:
            return self._operation(rest)
        if prefix == NodePrefix.WORKFLOW:
            return self._workflow(rest)
        raise UnknownShape(
            Code.UNSUPPORTED_NODE,
            f"{node.type[:80]} was imported and has no equivalent here; it is kept as it was and cannot run: "
            "put another node in its place",
        )

    def label_length(self, node: Node) -> int:
        """Characters of the longest label that a step of this node can have."""
        if node.graph is None:
            return label_length(node, 0)
        if node.type not in self._labels:
            self._labels[node.type] = max(map(self.label_length, node.graph.nodes.values()), default=0)
        return label_length(node, self._labels[node.type])

    def _model(self, name: str, task: Task | None, names: Collection[str]) -> Shape:
        facts = self._known.models.get(name)
        if facts is None:
            raise UnknownShape(Code.UNKNOWN_MODEL, f"there is no model {name[:80]!r}; {_LISTED}")
        try:
            chosen = task_for(facts, names, task)
        except InvalidRequest as error:
            raise UnknownShape(Code.UNKNOWN_TASK, str(error), "task") from None
        return Shape(NodeKind.MODEL, ports_of(facts, chosen, names), outputs_of(chosen), facts, chosen)

    def _task(self, name: str, sources: Mapping[str, Source], inputs: Mapping[str, WorkflowInput]) -> Shape:
        if name not in set(Task):
            raise UnknownShape(Code.UNKNOWN_TASK, f"there is no task {name[:80]!r}; there are {', '.join(Task)}")
        task, model = Task(name), sources.get(MODEL_PORT)
        if not any(task in facts.tasks for facts in self._known.models.values()):
            raise UnknownShape(Code.UNKNOWN_TASK, f"no served model does {task}; {_LISTED}")
        for named in _models_named(model, inputs):
            if named in self._known.models and task not in self._known.models[named].tasks:
                raise UnknownShape(Code.UNKNOWN_TASK, f"the model {named} does not do {task}", f"inputs.{MODEL_PORT}")
        ports, facts = task_ports(task, sources.keys()), None
        if isinstance(model, Literal) and isinstance(model.value, str):
            facts = self._known.models.get(model.value)
        if facts is not None:
            ports = {MODEL_PORT: ports[MODEL_PORT], **ports_of(facts, task, sources.keys())}
        return Shape(NodeKind.MODEL, ports, outputs_of(task), facts, task)

    def _operation(self, name: str) -> Shape:
        operation = self._operations.get(name)
        if operation is None:
            raise UnknownShape(Code.UNKNOWN_OPERATION, f"there is no operation {name[:80]!r}; {_LISTED}")
        return Shape(NodeKind.OPERATION, operation=operation)

    def _workflow(self, named: str) -> Shape:
        if not (self._is_draft or is_pinned(named)):
            told = f"workflow:{named[:80]} names no version; a published workflow reads workflow:<name>@<number>"
            raise UnknownShape(Code.UNKNOWN_WORKFLOW, told)
        own = self._nesting.addresses.get(named)
        if own is None:
            raise UnknownShape(
                Code.UNKNOWN_WORKFLOW, f"there is no workflow {named[:80]!r}; GET /v1/workflows lists yours"
            )
        if own in self._broken:
            raise UnknownShape(*self._broken[own])
        graph = self._graphs[own]
        if own not in self._ports:
            self._ports[own] = ports_of_graph(graph)
        return Shape(NodeKind.WORKFLOW, self._ports[own], graph.output_types, graph=graph)


def _models_named(model: Source | None, inputs: Mapping[str, WorkflowInput]) -> list[str]:
    """The models that a `task:` node says it may use, as far as it says."""
    value: Any = None
    if isinstance(model, Literal):
        value = model.value
    elif isinstance(model, OfInput) and model.name in inputs:
        value = inputs[model.name].constraints.enum
    return [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
