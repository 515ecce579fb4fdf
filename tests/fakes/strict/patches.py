"""Patches that are no apply: JSON merge patch (RFC 7396), strategic merge patch, JSON patch (RFC 6902)."""

import copy
from typing import Any

from fakes.strict.shapes import Manifest, Shape


def merge(old: Any, patch: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    new = copy.deepcopy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merge(new.get(key), value)
    return new


def strategic(shape: Shape, old: Any, patch: Any) -> Any:
    """A strategic merge patch without directives: lists that have a key are merged by it."""
    if isinstance(patch, list) and isinstance(old, list) and (key := shape.schema.get("x-kubernetes-patch-merge-key")):
        new = [copy.deepcopy(item) for item in old]
        for item in patch:
            index = next((i for i, one in enumerate(new) if one.get(key) == item.get(key)), None)
            if index is None:
                new.append(item)
            else:
                new[index] = strategic(shape.items, new[index], item)
        return new
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    changed = copy.deepcopy(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            changed.pop(name, None)
        elif not name.startswith("$"):
            changed[name] = strategic(shape.field(name) or shape, changed.get(name), value)
    return changed


def operations(old: Manifest, steps: list[Manifest]) -> Manifest:
    """A JSON patch of add, replace, remove and test."""
    new: Any = copy.deepcopy(old)
    for step in steps:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].lstrip("/").split("/")]
        place = new
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place[part]
        _operate(place, last, step)
    result: Manifest = new
    return result


def _operate(place: Any, last: str, step: Manifest) -> None:
    what = step["op"]
    if isinstance(place, list):
        if what == "add":
            place.insert(len(place) if last == "-" else int(last), step["value"])
        elif what == "remove":
            del place[int(last)]
        else:
            place[int(last)] = step["value"]
    elif what == "remove":
        del place[last]
    elif what != "test":
        place[last] = step["value"]
