"""ComfyUI's save format: what the editor keeps. Nodes have places and titles, values stand without their names.

What the editor itself resolves before a run is resolved here: reroutes, primitives, bypassed and muted nodes, and
subgraphs, whose nodes become `<instance>:<node>`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from serve.domain.errors import InvalidRequest
from serve.workflow.comfyui.classes import CLASSES, CONTROLS
from serve.workflow.comfyui.source import (
    SAVED_FORMAT,
    AppInput,
    Link,
    SourceGraph,
    SourceGroup,
    SourceNode,
    SourceNote,
    Spot,
)

_NOTES = frozenset({"Note", "MarkdownNote"})
_REROUTE, _PRIMITIVE = "Reroute", "PrimitiveNode"
_VIRTUAL = _NOTES | {_REROUTE, _PRIMITIVE}
_MUTED, _BYPASSED = 2, 4
_INTO, _OUT_OF = "-10", "-20"
"""The ends of a subgraph, among its own links."""
_MAX_SUBGRAPHS = 6
"""Within one another."""
_NODE_WORK = 20
_MAX_WORK = 200_000
"""Links and inputs, and nodes for some of them each."""
End = tuple[str, int]


@dataclass(slots=True)
class _Sheet:
    """All nodes in one plane, by their full ids, and where each input comes from."""

    max_nodes: int
    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: dict[End, End] = field(default_factory=dict)
    """(node, input) -> (node, output)"""
    shifted: dict[str, Spot] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    """Subgraphs, whose nodes are here in their place."""
    origins: dict[End, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    work: int = 0

    def add(self, id: str, node: Mapping[str, Any]) -> None:
        """Raises InvalidRequest where there are too many."""
        self.spend(_NODE_WORK + len(_listed(node.get("inputs"))))
        if len(self.nodes) >= self.max_nodes:
            raise InvalidRequest(f"A graph has at most {self.max_nodes} nodes.", "too_large")
        if id in self.nodes:
            self.warnings.append(f"Node {id[:40]}: several nodes have this id, and the last of them is taken")
        self.nodes[id] = node

    def spend(self, work: int) -> None:
        """Count what is laid out, also of subgraphs that turn out to be empty. Raises InvalidRequest."""
        self.work += work
        if self.work > _MAX_WORK:
            raise InvalidRequest("The graph has too many links, or its subgraphs are too many.", "too_large")


def read_saved(workflow: Mapping[str, Any], max_nodes: int) -> SourceGraph:
    """The graph that the editor would run. Raises InvalidRequest."""
    sheet = _flattened(workflow, max_nodes)
    nodes = {id: _source_node(id, node, sheet) for id, node in sheet.nodes.items() if _runs(node)}
    graph = SourceGraph(SAVED_FORMAT, nodes, tuple(_notes(sheet)), _muted(sheet))
    return _with_look(graph, workflow, sheet)


def read_look(graph: SourceGraph, workflow: Mapping[str, Any], max_nodes: int) -> SourceGraph:
    """An API graph with places, titles, notes and the app of the save format that came with it."""
    sheet = _flattened(workflow, max_nodes)
    nodes = {}
    for id, node in graph.nodes.items():
        saved = sheet.nodes.get(id)
        if saved is None or _type(saved) != node.class_type:
            nodes[id] = node
        else:
            look = _look(saved, sheet.shifted.get(id))
            nodes[id] = replace(node, **(look | {"title": node.title or look["title"]}))
    graph = replace(graph, nodes=nodes, notes=tuple(_notes(sheet)), muted=_muted(sheet))
    return _with_look(graph, workflow, _Sheet(max_nodes))


def _runs(node: Mapping[str, Any]) -> bool:
    return _type(node) not in _VIRTUAL and node.get("mode") not in (_MUTED, _BYPASSED)


def _muted(sheet: _Sheet) -> tuple[SourceNode, ...]:
    """What stands there, and was switched off."""
    off = [(id, node) for id, node in sheet.nodes.items() if node.get("mode") in (_MUTED, _BYPASSED)]
    return tuple(_source_node(id, node, sheet) for id, node in off if _type(node) not in _VIRTUAL)


def _with_look(graph: SourceGraph, workflow: Mapping[str, Any], sheet: _Sheet) -> SourceGraph:
    extra = workflow.get("extra")
    app = extra.get("linearData") if isinstance(extra, Mapping) else None
    app = app if isinstance(app, Mapping) else {}
    inputs = [one for one in map(_app_input, _listed(app.get("inputs"))) if one is not None]
    outputs = [str(one) for one in _listed(app.get("outputs")) if isinstance(one, str | int)]
    return replace(
        graph,
        groups=tuple(_groups(workflow)),
        app_inputs=tuple(inputs),
        app_outputs=tuple(outputs),
        warnings=(*graph.warnings, *sheet.warnings),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _type(node: Mapping[str, Any]) -> str:
    type = node.get("type")
    return type.strip() or "?" if isinstance(type, str) else "?"


# Planes and links


def _flattened(workflow: Mapping[str, Any], max_nodes: int) -> _Sheet:
    sheet = _Sheet(max_nodes)
    definitions = workflow.get("definitions")
    listed = _listed(definitions.get("subgraphs")) if isinstance(definitions, Mapping) else []
    known = {one["id"]: one for one in listed if isinstance(one, Mapping) and isinstance(one.get("id"), str)}
    _lay(workflow, "", sheet, known, 0, Spot(0, 0))
    return sheet


def _lay(
    plane: Mapping[str, Any], prefix: str, sheet: _Sheet, known: Mapping[str, Any], depth: int, origin: Spot
) -> None:
    """The nodes of a plane, and those of the subgraphs in it."""
    for node in _listed(plane.get("nodes")):
        if not isinstance(node, Mapping) or not isinstance(node.get("id"), str | int):
            raise InvalidRequest("A node of the graph has no id.", "invalid_graph", "nodes")
        id = f"{prefix}{node['id']}"
        sheet.add(id, node)
        place = _spot(node) or Spot(0, 0)
        sheet.shifted[id] = replace(place, x=place.x + origin.x, y=place.y + origin.y)
    sheet.spend(len(_listed(plane.get("links"))))
    for origin_end, target_end in _links(plane, prefix):
        sheet.sources[target_end] = origin_end
    for node in _listed(plane.get("nodes")):
        id = f"{prefix}{node['id']}"
        taken, inner = sheet.nodes.get(id), known.get(_type(node))
        if taken is not None and taken is node and inner is not None:
            _open(id, taken, inner, sheet, known, depth)


def _open(
    id: str, node: Mapping[str, Any], inner: Mapping[str, Any], sheet: _Sheet, known: Mapping[str, Any], depth: int
) -> None:
    """A subgraph in place of the node that stands for it."""
    if depth >= _MAX_SUBGRAPHS:
        raise InvalidRequest(f"Subgraphs are within one another at most {_MAX_SUBGRAPHS} deep.", "invalid_graph")
    if node.get("mode") in (_MUTED, _BYPASSED):
        return
    if node.get("widgets_values"):
        sheet.warnings.append(f"Subgraph {id}: values that are set on it from outside are taken from inside it")
    del sheet.nodes[id]
    sheet.opened.add(id)
    _lay(inner, f"{id}:", sheet, known, depth + 1, sheet.shifted[id])


def _links(plane: Mapping[str, Any], prefix: str) -> Iterator[tuple[End, End]]:
    """(origin, target) of every link, in both ways to write one."""
    for link in _listed(plane.get("links")):
        if isinstance(link, list) and len(link) >= 5:
            ends = link[1:5]
        elif isinstance(link, Mapping):
            ends = [link.get(name) for name in ("origin_id", "origin_slot", "target_id", "target_slot")]
        else:
            continue
        if all(isinstance(end, str | int) for end in ends) and isinstance(ends[1], int) and isinstance(ends[3], int):
            yield (f"{prefix}{ends[0]}", ends[1]), (f"{prefix}{ends[2]}", ends[3])


def _origin(sheet: _Sheet, end: End) -> Any:
    """Where a value really comes from: behind reroutes, bypassed nodes and the borders of subgraphs. A primitive's is
    the value itself, in a tuple of one; None if it comes from nowhere."""
    path: list[End] = []
    seen: set[End] = set()
    here: Any = end
    while isinstance(here, tuple) and len(here) == 2 and here not in sheet.origins and here not in seen:
        path.append(here)
        seen.add(here)
        further = _before(sheet, here)
        if further == here:
            break
        here = further
    is_loop = here in seen and here != path[-1]
    found = None if is_loop else sheet.origins.get(here, here)
    sheet.origins.update(dict.fromkeys(path, found))
    return found


def _before(sheet: _Sheet, end: End) -> Any:
    """One step back from an output; the same where it is a node's own."""
    id, slot = end
    instance, _, inner = id.rpartition(":")
    if inner == _INTO and instance in sheet.opened:
        return sheet.sources.get((instance, slot))
    if id in sheet.opened:
        return sheet.sources.get((f"{id}:{_OUT_OF}", slot))
    node = sheet.nodes.get(id)
    if node is None:
        return end
    if _type(node) == _PRIMITIVE:
        values = _listed(node.get("widgets_values"))
        return (values[0],) if values else None
    if _type(node) == _REROUTE:
        return sheet.sources.get((id, 0))
    if node.get("mode") == _BYPASSED:
        passed = _passed(node, slot)
        return None if passed is None else sheet.sources.get((id, passed))
    return None if node.get("mode") == _MUTED else end


