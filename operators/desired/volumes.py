"""The volumes of a Ray pod. Its root file system is read-only, so whatever is written has a place here."""

from decimal import Decimal
from typing import Any

from serve.domain.platform import CacheVolume, PlatformDocument, Resources
from serve.domain.quantities import amount
from serve.serving.ray_environment import CACHE_DIR, HOME_DIR, RUN_DIR, STATE_DIR

ADMIN_DIR = "/run/secrets/slipway-admin"
"""Where the head's `prepare` finds the administrator's key."""
_TMP_LIMIT = "4Gi"
_LOGS_LIMIT = "4Gi"
_HOME_LIMIT = "2Gi"
_RUN_LIMIT = "64Mi"
_UNSHARED = (_TMP_LIMIT, _LOGS_LIMIT, _HOME_LIMIT, _RUN_LIMIT)
_CACHE_SHARES = {
    "SLIPWAY_STORAGE_CACHE_MAX_BYTES": Decimal("0.8"),
    "SLIPWAY_STORAGE_ADAPTER_CACHE_MAX_BYTES": Decimal("0.1"),
}
"""Of the cache volume; the rest is for downloads and conversions under way."""
_LEAST_CACHE_BYTES = Decimal(2**20)

# KubeRay looks for the names shared-mem and ray-logs, and adds nothing where it finds them.
_MOUNTS = {
    "tmp": "/tmp",
    "ray-logs": "/tmp/ray",
    "home": str(HOME_DIR),
    "run": str(RUN_DIR),
    "state": str(STATE_DIR),
    "cache": str(CACHE_DIR),
    "shared-mem": "/dev/shm",
}


def volume_mounts() -> list[dict[str, Any]]:
    """Of every container of a Ray node but KubeRay's own."""
    return [{"name": name, "mountPath": path} for name, path in _MOUNTS.items()]


def worker_volumes(platform: PlatformDocument, resources: Resources, shared_memory: str) -> list[dict[str, Any]]:
    """Those of a pool's pods."""
    stores = platform.spec.stores
    cache = _cache_volume(stores.cache, cache_limit(platform, resources))
    return [*_places(stores.journal_size_limit, shared_memory), {"name": "cache", **cache}]


def head_volumes(platform: PlatformDocument, shared_memory: str) -> list[dict[str, Any]]:
    """Those of the head, which caches no weights and knows the administrator's key."""
    return [
        *_places(platform.spec.stores.journal_size_limit, shared_memory),
        {"name": "cache", "emptyDir": {"sizeLimit": _HOME_LIMIT}},
        {"name": "admin", "secret": {"secretName": platform.spec.admin_secret, "defaultMode": 0o440}},
    ]


def _places(journals: str, shared_memory: str) -> list[dict[str, Any]]:
    limits = {"tmp": _TMP_LIMIT, "ray-logs": _LOGS_LIMIT, "home": _HOME_LIMIT, "run": _RUN_LIMIT, "state": journals}
    disks = [{"name": name, "emptyDir": {"sizeLimit": limit}} for name, limit in limits.items()]
    return [*disks, {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}}]


def _cache_volume(cache: CacheVolume, limit: str) -> dict[str, Any]:
    if cache.claim is not None:
        return {"persistentVolumeClaim": {"claimName": cache.claim}}
    if cache.storage_class is None:
        return {"emptyDir": {"sizeLimit": limit}}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": cache.storage_class,
        "resources": {"requests": {"storage": limit}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}


def is_on_pods_disk(cache: CacheVolume) -> bool:
    """Whether the cache counts towards the pod's ephemeral storage."""
    return cache.claim is None and cache.storage_class is None


def cache_limit(platform: PlatformDocument, resources: Resources) -> str:
    """How large the cache may grow. The kubelet evicts a pod whose emptyDirs together are over its ephemeral storage,
    so one that lies there gets what the others leave."""
    cache = platform.spec.stores.cache
    if not is_on_pods_disk(cache):
        return cache.size_limit
    taken = sum(map(amount, (*_UNSHARED, platform.spec.stores.journal_size_limit)))
    left = amount(resources.ephemeral_storage) - taken
    if left >= amount(cache.size_limit):
        return cache.size_limit
    return str(int(max(left, amount(resources.ephemeral_storage) / 4)))


def cache_settings(platform: PlatformDocument, resources: Resources) -> dict[str, str]:
    """The platform's own budgets within the cache volume, so that it evicts before the kubelet does."""
    limit = amount(cache_limit(platform, resources))
    return {name: str(int(max(limit * share, _LEAST_CACHE_BYTES))) for name, share in _CACHE_SHARES.items()}
