"""Whether an object is as it should be.

The API server adds to what is applied: defaults, allocated addresses, what controllers write. So an object is right
when it contains what is desired, and when it has nothing that the operator once applied and no longer wants: of that,
`metadata.managedFields` keeps the record. Without both, an operator writes in every pass, or leaves things behind.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from operators.state import ANNOTATION_HASH, FIELD_MANAGER, Manifest
from serve.domain.quantities import quantity

_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "imagePullSecrets": (("name",),),
    "volumeMounts": (("mountPath",),),
    "ownerReferences": (("uid",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
}
"""Lists that Kubernetes merges by key, by the name of their field: others may add to them."""
_ATOMIC = frozenset({"workerGroupSpecs"})
"""Lists that are one value. What lies within is the last writer's as a whole: nobody adds to it."""
_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}
"""Of keys that a document may leave out."""
_QUANTITY_FIELDS = frozenset({"requests", "limits", "resources", "sizeLimit", "storage"})
_SERVERS = frozenset({"apiVersion", "kind", "status"})
"""What a server may answer differently without the object being another."""


def differs(desired: Manifest, live: Manifest) -> list[str]:
    """Paths at which the live object is not what is desired, in order; empty: an apply would change nothing."""
    wanted = {key: value for key, value in desired.items() if key not in _SERVERS}
    left_behind = (_shown(path) for path in _fields(_own_fields(live)) if not _holds(desired, path))
    taken = (_shown(path) for path in _taken_over(desired, live))
    return [*dict.fromkeys([*_differences(wanted, live, ()), *left_behind, *taken])]


def with_hash(manifest: Manifest) -> Manifest:
    """The manifest with the digest of itself in its annotation."""
    bare = copy.deepcopy(manifest)
    annotations = bare["metadata"].setdefault("annotations", {})
    annotations.pop(ANNOTATION_HASH, None)
    annotations[ANNOTATION_HASH] = digest(bare)
    return bare


def digest(value: Any) -> str:
    """Of JSON: equal values, however ordered, give equal ones."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def applied_hash(live: Manifest) -> str:
    """The digest of what the operator last applied of it."""
    annotations = live.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(ANNOTATION_HASH, ""))


def without_additions(desired: Manifest, live: Manifest) -> tuple[Manifest, tuple[str, ...]] | None:
    """What people added to `spec` beside the operator's fields: (merge patch, who). None: nothing.

    An apply takes back values, but leaves what another manager owns. The patch hands these fields to the operator's own
    entry of `managedFields`; the apply that follows no longer names them, and so the server removes them.
    """
    entries = live.get("metadata", {}).get("managedFields") or []
    ours = next((entry for entry in entries if _is_own(entry)), None)
    if ours is None:
        return None
    taken: dict[str, Any] = {}
    others, authors = [], []
    for entry in (entry for entry in entries if entry is not ours):
        added = _added(desired, entry)
        if added:
            taken = _merged(taken, added)
            authors.append(str(entry.get("manager", "")))
        kept = {key: value for key, value in entry.get("fieldsV1", {}).items() if not added or key != "f:spec"}
        if kept:
            others.append({**entry, "fieldsV1": kept})
    if not taken:
        return None
    own = {**ours, "fieldsV1": _merged(ours.get("fieldsV1", {}), {"f:spec": taken})}
    return _patch_of(live, {"managedFields": [own, *others]}), tuple(dict.fromkeys(authors))


def _patch_of(live: Manifest, metadata: Manifest) -> Manifest:
    return {"metadata": {**metadata, "resourceVersion": live["metadata"].get("resourceVersion")}}


def _is_own(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")


def _own_fields(live: Manifest) -> Mapping[str, Any]:
    entries = live.get("metadata", {}).get("managedFields") or []
    return next((entry.get("fieldsV1") or {} for entry in entries if _is_own(entry)), {})


def _added(desired: Manifest, entry: Mapping[str, Any]) -> dict[str, Any]:
    """The part of another manager's `spec` that is not desired. What admission sets while the operator applies is
    kept under the operator's own name, and stays: it would be set again."""
    if entry.get("subresource") or entry.get("manager") == FIELD_MANAGER:
        return {}
    tree: dict[str, Any] = {}
    for path in _fields(entry.get("fieldsV1") or {}):
        if path[0] == "f:spec" and len(path) > 1 and not _holds(desired, path):
            node = tree
            for step in path[1:]:
                node = node.setdefault(step, {})
    return tree


