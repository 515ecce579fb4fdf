"""How large a run of a graph can become: its steps, and the labels that they have."""

from serve.workflow.graph import Composite, Literal, Node, Source


def written_length(source: Source | None) -> int | None:
    """Of a list that is written down, with references for items or without; None of what is not."""
    value = source.value if isinstance(source, Literal) else None
    if isinstance(source, Composite):
        value = source.template
    return len(value) if isinstance(value, list) else None


def num_items(node: Node) -> int:
    """How often a node runs, at the most."""
    if not node.map:
        return 1
    lengths = [length for name in node.map if (length := written_length(node.inputs.get(name))) is not None]
    return min([node.max_items, *lengths])


def num_steps(node: Node) -> int:
    """The steps of a node, at the most: itself, its items, and what is within them."""
    inner = node.graph.num_steps if node.graph is not None else 0
    return 1 + (num_items(node) * (1 + inner) if node.map else inner)


def label_length(node: Node, within: int) -> int:
    """Characters of the longest label of a node's steps; `within` are those of the workflow that it is."""
    item = 1 + len(str(max(num_items(node) - 1, 0))) if node.map else 0
    return len(node.name) + item + (1 + within if within else 0)
