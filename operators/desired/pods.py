"""The pods of Ray's head and of its worker groups. They keep to Pod Security's `restricted`."""

from collections.abc import Mapping
from typing import Any

from operators.desired.volumes import ADMIN_DIR, cache_settings, head_volumes, volume_mounts, worker_volumes
from operators.state import LABEL_PLATFORM, LABEL_POOL
from serve.domain.platform import HeadSpec, ImageSpec, PlatformDocument, Pool, Resources, SecretKey, Toleration
from serve.serving.ray_environment import METRICS_PORT, SERVE_PORT, pod_environment

HEAD_SHARED_MEMORY = "1Gi"
_USER = 10001
_DRAIN_MARGIN_SECONDS = 30
"""Between the end of the drain and the kill, for Ray to stop by itself."""
_PREPARE = Resources(cpu="100m", memory="512Mi", ephemeral_storage="1Gi")
_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": SERVE_PORT, "metrics": METRICS_PORT}
_WORKER_PORTS = {"serve": SERVE_PORT, "metrics": METRICS_PORT}


def image(spec: ImageSpec, has_gpus: bool) -> str:
    """The reference of the build for such nodes."""
    tag, digest = (spec.gpu_tag, spec.gpu_digest) if has_gpus else (spec.tag, spec.digest)
    return f"{spec.repository}:{tag}@{digest}" if digest else f"{spec.repository}:{tag}"


def head_pod(platform: PlatformDocument) -> dict[str, Any]:
    """The template of the head. Its service account is the autoscaler's, so it keeps the token."""
    head = platform.spec.ray.head
    prepare = _prepare(platform, image(platform.spec.image, has_gpus=False), {}, "--head")
    prepare["env"].append({"name": "SLIPWAY_ADMIN_FILE", "value": f"{ADMIN_DIR}/admin"})
    prepare["volumeMounts"].append({"name": "admin", "mountPath": ADMIN_DIR, "readOnly": True})
    container = _container(
        platform, "ray-head", image(platform.spec.image, has_gpus=False), resources(head.resources), _HEAD_PORTS, {}
    )
    spec = _pod_spec(platform, prepare, container) | {"volumes": head_volumes(platform, HEAD_SHARED_MEMORY)}
    return _template(platform, {}, spec | _scheduling(head))


def worker_pod(platform: PlatformDocument, pool: Pool) -> dict[str, Any]:
    """The template of a pool's pods."""
    has_gpus = pool.gpus_per_node > 0
    picture = image(platform.spec.image, has_gpus)
    settings = cache_settings(platform, pool.resources)
    gpus = {pool.gpu_resource: str(pool.gpus_per_node)} if has_gpus else {}
    container = _container(platform, "ray-worker", picture, resources(pool.resources, gpus), _WORKER_PORTS, settings)
    container["lifecycle"] = {"preStop": {"exec": {"command": _drain_command(platform)}}}
    spec = _pod_spec(platform, _prepare(platform, picture, settings), container)
    spec |= {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": platform.spec.drain.grace_seconds + _DRAIN_MARGIN_SECONDS,
        "topologySpreadConstraints": _spread(platform, pool),
        "volumes": worker_volumes(platform, pool.resources, pool.shared_memory),
    }
    if pool.affinity:
        spec["affinity"] = pool.affinity
    if pool.runtime_class is not None:
        spec["runtimeClassName"] = pool.runtime_class
    return _template(platform, {LABEL_POOL: pool.name}, spec | _scheduling(pool))


def container_security() -> dict[str, Any]:
    """Of every container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(wanted: Resources, devices: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Requests and limits; see `Resources` for why the processor has none of the latter."""
    fixed = {"memory": wanted.memory, "ephemeral-storage": wanted.ephemeral_storage, **(devices or {})}
    return {"requests": {"cpu": wanted.cpu, **fixed}, "limits": fixed}


