"""The document of an installation: what it consists of besides its models.

On one machine `slipway up` takes the default. On a cluster it is the resource that the operator turns into a Ray
cluster and what surrounds it; everything about nodes, images, stores and exposure means something only there.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from serve.domain.documents import Document, Spec
from serve.domain.names import Name

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=32)]
"""A Kubernetes quantity: `500m`, `4`, `16Gi`."""
ObjectName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", min_length=1, max_length=253)
]
"""Another resource's name, in the platform's namespace."""
LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$", max_length=253
    ),
]
LabelValue = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$", max_length=63)
]
HostName = Annotated[
    str,
    StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)?$", max_length=253),
]
SettingName = Annotated[str, StringConstraints(pattern=r"^(SLIPWAY|HF|OTEL|NCCL|VLLM)_[A-Z0-9_]+$", max_length=128)]


class SecretKey(Spec):
    """One value of a Secret."""

    name: ObjectName
    """The Secret's name."""
    key: str = Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)
    """Which of its values."""


class Resources(Spec):
    """What one pod asks for, and may take: requests and limits are the same, but for the processor, which has no
    limit: throttling would cost latency and free nothing that was promised to others."""

    cpu: Quantity = "1"
    """Cores."""
    memory: Quantity = "4Gi"
    """Bytes of memory, /dev/shm included."""
    ephemeral_storage: Quantity = "20Gi"
    """Bytes of the node's disk: logs, journals, and the cache where it is an emptyDir."""


class Toleration(Spec):
    """A taint of nodes that pods put up with."""

    key: LabelKey | None = None
    """The taint's; unset, any."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Whether the value must be the same, or any will do."""
    value: LabelValue | None = None
    """The taint's."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's; unset, any."""
    toleration_seconds: int | None = Field(default=None, ge=0)
    """How long a pod stays after the taint came; unset, for good."""

    @model_validator(mode="after")
    def _agrees(self) -> "Toleration":
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with the operator Exists has no value")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("a toleration without a key tolerates everything: its operator is Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds goes with the effect NoExecute")
        return self


