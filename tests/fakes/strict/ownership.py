"""Who owns which field of an object: `metadata.managedFields`, as the server keeps it over every kind of write."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fakes.strict.shapes import Manifest, Path, Shape, as_fields, from_fields, members, merged, without

_SYSTEM = frozenset(
    {"name", "namespace", "creationTimestamp", "uid", "generation", "managedFields", "resourceVersion"}
    | {"deletionTimestamp", "deletionGracePeriodSeconds", "generateName", "selfLink"}
)
Holder = tuple[str, str, str]
"""(manager, operation, subresource)."""


class Conflicting(Exception):
    """Fields that others own: (manager, path)."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__(fields)
        self.fields = fields


@dataclass(slots=True)
class Owners:
    """The entries of `managedFields`."""

    api_version: str
    held: dict[Holder, set[Path]] = field(default_factory=dict)
    times: dict[Holder, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> "Owners":
        """Those of an object."""
        owners = cls(manifest["apiVersion"])
        for entry in manifest["metadata"].get("managedFields") or ():
            holder = (entry["manager"], entry["operation"], entry.get("subresource", ""))
            owners.held[holder] = set(from_fields(entry.get("fieldsV1") or {}))
            owners.times[holder] = entry.get("time", "")
        return owners

    def entries(self, now: str) -> list[Manifest]:
        """As the object has them."""
        return [self._entry(holder, paths, now) for holder, paths in self.held.items() if paths]

    def _entry(self, holder: Holder, paths: set[Path], now: str) -> Manifest:
        manager, operation, part = holder
        entry = {
            "manager": manager,
            "operation": operation,
            "apiVersion": self.api_version,
            "time": self.times.get(holder) or now,
            "fieldsType": "FieldsV1",
            "fieldsV1": as_fields(paths),
        }
        return entry | ({"subresource": part} if part else {})

    def touched(self, holder: Holder) -> None:
        """This holder has written now."""
        self.times.pop(holder, None)


def owned(shape: Shape, manifest: Manifest) -> dict[Path, Any]:
    """What can be owned of an object."""
    bare = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
    metadata = {key: value for key, value in bare.get("metadata", {}).items() if key not in _SYSTEM}
    bare.pop("metadata", None)
    return dict(members(shape, bare | ({"metadata": metadata} if metadata else {})))


def apply(shape: Shape, live: Manifest, applied: Manifest, holder: Holder, is_forced: bool) -> tuple[Manifest, Owners]:
    """Server-side apply of what may be written: (the new object, its owners).

    Raises:
        Conflicting: others own fields of another value, and nobody forces.
        Undeclared: the schema has no such field.
    """
    owners, wanted, before = Owners.of(live), owned(shape, applied), owned(shape, live)
    last = owners.held.get(holder, set())
    new = merged(shape, live, {key: value for key, value in applied.items() if key != "metadata"})
    labels = {key: value for key, value in applied["metadata"].items() if key not in _SYSTEM}
    new["metadata"] = merged(Shape({}, {}) if (of := shape.field("metadata")) is None else of, live["metadata"], labels)
    after = owned(shape, new)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    contested = [(other, path) for other, paths in owners.held.items() if other != holder for path in paths & changed]
    if contested and not is_forced:
        raise Conflicting([(other[0], _dotted(path)) for other, path in contested])
    for other, path in contested:
        owners.held[other].discard(path)
    owners.held[holder] = set(wanted)
    if last != set(wanted) or changed:
        owners.touched(holder)
    return _pruned(shape, new, last, owners), owners


def _pruned(shape: Shape, new: Manifest, last: set[Path], owners: Owners) -> Manifest:
    """Without what this manager no longer applies and nobody else holds."""
    kept = {prefix for paths in owners.held.values() for path in paths for prefix in _prefixes(path)}
    gone = {path for path in last if path not in kept}
    result: Manifest = without(shape, new, gone) if gone else new
    return result


def _prefixes(path: Path) -> Iterable[Path]:
    return (path[:length] for length in range(1, len(path) + 1))


def update(shape: Shape, live: Manifest, new: Manifest, holder: Holder) -> Owners:
    """The owners after a write that is no apply. `managedFields` of the new object count, where it has some."""
    told = new["metadata"].get("managedFields")
    owners = Owners.of(new if told else live)
    if told is not None and told == [{}]:
        owners = Owners(live["apiVersion"])
    before, after = owned(shape, live), owned(shape, new)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    removed = before.keys() - after.keys()
    for other in owners.held:
        owners.held[other] -= removed if other == holder else removed | changed
    if changed:
        owners.held[holder] = owners.held.get(holder, set()) | changed
        owners.touched(holder)
    return owners


def _dotted(path: Path) -> str:
    parts = (step.partition(":") for step in path)
    return "".join(f".{name}" if kind == "f" else f"[{name}]" for kind, _, name in parts)
