"""How a served model is doing."""

from dataclasses import dataclass
from enum import StrEnum


class ModelState(StrEnum):
    """What a caller should expect of a model now."""

    READY = "ready"
    LOADING = "loading"
    AT_ZERO = "at_zero"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model's state; `message` is a sentence for people."""

    state: ModelState
    ready_replicas: int = 0
    desired_replicas: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class ScalingChange:
    """One change of the number of replicas that a model should have. `at_ms` is Unix milliseconds."""

    at_ms: int
    before: int
    after: int
    reason: str
    """A sentence."""
