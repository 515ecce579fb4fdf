"""The chart's values, as classes: values.schema.json is made from them, and a test holds values.yaml against them.

Objects of Kubernetes that the chart passes on are as they are there: the API server checks them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints

from serve.domain.documents import AdapterSpec, ModelSpec, Spec
from serve.domain.platform import LabelKey, LabelValue, ObjectName, PlatformSpec, Quantity

Switch = bool | Literal["auto"]
"""`auto`: where the API server knows the kind."""
Labels = dict[LabelKey, LabelValue]
Annotations = dict[LabelKey, str]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
"""A document's."""
MaybeName = ObjectName | Literal[""]
MaybeDigest = Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64})?$")]
PinnedImage = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?$")
]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
OperatorVariable = Annotated[str, StringConstraints(pattern=r"^SLIPWAY_OPERATOR_[A-Z0-9_]+$")]


class Digests(Spec):
    """Of the three images."""

    operator: MaybeDigest = ""
    cpu: MaybeDigest = ""
    gpu: MaybeDigest = ""


class Image(Spec):
    """Where the platform's images are."""

    repository: str = Field(default="slipway", pattern=r"^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$", max_length=255)
    version: str = Field(default="", pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,100})?$")
    digests: Digests = Digests()
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: list[ObjectName] = Field(default_factory=list, max_length=8)


Amounts = dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9./-]+$")], Quantity | int | float]


class PodResources(Spec):
    """A container's resources, as Kubernetes has them."""

    requests: Amounts
    limits: Amounts


class ServiceAccount(Spec):
    """Who the operator is to the API server."""

    create: bool = True
    name: MaybeName = ""
    annotations: Annotations = Field(default_factory=dict)


class Scheduling(Spec):
    """Where a pod runs, as Kubernetes has it."""

    node_selector: Labels = Field(default_factory=dict)
    tolerations: list[dict[str, JsonValue]] = Field(default_factory=list)


class Operator(Scheduling):
    """The operator's pod."""

    resources: PodResources
    log_level: LogLevel = "INFO"
    settings: dict[OperatorVariable, str | int | float | bool] = Field(default_factory=dict)
    affinity: dict[str, JsonValue] = Field(default_factory=dict)
    priority_class: MaybeName = ""
    pod_annotations: Annotations = Field(default_factory=dict)
    pod_labels: Labels = Field(default_factory=dict)
    service_account: ServiceAccount = ServiceAccount()


class Platform(Spec):
    """The Platform that the chart makes."""

    create: bool = True
    name: Name = "slipway"
    spec: PlatformSpec = PlatformSpec()


class DatabaseSecret(Spec):
    """Where the database's address stands."""

    name: ObjectName = "slipway-database"
    key: str = Field(default="url", pattern=r"^[-._a-zA-Z0-9]+$")


class Secrets(Spec):
    """Names of the Secrets, and whether the chart makes them."""

    create: bool = True
    admin: ObjectName = "slipway-admin"
    ray_auth: ObjectName = "slipway-ray-auth"
    metrics: ObjectName = "slipway-metrics"
    database: DatabaseSecret = DatabaseSecret()
    objects: ObjectName = "slipway-objects"


class Volume(Spec):
    """A store's volume."""

    size: Quantity
    storage_class: MaybeName = ""


class Store(Scheduling):
    """A bundled store."""

    enabled: bool = True
    image: PinnedImage
    storage: Volume
    resources: PodResources


class Redis(Store):
    """The bundled store of Ray's head."""

    secret: ObjectName = "slipway-redis"


Peers = list[dict[Literal["namespaceSelector", "podSelector", "ipBlock"], dict[str, JsonValue]]]


class Egress(Spec):
    """Where Ray's pods may go."""

    enabled: bool = False
    to: Peers = Field(default_factory=list)


class NetworkPolicies(Spec):
    """Who reaches what."""

    enabled: bool = True
    gateway_from: Peers = Field(default_factory=list)
    kuberay_from: Annotated[Peers, Field(min_length=1)]
    monitoring_from: Annotated[Peers, Field(min_length=1)]
    egress: Egress = Egress()


class PriorityClasses(Spec):
    """Who goes first when nodes are full."""

    create: bool = False
    value: int = Field(default=1_000_000, ge=2000, le=1_000_000_000)


class Monitoring(Spec):
    """What Prometheus and Grafana are given."""

    pod_monitor: Switch = "auto"
    rules: Switch = "auto"
    dashboards: bool = True
    labels: Labels = Field(default_factory=dict)
    dashboard_labels: Labels = Field(default_factory=dict)
    dashboard_annotations: Annotations = Field(default_factory=dict)


class SmokeTest(Spec):
    """`helm test`."""

    timeout_seconds: int = Field(default=900, ge=10, le=86_400)
    resources: PodResources


class LoadTest(Spec):
    """The Job that sends chat requests."""

    enabled: bool = False
    name: str = Field(default="load-test", pattern=r"^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$")
    model: Name | Literal[""] = ""
    concurrency: int = Field(default=16, ge=1, le=10_000)
    seconds: int = Field(default=60, ge=1, le=86_400)
    max_tokens: int = Field(default=64, ge=1, le=100_000)
    resources: PodResources


class Values(Spec):
    """Values of the chart. values.yaml says what each is for."""

    fullname_override: Annotated[str, Field(pattern=r"^([a-z]([a-z0-9-]*[a-z0-9])?)?$", max_length=40)] = ""
    common_labels: Labels = Field(default_factory=dict)
    image: Image = Image()
    operator: Operator
    platform: Platform = Platform()
    models: dict[Name, ModelSpec | None] = Field(default_factory=dict)
    adapters: dict[Name, AdapterSpec | None] = Field(default_factory=dict)
    workflows: dict[Name, dict[str, JsonValue] | None] = Field(default_factory=dict)
    secrets: Secrets = Secrets()
    postgresql: Store
    seaweedfs: Store
    redis: Redis
    network_policies: NetworkPolicies
    priority_classes: PriorityClasses = PriorityClasses()
    monitoring: Monitoring = Monitoring()
    smoke_test: SmokeTest
    load_test: LoadTest
    extra_objects: list[dict[str, JsonValue] | str] = Field(default_factory=list)
    global_: dict[str, Any] = Field(default_factory=dict, alias="global")
    """Helm adds it by itself."""
