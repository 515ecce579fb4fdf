"""What is wrong with a workflow: every problem at once, each with its place, a machine code and a sentence.

node and field         of a problem with a node: `gen`, `inputs.width` (also `map`, `when`, `type`, `task`, `policy...`)
field alone            of the document: `interface.outputs.0.from`
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The machine codes."""

    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_OPERATION = "unknown_operation"
    UNKNOWN_WORKFLOW = "unknown_workflow"
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_NODE = "unknown_node"
    """A reference to a node that is not there."""
    UNKNOWN_PORT = "unknown_port"
    UNKNOWN_INPUT = "unknown_input"
    """A node is given an input that it does not have, or refers to one that the interface does not have."""
    MISSING_INPUT = "missing_input"
    WRONG_TYPE = "wrong_type"
    INVALID_VALUE = "invalid_value"
    INVALID_EXPRESSION = "invalid_expression"
    """A template or a path that cannot be read, or tries to be code."""
    NOT_STATIC = "not_static"
    """An adapter or a model is computed; it must be written down, or be an input of the workflow."""
    CYCLE = "cycle"
    DUPLICATE_NAME = "duplicate_name"
    NO_OUTPUTS = "no_outputs"
    UNSUPPORTED_NODE = "unsupported_node"
    """An imported node that has no equivalent here."""
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    UNREACHABLE_NODE = "unreachable_node"
    """A warning: no output of the interface needs it, so it does not run."""
    UNUSED_INPUT = "unused_input"
    """A warning: no node that runs asks for this input of the interface."""


WARNINGS = frozenset({Code.UNREACHABLE_NODE, Code.UNUSED_INPUT})


@dataclass(frozen=True, slots=True)
class Problem:
    """One of them. `node` is None where it is about the document."""

    code: Code
    message: str
    node: str | None = None
    field: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether the workflow cannot run with it."""
        return self.code not in WARNINGS

    @property
    def param(self) -> str | None:
        """The path of the field in the document."""
        if self.node is None:
            return self.field
        return ".".join(filter(None, ("nodes", self.node, self.field)))
