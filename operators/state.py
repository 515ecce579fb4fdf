"""What one pass of the operator sees, and what it decides. Plain values: everything between reading and acting is pure.

A pass covers a namespace: its one Platform, and the Models, Adapters and Workflows beside it. Several Platforms in one
namespace are an error that the younger ones are told of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from serve.domain.documents import AdapterDocument, Document, ModelDocument
from serve.domain.platform import PlatformDocument
from serve.domain.workflow import WorkflowDocument

Manifest = dict[str, Any]
"""A Kubernetes object as JSON has it."""
FIELD_MANAGER = "slipway-operator"
GROUP = "slipway.dev"
RAY_API = "ray.io/v1"
"""KubeRay's."""
LABEL_PLATFORM = "slipway.dev/platform"
"""On everything that the operator makes, pods included: the Platform's name."""
LABEL_POOL = "slipway.dev/pool"
ANNOTATION_TENANT = "slipway.dev/tenant"
"""Of a namespace: whose its Adapters and Workflows are. Unset: the default tenant."""
ANNOTATION_HASH = "slipway.dev/applied"
"""Digest of what the operator last applied of an object."""
ANNOTATION_MANAGED_BY = "slipway.dev/managed-by"
"""`api` on a Model that stands for one that was applied over HTTP: the platform is its author."""

DocumentT = TypeVar("DocumentT", bound=Document)
DocumentT_co = TypeVar("DocumentT_co", bound=Document, covariant=True)


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """One object of the namespace."""

    api_version: str
    kind: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "ObjectKey":
        """The key of a manifest."""
        return cls(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Resource(Generic[DocumentT_co]):
    """A custom resource whose document is valid."""

    document: DocumentT_co
    uid: str
    generation: int = 1
    created: str = ""
    """RFC 3339, as metadata.creationTimestamp has it."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    is_deleting: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.document.name


@dataclass(frozen=True, slots=True)
class InvalidResource:
    """A custom resource that no document can be read from: applied before a rule was there, or with validation off."""

    manifest: Manifest
    message: str


@dataclass(frozen=True, slots=True)
class Live:
    """What the cluster has of what the operator makes, and what comes of that."""

    objects: Mapping[ObjectKey, Manifest] = field(default_factory=dict)
    """Every object of the kinds that the operator makes, by key: ours, and those that others may have made."""
    ray_clusters: Mapping[str, Manifest] = field(default_factory=dict)
    """KubeRay's RayClusters of our RayService, by name."""
    pods: tuple[Manifest, ...] = ()
    """Those of these RayClusters."""
    known_kinds: frozenset[tuple[str, str]] = frozenset()
    """(apiVersion, kind) of optional kinds that this cluster serves: PodMonitor, HTTPRoute."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a pass reads of the cluster."""

    namespace: str
    tenant: str
    platform: Resource[PlatformDocument] | None = None
    other_platforms: tuple[Resource[PlatformDocument], ...] = ()
    """Younger than the first, which counts."""
    models: tuple[Resource[ModelDocument], ...] = ()
    adapters: tuple[Resource[AdapterDocument], ...] = ()
    workflows: tuple[Resource[WorkflowDocument], ...] = ()
    invalid: tuple[InvalidResource, ...] = ()
    live: Live = Live()


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as the platform has it."""

    digest: str
    managed_by: str
    """api, kubernetes or builtin."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The document; kept for models that `api` manages alone."""
    version: str = ""
    """Of an adapter its files' digest, of a workflow the number that was published last."""
    base: str = ""
    """The served model that an adapter was found to fit."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the platform says of itself over HTTP. While it does not answer, nothing is concluded from silence."""

    is_answering: bool = False
    models: Mapping[str, StoredDocument] = field(default_factory=dict)
    adapters: Mapping[str, StoredDocument] = field(default_factory=dict)
    workflows: Mapping[str, StoredDocument] = field(default_factory=dict)
    reports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By model: how it is served (`GET /v1/admin/served`), with state, replicas, seconds of a cold start, the version
    of its prices and its last scaling decisions."""
    version: str = ""
    """Of Slipway, as the platform says it."""
    message: str = ""
    """Why it does not answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one resource, as its condition will say."""

    key: ObjectKey
    reason: str
    """CamelCase, stable: `UnknownPool`."""
    message: str
    """A sentence with what to do."""
    is_fatal: bool = True
    """Whether the resource is left out of what is desired; a warning is not."""


class Verb(StrEnum):
    """What an action does to an object."""

    APPLY = "apply"
    PATCH = "patch"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """One write to the cluster."""

    verb: Verb
    key: ObjectKey
    reason: str
    """For log and event: a sentence."""
    body: Manifest = field(default_factory=dict)
    """The manifest to apply, or the JSON merge patch."""
    event: str = ""
    """CamelCase reason of an event about it; empty: none, it is routine."""
    uid: str = ""
    """Of what is deleted: another object of the same name stays."""


@dataclass(frozen=True, slots=True)
class ApiAction:
    """One write to the platform."""

    verb: Verb
    kind: str
    """Model, Adapter or Workflow."""
    name: str
    reason: str
    document: Document | None = None
    """What is applied."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An ApiAction, or an Action on a resource's child, that was answered with no."""

    kind: str
    name: str
    digest: str
    """Of the document that was refused; another one may be taken."""
    code: str
    message: str
