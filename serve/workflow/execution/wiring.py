"""What a plan is made of: nodes in their places, what feeds them, and the keys of their results.

A node of a nested workflow is planned beside those around it, under a label of its own: what it is fed comes straight
from where it is made, so it starts when that is there, and not when all that its workflow is given is there. What is
left of the nested workflow is a `Frame`: something to show, and a condition that its nodes share.

Keys are Merkle keys: of a node's type, version and constants, and of the keys of what feeds it. So they say what a
result is without its being there, and what is kept under the last one spares all before it. Where something has none
(its results are not to be kept), what it feeds is keyed by the content of what came, once it came.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from serve.domain.port_types import Kind, PortType
from serve.workflow.graph import Graph, Node
from serve.workflow.values import convert, digest_of


@dataclass(slots=True, eq=False)
class Fixed:
    """A value that is there from the start."""

    value: Any
    ref: str | None


@dataclass(slots=True, eq=False)
class Piped:
    """An output of another node of the plan."""

    source: "Planned"
    port: str
    ref: str | None


@dataclass(slots=True, eq=False)
class Made:
    """A list or JSON value with feeds within."""

    template: Any
    parts: tuple[tuple[tuple[str | int, ...], "Feed"], ...]
    ref: str | None


@dataclass(slots=True, eq=False)
class Element:
    """One of a list."""

    feed: "Feed"
    index: int
    ref: str | None


@dataclass(slots=True, eq=False)
class Converted:
    """A value as another type."""

    feed: "Feed"
    source: PortType
    wanted: PortType
    ref: str | None


Feed = Fixed | Piped | Made | Element | Converted
NOTHING = Fixed(None, "=" + digest_of(None))


@dataclass(slots=True, eq=False)
class Frame:
    """A nested workflow that is not run over a list: its nodes are planned for themselves."""

    label: str
    node: Node
    scope: "Scope"
    whens: tuple[Feed, ...]
    frames: tuple["Frame", ...]


@dataclass(slots=True, eq=False)
class Planned:
    """A node in its place, or an item of one.

    `inputs` are what it is given, by port; `whens` all that must be true before any of it is asked for. `outputs` are
    the types of what comes out of it here. `key` is None where results are not kept, or depend on such. `ref` is what
    it is to those that it feeds: its key, and its conditions. `drawn` is its seed where it was given none.
    """

    label: str
    path: str
    """The label without items."""
    node: Node
    inputs: Mapping[str, Feed]
    whens: tuple[Feed, ...]
    outputs: Mapping[str, PortType]
    frames: tuple[Frame, ...]
    key: str | None
    ref: str | None
    drawn: int | None = None
    is_mapped: bool = False
    """Whether it is run over lists. Its items are planned by `Planner.item`."""
    ports: frozenset[str] = frozenset()
    """Of a nested workflow: outputs that somebody may ask for."""
    scope: "Scope | None" = None
    """Of an item that is a workflow."""
    items: dict[int, "Planned"] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Scope:
    """A workflow in its place. `nodes` are those that something may need; `outputs` feed whoever asked for them."""

    graph: Graph
    prefix: str
    path: str
    bound: Mapping[str, Feed]
    input_types: Mapping[str, PortType]
    whens: tuple[Feed, ...]
    frames: tuple[Frame, ...]
    nodes: dict[str, Planned | Frame] = field(default_factory=dict)
    outputs: dict[str, Feed] = field(default_factory=dict)

    def planned(self) -> Iterator[Planned]:
        """All nodes, those of nested workflows among them, everything after what it needs."""
        for one in self.nodes.values():
            if isinstance(one, Frame):
                yield from one.scope.planned()
            else:
                yield one

    def all_frames(self) -> Iterator[Frame]:
        """All nested workflows, outer ones first."""
        for one in self.nodes.values():
            if isinstance(one, Frame):
                yield one
                yield from one.scope.all_frames()

    def idle(self) -> Iterator[tuple[str, str]]:
        """(label, type) of nodes that nothing can need."""
        for scope in (self, *(frame.scope for frame in self.all_frames())):
            for name, node in scope.graph.nodes.items():
                if name not in scope.nodes:
                    yield scope.prefix + name, node.type


def hashed(*parts: str) -> str:
    """A key of these."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def fixed(value: Any) -> Fixed:
    """A value that is there from the start, known by its content."""
    return Fixed(value, "=" + digest_of(value))


def sources(feed: Feed) -> tuple[Planned, ...]:
    """The nodes that it comes from."""
    if isinstance(feed, Piped):
        return (feed.source,)
    if isinstance(feed, Fixed):
        return ()
    if isinstance(feed, Made):
        return tuple(source for _, part in feed.parts for source in sources(part))
    return sources(feed.feed)


def converted(feed: Feed, source: PortType, wanted: PortType) -> Feed:
    """The same as `wanted`. Only what becomes text is changed on the way."""
    if wanted.kind is not Kind.TEXT or source.kind is Kind.TEXT:
        return feed
    if isinstance(feed, Fixed):
        return fixed(convert(feed.value, source, wanted))
    return Converted(feed, source, wanted, feed.ref and f"{feed.ref}:text")


def with_parts(template: Any, parts: Iterator[tuple[tuple[str | int, ...], Any]]) -> Any:
    """`template`, which stays as it is, with values in their places."""
    made = _copy(template)
    for path, value in parts:
        place = made
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
    return made


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_copy(one) for one in value]
    return value
