"""Which nodes of a workflow are those of another under new names."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from serve.workflow.compiling.references import REF, references_in

_ROUNDS = 8
"""Each finds nodes by those that the ones before have found; more would only tell very deep rewrites apart."""
_UNKNOWN = "?"

Plain = Mapping[str, Any]
"""A workflow as JSON values."""


def renamed_nodes(before: Plain, after: Plain) -> dict[str, str]:
    """New names by old ones, of nodes that are gone under the old and new under the new name: first those that are the
    same but for names, then those of one type that are used in the same places."""
    kept = before["nodes"].keys() & after["nodes"].keys()
    found: dict[str, str] = {}
    for _ in range(_ROUNDS):
        same = {name: name for name in kept}
        fresh = _matches(_Side(before, same | found), _Side(after, same | {name: name for name in found.values()}))
        if not fresh:
            break
        found |= fresh
    return found


def mapped(value: Any, names: Mapping[str, str]) -> Any:
    """A value with the nodes that it refers to under these names; others keep theirs."""
    return _mapped(value, lambda name: names.get(name, name))


def _mapped(value: Any, name_of: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_mapped(item, name_of) for item in value]
    if not isinstance(value, dict):
        return value
    inner = value.get(REF)
    if len(value) == 1 and isinstance(inner, list) and len(inner) == 2 and isinstance(inner[0], str):
        return {REF: [name_of(inner[0]), inner[1]]}
    return {key: _mapped(item, name_of) for key, item in value.items()}


class _Side:
    """One of the two workflows; `known` are names as the later one has them, of nodes that are matched already."""

    def __init__(self, plain: Plain, known: Mapping[str, str]) -> None:
        self.plain = plain
        self.known = known

    def bodies(self) -> dict[str, str]:
        """What each node that is not matched yet is."""
        return {name: _text(_mapped(node, self._name)) for name, node in self._open()}

    def types(self) -> dict[str, str]:
        """Of what type each is."""
        return {name: node["type"] for name, node in self._open()}

    def uses(self) -> dict[str, str]:
        """Where each is referred to."""
        found: dict[str, list[str]] = defaultdict(list)
        for name, node in self.plain["nodes"].items():
            values = {f"inputs.{field}": value for field, value in node.get("inputs", {}).items()}
            for field, value in (values | {"when": node.get("when")}).items():
                for target, port in references_in(value):
                    found[target].append(f"{self._name(name)}.{field}:{port}")
        for output in self.plain["interface"].get("outputs", ()):
            found[output["from"][0]].append(f"{output['name']}:{output['from'][1]}")
        return {name: _text(sorted(found[name])) if name in found else "" for name, _ in self._open()}

    def _open(self) -> Iterator[tuple[str, Plain]]:
        return ((name, node) for name, node in self.plain["nodes"].items() if name not in self.known)

    def _name(self, name: str) -> str:
        return self.known.get(name, _UNKNOWN)


def _matches(before: _Side, after: _Side) -> dict[str, str]:
    bodies = before.bodies(), after.bodies()
    uses = before.uses(), after.uses()
    found = _paired(*(_joined(body, use) for body, use in zip(bodies, uses, strict=True)))
    taken = found.keys() | set(found.values())
    found |= _paired(*({name: text for name, text in body.items() if name not in taken} for body in bodies))
    if found:
        return found
    types = before.types(), after.types()
    used = ({name: text for name, text in use.items() if text} for use in uses)
    return _paired(*(_joined(use, kind) for use, kind in zip(used, types, strict=True)), only_single=True)


def _joined(some: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{text} {others[name]}" for name, text in some.items()}


def _paired(before: Mapping[str, str], after: Mapping[str, str], *, only_single: bool = False) -> dict[str, str]:
    """Names that have the same text; of several the first go with the first, unless only single ones are wanted."""
    olds, news = _by_text(before), _by_text(after)
    found: dict[str, str] = {}
    for text, names in olds.items():
        others = news.get(text, [])
        if len(names) == len(others) and (len(names) == 1 or not only_single):
            found |= dict(zip(names, others, strict=True))
    return found


def _by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, text in texts.items():
        found[text].append(name)
    return found


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
