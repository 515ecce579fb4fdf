"""What models do (tasks), and the deployment classes that do it (families)."""

from dataclasses import dataclass
from enum import StrEnum

from serve.domain.modality import Modality


class Family(StrEnum):
    """A Ray Serve deployment class; one module of `deployments` each."""

    LLM = "llm"


class Task(StrEnum):
    """What one call asks a model to do."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class TaskTraits:
    """The fixed facts about a task."""

    family: Family
    inputs: frozenset[Modality]
    outputs: frozenset[Modality]


TASKS: dict[Task, TaskTraits] = {
    Task.CHAT: TaskTraits(Family.LLM, frozenset({Modality.TEXT}), frozenset({Modality.TEXT})),
    Task.COMPLETION: TaskTraits(Family.LLM, frozenset({Modality.TEXT}), frozenset({Modality.TEXT})),
    Task.EMBEDDING: TaskTraits(Family.LLM, frozenset({Modality.TEXT}), frozenset({Modality.EMBEDDING})),
}
