"""The translation of one graph: what is known of its nodes so far, and the workflow that grows out of them."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from serve.domain.workflow import DEFAULT_ITEMS, MAX_ITEMS
from serve.workflow.comfyui.classes import CLASSES, is_default_title, output_name, output_type
from serve.workflow.comfyui.interface import InterfaceFull, InterfaceParts
from serve.workflow.comfyui.marks import Marks, read_title
from serve.workflow.comfyui.naming import port_name, unused
from serve.workflow.comfyui.source import Link, SourceGraph, SourceNode
from serve.workflow.comfyui.values import PART_TYPES, Flow, NoEquivalent, Part, Value, written
from serve.workflow.facts import ModelFacts
from serve.workflow.operations import OPERATIONS

_MAX_WARNINGS = 1000
_MAX_WARNING = 1000
_PartType = TypeVar("_PartType", bound=Part)


class Translation:
    """One graph on its way. `values` are the outputs of the nodes that were translated, `inert` says why others are
    kept as they are; `became` is what `Provenance` says."""

    def __init__(self, graph: SourceGraph, models: Mapping[str, ModelFacts], chosen: Mapping[str, str]) -> None:
        self.graph = graph
        self.models = models
        self.chosen = chosen
        self.marks = Marks(graph)
        self.interface = InterfaceParts()
        self.values: dict[str, tuple[Value, ...]] = {}
        self.inert: dict[str, str] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.owners: dict[str, str] = {}
        """The node of the graph that each of ours came of."""
        self.became: dict[str, list[str]] = {}
        self.warnings: list[str] = []
        self.fixed: set[tuple[str, str]] = set()
        """Marked values that cannot be inputs, which is told."""
        self.consumers: dict[Link, list[str]] = {}
        """The names of the inputs that an output goes to."""
        self.num_uses: Counter[str] = Counter()
        for node in graph.nodes.values():
            for name, link in node.links.items():
                self.consumers.setdefault(link, []).append(name)
                self.num_uses[link.node] += 1
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._promoted: dict[tuple[str, str], Flow] = {}

    def place_of_input(self, name: str) -> tuple[int, int]:
        """Where an input stands among the others: first those of the app, as it has them, then by their nodes."""
        for place, (key, mark) in enumerate(self.marks.inputs.items()):
            flow = self._promoted.get(key)
            if mark.is_of_app and flow is not None and flow.written["$input"] == name:
                return 0, place
        return 1, self._place(f"input:{name}")

    def place_of_output(self, name: str) -> tuple[int, int]:
        """The same for an output."""
        for place, id in enumerate(self.graph.app_outputs):
            if f"output:{name}" in self.became.get(id, ()):
                return 0, place
        return 1, self._place(f"output:{name}")

    def _place(self, what: str) -> int:
        return next((place for place, id in enumerate(self.graph.nodes) if what in self.became.get(id, ())), 0)

    def warn(self, told: str) -> None:
        """Say once that something is not as it was."""
        if told[:_MAX_WARNING] not in self.warnings and len(self.warnings) < _MAX_WARNINGS:
            self.warnings.append(told[:_MAX_WARNING])

    def mark(self) -> "Before":
        """What there is now, to go back to."""
        credits = {source: len(names) for source, names in self.became.items()}
        inputs, outputs = len(self.interface.inputs), len(self.interface.outputs)
        return Before(len(self.nodes), inputs, outputs, len(self.warnings), credits, set(self._promoted))

    def roll_back(self, before: "Before") -> None:
        """Undo what was added since."""
        for table, size in (
            (self.nodes, before.num_nodes),
            (self.interface.inputs, before.num_inputs),
            (self.interface.outputs, before.num_outputs),
        ):
            for name in list(table)[size:]:
                del table[name]
        del self.warnings[before.num_warnings :]
        self.became = {source: self.became[source][:size] for source, size in before.credits.items()}
        self._promoted = {key: flow for key, flow in self._promoted.items() if key in before.promoted}

    def add(self, source: SourceNode, node: dict[str, Any], suffix: str = "") -> str:
        """A node of ours that does a node's work, or a part of it; its name."""
        name = self.name_of(source) if not suffix else self._new_name(f"{self.name_of(source)[:32]}_{suffix}")
        if name in self.nodes:
            name = self._new_name(name)
        self.nodes[name] = node
        self.owners[name] = source.id
        self.credit(source.id, name)
        return name

    def name_of(self, source: SourceNode) -> str:
        """The name of the node of ours that has its place: its class and its id."""
        if source.id not in self._names:
            self._names[source.id] = self._new_name(port_name(f"{source.class_type[:28]} {source.id}", "node"))
        return self._names[source.id]

    def _new_name(self, name: str) -> str:
        name = unused(name, self._taken)
        self._taken.add(name)
        return name

    def credit(self, source: str, *names: str) -> None:
        """Write down what a node of the graph has become."""
        known = self.became.setdefault(source, [])
        known += [name for name in names if name not in known]

    def use(self, flow: Flow, name: str) -> Any:
        """How the node `name` writes a value; whose work it takes along is written down."""
        for source in flow.sources:
            self.credit(source, name)
        return flow.written

    def value_of(self, link: Link, told: str) -> Value:
        """What a link brings. `told` names the input. Raises NoEquivalent."""
        source = self.graph.nodes.get(link.node)
        if source is None:
            raise NoEquivalent(f"what it takes as {told} comes from {link.node[:40]}, which the graph does not have")
        values = self.values.get(link.node)
        if values is not None:
            if link.slot < len(values):
                return values[link.slot]
            raise NoEquivalent(f"what it takes as {told} comes from an output of {source.told} that is not known")
        type = output_type(source.class_type, link.slot)
        if type in PART_TYPES:
            raise NoEquivalent(f"what it takes as {told} comes from {source.told}, which has no equivalent")
        return Flow({"$ref": [self.name_of(source), output_name(source.class_type, link.slot)]}, type)

    def promoted(self, node: SourceNode, widget: str, type: str) -> Flow | None:
        """A value as an input of the workflow, where it is marked as one."""
        key = (node.id, widget)
        if key in self.marks.inputs and key not in self._promoted and key not in self.fixed:
            default, ours = node.inputs[widget], type if type in _PLAIN else _CHOSEN.get(widget)
            if ours is None:
                self.fix(node, widget, "cannot be an input here")
                return None
            try:
                words = self.marks.inputs[key].words
                flow = self.interface.add_input(words, ours, default=default if ours in _PLAIN else None)
            except InterfaceFull:
                self.fix(node, widget, "has no room in the interface")
                return None
            self.promote(node, widget, replace(flow, type=type, default=default))
        return self._promoted.get(key)

    def fix(self, node: SourceNode, widget: str, why: str) -> None:
        """Say that a marked value stays what it is."""
        self.fixed.add((node.id, widget))
        self.warn(f"{node.told}: {widget} {why}; it stays {str(node.inputs.get(widget))[:60]!r}")

    def promote(self, node: SourceNode, widget: str, flow: Flow) -> None:
        """Write down that callers give a value of a node."""
        self._promoted[node.id, widget] = flow
        self.credit(node.id, f"input:{flow.written['$input']}")

    def tell_unpromoted(self) -> None:
        """Warn of marks that came to nothing."""
        for id, widget in self.marks.inputs:
            if (id, widget) not in self._promoted and (id, widget) not in self.fixed:
                told = f"{widget[:60]} is marked as an input, and nothing that has an equivalent takes it"
                self.warn(f"{self.graph.nodes[id].told}: {told}")

    def own_title(self, node: SourceNode) -> str:
        """The title that people gave a node, without marks; empty where it says no more than the class."""
        mark = read_title(node.title)
        if mark is not None:
            return mark.words
        return "" if is_default_title(node.class_type, node.title) else node.title.strip()


