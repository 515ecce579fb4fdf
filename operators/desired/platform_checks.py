"""What a Platform should be told of. Nothing here is fatal: a running platform is better than none."""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

from operators.desired.exposure import HTTP_ROUTE_API
from operators.desired.monitoring import POD_MONITOR_API
from operators.desired.ray_service import node_memory_bytes
from operators.state import ObjectKey, Problem, Resource
from serve.domain.documents import API_VERSION, ModelDocument, Scaling
from serve.domain.platform import PlatformDocument, Pool
from serve.domain.quantities import whole
from serve.serving.ray_environment import wrong_settings

_LEAST_MEMORY_BYTES = 2**30
"""What a node's own processes take: Ray's agents, the proxy, and a replica without a model."""


def platform_problems(
    platform: PlatformDocument, known_kinds: Collection[tuple[str, str]], models: Sequence[Resource[ModelDocument]]
) -> Iterator[Problem]:
    """Warnings on the Platform itself."""
    for reason, message in (
        *_settings(platform),
        *_stores(platform),
        *_exposure(platform, known_kinds),
        *_metrics(platform, known_kinds),
        *_upgrade(platform),
        *_parts(platform),
        *(found for pool in platform.spec.pools for found in (*_memory(pool), *_minimum(pool, models))),
    ):
        yield Problem(ObjectKey(API_VERSION, "Platform", platform.name), reason, message, is_fatal=False)


def _settings(platform: PlatformDocument) -> Iterator[tuple[str, str]]:
    for sentence in wrong_settings(platform.spec.settings):
        yield "InvalidSetting", f"spec.settings: {sentence} It is left out."


def _stores(platform: PlatformDocument) -> Iterator[tuple[str, str]]:
    if not platform.spec.stores.objects.endpoint:
        yield (
            "NoObjectStore",
            "spec.stores.objects.endpoint: without a bucket every pod keeps blobs to itself, and they go with it. Set "
            "the endpoint of an S3 store.",
        )


def _exposure(platform: PlatformDocument, known_kinds: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    if platform.spec.gateway.expose == "gateway" and (HTTP_ROUTE_API, "HTTPRoute") not in known_kinds:
        yield (
            "NoGatewayApi",
            "spec.gateway.expose: this cluster knows no HTTPRoutes. Install the Gateway API, or set it to ingress.",
        )


def _metrics(platform: PlatformDocument, known_kinds: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    watching = platform.spec.observability
    if watching.pod_monitor and watching.metrics_secret is None and (POD_MONITOR_API, "PodMonitor") in known_kinds:
        yield (
            "NoMetricsToken",
            "spec.observability.metricsSecret: without a token Prometheus gets no usage, cost or budgets from the "
            "gateways. Name a Secret with one.",
        )


def _upgrade(platform: PlatformDocument) -> Iterator[tuple[str, str]]:
    upgrade = platform.spec.upgrade
    if upgrade.strategy == "Incremental" and upgrade.gateway_class is None:
        yield (
            "NoGatewayClass",
            "spec.upgrade: Incremental moves traffic with a Gateway, and gatewayClass names none. Changes are made in "
            "place until it does.",
        )


def _parts(platform: PlatformDocument) -> Iterator[tuple[str, str]]:
    pool, cpus = platform.spec.parts_pool, platform.spec.operations.cpus
    if cpus > whole(pool.resources.cpu):
        yield (
            "OperationsOverPool",
            f"spec.operations.cpus: one replica takes {cpus:g}, and a node of the pool {pool.name} has "
            f"{whole(pool.resources.cpu)}.",
        )


def _memory(pool: Pool) -> Iterator[tuple[str, str]]:
    if node_memory_bytes(pool) < _LEAST_MEMORY_BYTES:
        yield (
            "MemoryTooSmall",
            f"spec.pools: {pool.name} has {pool.resources.memory} of memory, of which {pool.shared_memory} are shared "
            "memory. Leave at least 1Gi besides.",
        )


def _minimum(pool: Pool, models: Sequence[Resource[ModelDocument]]) -> Iterator[tuple[str, str]]:
    """Whether the replicas that are always wanted can all be there."""
    placed = [model.document.spec for model in models if model.document.spec.placement.pool == pool.name]
    gpus = sum(Decimal(str(spec.placement.gpus)) * always(spec.scaling) for spec in placed)
    if pool.gpus_per_node and gpus > (most := pool.max_nodes * pool.gpus_per_node):
        yield (
            "PoolTooSmall",
            f"spec.pools: the models of {pool.name} always want {float(gpus):g} GPUs, and it has {most} at the most. "
            "Raise maxNodes, or let models go to zero.",
        )


def always(scaling: Scaling) -> int:
    """Replicas that there are without any work."""
    return scaling.min_replicas if scaling.replicas is None else scaling.replicas
