"""From a compiled workflow and what it is given to a plan: which nodes there are to run, what feeds each of them, and
under which keys their results are kept. Pure: nothing is asked, nothing runs.

A plan is worked out in one pass over the nodes that something can need, so its cost is linear. Lists are planned as one
node each; their items are planned when their number is known (`Planner.item`), and have keys of their own: the value of
the element where it is written down, the key of the same item where it comes from a node that is run over a list, too,
and else the key of the list and the place in it. So of a list in which one element changed, one item is run again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serve.domain.media import Asset
from serve.domain.port_types import Kind, PortType, parse_type
from serve.domain.run import WorkflowTerms
from serve.domain.workflow import CacheUse
from serve.workflow.adapter_names import read_adapters
from serve.workflow.compiling.references import outputs_named
from serve.workflow.execution.wiring import (
    NOTHING,
    Converted,
    Element,
    Feed,
    Fixed,
    Frame,
    Made,
    Piped,
    Planned,
    Scope,
    converted,
    fixed,
    hashed,
    sources,
)
from serve.workflow.facts import ModelFacts
from serve.workflow.graph import Composite, Graph, Literal, Node, NodeKind, OfInput, OfNode, Source
from serve.workflow.ports.model_ports import METADATA_PORT, MODEL_PORT, SEED_PORT
from serve.workflow.values import digest_of, read

Wanted = dict[str, set[str]]
"""Ports by node."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a plan is made for: the terms of the run, the served models, and the assets that are written down."""

    terms: WorkflowTerms
    models: Mapping[str, ModelFacts]
    assets: Mapping[str, Asset]