class ImageSpec(Spec):
    """The container image of Ray's head and workers."""

    repository: str = Field(default="slipway", pattern=r"^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$", max_length=255)
    """Registry and name, without a tag."""
    tag: str = Field(default="0.1.0-cpu", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")
    """Of the head and of pools without GPUs."""
    gpu_tag: str = Field(default="0.1.0-gpu", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")
    """Of pools with GPUs: the build with CUDA."""
    digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """Pins `tag`."""
    gpu_digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """Pins `gpuTag`."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes fetch it."""
    pull_secrets: list[ObjectName] = Field(default_factory=list, max_length=8)
    """Secrets that open the registry."""

    @model_validator(mode="after")
    def _fixed(self) -> "ImageSpec":
        if "latest" in (self.tag, self.gpu_tag):
            raise ValueError("the tag latest is whatever was pushed last: name a version")
        return self


class FaultTolerance(Spec):
    """Where Ray's head keeps its state, so that the cluster survives it."""

    redis_address: str = Field(pattern=r"^[a-zA-Z0-9.-]+:[0-9]{1,5}$", max_length=255)
    """host:port."""
    redis_password: SecretKey | None = None
    """Unset, Redis asks for none."""


class HeadSpec(Spec):
    """Ray's head node. It runs no models."""

    resources: Resources = Resources(cpu="2", memory="8Gi")
    """What its pod asks for."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=32)
    """Labels that its node must have."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=16)
    """Taints that it puts up with."""
    priority_class: ObjectName | None = None
    """The PriorityClass of its pod."""


class RaySpec(Spec):
    """The Ray cluster."""

    version: str = Field(default="2.60.0", pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    """Of Ray in the image."""
    auth_secret: ObjectName = "slipway-ray-auth"
    """The Secret with Ray's token, under the key `auth_token`."""
    fault_tolerance: FaultTolerance | None = None
    """Unset, the end of the head ends every replica, and all start anew. Set it in production."""
    head: HeadSpec = HeadSpec()
    """Its head node."""
    idle_timeout_seconds: int = Field(default=300, ge=10, le=86_400)
    """How long a node without work is kept beyond a pool's minimum."""
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"] = "Default"
    """How eagerly nodes are asked for: all at once, or (Conservative) as many at a time as there are."""


class DatabaseStore(Spec):
    """Where the database is."""

    secret: SecretKey = SecretKey(name="slipway-database", key="url")
    """Its SQLAlchemy URL, postgresql+asyncpg://user:password@host/name."""


class ObjectStoreSpec(Spec):
    """Where blobs are: an S3 bucket."""

    endpoint: str = Field(default="", pattern=r"^(https?://.+)?$", max_length=512)
    """Its address, Amazon's too (`https://s3.eu-central-1.amazonaws.com`); empty: there is no bucket, and blobs are
    files of single pods."""
    bucket: str = Field(default="slipway", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Its name; it must be there."""
    region: str = Field(default="", max_length=64)
    """Of the bucket; empty, what the endpoint says."""
    secret: ObjectName = "slipway-objects"
    """The Secret with `access-key` and `secret-key`."""


class CacheVolume(Spec):
    """Where nodes keep weights. Unset, an emptyDir: it goes with its pod."""

    size_limit: Quantity = "200Gi"
    """Bytes of each pod's cache."""
    storage_class: ObjectName | None = None
    """A volume of this class for each pod, in place of the emptyDir."""
    claim: ObjectName | None = None
    """One claim, ReadWriteMany, that all pods share, in place of either."""

    @model_validator(mode="after")
    def _one_place(self) -> "CacheVolume":
        if self.storage_class is not None and self.claim is not None:
            raise ValueError("cache: a storage class makes a volume for each pod, a claim is shared by all; name one")
        return self


class Stores(Spec):
    """What outlives the cluster, and what does not."""

    database: DatabaseStore = DatabaseStore()
    """PostgreSQL: documents, keys, usage, runs."""
    objects: ObjectStoreSpec = ObjectStoreSpec()
    """An S3 bucket: pictures, results, adapters' files."""
    cache: CacheVolume = CacheVolume()
    """The nodes' copies of weights; all of it can be fetched again."""
    journal_size_limit: Quantity = "2Gi"
    """Of usage that is not booked yet, in an emptyDir of each pod."""


class GatewayParent(Spec):
    """The Gateway (gateway.networking.k8s.io) that routes to the platform."""

    name: ObjectName
    """Its name."""
    namespace: ObjectName | None = None
    """Its namespace; unset, the platform's."""
    section: ObjectName | None = None
    """Its listener; unset, all of them."""


class GatewaySpec(Spec):
    """The HTTP front."""

    min_replicas: int = Field(default=1, ge=1, le=100)
    """The fewest; two or more keep answering while one is replaced."""
    max_replicas: int = Field(default=1, ge=1, le=100)
    """The most."""
    max_ongoing_requests: int = Field(default=4096, ge=1)
    """Open requests per replica, streams included. Over the gateway's own limit, SLIPWAY_GATEWAY_MAX_IN_FLIGHT: Ray
    would hold back in silence what the gateway refuses with a reason."""
    host: HostName = ""
    """The host name that clients use; empty, any."""
    expose: Literal["none", "ingress", "gateway"] = "none"
    """What is made besides the Service: nothing, an Ingress, or an HTTPRoute."""
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Of the Service that clients use."""
    ingress_class: ObjectName | None = None
    """Which controller serves the Ingress; unset, the cluster's default."""
    parent: GatewayParent | None = None
    """For expose gateway."""
    tls_secret: ObjectName | None = None
    """The Ingress's certificate. A Gateway has its own."""
    annotations: dict[LabelKey, str] = Field(default_factory=dict, max_length=64)
    """Of the Service and the Ingress or HTTPRoute."""

    @model_validator(mode="after")
    def _agrees(self) -> "GatewaySpec":
        if self.min_replicas > self.max_replicas:
            raise ValueError("gateway: minReplicas is more than maxReplicas")
        if self.expose == "gateway" and self.parent is None:
            raise ValueError("gateway: expose gateway needs parent, the Gateway that routes here")
        return self


class RunnerSpec(Spec):
    """The application that executes runs."""

    replicas: int = Field(default=1, ge=1, le=100)
    """How many there are."""
    max_concurrency: int = Field(default=64, ge=1, le=10_000)
    """Runs that one replica executes at the same time."""


class LedgerSpec(Spec):
    """The application that books usage. It is stateless over the database: several may run."""

    replicas: int = Field(default=1, ge=1, le=16)
    """How many there are."""


class OperationsSpec(Spec):
    """The application that works on the pictures of workflows: resizing, masks, grids."""

    replicas: int = Field(default=1, ge=1, le=100)
    """How many there are."""
    max_concurrency: int = Field(default=4, ge=1, le=64)
    """Operations that one replica works on at the same time, each in a thread: up to 12 bytes for each pixel of the
    largest picture (SLIPWAY_IMAGES_MAX_PIXELS) and operation."""
    cpus: float = Field(default=0.1, gt=0, le=64)
    """Cores that the scheduler reserves for each."""


class Pool(Spec):
    """A set of like nodes; one worker group of the Ray cluster. One worker pod takes what `resources` and
    `gpusPerNode` say: a whole node, or a part of one."""

    name: Name
    """What Models' placement.pool says."""
    cpu: bool = False
    """That it has no GPUs on purpose."""
    accelerator: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", max_length=63)
    """What its GPUs are, for people and for cards: `nvidia-h200`."""
    gpus_per_node: int = Field(default=0, ge=0, le=64)
    """GPUs of one worker pod."""
    gpu_resource: LabelKey = "nvidia.com/gpu"
    """The device plugin's name for one GPU."""
    min_nodes: int = Field(default=0, ge=0, le=10_000)
    """Worker pods that are kept without work."""
    max_nodes: int = Field(default=1, ge=1, le=10_000)
    """Worker pods that there may be."""
    surge_nodes: int = Field(default=0, ge=0, le=10_000)
    """Nodes beyond `maxNodes` that there may be while the cluster is upgraded."""
    resources: Resources = Resources(cpu="4", memory="16Gi", ephemeral_storage="50Gi")
    """What one worker pod asks for, besides GPUs."""
    shared_memory: Quantity = "4Gi"
    """/dev/shm, part of the pod's memory: Ray's object store, and the processes of tensor parallelism."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=32)
    """Labels that its nodes must have."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=16)
    """Taints that its pods put up with."""
    affinity: dict[str, JsonValue] = Field(default_factory=dict)
    """A pod's affinity, as Kubernetes has it."""
    runtime_class: ObjectName | None = None
    """The RuntimeClass of its pods: `nvidia`, where GPUs need one."""
    priority_class: ObjectName | None = None
    """The PriorityClass of its pods."""

    @model_validator(mode="after")
    def _agrees(self) -> "Pool":
        if self.name == "headgroup":
            raise ValueError("pool headgroup: that is Ray's own name for its head; choose another")
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"pool {self.name}: minNodes is more than maxNodes")
        if self.cpu and (self.gpus_per_node or self.accelerator):
            raise ValueError(f"pool {self.name}: cpu says that it has no GPUs; leave out accelerator and gpusPerNode")
        if self.accelerator is not None and not self.gpus_per_node:
            raise ValueError(f"pool {self.name}: accelerator names its GPUs; say how many with gpusPerNode")
        return self


class UpgradeSpec(Spec):
    """How changes reach a running cluster that replace its pods."""

    strategy: Literal["Auto", "InPlace", "Incremental"] = "Auto"
    """Incremental brings up a second cluster beside the first and moves traffic over in steps; InPlace replaces pods
    one after another within the same GPUs; Auto takes the former where every pool has room for it."""
    gateway_class: ObjectName | None = None
    """The GatewayClass that shifts traffic in an incremental upgrade; unset, there is none to do it."""
    step_percent: int = Field(default=20, ge=1, le=100)
    """Traffic that is moved at a time."""
    interval_seconds: int = Field(default=30, ge=1, le=3600)
    """Between two such steps."""
    max_surge_percent: int = Field(default=25, ge=1, le=100)
    """Capacity that the second cluster adds at a time, of the whole."""


class ObservabilitySpec(Spec):
    """What an installation tells of itself."""

    pod_monitor: bool = True
    """A PodMonitor for the platform's pods, where the cluster knows that kind."""
    metrics_secret: SecretKey | None = None
    """The token that opens the gateway's metrics, for Prometheus; unset, only administrators' keys do."""
    otlp_endpoint: str = Field(default="", pattern=r"^(https?://.+)?$", max_length=512)
    """OTLP over HTTP; empty: no traces."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Of all processes."""


class DrainSpec(Spec):
    """How pods end."""

    grace_seconds: int = Field(default=120, ge=10, le=7200)
    """For open requests. Runs that last longer are handed to another runner and go on there."""


class PlatformSpec(Spec):
    """What an installation consists of besides its models."""

    image: ImageSpec = ImageSpec()
    """What its pods run."""
    ray: RaySpec = RaySpec()
    stores: Stores = Stores()
    gateway: GatewaySpec = GatewaySpec()
    runner: RunnerSpec = RunnerSpec()
    ledger: LedgerSpec = LedgerSpec()
    operations: OperationsSpec = OperationsSpec()
    pools: list[Pool] = Field(default_factory=lambda: [Pool(name="default", cpu=True)], min_length=1, max_length=64)
    """The nodes that models run on; names differ."""
    upgrade: UpgradeSpec = UpgradeSpec()
    observability: ObservabilitySpec = ObservabilitySpec()
    drain: DrainSpec = DrainSpec()
    admin_secret: ObjectName = "slipway-admin"
    """The Secret whose key `admin` opens the API for the operator: a key, or at least 32 random characters that one is
    made from."""
    settings: dict[SettingName, str] = Field(default_factory=dict, max_length=128)
    """Further settings of the platform's processes, by their variable."""
    settings_from: list[ObjectName] = Field(default_factory=list, max_length=16)
    """Secrets whose keys are such variables: the client secret of a login, a token for Hugging Face."""

    @model_validator(mode="after")
    def _pools_differ(self) -> "PlatformSpec":
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise ValueError("two pools have the same name")
        return self

    @property
    def parts_pool(self) -> Pool:
        """Where the gateway, the runner, the ledger and the operations run: the first pool without GPUs, or else the
        first. They must not keep a GPU node from going."""
        return next((pool for pool in self.pools if not pool.gpus_per_node), self.pools[0])

    def pool(self, name: str) -> Pool | None:
        """The pool of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)


class PlatformDocument(Document):
    """An installation."""

    kind: Literal["Platform"]
    spec: PlatformSpec = PlatformSpec()

    @model_validator(mode="after")
    def _names_services(self) -> "PlatformDocument":
        if not self.name[0].isalpha():
            raise ValueError("metadata.name: a Service is named after it, so it begins with a letter")
        return self
