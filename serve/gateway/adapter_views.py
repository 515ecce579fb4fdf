"""What is sent and asked of adapters."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from serve.auth.access import Caller
from serve.catalog.adapters.stored import StoredAdapter, StoredVersion, Words
from serve.domain.adapters import AdapterArchitecture, AdapterFormat, ModuleKind, Scale
from serve.domain.moments import at
from serve.domain.names import Digest, Name
from serve.gateway.views import Body, Timestamp

TriggerWord = Annotated[str, Field(min_length=1, max_length=80)]


class AdapterWords(Body):
    """What people say of an adapter: no part of its versions. Left out, it stays as it is."""

    title: str | None = Field(default=None, max_length=120)
    description: str | None = Field(default=None, max_length=4000)
    trigger_words: list[TriggerWord] | None = Field(default=None, max_length=32)
    default_scale: Scale | None = None
    shared_with: list[Name | Literal["*"]] | None = Field(default=None, max_length=256)

    def words(self) -> Words:
        """The same, as the registry takes them."""
        return Words(self.title, self.description, self.trigger_words, self.default_scale, self.shared_with)


class AdapterForm(AdapterWords):
    """The fields of an upload beside its files. `base` is a served model that the files must fit."""

    name: Name
    base: Name | None = None


class NewAdapterBody(AdapterForm):
    """An adapter at an address: https://, hf://org/name[@revision][/file] or asset:<id>; for administrators also
    s3://, file:// and builtin://. `digest` is what the files must be."""

    uri: str = Field(max_length=2048)
    digest: Digest | None = None


class AdapterFileView(BaseModel):
    """A file of a version."""

    name: str
    num_bytes: int
    sha256: str


class AdapterVersionView(BaseModel):
    """A version: it never changes. `id` is what calls that begin now keep to."""

    id: str
    digest: str
    num_bytes: int
    created_at: Timestamp


class AdapterView(BaseModel):
    """An adapter with one version: the present one, unless the address says another.

    `address` is how the caller writes it. `shared_with` is shown to its owner and to administrators.
    """

    id: str
    object: Literal["adapter"] = "adapter"
    tenant: str
    name: str
    address: str
    digest: str
    is_present: bool
    title: str
    description: str
    trigger_words: list[str]
    default_scale: float
    shared_with: list[str]
    base: str | None
    architecture: AdapterArchitecture
    format: AdapterFormat
    kinds: list[ModuleKind]
    components: list[str]
    rank: int
    num_modules: int
    num_parameters: int
    trained_on: str | None
    num_bytes: int
    files: list[AdapterFileView]
    managed_by: str
    created_at: Timestamp
    updated_at: Timestamp


class AdapterWithVersions(AdapterView):
    """The same with every version there is, the newest first."""

    versions: list[AdapterVersionView]


def adapter_view(adapter: StoredAdapter, caller: Caller) -> AdapterView:
    """An adapter as the caller sees it."""
    return AdapterView(**_fields(adapter, caller))


def adapter_with_versions(
    adapter: StoredAdapter, caller: Caller, versions: Iterable[StoredVersion]
) -> AdapterWithVersions:
    """The same with its versions."""
    shown = [
        AdapterVersionView(id=v.id, digest=v.digest, num_bytes=v.num_bytes, created_at=at(v.created_ms))
        for v in versions
    ]
    return AdapterWithVersions(**_fields(adapter, caller), versions=shown)


def _fields(adapter: StoredAdapter, caller: Caller) -> dict[str, Any]:
    version, is_own = adapter.version, adapter.tenant == caller.tenant
    own = ("architecture", "format", "rank", "num_modules", "num_parameters", "trained_on")
    facts = {name: getattr(version.facts, name) for name in own}
    return facts | {
        "id": version.id,
        "tenant": adapter.tenant,
        "name": adapter.name,
        "address": adapter.name if is_own else f"{adapter.tenant}/{adapter.name}",
        "digest": version.digest,
        "is_present": version.digest == adapter.present_digest,
        "title": adapter.title,
        "description": adapter.description,
        "trigger_words": list(adapter.trigger_words),
        "default_scale": adapter.default_scale,
        "shared_with": list(adapter.shared_with) if is_own or caller.is_admin else [],
        "base": version.base,
        "kinds": list(version.facts.kinds),
        "components": list(version.facts.components),
        "num_bytes": version.num_bytes,
        "files": [AdapterFileView(name=f.name, num_bytes=f.num_bytes, sha256=f.sha256) for f in version.files],
        "managed_by": adapter.managed_by,
        "created_at": at(version.created_ms),
        "updated_at": at(adapter.updated_ms),
    }