def _passed(node: Mapping[str, Any], slot: int) -> int | None:
    """The input that a bypassed node hands on at an output: the first of its type."""
    outputs, inputs = _listed(node.get("outputs")), _listed(node.get("inputs"))
    if slot >= len(outputs) or not isinstance(outputs[slot], Mapping):
        return None
    wanted = outputs[slot].get("type")
    same = [place for place, one in enumerate(inputs) if isinstance(one, Mapping) and one.get("type") == wanted]
    return same[0] if same else None


# Nodes


def _source_node(id: str, node: Mapping[str, Any], sheet: _Sheet) -> SourceNode:
    class_type = _type(node)
    values, moves = _widget_values(class_type, node)
    for slot, one in enumerate(_listed(node.get("inputs"))):
        name = one.get("name") if isinstance(one, Mapping) else None
        if not isinstance(name, str) or (id, slot) not in sheet.sources:
            continue
        origin = _origin(sheet, sheet.sources[id, slot])
        if origin is None:
            continue
        values[name] = origin[0] if len(origin) == 1 else Link(*origin)
    look = _look(node, sheet.shifted.get(id))
    return SourceNode(id, class_type, values, dict(node), has_moving_seed=moves, **look)


def _widget_values(class_type: str, node: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The values that were typed in, by name, and whether a seed moves on. Without a signature there are no names."""
    written, known = node.get("widgets_values"), CLASSES.get(class_type)
    if isinstance(written, Mapping):
        return {str(name): value for name, value in written.items()}, False
    waiting = list(_listed(written))
    values: dict[str, Any] = {}
    moves = False
    for port in known.widgets if known is not None else ():
        if not waiting:
            break
        values[port.name] = waiting.pop(0)
        if port.is_controlled and waiting and waiting[0] in CONTROLS:
            moves = waiting.pop(0) != "fixed"
    return values, moves


# How it looks


def _look(node: Mapping[str, Any], spot: Spot | None) -> dict[str, Any]:
    title, color, flags = node.get("title"), node.get("bgcolor") or node.get("color"), node.get("flags")
    return {
        "title": title if isinstance(title, str) else "",
        "color": color[:32] if isinstance(color, str) else "",
        "spot": spot,
        "is_collapsed": bool(flags.get("collapsed")) if isinstance(flags, Mapping) else False,
    }


def _notes(sheet: _Sheet) -> Iterator[SourceNote]:
    for id, node in sheet.nodes.items():
        if _type(node) in _NOTES:
            texts = [str(one) for one in _listed(node.get("widgets_values"))]
            yield SourceNote("\n".join(texts), sheet.shifted.get(id) or Spot(0, 0), id)


def _groups(workflow: Mapping[str, Any]) -> Iterator[SourceGroup]:
    for one in _listed(workflow.get("groups")):
        bounds = _numbers(one.get("bounding"), 4) if isinstance(one, Mapping) else None
        if bounds is not None:
            title, color = one.get("title"), one.get("color")
            words = [word if isinstance(word, str) else "" for word in (title, color)]
            yield SourceGroup(words[0], words[1], Spot(*bounds))


def _app_input(one: Any) -> AppInput | None:
    """[node, widget, config?]"""
    if not isinstance(one, list) or len(one) < 2 or not isinstance(one[0], str | int) or not isinstance(one[1], str):
        return None
    config = one[2] if len(one) > 2 and isinstance(one[2], Mapping) else {}
    title = next((config[name] for name in ("label", "title", "name") if isinstance(config.get(name), str)), "")
    return AppInput(str(one[0]), one[1], title)


def _spot(node: Mapping[str, Any]) -> Spot | None:
    place = _numbers(node.get("pos"), 2)
    if place is None:
        return None
    size = _numbers(node.get("size"), 2)
    return Spot(*place, *size) if size is not None else Spot(*place)


def _numbers(value: Any, count: int) -> list[float] | None:
    """Numbers of a list, or of an object with "0", "1", ..., as old files write it."""
    if isinstance(value, Mapping):
        value = [value.get(str(place)) for place in range(count)]
    if not isinstance(value, list) or len(value) < count:
        return None
    is_plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one in value[:count])
    return [float(one) for one in value[:count]] if is_plain else None
