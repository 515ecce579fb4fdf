"""Where the nodes of an imported workflow are drawn: where those were that they came of."""

import json
from collections.abc import Iterable
from typing import Any

from serve.workflow.comfyui import inert
from serve.workflow.comfyui.source import SourceGroup, SourceNode, Spot
from serve.workflow.comfyui.translation import Translation

_MAX_NOTE = 4000
_MAX_NOTES = 100
_MAX_GROUPS = 100
_MAX_TITLE = 120
_STEP = 36.0
"""Pixels between nodes that came of one."""
_LARGEST = 1e7


def layout_of(translation: Translation, unused: Iterable[SourceNode]) -> dict[str, Any]:
    """The layout, with notes for the nodes that are neither used nor kept."""
    notes = [_note(one.text, one.spot) for one in translation.graph.notes[:_MAX_NOTES]]
    for one in translation.graph.notes:
        if one.id is not None:
            translation.credit(one.id, "note")
    if len(translation.graph.notes) > _MAX_NOTES:
        translation.warn(f"a workflow has at most {_MAX_NOTES} notes; {len(translation.graph.notes)} were there")
    for why, nodes in (("nothing uses it", unused), ("it was switched off in ComfyUI", translation.graph.muted)):
        for node in nodes:
            _set_aside(translation, node, why, notes)
    places = _places(translation)
    groups = [_group(translation, one) for one in translation.graph.groups[:_MAX_GROUPS]]
    return {"nodes": places, "notes": notes, "groups": groups}


def _set_aside(translation: Translation, node: SourceNode, why: str, notes: list[dict[str, Any]]) -> None:
    """As a note, if it has room for all that the node says; else as it is."""
    text = f"{node.told}: {why}\n{json.dumps(node.original, ensure_ascii=False)}"
    if len(text) <= _MAX_NOTE and len(notes) < _MAX_NOTES:
        notes.append(_note(text, node.spot or Spot(0, 0)))
        translation.credit(node.id, "note")
        translation.warn(f"{node.told}: {why}, so it does nothing; it is kept as a note")
    else:
        translation.inert[node.id] = why
        inert.add(translation, node)
        translation.warn(f"{node.told}: {why}, so it does nothing; it is kept as it is")


def _note(text: str, spot: Spot) -> dict[str, Any]:
    return {"text": text[:_MAX_NOTE], **_place(spot, 0)}


def _place(spot: Spot, index: int) -> dict[str, Any]:
    place: dict[str, Any] = {"x": _bounded(spot.x + index * _STEP), "y": _bounded(spot.y + index * _STEP)}
    if spot.width is not None and spot.height is not None and not index:
        place |= {"width": _bounded(spot.width), "height": _bounded(spot.height)}
    return place


def _bounded(number: float) -> float:
    return max(-_LARGEST, min(_LARGEST, number))


def _places(translation: Translation) -> dict[str, Any]:
    """Of every node that has a place or a title of its own."""
    known = dict(translation.graph.nodes) | {node.id: node for node in translation.graph.muted}
    counts: dict[str, int] = {}
    places = {}
    for name in translation.nodes:
        source = known[translation.owners[name]]
        index = counts[source.id] = counts.get(source.id, -1) + 1
        title = "" if name != translation.name_of(source) else translation.own_title(source)
        place = {} if source.spot is None else _place(source.spot, index)
        place |= {"title": title[:_MAX_TITLE]} if title else {}
        if source.spot is not None:
            place |= {"collapsed": True} if source.is_collapsed else {}
            place |= {"color": source.color} if source.color else {}
        if place:
            places[name] = place
    return places


def _group(translation: Translation, group: SourceGroup) -> dict[str, Any]:
    left, top = group.spot.x, group.spot.y
    right, bottom = left + (group.spot.width or 0), top + (group.spot.height or 0)
    inside = {
        id
        for id, node in translation.graph.nodes.items()
        if node.spot is not None and left <= node.spot.x <= right and top <= node.spot.y <= bottom
    }
    names = [name for name in translation.nodes if translation.owners[name] in inside]
    return {"title": group.title[:_MAX_TITLE], "color": group.color[:32], "nodes": names}
