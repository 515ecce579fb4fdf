"""Adapters: small immutable weights for a base model, how they are named, and what is known of them.

    stripes                         the caller's own, its present version
    acme/stripes                    a tenant's, if it is shared with the caller
    acme/stripes@sha256:1f0c...     that very version
    shapes-sd:acme/stripes          a model with an adapter: what OpenAI's `model` field takes

The last form without its base is the immutable id: `tenant/name@sha256:...`. Everything behind the gateway speaks ids,
so an engine's cache can never mistake one version, or one tenant's weights, for another's.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, NewType

from pydantic import BaseModel, ConfigDict, Field

from serve.domain.names import TenantName, dns_label, sha256_digest

AdapterId = NewType("AdapterId", str)

MAX_PER_CALL = 8
"""Adapters of one call, whatever a card allows."""
MAX_SCALE = 10.0
EVERYONE = "*"
"""In `sharedWith`: every tenant."""

Scale = Annotated[float, Field(ge=-MAX_SCALE, le=MAX_SCALE, allow_inf_nan=False)]

_REFERENCE = re.compile(r"(?:(?P<tenant>[^/@]*)/)?(?P<name>[^/@]*)(?:@(?P<digest>.*))?", re.DOTALL)


class AdapterFormat(StrEnum):
    """How a file names its tensors."""

    PEFT = "peft"
    DIFFUSERS = "diffusers"
    KOHYA = "kohya"


class AdapterArchitecture(StrEnum):
    """The kind of base that the key names belong to. Which base of that kind is told by the shapes."""

    SD15 = "sd15"
    SDXL = "sdxl"
    LANGUAGE = "language"


class ModuleKind(StrEnum):
    """How an adapter changes one module's weight."""

    LORA = "lora"
    """Two matrices on a linear module (a 1 x 1 convolution is one)."""
    CONV = "conv"
    """The same on a convolution with a larger kernel."""
    LOHA = "loha"
    LOKR = "lokr"
    DORA = "dora"
    FULL = "full"
    """A whole difference: of a norm, a bias or a weight."""


@dataclass(frozen=True, slots=True)
class AdapterReference:
    """What a caller wrote. `tenant` is None for the caller's own, `digest` for the present version."""

    name: str
    tenant: TenantName | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """The parts of an id."""

    tenant: TenantName
    name: str
    digest: str

    @property
    def id(self) -> AdapterId:
        return AdapterId(f"{self.tenant}/{self.name}@{self.digest}")


def parse_reference(text: str) -> AdapterReference:
    """`name`, `tenant/name`, either with `@sha256:...`.

    Raises:
        ValueError: with a sentence that shows the form.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"an adapter reads name, tenant/name or tenant/name@sha256:...: {text[:80]!r}")
    tenant, digest = found["tenant"], found["digest"]
    return AdapterReference(
        dns_label(found["name"]),
        None if tenant is None else TenantName(dns_label(tenant)),
        None if digest is None else sha256_digest(digest),
    )


def parse_id(adapter_id: str) -> AdapterVersion:
    """The parts of an immutable id. Raises ValueError for anything less."""
    reference = parse_reference(adapter_id)
    if reference.tenant is None or reference.digest is None:
        raise ValueError(f"an adapter's id reads tenant/name@sha256:...: {adapter_id[:80]!r}")
    return AdapterVersion(reference.tenant, reference.name, reference.digest)


class AdapterFacts(BaseModel):
    """What was found in an adapter's files, by their headers alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: AdapterFormat
    architecture: AdapterArchitecture
    kinds: tuple[ModuleKind, ...]
    components: tuple[Literal["unet", "text_encoder", "text_encoder_2", "language_model"], ...]
    rank: int = Field(ge=1)
    """The highest of its modules'."""
    num_modules: int = Field(ge=1)
    num_parameters: int = Field(ge=1)
    trained_on: str | None = None
    """What the file's metadata says its base was; told, never trusted."""
    trigger_words: tuple[str, ...] = ()
    """From the file's metadata: the most frequent captions or the named trigger."""
