"""Objects as server-side apply sees them: trees of fields, by the schema of their kind.

A path is a tuple of steps as `managedFields` writes them: `f:name` of a field, `k:{"name":"x"}` of an item of a list
that is merged by key, `v:"x"` of a member of a set. A list without a type is one value, an object's fields are apart.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Manifest = dict[str, Any]
Path = tuple[str, ...]
ANY: Schema = {}
_DEFAULT_KEYS = {"protocol": "TCP"}
"""Of keys of lists that may be left out: defaults that the server fills in."""


class Undeclared(Exception):
    """A field that the schema does not have."""


class Shape:
    """One schema, or part of it; `refs` are those that it refers to."""

    def __init__(self, schema: Schema, refs: Schema) -> None:
        self._refs = refs
        while "$ref" in schema:
            schema = refs[schema["$ref"].rpartition("/")[2]] | {
                key: value for key, value in schema.items() if key.startswith("x-")
            }
        self.schema = schema

    def field(self, name: str) -> "Shape | None":
        """The shape of a field; None where there is none of that name."""
        schema = self.schema.get("properties", {}).get(name)
        if schema is None:
            schema = self.schema.get("additionalProperties")
        if schema is None or isinstance(schema, bool):
            return Shape(ANY, self._refs) if self.is_open else None
        return Shape(schema, self._refs)

    @property
    def items(self) -> "Shape":
        """The shape of a list's items."""
        return Shape(self.schema.get("items", ANY), self._refs)

    @property
    def is_open(self) -> bool:
        """Whether fields may be there that it does not name."""
        is_bare = "properties" not in self.schema and "additionalProperties" not in self.schema
        return is_bare or bool(self.schema.get("x-kubernetes-preserve-unknown-fields"))

    def is_named(self, name: str) -> bool:
        """Whether a field is one that it names, rather than a key of a map."""
        return name in self.schema.get("properties", {})

    @property
    def is_atomic(self) -> bool:
        """Whether an object of this shape is one value."""
        return self.schema.get("x-kubernetes-map-type") == "atomic"

    def step(self, item: Any) -> str | None:
        """What an item of a list is known by; None where the list is one value."""
        kind = self.schema.get("x-kubernetes-list-type")
        if kind == "set":
            return f"v:{json.dumps(item)}"
        if kind != "map" or not isinstance(item, Mapping):
            return None
        keys = self.schema["x-kubernetes-list-map-keys"]
        inner = self.items.schema.get("properties", {})
        found = {key: item.get(key, inner.get(key, {}).get("default", _DEFAULT_KEYS.get(key))) for key in sorted(keys)}
        return "k:" + json.dumps(
            {key: value for key, value in found.items() if value is not None}, separators=(",", ":")
        )

    @property
    def is_split(self) -> bool:
        """Whether a list's items are apart."""
        return self.schema.get("x-kubernetes-list-type") in ("map", "set")


def members(shape: Shape, value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every path that can be owned of `value`, with what is there: of lists' items and maps' keys, that they are."""
    if isinstance(value, Mapping) and not shape.is_atomic:
        for key, item in value.items():
            inner, here = shape.field(key), (*path, f"f:{key}")
            if inner is None:
                raise Undeclared(_shown(here))
            if not shape.is_named(key) or item is None or item == {}:
                yield here, None
            yield from members(inner, item, here)
        return
    if isinstance(value, list) and shape.is_split:
        for item in value:
            here = (*path, str(shape.step(item)))
            yield here, None
            yield from members(shape.items, item, here)
        return
    _declared(shape, value, path)
    if value is not None or not path:
        yield path, value


def _declared(shape: Shape, value: Any, path: Path) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = shape.field(key)
            if inner is None:
                raise Undeclared(_shown((*path, f"f:{key}")))
            _declared(inner, item, (*path, f"f:{key}"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _declared(shape.items, item, (*path, f"i:{index}"))


def _shown(path: Path) -> str:
    names = (step.partition(":") for step in path)
    return "".join(f".{name}" if kind == "f" else f"[{name}]" for kind, _, name in names)


def merged(shape: Shape, live: Any, applied: Any) -> Any:
    """`live` with what `applied` says."""
    if isinstance(applied, Mapping) and isinstance(live, Mapping) and not shape.is_atomic:
        new = dict(live)
        for key, item in applied.items():
            inner = shape.field(key)
            new[key] = merged(inner, live.get(key), item) if inner is not None else item
        return new
    if isinstance(applied, list) and isinstance(live, list) and shape.is_split:
        return _merged_list(shape, live, applied)
    return copy.deepcopy(applied)


def _merged_list(shape: Shape, live: list[Any], applied: list[Any]) -> list[Any]:
    """In the order of what is applied; what others added stays behind what it stood behind."""
    wanted = {shape.step(item): item for item in applied}
    if len(wanted) < len(applied):
        raise Undeclared("duplicate entries for key")
    before = {shape.step(item): item for item in live}
    new = [merged(shape.items, before[step], item) if step in before else item for step, item in wanted.items()]
    return new + [item for step, item in before.items() if step not in wanted]


def without(shape: Shape, value: Any, gone: set[Path]) -> Any:
    """`value` without the fields at these paths; objects that this empties are left out, too."""
    heads = {path[0] for path in gone}
    if isinstance(value, Mapping):
        return {key: item for key, item in _kept_fields(shape, value, gone, heads)}
    if isinstance(value, list) and shape.is_split:
        new = []
        for item in value:
            step = str(shape.step(item))
            if (step,) not in gone:
                new.append(without(shape.items, item, _below(gone, step)) if step in heads else item)
        return new
    return value


def _kept_fields(shape: Shape, value: Mapping[str, Any], gone: set[Path], heads: set[str]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        step = f"f:{key}"
        if (step,) in gone:
            continue
        if step not in heads:
            yield key, item
        elif kept := without(shape.field(key) or shape, item, _below(gone, step)):
            yield key, kept


def _below(paths: Iterable[Path], step: str) -> set[Path]:
    return {path[1:] for path in paths if path[0] == step and len(path) > 1}


def as_fields(paths: Iterable[Path]) -> Manifest:
    """Paths as FieldsV1."""
    paths = set(paths)
    tree: Manifest = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    for path in paths:
        node = tree
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return tree


def from_fields(tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The paths of a FieldsV1."""
    if path and (not tree or "." in tree):
        yield path
    for step, below in tree.items():
        if step != ".":
            yield from from_fields(below, (*path, _normal(step)))


def _normal(step: str) -> str:
    if not step.startswith("k:"):
        return step
    return "k:" + json.dumps(json.loads(step[2:]), sort_keys=True, separators=(",", ":"))
