"""The model calls that a run can make at the most: found by walking its graph with what is known before it runs.

What is written down is known, and what the run is given; what a node makes is not, and a call is then noted as open in
that input. Every branch counts, whichever is taken, and every item of a list, as many as there may be. So whatever a
run does, its calls are among these.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.port_types import Kind
from serve.domain.task import Task
from serve.workflow.compiling.references import outputs_named
from serve.workflow.execution.wiring import with_parts
from serve.workflow.facts import ModelFacts
from serve.workflow.graph import Composite, Graph, Literal, Node, NodeKind, OfInput, Port, Source
from serve.workflow.ports.model_ports import MODEL_PORT, SEED_PORT, ports_of
from serve.workflow.values import as_text, digest_of
from serve.workflow.volumes import size_of

MAX_SIZE = 2**25
"""Of what the different calls of a run are given, as far as it is known before; as `size_of` counts."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value that is known. `origin` is where it stands: the path of a field of the request, or of the document."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells a value from others, and its size, as `size_of` counts; what is too much is not counted to its end."""

    digest: str
    size: int


Fact = Given | None
"""None where only the run will tell."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a model. `label` is its node's, without items; it is made `times` times at the most.

    `given` are the inputs that are known, `open` those that other nodes will give. `timeout_seconds` is of one try.
    """

    label: str
    place: str
    """Of its node in the document, `nodes.gen`."""
    facts: ModelFacts
    task: Task
    ports: Mapping[str, Port]
    given: Mapping[str, Given]
    open: frozenset[str]
    times: int
    num_items: int = 1
    """The same, if no node has to try again."""
    timeout_seconds: float | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """Of `given`."""

    @property
    def model(self) -> str:
        return self.facts.name

    def says(self, but: str = "") -> tuple[str, ...]:
        """What tells it from calls that ask something else, seen without the input `but`."""
        marks = (f"{name}={mark.digest}" for name, mark in sorted(self.marks.items()) if name != but)
        return self.model, self.task, ",".join(sorted(self.open)), *marks

    def values(self) -> dict[str, Any]:
        """What is known, by port."""
        return {name: one.value for name, one in self.given.items()}

    def adapters(self) -> list[Given]:
        """The adapters that it names, one by one."""
        found = []
        for name, one in self.given.items():
            if name in self.ports and self.ports[name].type.kind is Kind.ADAPTER and one.value is not None:
                listed = one.value if isinstance(one.value, list) else [one.value]
                found += [Given(value, one.origin) for value in listed if value is not None]
        return found

    @property
    def wants_seed(self) -> bool:
        """Whether a seed is to be drawn for it: it takes one, and is not known to be given any."""
        if SEED_PORT not in self.ports:
            return False
        given = self.given.get(SEED_PORT)
        return given is None or given.value is None


class _Marks:
    """The marks of values. A value that goes to a thousand calls is read once; `_seen` keeps it, and so its id."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, Mark]] = {}

    def of(self, value: Any) -> Mark:
        """The value's mark."""
        found = self._seen.get(id(value))
        if found is None:
            found = self._seen[id(value)] = value, Mark(digest_of(value), size_of(value, MAX_SIZE))
        return found[1]


@dataclass(frozen=True, slots=True)
class _Scope:
    """A graph that is walked: what its inputs are, and where it stands."""

    graph: Graph
    inputs: Mapping[str, Fact]
    times: int = 1
    num_items: int = 1
    label: str = ""
    place: str = ""


@dataclass(slots=True)
class _Walk:
    models: Mapping[str, ModelFacts]
    found: list[Call] = field(default_factory=list)
    marks: _Marks = field(default_factory=_Marks)

    def graph(self, scope: _Scope, ends: Iterable[str]) -> None:
        for node in needed(scope.graph, ends):
            if node.kind is not NodeKind.OPERATION and not _is_off(node, scope):
                self._node(node, scope)

    def _node(self, node: Node, scope: _Scope) -> None:
        place = f"{scope.place}nodes.{node.name}"
        bound = {name: _fact(source, scope, f"{place}.inputs.{name}") for name, source in node.inputs.items()}
        for item, num_items in _items(node, bound, place):
            here = replace(
                scope,
                times=scope.times * num_items * (1 + node.policy.retries),
                num_items=scope.num_items * num_items,
                label=scope.label + node.name,
                place=place,
            )
            if node.graph is None:
                self.found.append(self._call(node, item, here))
                continue
            inputs = dict(_inner(node, item, place))
            inner = replace(here, graph=node.graph, inputs=inputs, label=f"{here.label}/", place=f"{place}/")
            self.graph(inner, (end.node for end in node.graph.outputs.values()))

    def _call(self, node: Node, bound: Mapping[str, Fact], here: _Scope) -> Call:
        facts = node.model or self._named(bound.get(MODEL_PORT))
        if node.task is None:
            raise RuntimeError(f"{here.place} was compiled without a task")
        ports = ports_of(facts, node.task)
        inputs = {name: fact for name, fact in bound.items() if name in ports}
        given = {name: _fitting(fact, ports[name]) for name, fact in inputs.items() if fact is not None}
        unknown = frozenset(name for name, fact in inputs.items() if fact is None)
        most = node.policy.timeout_seconds
        marks = {name: self.marks.of(one.value) for name, one in given.items()}
        return Call(
            here.label, here.place, facts, node.task, ports, given, unknown, here.times, here.num_items, most, marks
        )

    def _named(self, model: Fact) -> ModelFacts:
        """The model of a `task:` node."""
        name = None if model is None else model.value
        if model is None or not isinstance(name, str):
            where = "model" if model is None else model.origin
            raise InvalidRequest(
                f"{where} names no model, which it must do before the run begins.", "not_static", where
            )
        if name not in self.models:
            raise NotFound(f"There is no model {name[:80]!r}.", "model_not_found", model.origin)
        return self.models[name]