_PLAIN = frozenset({"STRING", "INT", "FLOAT", "BOOLEAN"})
_CHOSEN = {"ckpt_name": "model", "unet_name": "model", "lora_name": "adapter"}
"""What callers choose in place of a file."""


@dataclass(frozen=True, slots=True)
class Before:
    """How much of a translation there was at a moment."""

    num_nodes: int
    num_inputs: int
    num_outputs: int
    num_warnings: int
    credits: Mapping[str, int]
    promoted: Collection[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Operated:
    """A node of ours that was added. `is_list`: it runs over a list, and puts out lists."""

    name: str
    is_list: bool
    num_items: int | None

    def out(self, port: str, type: str) -> Flow:
        """One of its outputs."""
        return Flow({"$ref": [self.name, port]}, type, is_list=self.is_list, num_items=self.num_items)


class Call:
    """One node, as its translator sees it."""

    def __init__(self, translation: Translation, node: SourceNode) -> None:
        self.translation = translation
        self.node = node
        self.inlined: set[str] = set()
        """Nodes whose values stand in what this one has become."""

    def warn(self, told: str) -> None:
        """Say what is not as it was, in words that go on from the node's name."""
        self.translation.warn(f"{self.node.told}: {told}")

    def flow(self, name: str, default: Any = None) -> Flow:
        """A value. Raises NoEquivalent where there is none, and no default."""
        found = self.maybe(name)
        if found is None and default is not None:
            return written(default, self._type(name))
        if found is None:
            raise NoEquivalent(f"it is given no {name}")
        return found

    def maybe(self, name: str) -> Flow | None:
        """The same, or None."""
        if name not in self.node.inputs:
            return None
        value = self.node.inputs[name]
        if not isinstance(value, Link):
            promoted = self.translation.promoted(self.node, name, self._type(name))
            return promoted or (None if value is None else written(value, self._type(name)))
        found = self.translation.value_of(value, name)
        if not isinstance(found, Flow):
            raise NoEquivalent(f"what it takes as {name} is no value")
        return found

    def picture(self, name: str) -> Flow:
        """A picture, or a mask, from another node. Raises NoEquivalent."""
        found = self.flow(name)
        if found.is_known or found.type not in ("IMAGE", "MASK", "ANY"):
            raise NoEquivalent(f"its {name} is no picture")
        return found

    def literal(self, name: str, default: Any = None) -> Any:
        """A value that is written down, and cannot be given by callers. Raises NoEquivalent where it is computed."""
        value = self.node.inputs.get(name, default)
        if isinstance(value, Link):
            found = self.flow(name)
            if not found.is_known:
                raise NoEquivalent(f"its {name} is computed, and can only be written down here")
            self.inlined |= found.sources
            return found.literal
        if (self.node.id, name) in self.translation.marks.inputs:
            self.translation.fix(self.node, name, "cannot be an input here")
        return default if value is None else value

    def text(self, name: str, default: str = "") -> str:
        """The same, as a text."""
        return str(self.literal(name, default))

    def number(self, name: str, default: float) -> float:
        """The same, as a number. Raises NoEquivalent for what is none."""
        value = self.literal(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NoEquivalent(f"its {name} is no number")
        return value

    def part(self, name: str, kind: type[_PartType]) -> _PartType:
        """What is no value of a workflow. Raises NoEquivalent."""
        link = self.node.inputs.get(name)
        if not isinstance(link, Link):
            raise NoEquivalent(f"its {name} is not connected")
        found = self.translation.value_of(link, name)
        if not isinstance(found, kind):
            source = self.translation.graph.nodes[link.node]
            why = "has no equivalent" if source.id in self.translation.inert else "gives something else"
            raise NoEquivalent(f"what it takes as {name} comes from {source.told}, which {why}")
        return found

    @property
    def num_uses(self) -> int:
        """How many inputs of other nodes it gives something to."""
        return self.translation.num_uses[self.node.id]

    def is_used(self, slot: int) -> bool:
        """Whether another node takes this output."""
        return Link(self.node.id, slot) in self.translation.consumers

    def operate(self, operation: str, inputs: Mapping[str, Flow | None], suffix: str = "") -> Operated:
        """Add an operation; it runs over lists where single values are taken, and a list is given."""
        given = {name: flow for name, flow in inputs.items() if flow is not None}
        mapped = [name for name, flow in given.items() if flow.is_list and not _takes_list(operation, name)]
        counts = [given[name].num_items for name in mapped]
        counted = next((count for count in counts if count is not None), None)
        node: dict[str, Any] = {"type": f"op:{operation}"}
        name = self.translation.add(self.node, node, suffix)
        node["inputs"] = {port: self._given(operation, port, flow, name) for port, flow in given.items()}
        if mapped:
            node["map"] = mapped
            node["max_items"] = min(max(counted or 0, DEFAULT_ITEMS), MAX_ITEMS)
        return Operated(name, bool(mapped), counted)

    def _given(self, operation: str, port: str, flow: Flow, name: str) -> Any:
        value = self.translation.use(flow, name)
        return [value] if _takes_list(operation, port) and not flow.is_list else value

    def credit(self, *flows: Flow) -> None:
        """Write down that the node's work is done where these come from."""
        for flow in flows:
            place = place_of(flow)
            if place is not None:
                self.translation.credit(self.node.id, place)

    def _type(self, name: str) -> str:
        known = CLASSES.get(self.node.class_type)
        port = known.port(name) if known is not None else None
        return port.type if port is not None else "ANY"


def place_of(flow: Flow) -> str | None:
    """Where a value comes from, as `became` says it."""
    if isinstance(flow.written, Mapping) and "$ref" in flow.written:
        return str(flow.written["$ref"][0])
    if isinstance(flow.written, Mapping) and "$input" in flow.written:
        return f"input:{flow.written['$input']}"
    return None


def _takes_list(operation: str, port: str) -> bool:
    inputs = OPERATIONS[operation].inputs
    declared = inputs.get(port) or inputs[port.rpartition("_")[0]]
    return declared.type.startswith("list[")
