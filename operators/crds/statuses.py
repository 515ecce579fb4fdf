"""What the operator says of each resource: the `status` of the four kinds.

Every field but the conditions may be absent: what is not known yet is not said. Conditions roll up: `Ready` is true
where every other one that applies is, and otherwise gives the reason of the first that is not.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from serve.domain.documents import Spec

MAX_CONDITIONS = 16
MAX_DECISIONS = 8
"""Changes of the number of replicas that a Model remembers."""
MAX_MESSAGE = 2048
"""Characters of a condition's message; longer ones are cut before they are written, or the server refuses them all."""

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, max_length=32)]
"""RFC 3339 in UTC: `2026-01-31T12:00:00Z`."""
Reason = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=256)]


class Condition(Spec):
    """One thing that is so, is not so, or is not known."""

    type: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
    """What it is about: `Ready`."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Reason
    """Why, in one word for programs: `UnknownPool`."""
    message: str = Field(default="", max_length=MAX_MESSAGE)
    """Why, in a sentence for people, with what to do."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The metadata.generation that it is about."""
    last_transition_time: Moment
    """When `status` last changed."""


class ResourceStatus(Spec):
    """What the status of every kind begins with."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The metadata.generation that all this is about; a smaller one than the resource's: it is not looked at yet."""
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=MAX_CONDITIONS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """How it is. One that does not apply is absent; `Ready` sums them up."""


class ReplicaCounts(Spec):
    """How many replicas a model has."""

    ready: int = Field(default=0, ge=0)
    """Those that take requests."""
    desired: int = Field(default=0, ge=0)
    """Those that there should be, as the scaling decided last."""


class ScalingDecision(Spec):
    """One change of the number of replicas that there should be."""

    at: Moment
    """When it was decided."""
    before: int = Field(ge=0)
    """Replicas wanted until then."""
    after: int = Field(ge=0)
    """Replicas wanted from then on."""
    reason: str = Field(max_length=512)
    """Why, in a sentence."""


class ModelResourceStatus(ResourceStatus):
    """How a model is."""

    replicas: ReplicaCounts | None = None
    """How many replicas it has."""
    selector: str | None = Field(default=None, max_length=256)
    """Labels of the pods that its replicas may run in, for the scale subresource: its pool's."""
    endpoint: str | None = Field(default=None, max_length=1024)
    """The address that its clients use."""
    digest: str | None = Field(default=None, max_length=80)
    """Of the document that the platform serves: `sha256:...`."""
    weights_digest: str | None = Field(default=None, max_length=80)
    """Which bytes its weights resolved to, where the document does not say: `sha256:...`."""
    price_version: str | None = Field(default=None, max_length=128)
    """The version of its prices that is in force."""
    cold_start_seconds: float | None = Field(default=None, ge=0)
    """How long a replica takes from nothing to its first answer, as measured."""
    scaling_decisions: list[ScalingDecision] = Field(default_factory=list, max_length=MAX_DECISIONS)
    """The last changes of the number of replicas, the newest first."""


class ModelCounts(Spec):
    """How many models an installation has."""

    ready: int = Field(default=0, ge=0)
    """Those that are ready, at zero replicas included."""
    total: int = Field(default=0, ge=0)
    """All Model resources of the namespace."""


class PoolStatus(Spec):
    """How one pool is."""

    name: str = Field(max_length=63)
    """The pool's."""
    nodes: int = Field(default=0, ge=0)
    """Worker pods that there are."""
    ready_nodes: int = Field(default=0, ge=0)
    """Those that are ready."""
    max_nodes: int = Field(default=0, ge=0)
    """Those that there may be."""
    gpus: int = Field(default=0, ge=0)
    """GPUs of the pods that there are."""


class UpgradeStatus(Spec):
    """How far a change is that replaces pods."""

    strategy: Literal["InPlace", "Incremental"] | None = None
    """Which way was chosen."""
    reason: str = Field(default="", max_length=1024)
    """Why that way, in a sentence."""
    replaced: int = Field(default=0, ge=0)
    """Pods that are new."""
    total: int = Field(default=0, ge=0)
    """Pods that are to be."""
    traffic_percent: int | None = Field(default=None, ge=0, le=100)
    """Share of the traffic that the new cluster has, of an incremental upgrade."""
    started_at: Moment | None = None
    """When it began."""


class PlatformResourceStatus(ResourceStatus):
    """How an installation is."""

    endpoint: str | None = Field(default=None, max_length=1024)
    """The Service that clients within the cluster use: `http://slipway-gateway.models.svc:8000`."""
    url: str | None = Field(default=None, max_length=1024)
    """The address that clients outside use, where it is exposed."""
    version: str | None = Field(default=None, max_length=64)
    """Of Slipway, as the gateway says it."""
    models: ModelCounts | None = None
    """How many models it has."""
    pools: list[PoolStatus] = Field(
        default_factory=list,
        max_length=128,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """How its pools are."""
    active_cluster: str | None = Field(default=None, max_length=253)
    """The RayCluster that serves."""
    upgrade: UpgradeStatus | None = None
    """How far a change is that replaces pods; absent where none is under way."""


class AdapterResourceStatus(ResourceStatus):
    """How an adapter is."""

    digest: str | None = Field(default=None, max_length=80)
    """Of the document that the platform has: `sha256:...`."""
    version: str | None = Field(default=None, max_length=80)
    """The files' digest, which is the version that calls are given now: `sha256:...`."""
    base: str | None = Field(default=None, max_length=64)
    """The served model that it was found to fit."""
    tenant: str | None = Field(default=None, max_length=64)
    """Whose it is: what the namespace's annotation slipway.dev/tenant says."""


class WorkflowResourceStatus(ResourceStatus):
    """How a workflow is."""

    digest: str | None = Field(default=None, max_length=80)
    """Of the document that the platform has: `sha256:...`."""
    version: int | None = Field(default=None, ge=1)
    """The number of the version that was published last."""
    tenant: str | None = Field(default=None, max_length=64)
    """Whose it is: what the namespace's annotation slipway.dev/tenant says."""
