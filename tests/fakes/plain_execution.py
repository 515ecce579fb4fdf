"""What a workflow of quick operations means, worked out as plainly as can be: recursion, and nothing remembered but
what has been made. The product must agree with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serve.domain.errors import SlipwayError
from serve.domain.port_types import PortType, parse_type
from serve.workflow.graph import Composite, Graph, Literal, Node, OfInput, OfNode, Source
from serve.workflow.operation import Quick
from serve.workflow.ports.operation_ports import input_of
from serve.workflow.values import convert


class Skipped(Exception):
    """A condition was false, or what is needed was skipped."""


class Failed(Exception):
    """Something needed failed."""


@dataclass
class Plain:
    """One workflow with its inputs. `made` has outputs, or why there are none."""

    graph: Graph
    inputs: Mapping[str, Any]
    made: dict[str, Any] = field(default_factory=dict)

    def outputs(self) -> tuple[dict[str, Any], bool]:
        """Those that came to be, null where skipped, and whether any failed."""
        found, is_failed = {}, False
        for name, source in self.graph.outputs.items():
            try:
                found[name] = self.value(source)
            except Skipped:
                found[name] = None
            except Failed:
                is_failed = True
        return found, is_failed

    def value(self, source: Source, wanted: PortType | None = None) -> Any:
        if isinstance(source, Literal):
            return source.value
        if isinstance(source, OfInput):
            found, type_ = self.inputs.get(source.name), parse_type(self.graph.inputs[source.name].type)
        elif isinstance(source, OfNode):
            outputs = self.node(source.node)
            if source.port not in outputs:
                raise Skipped
            found, type_ = outputs[source.port], self.graph.nodes[source.node].outputs[source.port]
        else:
            return self._composite(source, wanted)
        return found if wanted is None else convert(found, type_, wanted)

    def _composite(self, source: Composite, wanted: PortType | None) -> Any:
        made = list(source.template)
        for (index,), part in source.parts:
            made[index] = self.value(part, wanted.item if wanted else None)
        return made

    def node(self, name: str) -> Mapping[str, Any]:
        if name not in self.made:
            try:
                self.made[name] = self._worked_out(self.graph.nodes[name])
            except (Skipped, Failed) as why:
                self.made[name] = type(why)
            except SlipwayError:
                self.made[name] = Failed
        made = self.made[name]
        if isinstance(made, type):
            raise made
        return made

    def _worked_out(self, node: Node) -> Mapping[str, Any]:
        if node.when is not None and self.value(node.when) is not True:
            raise Skipped
        if not node.map:
            return self._once(node, {})
        lists = {port: self.value(node.inputs[port], node.ports[port].type.listed) for port in node.map}
        if node.graph is None:  # what every item is given must be there, however many there are
            for port, source in node.inputs.items():
                if port not in lists and not node.ports[port].is_lazy:
                    self._strict(node, port, source)
        made = [self._once(node, dict(zip(lists, one, strict=True))) for one in zip(*lists.values(), strict=True)]
        return {port: [one[port] for one in made] for port in node.outputs if all(port in one for one in made)}

    def _once(self, node: Node, item: Mapping[str, Any]) -> Mapping[str, Any]:
        if node.graph is not None:
            return self._nested(node, node.graph, item)
        operation = node.operation
        assert isinstance(operation, Quick)
        values = {port: one.default for port, one in node.ports.items()} | dict(item)
        rest = {port: source for port, source in node.inputs.items() if port not in item}
        for port, source in rest.items():
            if not node.ports[port].is_lazy:
                values[port] = self._strict(node, port, source)
        for port in operation.wants(values):
            if port in rest:
                values[port] = self.value(rest[port], node.ports[port].type)
        return operation.apply(values)

    def _strict(self, node: Node, port: str, source: Source) -> Any:
        try:
            return self.value(source, node.ports[port].type)
        except Skipped:
            declared = input_of(node.operation, port) if node.operation else None
            if declared is None or not declared.may_be_skipped:
                raise
            return None

    def _nested(self, node: Node, graph: Graph, item: Mapping[str, Any]) -> Mapping[str, Any]:
        return _Lazily(graph, _Bound(self, node, item))


class _Bound(Mapping[str, Any]):
    """The inputs of a nested workflow, worked out when they are asked for."""

    def __init__(self, outer: Plain, node: Node, item: Mapping[str, Any]) -> None:
        self._outer, self._node, self._item = outer, node, item

    def __getitem__(self, name: str) -> Any:
        if name in self._item:
            return self._item[name]
        source = self._node.inputs.get(name)
        assert self._node.graph is not None
        default = self._node.graph.inputs[name].default
        if source is None:
            return default
        found = self._outer.value(source, self._node.ports[name].type)
        return default if found is None else found

    def __iter__(self) -> Any:
        return iter(self._node.ports)

    def __len__(self) -> int:
        return len(self._node.ports)


class _Lazily(Mapping[str, Any]):
    """The outputs of a nested workflow, each worked out when it is asked for."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Any]) -> None:
        self._plain = Plain(graph, inputs)

    def __getitem__(self, name: str) -> Any:
        return self._plain.value(self._plain.graph.outputs[name])

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except Skipped:
            return False
        return True

    def __iter__(self) -> Any:
        return iter(self._plain.graph.outputs)

    def __len__(self) -> int:
        return len(self._plain.graph.outputs)