class Planner:
    """Plans one run. It remembers what it has planned, so that the same question has the same answer."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self._fixed: dict[tuple[int, PortType], Fixed] = {}

    def plan(self, graph: Graph, inputs: Mapping[str, Any]) -> Scope:
        """The plan for the outputs of the graph.

        `inputs` are those of the run, as users write them, with their defaults.

        Raises:
            InvalidRequest: `inputs` name an asset that is not there, or are of another type.
        """
        types = {name: parse_type(one.type) for name, one in graph.inputs.items()}
        bound = {name: fixed(self._read(inputs.get(name), types[name])) for name in types}
        wanted: Wanted = {}
        _want(wanted, graph.outputs.values())
        return self._scope(Scope(graph, "", "", bound, types, (), ()), wanted)

    def item(self, planned: Planned, index: int) -> Planned:
        """Item `index` of a node that is run over lists."""
        if index not in planned.items:
            for one in _in_order(planned, index):
                one.items[index] = self._item(one, index)
        return planned.items[index]

    def _item(self, planned: Planned, index: int) -> Planned:
        node, label = planned.node, f"{planned.label}.{index}"
        inputs = dict(planned.inputs)
        for port in node.map:
            inputs[port] = self._element(planned.inputs[port], index)
        drawn = None
        if planned.drawn is not None:
            drawn = planned.drawn + index
            inputs[SEED_PORT] = fixed(drawn)
        outputs = {port: type_.item for port, type_ in planned.outputs.items()}
        key = scope = None
        if node.graph is not None:
            scope = self._nested(node.graph, inputs, planned.ports, f"{label}/", f"{planned.path}/", planned.frames)
        elif node.policy.cache is not CacheUse.OFF:
            key = self._key(node, inputs)
        return Planned(
            label, planned.path, node, inputs, (), outputs, planned.frames, key, key, drawn, False, planned.ports, scope
        )

    def _element(self, feed: Feed, index: int) -> Feed:
        if isinstance(feed, Fixed):
            return fixed(feed.value[index]) if feed.value is not None and index < len(feed.value) else NOTHING
        if isinstance(feed, Made) and isinstance(feed.template, list) and index < len(feed.template):
            return _made_element(feed, feed.template[index], index)
        if isinstance(feed, Piped) and feed.source.is_mapped:
            item = feed.source.items[index]
            if item.scope is not None:
                return item.scope.outputs.get(feed.port, NOTHING)
            return Element(feed, index, item.ref and f"{item.ref}.{feed.port}")
        if isinstance(feed, Converted):
            return converted(self._element(feed.feed, index), feed.source.item, feed.wanted.item)
        return Element(feed, index, _of_list(feed.ref, index))

    def _scope(self, scope: Scope, wanted: Wanted) -> Scope:
        """`scope` with what its wanted ports need."""
        for name in reversed(list(scope.graph.nodes)):
            if name in wanted:
                _want(wanted, outputs_named(scope.graph.nodes[name]))
        for name, node in scope.graph.nodes.items():
            if name in wanted:
                scope.nodes[name] = self._planned(scope, name, node, wanted[name])
        for output, source in scope.graph.outputs.items():
            if source.port in wanted.get(source.node, ()):
                scope.outputs[output] = self._feed(scope, source, None)
        return scope

    def _planned(self, scope: Scope, name: str, node: Node, ports: set[str]) -> Planned | Frame:
        label, path = scope.prefix + name, scope.path + name
        whens = scope.whens if node.when is None else (*scope.whens, self._feed(scope, node.when, None))
        inputs = {port: self._given(scope, node, port, source) for port, source in node.inputs.items()}
        if node.graph is not None and not node.map:
            return self._frame(label, path, node, inputs, ports, whens, scope.frames)
        drawn = None
        if node.kind is NodeKind.MODEL and SEED_PORT in node.ports and _is_nothing(inputs.get(SEED_PORT)):
            drawn = self.given.terms.seeds.get(path)
            if drawn is not None:
                inputs[SEED_PORT] = fixed(drawn)
        if node.kind is NodeKind.MODEL and METADATA_PORT in node.ports and not self.given.terms.metadata:
            inputs[METADATA_PORT] = fixed(False)  # a picture's own file would tell its prompt
        key = None if node.policy.cache is CacheUse.OFF else self._key_of(path, node, inputs, frozenset(ports))
        ref = _with_conditions(key, whens)
        return Planned(
            label, path, node, inputs, whens, node.outputs, scope.frames, key, ref, drawn, bool(node.map),
            frozenset(ports),
        )  # fmt: skip

    def _frame(
        self,
        label: str,
        path: str,
        node: Node,
        inputs: Mapping[str, Feed],
        ports: Collection[str],
        whens: tuple[Feed, ...],
        frames: tuple[Frame, ...],
    ) -> Frame:
        assert node.graph is not None
        inner = self._bound(node.graph, inputs, f"{label}/", f"{path}/", whens, frames)
        frame = Frame(label, node, inner, whens, frames)
        inner.frames = (*frames, frame)
        self._scope(inner, _ports_wanted(node.graph, ports))
        return frame

    def _nested(
        self,
        graph: Graph,
        inputs: Mapping[str, Feed],
        ports: Collection[str],
        prefix: str,
        path: str,
        frames: tuple[Frame, ...] = (),
    ) -> Scope:
        return self._scope(self._bound(graph, inputs, prefix, path, (), frames), _ports_wanted(graph, ports))

    def _bound(
        self,
        graph: Graph,
        inputs: Mapping[str, Feed],
        prefix: str,
        path: str,
        whens: tuple[Feed, ...],
        frames: tuple[Frame, ...],
    ) -> Scope:
        """A nested workflow with what it is given, and nothing planned in it yet."""
        types = {name: parse_type(one.type) for name, one in graph.inputs.items()}
        bound = {name: self._or_default(graph, name, inputs.get(name), types[name]) for name in types}
        return Scope(graph, prefix, path, bound, types, whens, frames)

    def _or_default(self, graph: Graph, name: str, feed: Feed | None, wanted: PortType) -> Feed:
        if not _is_nothing(feed):
            assert feed is not None
            return feed
        return fixed(self._read(graph.inputs[name].default, wanted))

    def _given(self, scope: Scope, node: Node, port: str, source: Source) -> Feed:
        wanted = node.ports[port].type
        return self._feed(scope, source, wanted.listed if port in node.map else wanted)

    def _feed(self, scope: Scope, source: Source, wanted: PortType | None) -> Feed:
        """What `source` stands for, as `wanted`; None: as it is."""
        match source:
            case OfNode():
                found = scope.nodes[source.node]
                if isinstance(found, Frame):
                    feed = found.scope.outputs[source.port]
                else:
                    feed = Piped(found, source.port, found.ref and f"{found.ref}.{source.port}")
                return feed if wanted is None else converted(feed, found.node.outputs[source.port], wanted)
            case Literal():
                return self._literal(source, wanted)
            case OfInput():
                feed = scope.bound[source.name]
                return feed if wanted is None else converted(feed, scope.input_types[source.name], wanted)
            case Composite():
                return self._made(scope, source, wanted)

    def _literal(self, source: Literal, wanted: PortType | None) -> Fixed:
        if wanted is None:
            return fixed(source.value)
        known = self._fixed.get((id(source), wanted))
        if known is None:
            known = self._fixed[(id(source), wanted)] = fixed(self._read(source.value, wanted))
        return known

    def _made(self, scope: Scope, source: Composite, wanted: PortType | None) -> Made:
        item = wanted.item if wanted is not None and wanted.is_list else None
        parts = tuple((path, self._feed(scope, part, item if len(path) == 1 else None)) for path, part in source.parts)
        template = source.template
        if item is not None and (item.kind.is_media or item.kind is Kind.ADAPTER) and isinstance(template, list):
            taken = {path[0] for path, _ in parts}
            template = [None if index in taken else self._read(one, item) for index, one in enumerate(template)]
        refs = [part.ref for _, part in parts]
        if None in refs:
            return Made(template, parts, None)
        places = [[list(path), ref] for (path, _), ref in zip(parts, refs, strict=True)]
        return Made(template, parts, "+" + digest_of([template, places]))

    def _read(self, written: Any, wanted: PortType) -> Any:
        if wanted.kind is Kind.ADAPTER:
            return read_adapters(written, self.given.terms.adapters)
        return read(written, wanted, self.given.assets)

    def _key_of(self, path: str, node: Node, inputs: Mapping[str, Feed], ports: frozenset[str]) -> str | None:
        if not node.map:
            return self._key(node, inputs)
        if node.graph is None:
            key = self._key(node, inputs)
            return key and hashed("map", ",".join(node.map), key)
        return self._key_over_workflow(path, node, node.graph, inputs, ports)

    def _key(self, node: Node, inputs: Mapping[str, Feed]) -> str | None:
        parts = [self._says(node, inputs)]
        for port in sorted(inputs):
            ref = inputs[port].ref
            if ref is None:
                return None
            parts.append(f"{port} {ref}")
        return hashed(*parts)

    def says(self, planned: Planned) -> str:
        """What a node is, apart from its inputs."""
        return self._says(planned.node, planned.inputs)

    def _says(self, node: Node, inputs: Mapping[str, Feed]) -> str:
        if node.operation is not None:
            return f"op:{node.operation.name} {node.operation.version}"
        named = inputs.get(MODEL_PORT)
        facts = node.model or (self.given.models.get(named.value) if isinstance(named, Fixed) else None)
        name = facts.name if facts is not None else node.type
        terms = self.given.terms.models.get(name)
        digests = [one.digest for one in (terms, facts) if one is not None]
        # A model that was changed since the run was let in answers as it is now, and is charged as agreed.
        return f"model {' '.join(dict.fromkeys(digests))} {node.task}"

    def _key_over_workflow(
        self, path: str, node: Node, graph: Graph, inputs: Mapping[str, Feed], ports: frozenset[str]
    ) -> str | None:
        """Of a workflow that is run over lists: what comes out of it for an element that stands for all of them."""
        each = {port: Element(inputs[port], 0, (ref := inputs[port].ref) and f"{ref}[]") for port in node.map}
        scope = self._nested(graph, {**inputs, **each}, ports, "", f"{path}/")
        refs = {f"over {port}": inputs[port].ref for port in node.map}  # how many there are, where nothing else asks
        refs |= {port: scope.outputs[port].ref for port in sorted(ports)}
        if None in refs.values():
            return None
        return hashed("map", *(f"{port} {ref}" for port, ref in refs.items()))


def _made_element(feed: Made, template: Any, index: int) -> Feed:
    """With no more than what is in this one: lists may be long, and others' elements large."""
    within = tuple((path[1:], part) for path, part in feed.parts if path[0] == index)
    if not within:
        return fixed(template)
    return within[0][1] if not within[0][0] else Made(template, within, _of_list(feed.ref, index))


