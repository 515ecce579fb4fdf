"""(Platform, Models) -> KubeRay's RayService: Ray's head, a worker group for each pool, and Serve's configuration."""

import json
from collections.abc import Sequence
from typing import Any

from operators.desired.metadata import Owner, object_metadata
from operators.desired.pods import HEAD_SHARED_MEMORY, container_security, head_pod, resources, worker_pod
from operators.desired.strategy import Strategy
from operators.planning.revisions import with_revisions
from operators.state import RAY_API, Manifest
from serve.domain.documents import ModelDocument
from serve.domain.platform import PlatformDocument, Pool, Resources, SecretKey
from serve.domain.quantities import amount, whole
from serve.serving.ray_environment import SERVE_PORT
from serve.serving.serve_config import POOL_RESOURCE_AMOUNT, Listener, pool_resource, serve_config

LISTENER = Listener("0.0.0.0", SERVE_PORT, every_node=True)
_DELETION_DELAY_SECONDS = 60
_LEAST_OBJECT_STORE_BYTES = 80 * 2**20
"""Ray refuses to start with less than 75 MiB."""
_MOST_OBJECT_STORE_BYTES = 2 * 2**30
"""Blobs travel through the asset store; the rest of /dev/shm is for the processes of tensor parallelism."""
_AUTOSCALER = Resources(cpu="250m", memory="1Gi", ephemeral_storage="1Gi")


def ray_service(owner: Owner, namespace: str, models: Sequence[ModelDocument], strategy: Strategy) -> Manifest:
    """The manifest; equal documents give equal bytes, whatever the order of `models`."""
    platform = owner.document
    return with_revisions(
        {
            "apiVersion": RAY_API,
            "kind": "RayService",
            "metadata": object_metadata(owner, namespace, owner.name, "ray"),
            "spec": {
                "upgradeStrategy": _upgrade_strategy(platform, strategy),
                "rayClusterDeletionDelaySeconds": max(_DELETION_DELAY_SECONDS, platform.spec.drain.grace_seconds),
                "excludeHeadPodFromServeSvc": True,
                "serveConfigV2": serve_config_text(serve_config(platform, models, LISTENER)),
                "rayClusterConfig": ray_cluster(platform),
            },
        }
    )


def serve_config_text(config: dict[str, Any]) -> str:
    """JSON, which is YAML. KubeRay compares the text, so keys are sorted; one application a line, for people's sake."""
    rest = {key: value for key, value in config.items() if key != "applications"}
    applications = ",\n".join(_json(each) for each in config["applications"])
    return f'{_json(rest)[:-1]},"applications":[\n{applications}\n]}}\n'


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _upgrade_strategy(platform: PlatformDocument, strategy: Strategy) -> dict[str, Any]:
    upgrade = platform.spec.upgrade
    if strategy is Strategy.IN_PLACE or upgrade.gateway_class is None:
        return {"type": Strategy.IN_PLACE.upgrade_type}
    return {
        "type": strategy.upgrade_type,
        "clusterUpgradeOptions": {
            "gatewayClassName": upgrade.gateway_class,
            "stepSizePercent": upgrade.step_percent,
            "intervalSeconds": upgrade.interval_seconds,
            "maxSurgePercent": upgrade.max_surge_percent,
        },
    }


def ray_cluster(platform: PlatformDocument) -> dict[str, Any]:
    """The spec of the Ray cluster."""
    ray = platform.spec.ray
    cluster: dict[str, Any] = {
        "rayVersion": ray.version,
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": _autoscaler(platform),
        "authOptions": {"mode": "token", "secretName": ray.auth_secret},
        "headGroupSpec": {
            "rayStartParams": _head_parameters(platform),
            "template": head_pod(platform),
        },
        "workerGroupSpecs": [_worker_group(platform, pool) for pool in platform.spec.pools],
    }
    if ray.fault_tolerance is not None:
        cluster["gcsFaultToleranceOptions"] = {"redisAddress": ray.fault_tolerance.redis_address} | (
            {"redisPassword": _secret(ray.fault_tolerance.redis_password)} if ray.fault_tolerance.redis_password else {}
        )
    return cluster


def _secret(key: SecretKey) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}


def _autoscaler(platform: PlatformDocument) -> dict[str, Any]:
    """KubeRay's container beside the head. It has the head's service account, and nothing else of it."""
    return {
        "version": "v2",
        "idleTimeoutSeconds": platform.spec.ray.idle_timeout_seconds,
        "upscalingMode": platform.spec.ray.upscaling_mode,
        "imagePullPolicy": platform.spec.image.pull_policy,
        "resources": resources(_AUTOSCALER),
        "securityContext": container_security(),
        "env": [{"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "ray-logs", "mountPath": "/tmp/ray"}],
    }


def _head_parameters(platform: PlatformDocument) -> dict[str, str]:
    """Without processors Ray places no replica there; what has none to ask for still runs: Serve's controller."""
    return {
        "num-cpus": "0",
        "dashboard-host": "0.0.0.0",
        "object-store-memory": str(_object_store_bytes(HEAD_SHARED_MEMORY)),
    }


def _worker_group(platform: PlatformDocument, pool: Pool) -> dict[str, Any]:
    return {
        "groupName": pool.name,
        "minReplicas": pool.min_nodes,
        "maxReplicas": pool.max_nodes,
        "rayStartParams": _worker_parameters(pool),
        "template": worker_pod(platform, pool),
    }


def _worker_parameters(pool: Pool) -> dict[str, str]:
    """What a node has, for Ray and its autoscaler. All of it by parameters: of the group's own `resources` KubeRay
    takes every one whose name ends in `gpu` for the number of GPUs, and a pool may well be called that."""
    shared = json.dumps({pool_resource(pool.name): POOL_RESOURCE_AMOUNT}, separators=(",", ":"))
    return {
        "num-cpus": str(whole(pool.resources.cpu)),
        "num-gpus": str(pool.gpus_per_node),
        "memory": str(node_memory_bytes(pool)),
        "object-store-memory": str(_object_store_bytes(pool.shared_memory)),
        # Quoted for the shell that KubeRay runs `ray start` in; the autoscaler takes the quotes off.
        "resources": f"'{shared}'",
    }


def node_memory_bytes(pool: Pool) -> int:
    """What replicas may ask for: the pod's, less what /dev/shm may take of it."""
    return max(whole(pool.resources.memory) - whole(pool.shared_memory), 0)


def _object_store_bytes(shared_memory: str) -> int:
    half = int(amount(shared_memory) / 2)
    return max(min(half, _MOST_OBJECT_STORE_BYTES), _LEAST_OBJECT_STORE_BYTES)
