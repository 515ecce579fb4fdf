"""Nodes that are kept as they are: `comfy:<class>`, with their JSON, joined to what is ours and to one another."""

from collections.abc import Iterable
from typing import Any

from serve.domain.workflow import NodePrefix
from serve.workflow.comfyui.classes import output_name
from serve.workflow.comfyui.source import Link, SourceNode
from serve.workflow.comfyui.translation import Translation
from serve.workflow.comfyui.values import Flow, Latent
from serve.workflow.compiling.references import references_in

_MAX_CLASS = 100
_MAX_INPUTS = 128


def keep(translation: Translation, used: Iterable[str]) -> None:
    """Add what has no equivalent, and what is needed for it alone; say why."""
    used = list(used)
    _settle(translation)
    reasons = dict(translation.inert)
    waiting = list(reasons)
    while waiting:
        for link in translation.graph.nodes[waiting.pop()].links.values():
            if link.node not in reasons and _is_part(translation, link):
                reasons[link.node] = "it is needed by nodes that have no equivalent, and is kept for them"
                waiting.append(link.node)
    translation.inert = {id: reasons[id] for id in used if id in reasons}
    _add_all(translation, used)
    left = [id for id in used if id not in translation.inert and not translation.became.get(id)]
    translation.inert |= dict.fromkeys(left, "nothing that has an equivalent uses it")
    _add_all(translation, left)


def _add_all(translation: Translation, ids: Iterable[str]) -> None:
    for id in ids:
        if id in translation.inert:
            node = translation.graph.nodes[id]
            translation.warn(f"{node.told}: {translation.inert[id]}")
            add(translation, node)


def _settle(translation: Translation) -> None:
    """Forget constants whose values were written down where they are used, and names of nodes that were given up."""
    referred = {node for value in translation.nodes.values() for node, _ in references_in(value)}
    referred |= {one["from"][0] for one in translation.interface.outputs.values()}
    kept_alive = {
        translation.name_of(translation.graph.nodes[link.node])
        for id in translation.inert
        for link in translation.graph.nodes[id].links.values()
        if link.node in translation.graph.nodes
    }
    referred |= kept_alive
    for name in [name for name, node in translation.nodes.items() if node["type"] == "op:constant"]:
        if name not in referred and len(translation.became[translation.owners[name]]) > 1:
            del translation.nodes[name]
    for source, names in translation.became.items():
        translation.became[source] = [name for name in names if ":" in name or name in translation.nodes]


def _is_part(translation: Translation, link: Link) -> bool:
    """Whether a link brings what is no value, and nothing that a model has made."""
    values = translation.values.get(link.node, ())
    if link.slot >= len(values):
        return False
    value = values[link.slot]
    return not isinstance(value, Flow) and not (isinstance(value, Latent) and value.is_sampled)


def add(translation: Translation, node: SourceNode) -> None:
    """Add one, under the name by which others refer to it."""
    plain = " ".join(node.class_type.split())[:_MAX_CLASS].strip() or "unknown"
    inputs: dict[str, Any] = {}
    document = {"type": f"{NodePrefix.COMFY}:{plain}", "inputs": inputs, "original": node.original}
    name = translation.add(node, document)
    for port, link in list(node.links.items())[:_MAX_INPUTS]:
        value = _brought(translation, link)
        if value is not None:
            inputs[port[:120]] = translation.use(value, name)


def _brought(translation: Translation, link: Link) -> Flow | None:
    """What comes over a link, as far as there is any such node."""
    source = translation.graph.nodes.get(link.node)
    if source is None:
        return None
    values = translation.values.get(link.node, ())
    value = values[link.slot] if link.slot < len(values) else None
    if isinstance(value, Latent) and value.is_sampled:
        value = value.image
    if isinstance(value, Flow):
        return value
    if source.id not in translation.inert:
        return None
    return Flow({"$ref": [translation.name_of(source), output_name(source.class_type, link.slot)]}, "ANY")
