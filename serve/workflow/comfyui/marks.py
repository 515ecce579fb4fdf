"""What a graph says of its own interface: values that callers give, and results that they get.

App mode             `extra.linearData`: [[node, value], ...] and [node, ...]
titles of nodes      `input: name`, `[input] name` or `[input: name]`, and the same with `output`. The input is the
                     node's main value (of a prompt its text, of a sampler its seed, ...); another one is named as
                     in `input: strength = denoise`
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from serve.workflow.comfyui.classes import CLASSES
from serve.workflow.comfyui.source import SourceGraph, SourceNode

_TITLE = re.compile(
    r"\s*(?:\[\s*(?P<framed>input|output)\s*(?::\s*(?P<inner>[^\]]*))?\]|(?P<plain>input|output)\s*:)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)


class Side(StrEnum):
    """Of an interface."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Mark:
    """`words` name the input or output, as people wrote them."""

    words: str
    is_of_app: bool = False


@dataclass(frozen=True, slots=True)
class TitleMark:
    """What a title says; `widget` where it names one."""

    side: Side
    words: str
    widget: str | None


def read_title(title: str) -> TitleMark | None:
    """The mark in a title, if it is one."""
    found = _TITLE.fullmatch(title[:400])
    if found is None:
        return None
    side = Side((found["framed"] or found["plain"]).lower())
    words = " ".join(filter(None, ((found["inner"] or "").strip(), found["rest"].strip())))
    words, _, widget = words.partition("=")
    return TitleMark(side, words.strip(), widget.strip() or None)


class Marks:
    """All marks of a graph: `inputs` by (node, value), `outputs` by node. What is about nothing is told in
    `warnings`."""

    def __init__(self, graph: SourceGraph) -> None:
        self.inputs: dict[tuple[str, str], Mark] = {}
        self.outputs: dict[str, Mark] = {}
        self.warnings: list[str] = []
        self._nodes: Mapping[str, SourceNode] = graph.nodes
        for one in graph.app_inputs:
            self._add_input(one.node, one.widget, Mark(one.title or one.widget, True), f"App mode: {one.widget}")
        for node in graph.app_outputs:
            if node in graph.nodes:
                self.outputs[node] = Mark("", True)
            else:
                self.warnings.append(f"App mode: there is no node {node[:40]} to be an output")
        for source in graph.nodes.values():
            mark = read_title(source.title)
            if mark is not None:
                self._add_titled(source, mark)

    def _add_titled(self, node: SourceNode, mark: TitleMark) -> None:
        if mark.side is Side.OUTPUT:
            is_of_app = node.id in self.outputs
            self.outputs[node.id] = Mark(mark.words, is_of_app)
            return
        known = CLASSES.get(node.class_type)
        main = known.main if known is not None else None
        widgets = [mark.widget] if mark.widget else [main] if main else self._typed_in(node)
        if not widgets:
            self.warnings.append(f"{node.told}: its title marks an input, and it has no value to be one")
        for widget in widgets:
            words = mark.words or widget
            several = f"{words} {widget}" if len(widgets) > 1 else words
            self._add_input(node.id, widget, Mark(several), node.told)

    def _typed_in(self, node: SourceNode) -> list[str]:
        known = CLASSES.get(node.class_type)
        return [port.name for port in known.widgets if port.name in node.inputs] if known is not None else []

    def _add_input(self, node: str, widget: str, mark: Mark, told: str) -> None:
        known = self._nodes.get(node)
        if known is None or widget not in known.inputs or widget in known.links:
            self.warnings.append(f"{told[:80]}: there is no value {widget[:40]!r} of node {node[:40]} to be an input")
        else:
            self.inputs.setdefault((node, widget), mark)