def _taken_over(desired: Manifest, live: Manifest) -> Iterator[tuple[str, ...]]:
    """Fields of `spec` that are desired, and that another manager wrote since. Of a field that is one value, as a
    Service's selector is, that may have added to it: containing what is desired is not enough then."""
    own = _own_fields(live)
    for entry in live.get("metadata", {}).get("managedFields") or []:
        if not entry.get("subresource") and entry.get("manager") != FIELD_MANAGER:
            for path in _fields({"f:spec": (entry.get("fieldsV1") or {}).get("f:spec") or {}}):
                if len(path) > 1 and _holds(desired, path) and not _covers(own, path):
                    yield path


def _covers(tree: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a FieldsV1 has this path, or the whole of what it lies in."""
    for depth, step in enumerate(path):
        if step not in tree:
            return depth > 0 and not tree
        tree = {key: below for key, below in tree[step].items() if key != "."}
    return True


def _merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(left)
    for key, value in right.items():
        both[key] = _merged(both[key], value) if key in both else value
    return both


def _fields(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The leaves of a FieldsV1, as the steps that lead there."""
    for step, below in tree.items():
        if step == ".":
            continue
        inner = {key: value for key, value in (below or {}).items() if key != "."}
        if inner:
            yield from _fields(inner, (*path, step))
        else:
            yield (*path, step)


def _holds(value: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        kind, _, name = step.partition(":")
        if kind == "f":
            found = isinstance(value, Mapping) and name in value
            value = value[name] if found else None
        elif kind == "k":
            value = _element(value, json.loads(name))
            found = value is not None
        else:
            return isinstance(value, list) and (kind != "v" or json.loads(name) in value)
        if not found:
            return False
    return True


def _shown(path: tuple[str, ...]) -> str:
    return ".".join(step.partition(":")[2] for step in path)


def _differences(desired: Any, live: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(desired, Mapping):
        yield from _map_differences(desired, live, path)
    elif isinstance(desired, list):
        yield from _list_differences(desired, live, path)
    elif not _equal(desired, live, path):
        yield ".".join(path)


def _map_differences(desired: Mapping[str, Any], live: Any, path: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(live, Mapping):
        if desired or live is not None:
            yield ".".join(path)
        return
    for key, value in desired.items():
        yield from _differences(value, live.get(key), (*path, key))


def _list_differences(desired: Sequence[Any], live: Any, path: tuple[str, ...]) -> Iterator[str]:
    live = [] if live is None else live
    keys = _keys_of(desired, path)
    if not isinstance(live, list) or (len(desired) != len(live) if keys is None else len(desired) > len(live)):
        yield ".".join(path)
        return
    for index, item in enumerate(desired):
        mine = live[index] if keys is None else _element(live, {key: _value(item, key) for key in keys})
        yield from _differences(item, mine, (*path, str(index)))


def _keys_of(desired: Sequence[Any], path: tuple[str, ...]) -> tuple[str, ...] | None:
    if _ATOMIC & set(path):
        return None
    for keys in _KEYS.get(path[-1], ()):
        if all(isinstance(item, Mapping) and keys[0] in item for item in desired):
            return keys
    return None


def _value(item: Any, key: str) -> Any:
    return item.get(key, _DEFAULTS.get(key)) if isinstance(item, Mapping) else None


def _element(items: Any, key: Mapping[str, Any]) -> Any:
    candidates = items if isinstance(items, list) else []
    return next((item for item in candidates if all(_value(item, name) == key[name] for name in key)), None)


def _equal(desired: Any, live: Any, path: tuple[str, ...]) -> bool:
    if desired == live:
        return isinstance(desired, bool) == isinstance(live, bool)
    if not _QUANTITY_FIELDS & set(path):
        return False
    left, right = quantity(desired), quantity(live)
    return left is not None and left == right
