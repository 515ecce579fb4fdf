"""The import itself: a graph in, a workflow and what is different about it out.

Nodes are translated in an order in which each comes after what it needs. A node without an equivalent is kept as it
is (`comfy:<class>`), and so are the loaders and prompts that it needs, which are nothing without it. Nodes that
nothing uses, and those that were muted, become notes: ComfyUI does not run them either.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from serve.domain import validation
from serve.domain.errors import InvalidRequest
from serve.domain.workflow import MAX_BYTES, MAX_NODES, NodePrefix, WorkflowSpec
from serve.workflow.comfyui import inert
from serve.workflow.comfyui.classes import CLASSES
from serve.workflow.comfyui.folding import FOLDING
from serve.workflow.comfyui.interface import InterfaceFull
from serve.workflow.comfyui.latents import LATENTS
from serve.workflow.comfyui.layout import layout_of
from serve.workflow.comfyui.loading import LOADING, Translator
from serve.workflow.comfyui.pictures import PICTURES
from serve.workflow.comfyui.reading import read
from serve.workflow.comfyui.results import OUTPUT_CLASSES, give_marked, save
from serve.workflow.comfyui.source import SourceGraph, SourceNode
from serve.workflow.comfyui.translation import Call, Translation
from serve.workflow.comfyui.value_nodes import VALUE_NODES
from serve.workflow.comfyui.values import NoEquivalent
from serve.workflow.compiling.ordering import ordered
from serve.workflow.facts import ModelFacts

TRANSLATORS: Mapping[str, Translator] = {
    **LOADING,
    **LATENTS,
    **FOLDING,
    **PICTURES,
    **VALUE_NODES,
    **dict.fromkeys(OUTPUT_CLASSES, save),
}
"""By class; what is not here has no equivalent."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A workflow, and what is not as it was; `warnings` are in its provenance, too."""

    spec: WorkflowSpec
    warnings: list[str]


def import_comfyui(
    data: bytes | Mapping[str, Any], models: Mapping[str, ModelFacts], chosen: Mapping[str, str]
) -> Imported:
    """The workflow that a graph, or the picture that carries one, is here.

    `models` are those that are served; `chosen` names models for checkpoints, and adapters for LoRAs, by their files'
    names. A picture of our own gives the workflow that made it, in which `chosen` names models for models.

    Raises:
        InvalidRequest: there is no graph in it, or one that is too large.
    """
    found = read(data)
    if found.spec is not None:
        return Imported(_with_models(found.spec, models, chosen), list(found.spec.provenance.warnings))
    assert found.graph is not None
    return _imported(found.graph, _digest(data), models, chosen)


def _with_models(spec: WorkflowSpec, models: Mapping[str, ModelFacts], chosen: Mapping[str, str]) -> WorkflowSpec:
    prefix = f"{NodePrefix.MODEL}:"
    types = {prefix + name: prefix + other for name, other in chosen.items() if other in models}
    nodes = {
        name: node.model_copy(update={"type": types[node.type]}) if node.type in types else node
        for name, node in spec.nodes.items()
    }
    return spec.model_copy(update={"nodes": nodes})


def _digest(data: bytes | Mapping[str, Any]) -> str:
    plain = data if isinstance(data, bytes) else json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return "sha256:" + hashlib.sha256(plain).hexdigest()


def _imported(graph: SourceGraph, digest: str, models: Mapping[str, ModelFacts], chosen: Mapping[str, str]) -> Imported:
    translation = Translation(graph, models, chosen)
    for told in (*graph.warnings, *translation.marks.warnings):
        translation.warn(told)
    used = _used(graph, translation)
    for node in _ordered(translation, used):
        _translate(translation, node)
    for id in used:
        give_marked(translation, graph.nodes[id])
    translation.tell_unpromoted()
    inert.keep(translation, used)
    layout = layout_of(translation, [node for id, node in graph.nodes.items() if id not in used])
    return _made(translation, layout, digest)


def _made(translation: Translation, layout: dict[str, Any], digest: str) -> Imported:
    if len(translation.nodes) > MAX_NODES:
        told = f"The graph becomes {len(translation.nodes)} nodes, and a workflow has at most {MAX_NODES}."
        raise InvalidRequest(told, "too_large")
    interface = translation.interface
    order = {id: place for place, id in enumerate(translation.graph.nodes)}
    became = sorted(translation.became.items(), key=lambda one: order.get(one[0], len(order)))
    inputs, outputs = interface.inputs, interface.outputs
    document = {
        "interface": {
            "inputs": [inputs[name] for name in sorted(inputs, key=translation.place_of_input)],
            "outputs": [outputs[name] for name in sorted(outputs, key=translation.place_of_output)],
        },
        "nodes": translation.nodes,
        "layout": layout,
        "provenance": {
            "imported_from": translation.graph.format,
            "source_digest": digest,
            "warnings": translation.warnings,
            "became": dict(became),
        },
    }
    try:
        spec = WorkflowSpec.model_validate(document)
    except ValidationError as error:
        raise validation.invalid_request(error, document) from None
    if len(spec.model_dump_json(by_alias=True, exclude_defaults=True)) > MAX_BYTES:
        raise InvalidRequest(f"The workflow would have more than {MAX_BYTES} bytes.", "too_large")
    return Imported(spec, translation.warnings)


def _used(graph: SourceGraph, translation: Translation) -> dict[str, None]:
    """The nodes that something comes of, in the graph's order. Where nothing is saved or shown, all of them."""
    roots = [
        node.id
        for node in graph.nodes.values()
        if node.class_type not in CLASSES or CLASSES[node.class_type].is_output or node.id in translation.marks.outputs
    ]
    if not any(_is_known_output(graph.nodes[root], translation) for root in roots):
        return dict.fromkeys(graph.nodes)
    found = set(roots)
    while roots:
        for link in graph.nodes[roots.pop()].links.values():
            if link.node in graph.nodes and link.node not in found:
                found.add(link.node)
                roots.append(link.node)
    return {id: None for id in graph.nodes if id in found}


def _is_known_output(node: SourceNode, translation: Translation) -> bool:
    return node.id in translation.marks.outputs or node.class_type in CLASSES


def _ordered(translation: Translation, used: Iterable[str]) -> list[SourceNode]:
    """Those that are in no cycle, and wait for none, each after what it needs; the others stay as they are."""
    nodes, within = translation.graph.nodes, set(used)
    needs = {id: {link.node for link in node.links.values()} for id, node in nodes.items() if id in within}
    order = ordered(needs)
    for id in needs.keys() - set(order):
        translation.inert[id] = "it waits for its own result, or for nodes that do"
    return [nodes[id] for id in order]


def _translate(translation: Translation, node: SourceNode) -> None:
    """What becomes of one node; a translator that gives up leaves nothing behind."""
    translator = TRANSLATORS.get(node.class_type)
    if translator is None:
        translation.inert[node.id] = "it has no equivalent here"
        return
    mark = translation.mark()
    call = Call(translation, node)
    try:
        values = translator(call)
    except (NoEquivalent, InterfaceFull) as none:
        translation.roll_back(mark)
        translation.inert[node.id] = none.reason if isinstance(none, NoEquivalent) else "the interface is full"
        return
    translation.values[node.id] = values
    for source in call.inlined:
        translation.credit(source, *translation.became.get(node.id, ()))
