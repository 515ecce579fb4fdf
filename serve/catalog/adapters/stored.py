"""Adapters as they are stored: a name with what people say of it, and its immutable versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.catalog.adapters.modules import AdapterModule
from serve.domain.adapters import AdapterFacts, AdapterId, AdapterVersion, ModuleKind
from serve.domain.names import TenantName


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version. `sha256` is bare hexadecimal."""

    name: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version: these very bytes. `base` is the served model that they were checked against, where one was named;
    `misfits` are the bases (see `fits.base_key`) that they were found not to fit. Times are Unix milliseconds."""

    tenant: TenantName
    name: str
    digest: str
    facts: AdapterFacts
    files: tuple[StoredFile, ...]
    num_bytes: int
    base: str | None
    misfits: tuple[str, ...]
    created_ms: int

    @property
    def id(self) -> AdapterId:
        return AdapterVersion(self.tenant, self.name, self.digest).id

    def key(self, file: StoredFile) -> str:
        """Where the object store has `file`."""
        return blob_key(self.tenant, self.digest, file.name)


@dataclass(frozen=True, slots=True)
class Words:
    """What people say of an adapter: no part of a version, and changed without making one. None: as it is."""

    title: str | None = None
    description: str | None = None
    trigger_words: Sequence[str] | None = None
    default_scale: float | None = None
    shared_with: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class StoredAdapter:
    """A name and one version of it: the present one, unless another was asked for."""

    tenant: TenantName
    name: str
    present_digest: str
    title: str
    description: str
    trigger_words: tuple[str, ...]
    default_scale: float
    shared_with: tuple[str, ...]
    managed_by: str
    document: Mapping[str, Any] | None
    created_ms: int
    updated_ms: int
    version: StoredVersion


def blob_key(tenant: str, digest: str, file_name: str) -> str:
    """`adapters/<tenant>/<hexadecimal digits>/<file>`."""
    return f"adapters/{tenant}/{digest.removeprefix('sha256:')}/{file_name}"


def modules_json(modules: Sequence[AdapterModule]) -> list[dict[str, Any]]:
    """Modules as a row keeps them."""
    return [
        {
            "component": module.component,
            "module": module.module,
            "kind": module.kind.value,
            "rank": module.rank,
            "tensors": dict(module.tensors),
            "shapes": {part: list(shape) for part, shape in module.shapes.items()},
            "scale": module.scale,
            "in_features": module.in_features,
            "out_features": module.out_features,
            "kernel": None if module.kernel is None else list(module.kernel),
        }
        for module in modules
    ]


def modules_of(rows: Sequence[Mapping[str, Any]]) -> tuple[AdapterModule, ...]:
    """The opposite."""
    return tuple(
        AdapterModule(
            component=row["component"],
            module=row["module"],
            kind=ModuleKind(row["kind"]),
            rank=row["rank"],
            tensors=row["tensors"],
            shapes={part: tuple(shape) for part, shape in row["shapes"].items()},
            scale=row["scale"],
            in_features=row["in_features"],
            out_features=row["out_features"],
            kernel=None if row["kernel"] is None else (row["kernel"][0], row["kernel"][1]),
        )
        for row in rows
    )