def calls_of(graph: Graph, models: Mapping[str, ModelFacts], inputs: Mapping[str, Any]) -> list[Call]:
    """The calls of a run of `graph`, at the most. `inputs` are complete.

    Raises:
        InvalidRequest: lists of different lengths, or too long ones; no model is named. NotFound: an unknown model.
    """
    facts = {name: Given(inputs.get(name), f"input.{name}") for name in graph.inputs}
    walk = _Walk(models)
    walk.graph(_Scope(graph, facts), [end.node for end in graph.outputs.values()])
    return walk.found


def needed(graph: Graph, ends: Iterable[str]) -> list[Node]:
    """The nodes that `ends` need, and these, in the graph's order."""
    seen: set[str] = set()
    left = list(ends)
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += [part.node for part in outputs_named(graph.nodes[name])]
    return [node for node in graph.nodes.values() if node.name in seen]


def _is_off(node: Node, scope: _Scope) -> bool:
    """Whether it is known to be skipped."""
    fact = None if node.when is None else _fact(node.when, scope, "")
    return fact is not None and fact.value is False


def _fact(source: Source, scope: _Scope, where: str) -> Fact:
    if isinstance(source, Literal):
        return Given(source.value, where)
    if isinstance(source, OfInput):
        return scope.inputs[source.name]
    if isinstance(source, Composite):
        return _composed(source, scope, where)
    return None


def _composed(source: Composite, scope: _Scope, where: str) -> Fact:
    """Known where all its parts are."""
    parts, origin = [], where
    for path, part in source.parts:
        fact = _fact(part, scope, where)
        if fact is None:
            return None
        parts.append((path, fact.value))
        origin = fact.origin
    return Given(with_parts(source.template, iter(parts)), origin)


def _items(node: Node, bound: Mapping[str, Fact], place: str) -> Iterator[tuple[Mapping[str, Fact], int]]:
    """What the node is run with, each with how often: once, or for the items of its lists."""
    if not node.map:
        yield bound, 1
        return
    lists = {name: fact for name in node.map if (fact := bound.get(name)) is not None}
    if not lists:
        yield {**bound, **dict.fromkeys(node.map)}, node.max_items
        return
    for index in range(_length(node, lists, place)):
        items = {name: Given(fact.value[index], fact.origin) for name, fact in lists.items()}
        yield {**bound, **dict.fromkeys(node.map), **items}, 1


def _length(node: Node, lists: Mapping[str, Given], place: str) -> int:
    lengths = {}
    for name, fact in lists.items():
        if not isinstance(fact.value, list):
            raise InvalidRequest(
                f"{fact.origin} must be a list: {place} is run over the items of {name}.", "invalid_type", fact.origin
            )
        lengths[fact.origin] = len(fact.value)
    origin, most = max(lengths.items(), key=lambda one: one[1])
    if most > node.max_items:
        raise InvalidRequest(
            f"{origin} has {most} items, and {place} is run over {node.max_items} at the most.", "out_of_range", origin
        )
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{origin} has {length}" for origin, length in lengths.items())
        raise InvalidRequest(f"{place} is run over lists of one length, and {told}.", "invalid_value", origin)
    return most


def _inner(node: Node, bound: Mapping[str, Fact], place: str) -> Iterator[tuple[str, Fact]]:
    """The inputs of a workflow within."""
    for name, port in node.graph.inputs.items() if node.graph else ():
        if name not in bound:
            yield name, Given(port.default, f"{place}.inputs.{name}")
            continue
        fact = bound[name]
        is_nothing = fact is not None and fact.value is None
        yield name, Given(port.default, f"{place}.inputs.{name}") if is_nothing else fact


def _fitting(fact: Given, port: Port) -> Given:
    """As its port takes it: what is no text becomes one where a text is asked for."""
    if port.type.kind is not Kind.TEXT or fact.value is None:
        return fact
    value = fact.value
    return Given([as_text(one) for one in value] if isinstance(value, list) else as_text(value), fact.origin)
