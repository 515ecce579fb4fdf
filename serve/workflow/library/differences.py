"""What has changed from one workflow to another, in the words of who reads a change: nodes, inputs, outputs; and apart
from these, what changes nothing that it does."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from serve.domain.workflow import WorkflowSpec
from serve.workflow.library.renaming import Plain, mapped, renamed_nodes

_MAX_SHOWN = 80
_WORDS = ("title", "description", "ui")


class Change(StrEnum):
    """Kinds of differences."""

    NODE_ADDED = "node_added"
    NODE_REMOVED = "node_removed"
    NODE_RENAMED = "node_renamed"
    NODE_CHANGED = "node_changed"
    INPUT_ADDED = "input_added"
    """Of the interface, as the next ones."""
    INPUT_REMOVED = "input_removed"
    INPUT_CHANGED = "input_changed"
    OUTPUT_ADDED = "output_added"
    OUTPUT_REMOVED = "output_removed"
    OUTPUT_CHANGED = "output_changed"
    WORDS = "words"
    """Titles, descriptions, tags, how a form shows an input, where the workflow came from."""
    LAYOUT = "layout"


@dataclass(frozen=True, slots=True)
class Difference:
    """One of them. `node` is its name in the later workflow, where it is there; `field` is as problems have it."""

    kind: Change
    sentence: str
    node: str | None = None
    field: str | None = None
    before: Any = None
    after: Any = None

    @property
    def is_meaning(self) -> bool:
        """Whether the workflow does something else, or is called otherwise."""
        return self.kind not in (Change.WORDS, Change.LAYOUT)


def differences(before: WorkflowSpec, after: WorkflowSpec) -> list[Difference]:
    """All of them: nodes, then the interface, then words and layout. There are none that are `is_meaning` exactly
    where both have one digest."""
    old, new = _plain(before), _plain(after)
    renamed = renamed_nodes(old, new)
    return [
        *_nodes(old["nodes"], new["nodes"], renamed),
        *_ports(old["interface"]["inputs"], new["interface"]["inputs"], "inputs", renamed),
        *_ports(old["interface"]["outputs"], new["interface"]["outputs"], "outputs", renamed),
        *_words(old, new),
        *_layout(old["layout"], new["layout"], renamed),
    ]


def _plain(spec: WorkflowSpec) -> Plain:
    return spec.model_dump(mode="json", by_alias=True)


def _nodes(old: Plain, new: Plain, renamed: Mapping[str, str]) -> Iterator[Difference]:
    for name, node in old.items():
        if name not in new and name not in renamed:
            yield Difference(Change.NODE_REMOVED, f"{name} ({node['type']}) is gone", name, before=node)
    found_again = set(renamed.values())
    for name, node in new.items():
        if name not in old and name not in found_again:
            yield Difference(Change.NODE_ADDED, f"{name} ({node['type']}) is new", name, after=node)
    for name, later in renamed.items():
        yield Difference(Change.NODE_RENAMED, f"{name} is called {later}", later, before=name, after=later)
    for name, node in old.items():
        later = renamed.get(name, name)
        if later in new and (name in new or name in renamed):
            yield from _changes(Change.NODE_CHANGED, later, later, _fields(node, renamed), _fields(new[later], {}))


def _fields(node: Plain, renamed: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a node, inputs and policy each by itself."""
    flat = {key: value for key, value in node.items() if key not in ("inputs", "policy")}
    inner = {f"{key}.{name}": value for key in ("policy", "inputs") for name, value in node[key].items()}
    return {key: mapped(value, renamed) for key, value in (flat | inner).items()}


def _changes(kind: Change, told: str, node: str | None, old: Plain, new: Plain) -> Iterator[Difference]:
    for field in dict.fromkeys([*old, *new]):
        before, after = old.get(field), new.get(field)
        if field in old and field in new and _text(before) == _text(after):
            continue
        yield Difference(kind, f"{told}: {_sentence(field, old, new)}", node, field, before, after)


def _sentence(field: str, old: Plain, new: Plain) -> str:
    if field not in old or old[field] is None:
        return f"{field} is {_shown(new.get(field))}, and was not given"
    if field not in new or new[field] is None:
        return f"{field} is not given, and was {_shown(old[field])}"
    return f"{field} is {_shown(new[field])}, and was {_shown(old[field])}"


def _ports(old: list[Plain], new: list[Plain], side: str, renamed: Mapping[str, str]) -> Iterator[Difference]:
    added, removed, changed = {
        "inputs": (Change.INPUT_ADDED, Change.INPUT_REMOVED, Change.INPUT_CHANGED),
        "outputs": (Change.OUTPUT_ADDED, Change.OUTPUT_REMOVED, Change.OUTPUT_CHANGED),
    }[side]
    olds, news = ({one["name"]: one for one in ports} for ports in (old, new))
    word = side.removesuffix("s")
    for name in olds.keys() - news.keys():
        field = f"interface.{side}.{name}"
        yield Difference(removed, f"the {word} {name} is gone", field=field, before=olds[name])
    for name in news.keys() - olds.keys():
        yield Difference(added, f"the {word} {name} is new", field=f"interface.{side}.{name}", after=news[name])
    for name, one in news.items():
        if name in olds:
            prefix = f"interface.{side}.{name}"
            before, after = _meant(olds[name], prefix, renamed), _meant(one, prefix, {})
            yield from _changes(changed, f"the {word} {name}", None, before, after)
    kept = [name for name in olds if name in news]
    if kept != (order := [name for name in news if name in olds]):
        told = f"the {side} stand in another order: {', '.join(order)}"
        yield Difference(changed, told[:400], field=f"interface.{side}", before=kept, after=order)


def _meant(port: Plain, prefix: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    """What an input or output means, without words; an output's node under its later name."""
    plain = {key: value for key, value in port.items() if key not in _WORDS}
    if "from" in plain:
        node, name = plain["from"]
        plain["from"] = [renamed.get(node, node), name]
    return {f"{prefix}.{key}": value for key, value in plain.items()}


def _words(old: Plain, new: Plain) -> Iterator[Difference]:
    for field in ("title", "description", "tags", "provenance"):
        if old[field] != new[field]:
            yield Difference(Change.WORDS, f"the {field} is another", None, field, old[field], new[field])
    for side in ("inputs", "outputs"):
        olds = {one["name"]: one for one in old["interface"][side]}
        for one in new["interface"][side]:
            before = olds.get(one["name"], one)
            for word in _WORDS:
                if before.get(word) != one.get(word):
                    told = f"the {word} of the {side.removesuffix('s')} {one['name']} is another"
                    field = f"interface.{side}.{one['name']}.{word}"
                    yield Difference(Change.WORDS, told, None, field, before.get(word), one.get(word))


def _layout(old: Plain, new: Plain, renamed: Mapping[str, str]) -> Iterator[Difference]:
    before = {renamed.get(name, name): place for name, place in old["nodes"].items()}
    moved = [name for name, place in new["nodes"].items() if before.get(name) != place]
    if moved:
        field, told = "layout.nodes", f"{len(moved)} nodes are drawn otherwise"
        yield Difference(Change.LAYOUT, told, None, field, None, moved)
    for part in ("groups", "notes"):
        if old[part] != new[part]:
            yield Difference(Change.LAYOUT, f"the {part} are others", None, f"layout.{part}", old[part], new[part])


def _shown(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
