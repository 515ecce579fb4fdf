"""What a workflow must be told about the things it names: served models, and other workflows of its tenant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.domain.workflow import WorkflowSpec


class ChecksInputs(Protocol):
    """Knows the inputs of a model (`serve.catalog.cards.Card`, behind a thin front)."""

    def complete(self, task: Task, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`inputs` with defaults filled in, as plain JSON values. Raises InvalidRequest about one of them."""
        ...

    def most(self, task: Task, inputs: Mapping[str, Any], seconds: float | None) -> Quantities:
        """What a call with these complete inputs consumes at the most, in `seconds` where it has no more."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A served model. `schemas` are the JSON Schemas of its inputs by task, as its card shows them; `digest` is of its
    document and weights: another one may answer otherwise."""

    name: str
    tasks: tuple[Task, ...]
    schemas: Mapping[Task, Mapping[str, Any]]
    digest: str
    takes_adapters: bool
    max_adapters: int
    card: ChecksInputs


@dataclass(frozen=True, slots=True)
class PublishedWorkflow:
    """A version: its number, and what it is."""

    name: str
    version: int
    spec: WorkflowSpec

    @property
    def address(self) -> str:
        """`name@3`: what an alias of it stands for."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Known:
    """All that there is for one tenant. `workflows` is by what node types write after `workflow:`, `name@2` or
    `name@prod`, and has those that nested ones need, too; what is missing there does not exist."""

    models: Mapping[str, ModelFacts]
    workflows: Mapping[str, PublishedWorkflow] = field(default_factory=dict)
