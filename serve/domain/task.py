"""What models do (tasks), and the deployment classes that do it (families)."""

from dataclasses import dataclass
from enum import StrEnum

from serve.domain.modality import Modality


class Family(StrEnum):
    """A Ray Serve deployment class; one module of `deployments` each."""

    LLM = "llm"
    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_IMAGE = "image_to_image"


class Task(StrEnum):
    """What one call asks a model to do."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_IMAGE = "image_to_image"


@dataclass(frozen=True, slots=True)
class TaskTraits:
    """The fixed facts about a task."""

    families: frozenset[Family]
    """Those whose models may do it: a text-to-image model's own weights also turn pictures into pictures."""
    inputs: frozenset[Modality]
    outputs: frozenset[Modality]


_LLM = frozenset({Family.LLM})
_TEXT, _IMAGE = frozenset({Modality.TEXT}), frozenset({Modality.IMAGE})

TASKS: dict[Task, TaskTraits] = {
    Task.CHAT: TaskTraits(_LLM, _TEXT, _TEXT),
    Task.COMPLETION: TaskTraits(_LLM, _TEXT, _TEXT),
    Task.EMBEDDING: TaskTraits(_LLM, _TEXT, frozenset({Modality.EMBEDDING})),
    Task.TEXT_TO_IMAGE: TaskTraits(frozenset({Family.TEXT_TO_IMAGE}), _TEXT, _IMAGE),
    Task.IMAGE_TO_IMAGE: TaskTraits(frozenset({Family.TEXT_TO_IMAGE, Family.IMAGE_TO_IMAGE}), _TEXT | _IMAGE, _IMAGE),
}