def _template(platform: PlatformDocument, labels: Mapping[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    """Without labels of `app.kubernetes.io`: KubeRay's own Services select pods by those that it gives them."""
    return {"metadata": {"labels": {LABEL_PLATFORM: platform.name, **labels}}, "spec": spec}


def _pod_spec(platform: PlatformDocument, prepare: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        # The variables that Kubernetes makes of Services would be read as settings: the Service slipway-gateway gives
        # SLIPWAY_GATEWAY_PORT.
        "enableServiceLinks": False,
        # Autoscaler v2 replaces pods, and KubeRay refuses anything else.
        "restartPolicy": "Never",
        "securityContext": _pod_security(),
        "initContainers": [prepare],
        "containers": [container],
    }
    if secrets := platform.spec.image.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in secrets]
    return spec


def _pod_security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        # Else every start walks through all of a kept cache.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(
    platform: PlatformDocument,
    name: str,
    picture: str,
    wanted: dict[str, Any],
    ports: Mapping[str, int],
    settings: Mapping[str, str],
) -> dict[str, Any]:
    container = _program(platform, name, picture, wanted, settings)
    container["ports"] = [{"name": port, "containerPort": number, "protocol": "TCP"} for port, number in ports.items()]
    return container


def _prepare(platform: PlatformDocument, picture: str, settings: Mapping[str, str], *flags: str) -> dict[str, Any]:
    """What a node needs before Ray starts."""
    container = _program(platform, "prepare", picture, resources(_PREPARE), settings)
    container["command"] = ["slipway", "node", "prepare", *flags]
    # Ray's own variables are many, and it starts no Ray.
    container["env"] = [each for each in container["env"] if not each["name"].startswith("RAY_")]
    return container


def _program(
    platform: PlatformDocument, name: str, picture: str, wanted: dict[str, Any], settings: Mapping[str, str]
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": picture,
        "imagePullPolicy": platform.spec.image.pull_policy,
        "env": _environment(platform, settings),
        "resources": wanted,
        "securityContext": container_security(),
        "volumeMounts": volume_mounts(),
    }
    if secrets := platform.spec.settings_from:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in secrets]
    return container


def _environment(platform: PlatformDocument, settings: Mapping[str, str]) -> list[dict[str, Any]]:
    """By name, so that equal documents give equal pods."""
    plain = dict(settings) | pod_environment(platform)
    found = [{"name": name, "value": value} for name, value in sorted(plain.items())]
    return found + [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}
        for name, key in sorted(_secrets(platform).items())
        if name not in platform.spec.settings
    ]


def _secrets(platform: PlatformDocument) -> dict[str, SecretKey]:
    spec = platform.spec
    found = {
        "SLIPWAY_RAY_TOKEN": SecretKey(name=spec.ray.auth_secret, key="auth_token"),
        "SLIPWAY_STORAGE_DATABASE_URL": spec.stores.database.secret,
    }
    if spec.stores.objects.endpoint:
        found["SLIPWAY_OBJECTS_ACCESS_KEY"] = SecretKey(name=spec.stores.objects.secret, key="access-key")
        found["SLIPWAY_OBJECTS_SECRET_KEY"] = SecretKey(name=spec.stores.objects.secret, key="secret-key")
    if spec.observability.metrics_secret is not None:
        found["SLIPWAY_GATEWAY_METRICS_TOKEN"] = spec.observability.metrics_secret
    return found


def _drain_command(platform: PlatformDocument) -> list[str]:
    return ["slipway", "node", "drain", f"--seconds={platform.spec.drain.grace_seconds}"]


def _scheduling(place: HeadSpec | Pool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if place.node_selector:
        found["nodeSelector"] = dict(sorted(place.node_selector.items()))
    if place.tolerations:
        found["tolerations"] = [_toleration(each) for each in place.tolerations]
    if place.priority_class is not None:
        found["priorityClassName"] = place.priority_class
    return found


def _toleration(toleration: Toleration) -> dict[str, Any]:
    return toleration.model_dump(mode="json", by_alias=True, exclude_none=True)


def _spread(platform: PlatformDocument, pool: Pool) -> list[dict[str, Any]]:
    """Over nodes and zones where that can be: one that is lost takes as little as possible along."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {LABEL_PLATFORM: platform.name, LABEL_POOL: pool.name}},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
