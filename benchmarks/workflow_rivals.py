"""What one would write instead: the same nodes, level by level. Nothing is keyed, kept, retried, told or skipped."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import networkx as nx

from serve.workflow.graph import Graph, Literal, Node, OfInput, OfNode
from serve.workflow.operation import Quick

Outputs = dict[str, Any]


async def levels(graph: Graph, value: Any) -> None:
    """`asyncio.gather` of every level."""
    depth: dict[str, int] = {}
    for name, node in graph.nodes.items():
        depth[name] = 1 + max((depth[one] for one in _parents(node)), default=-1)
    rows: dict[int, list[str]] = {}
    for name, row in depth.items():
        rows.setdefault(row, []).append(name)
    await _by_rows(graph, value, rows.values())


async def generations(graph: Graph, value: Any) -> None:
    """The same with networkx."""
    edges = nx.DiGraph()
    edges.add_nodes_from(graph.nodes)
    edges.add_edges_from((parent, name) for name, node in graph.nodes.items() for parent in _parents(node))
    await _by_rows(graph, value, nx.topological_generations(edges))


async def _by_rows(graph: Graph, value: Any, rows: Iterable[Iterable[str]]) -> None:
    made: dict[str, Outputs] = {}

    async def work(name: str) -> None:
        node = graph.nodes[name]
        values = {port: one.default for port, one in node.ports.items()}
        for port, source in node.inputs.items():
            match source:
                case Literal():
                    values[port] = source.value
                case OfInput():
                    values[port] = value
                case OfNode():
                    values[port] = made[source.node][source.port]
        assert isinstance(node.operation, Quick)
        made[name] = dict(node.operation.apply(values))

    for row in rows:
        await asyncio.gather(*map(work, row))


def _parents(node: Node) -> list[str]:
    return [source.node for source in node.inputs.values() if isinstance(source, OfNode)]


RIVALS: dict[str, Callable[[Graph, Any], Awaitable[None]]] = {"levels": levels, "networkx": generations}
