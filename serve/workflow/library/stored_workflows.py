"""What the library has of a workflow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serve.domain.names import TenantName
from serve.domain.workflow import WorkflowSpec


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """A workflow. `revision` tells one state of its draft from every other, also of a workflow of this name that was
    deleted; `latest` is the highest version that there is, None before the first. Times are Unix milliseconds."""

    tenant: TenantName
    name: str
    title: str
    revision: str
    draft_digest: str
    latest: int | None
    aliases: Mapping[str, int]
    managed_by: str
    created_ms: int
    updated_ms: int
    updated_by: str


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A workflow and its draft, as they were at one moment."""

    workflow: StoredWorkflow
    spec: WorkflowSpec


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version: `digest` says which document it is, for ever."""

    tenant: TenantName
    name: str
    version: int
    digest: str
    note: str
    created_ms: int
    created_by: str

    @property
    def address(self) -> str:
        """`name@version`: what runs of it are said to be of."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class StoredAlias:
    """A word for a version; `previous` is the one that it meant before, where that is still there."""

    alias: str
    version: int
    previous: int | None
    updated_ms: int
    updated_by: str


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version on its way in. `spec` names other workflows by number. `revision` is of the draft that it was made
    from: it is published only while that is the draft."""

    tenant: TenantName
    name: str
    spec: WorkflowSpec
    by: str
    note: str = ""
    revision: str | None = None
    manager: str = "api"
    aliases: tuple[str, ...] = field(default=())
    """Which mean it from now on."""
