"""Whether a Model can run on the Platform beside it."""

from collections.abc import Iterator

from operators.desired.card_checks import card_checks
from operators.desired.ray_service import node_memory_bytes
from operators.state import ObjectKey, Problem
from serve.domain.documents import ModelDocument, ModelSpec, Placement, VllmEngine
from serve.domain.platform import PlatformDocument, Pool
from serve.domain.quantities import whole

_WHEELS = "SLIPWAY_MODELS_WHEELS_ALLOWED"


class ModelChecks:
    """What models are checked against."""

    def __init__(self, platform: PlatformDocument) -> None:
        self._spec = platform.spec
        self._pools = ", ".join(sorted(pool.name for pool in platform.spec.pools))

    def of(self, key: ObjectKey, model: ModelDocument) -> Iterator[Problem]:
        """The problems of one model."""
        yield from card_checks(key, model)
        yield from self._weights(key, model.spec)
        placement = model.spec.placement
        pool = self._spec.pool(placement.pool)
        if pool is None:
            message = f"spec.placement.pool: the Platform has no pool {placement.pool}; it has {self._pools}."
            yield Problem(key, "UnknownPool", message)
        else:
            yield from _fits(key, placement, pool)
            yield from _finds_its_gpu(key, model.spec, pool)

    def bucket(self, key: ObjectKey, uri: str) -> Iterator[Problem]:
        """An address in a bucket is read with the Platform's own endpoint and keys."""
        if not self._spec.stores.objects.endpoint:
            yield Problem(
                key,
                "NoCredentials",
                f"spec.weights.uri: {uri} is read with the Platform's credentials, and it has none. Set "
                f"spec.stores.objects.endpoint of the Platform, and the keys in the Secret "
                f"{self._spec.stores.objects.secret}.",
            )

    def _weights(self, key: ObjectKey, spec: ModelSpec) -> Iterator[Problem]:
        if spec.weights is None:
            return
        uri = spec.weights.uri
        if uri.startswith("s3://"):
            yield from self.bucket(key, uri)
        if uri.startswith("wheel://") and self._spec.settings.get(_WHEELS, "").lower() not in {
            "true",
            "1",
            "yes",
            "on",
        }:
            yield Problem(
                key,
                "WheelsOff",
                f"spec.weights.uri: wheel:// is off in clusters. Use hf:// or s3://, or set {_WHEELS}: 'true' in "
                f"spec.settings of the Platform.",
            )
        if uri.startswith("file://") and self._spec.stores.cache.claim is None:
            yield Problem(
                key,
                "FilesOfTheImage",
                "spec.weights.uri: file:// is a path in the container, so every node's image must have it. Weights of "
                "your own are better at s3:// or hf://.",
                is_fatal=False,
            )


def _fits(key: ObjectKey, placement: Placement, pool: Pool) -> Iterator[Problem]:
    """Whether one node of the pool can hold one replica."""
    if placement.gpus > pool.gpus_per_node:
        has = f"{pool.gpus_per_node} on each node" if pool.gpus_per_node else "none"
        yield Problem(
            key,
            "GpusOverPool",
            f"spec.placement.gpus: one replica takes {placement.gpus:g} GPUs of one node, and the pool {pool.name} has "
            f"{has}.",
        )
    if placement.cpus > (cpus := whole(pool.resources.cpu)):
        yield Problem(
            key,
            "CpusOverPool",
            f"spec.placement.cpus: one replica takes {placement.cpus:g}, and a node of {pool.name} has {cpus}.",
        )
    room = node_memory_bytes(pool)
    if placement.memory is not None and whole(placement.memory) > room:
        yield Problem(
            key,
            "MemoryOverPool",
            f"spec.placement.memory: one replica takes {placement.memory}, and a node of the pool {pool.name} has "
            f"{room // 2**20}Mi of its {pool.resources.memory}: {pool.shared_memory} are shared memory.",
        )


def _finds_its_gpu(key: ObjectKey, spec: ModelSpec, pool: Pool) -> Iterator[Problem]:
    """Pools with GPUs run the build for CUDA, and its vLLM runs on nothing else."""
    if isinstance(spec.engine, VllmEngine) and pool.gpus_per_node and not spec.placement.gpus:
        yield Problem(
            key,
            "NoGpuAsked",
            f"spec.placement.gpus: the pool {pool.name} has GPUs, and vLLM there needs one or a share of one. Set it, "
            "or name a pool without GPUs.",
        )
