"""A graph as it was read, in whichever of ComfyUI's formats it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

API_FORMAT, SAVED_FORMAT = "comfyui-api", "comfyui-save"
"""What a graph was read from, as a workflow's provenance says it."""


@dataclass(frozen=True, slots=True)
class Link:
    """An output of another node, by its place."""

    node: str
    slot: int


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something is drawn, in pixels."""

    x: float
    y: float
    width: float | None = None
    height: float | None = None


@dataclass(frozen=True, slots=True)
class SourceNode:
    """A node. `inputs` are plain values and Links by name; `original` is its JSON as it was.

    `has_moving_seed`: ComfyUI draws its seed anew for each run.
    """

    id: str
    class_type: str
    inputs: Mapping[str, Any]
    original: Any
    title: str = ""
    spot: Spot | None = None
    is_collapsed: bool = False
    color: str = ""
    has_moving_seed: bool = False

    @property
    def told(self) -> str:
        """How sentences name it."""
        return f"{self.class_type[:60]} {self.id[:20]}"

    @property
    def links(self) -> Mapping[str, Link]:
        """The inputs that other nodes give."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}


@dataclass(frozen=True, slots=True)
class SourceNote:
    """Words on the canvas; `id` is of the node that has them, where one does."""

    text: str
    spot: Spot
    id: str | None = None


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """A frame."""

    title: str
    color: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class AppInput:
    """An input of App mode: a value of a node."""

    node: str
    widget: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class SourceGraph:
    """Everything that was read."""

    format: str
    nodes: Mapping[str, SourceNode]
    notes: tuple[SourceNote, ...] = ()
    muted: tuple[SourceNode, ...] = ()
    """Nodes that were switched off: they are drawn, and do nothing."""
    groups: tuple[SourceGroup, ...] = ()
    app_inputs: tuple[AppInput, ...] = ()
    app_outputs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())
