"""A compiled workflow: checked, typed, with every reference resolved. Planning and execution look at nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from serve.domain.port_types import PortType
from serve.domain.task import Task
from serve.domain.workflow import Policy, WorkflowInput
from serve.workflow.facts import ModelFacts
from serve.workflow.operation import Operation


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that was written down; adapters and models are resolved later, by the terms of the run."""

    value: Any


@dataclass(frozen=True, slots=True)
class OfInput:
    """An input of the workflow."""

    name: str


@dataclass(frozen=True, slots=True)
class OfNode:
    """An output of another node."""

    node: str
    port: str


@dataclass(frozen=True, slots=True)
class Composite:
    """A list, or a JSON value, with references within: `parts` are sources by their place in `template`."""

    template: Any
    parts: tuple[tuple[tuple[str | int, ...], "Literal | OfInput | OfNode"], ...]


Source = Literal | OfInput | OfNode | Composite


class NodeKind(Enum):
    """What a node does."""

    MODEL = "model"
    OPERATION = "operation"
    WORKFLOW = "workflow"


@dataclass(frozen=True, slots=True)
class Port:
    """An input of a node. `is_lazy`: it is worked out only if the operation asks for it."""

    type: PortType
    is_required: bool = False
    is_lazy: bool = False
    default: Any = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of its values, where it is known: bounds, choices, format; for forms, too."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A node. `inputs` are those that are given something; `outputs` are types as others see them: lists where the
    node is run over one (`map`)."""

    name: str
    type: str
    kind: NodeKind
    inputs: Mapping[str, Source]
    ports: Mapping[str, Port]
    outputs: Mapping[str, PortType]
    policy: Policy
    map: tuple[str, ...] = ()
    max_items: int = 0
    concurrency: int = 1
    when: Source | None = None
    model: ModelFacts | None = None
    """Of a `model:` node; of a `task:` node it is found by its input `model` when the run is accepted."""
    task: Task | None = None
    operation: Operation | None = None
    graph: "Graph | None" = None
    """Of a `workflow:` node."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A workflow. `nodes` are in an order in which everything comes after what it needs."""

    digest: str
    nodes: Mapping[str, Node]
    inputs: Mapping[str, WorkflowInput]
    outputs: Mapping[str, OfNode]
    output_types: Mapping[str, PortType]
    num_steps: int
    """At the most, nested ones and items included."""
    depth: int
    """0 without nested workflows."""
