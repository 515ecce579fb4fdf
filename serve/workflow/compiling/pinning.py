"""The workflows that a workflow names, and their versions written down: what is published names numbers alone."""

from collections.abc import Mapping

from serve.domain.workflow import NodePrefix, NodeSpec, WorkflowSpec

_PREFIX = f"{NodePrefix.WORKFLOW}:"


def workflow_named(node: NodeSpec) -> str | None:
    """What a node writes after `workflow:`; None of other nodes."""
    return node.type.removeprefix(_PREFIX) if node.type.startswith(_PREFIX) else None


def workflows_named(spec: WorkflowSpec) -> set[str]:
    """What is written after `workflow:` anywhere in it: `name@2`, `name@prod`."""
    return {named for node in spec.nodes.values() if (named := workflow_named(node)) is not None}


def is_pinned(named: str) -> bool:
    """Whether it names a version by its number, which never means another."""
    number = named.partition("@")[2]
    return number.isascii() and number.isdigit()


def pinned(spec: WorkflowSpec, numbers: Mapping[str, int]) -> WorkflowSpec:
    """The same workflow with `name@3` for every `name@alias` that `numbers` has a version for."""
    nodes = {}
    for name, node in spec.nodes.items():
        named = workflow_named(node)
        if named is not None and named in numbers and not is_pinned(named):
            bare = named.partition("@")[0]
            node = node.model_copy(update={"type": f"{_PREFIX}{bare}@{numbers[named]}"})
        nodes[name] = node
    return spec.model_copy(update={"nodes": nodes})
