"""What an operation is: typed ports, and a function from values to values.

A new one is a file in `serve/workflow/nodes` with a subclass of `Operation`, and a line in `serve.workflow.operations`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from serve.domain.port_types import PortType


@dataclass(frozen=True, slots=True)
class In:
    """An input. `type` is written as documents write it, or `T` or `list[T]`: any type, the same one wherever the
    operation says T. `schema` bounds the value in the words of JSON Schema (minimum, enum, maxLength, ...).

    A lazy one is worked out only if `Operation.wants` asks for it. An input that `may_be_skipped` does not have the
    operation skipped when what it comes from was. One with `many` stands for any number of inputs whose names begin
    with its own and go on with `_1`, `_2`, ... or any word after `_`.
    """

    type: str
    description: str
    required: bool = True
    default: Any = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    lazy: bool = False
    may_be_skipped: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Out:
    """An output."""

    type: str
    description: str = ""


class Files(Protocol):
    """The blobs that an operation reads and writes."""

    @property
    def max_pixels(self) -> int:
        """Of a picture that is read, and of one that is made."""
        ...

    async def read(self, asset: Any) -> bytes:
        """The bytes of an `Asset`. Raises InvalidRequest where it is there no longer."""
        ...

    async def write(self, name: str, data: bytes, media_type: str, width: int, height: int) -> Any:
        """A new `Asset` of the run."""
        ...


class Operation(ABC):
    """Does one thing to values. Instances hold nothing.

    `version` counts changes of what it does: results of another version are not reused. Values are Python's own, as
    `serve.domain.port_types` says; None for an optional input without a value or a default.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    category: ClassVar[str]
    version: ClassVar[int] = 1
    inputs: ClassVar[Mapping[str, In]]
    outputs: ClassVar[Mapping[str, Out]]

    def output_types(self, given: Mapping[str, PortType], values: Mapping[str, Any]) -> Mapping[str, PortType] | None:
        """The types of the outputs, where they depend on a written value (a constant's, what a JSON path is to give);
        None: as `outputs` says, with T found from the inputs."""
        return None

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(input, sentence) for everything wrong with what was written down: a template that cannot be read, ..."""
        return []

    def needs(self, values: Mapping[str, Any]) -> frozenset[str]:
        """Which inputs must be given something, seeing what was written down: the holes of a template."""
        return frozenset()

    def wants(self, values: Mapping[str, Any]) -> frozenset[str]:
        """Which of the lazy inputs it needs, seeing the others."""
        return frozenset()


class Quick(Operation):
    """An operation that takes microseconds: the runner does it itself, between two events of its loop."""

    @abstractmethod
    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs. Raises InvalidRequest with the input as `param`."""


class OnFiles(Operation):
    """An operation on pictures, or on other assets: done where their bytes may go (`Operations.perform`)."""

    @abstractmethod
    async def apply(self, values: Mapping[str, Any], files: Files) -> Mapping[str, Any]:
        """The outputs. What takes long runs in a thread. Raises InvalidRequest with the input as `param`."""