def _of_list(ref: str | None, index: int) -> str | None:
    return ref and f"{ref}[{index}]"


def _is_nothing(feed: Feed | None) -> bool:
    return feed is None or (isinstance(feed, Fixed) and feed.value is None)


def _with_conditions(key: str | None, whens: Iterable[Feed]) -> str | None:
    """What a node is to those that it feeds. A condition is a part of it: where it is false there is nothing."""
    refs = [when.ref for when in whens]
    if not refs or key is None:
        return key
    return None if None in refs else hashed("when", key, *filter(None, refs))


def _want(wanted: Wanted, outputs: Iterable[OfNode]) -> None:
    for one in outputs:
        wanted.setdefault(one.node, set()).add(one.port)


def _ports_wanted(graph: Graph, outputs: Collection[str]) -> Wanted:
    wanted: Wanted = {}
    _want(wanted, (source for name, source in graph.outputs.items() if name in outputs))
    return wanted


def _in_order(planned: Planned, index: int) -> list[Planned]:
    """The nodes whose item `index` is not planned and says what that of `planned` is, `planned` last."""
    order: list[Planned] = []
    seen: set[Planned] = set()
    waiting = [(planned, False)]
    while waiting:
        one, is_ready = waiting.pop()
        if is_ready:
            order.append(one)
        elif one not in seen:
            seen.add(one)
            waiting.append((one, True))
            waiting += [(source, False) for source in _lists_of(one) if index not in source.items]
    return order


def _lists_of(planned: Planned) -> Iterable[Planned]:
    """The nodes that are run over lists and make those that `planned` is run over."""
    for port in planned.node.map:
        feed = planned.inputs[port]
        if not isinstance(feed, Made):
            yield from (source for source in sources(feed) if source.is_mapped)
