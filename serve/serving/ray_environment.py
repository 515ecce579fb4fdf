"""The environment of Ray's processes, and so of every process of the platform: one function for one machine and pods.

Pure, and without secrets: tokens, the database's URL and the keys of the blob store are added by who starts the node.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from serve.domain.platform import PlatformDocument
from serve.settings import GatewaySettings, RaySettings, Settings

RUN_DIR = PurePosixPath("/run/slipway")
"""In a pod: HAProxy's launcher, configuration and sockets. `slipway node prepare` fills it."""
HOME_DIR = PurePosixPath("/home/slipway")
CACHE_DIR = PurePosixPath("/var/cache/slipway")
STATE_DIR = PurePosixPath("/var/lib/slipway")
"""Journals of what is not booked yet: on the node's disk, so that a container's end loses none of it."""
SERVE_PORT = 8000
METRICS_PORT = 8080
HAPROXY_LAUNCHER = "haproxy"
_POD_HAPROXY_METRICS_PORT = 9101
_POD_HAPROXY_STATS_PORT = 8404
_POD_HAPROXY_THREADS = 4
_MESSAGE_BYTES = 64 * 2**20
"""Room for the largest message between replicas, 2048 long vectors, beside a body: gRPC's own limit is 4 MiB."""
_SWITCH = {True: "1", False: "0"}
_PREFIX = "SLIPWAY_"


@dataclass(frozen=True, slots=True)
class HaproxyPlace:
    """What one node's HAProxy has to itself. Ray's defaults are one set for a whole machine.

    Ray adds a folder named after the node, and a socket's path may have 97 bytes: `folder` has 29 at the most.
    """

    folder: PurePath
    metrics_port: int
    stats_port: int
    num_threads: int
    replica_ports: range = range(30_000, 31_000)
    """Where gateways listen for it. While one is replaced, it goes on asking at the port of the one before: nobody
    else's may be there."""
    fallback_port: int = 8500
    """Where Ray's own proxy listens, which it asks while no gateway is ready, as when one takes a new configuration.
    Ray shares the port with whoever has it: two platforms with the same would answer for each other."""


POD_HAPROXY = HaproxyPlace(
    RUN_DIR / "haproxy", _POD_HAPROXY_METRICS_PORT, _POD_HAPROXY_STATS_PORT, _POD_HAPROXY_THREADS
)
"""In a pod, which has its ports to itself."""


def ray_environment(ray: RaySettings, gateway: GatewaySettings, haproxy: HaproxyPlace) -> dict[str, str]:
    """What every Ray node is started with, wherever it runs. Token authentication is KubeRay's to turn on in pods."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": _SWITCH[ray.ha_proxy],
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": _SWITCH[ray.throughput],
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(_MESSAGE_BYTES + 2 * gateway.max_body_bytes),
        **(_haproxy_environment(haproxy) if ray.ha_proxy else {}),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.proxy.middlewares",
        # HAProxy needs the replicas' own HTTP ports; without it they would only be open for nothing.
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": _SWITCH[ray.ha_proxy],
        # Servers here would believe the address that a request names if it comes from this machine, as all do that
        # come through HAProxy.
        "FORWARDED_ALLOW_IPS": "none",
        # An engine's child processes end with their replica, also when it is killed.
        "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "true",
        # Ray starts its workers at nice 15, and engines inherit it: any other program would starve the models.
        "RAY_worker_niceness": "0",
        # Process titles must not overwrite the environment that processes are known by.
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _haproxy_environment(place: HaproxyPlace) -> dict[str, str]:
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(place.folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(place.folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(place.folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(place.folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(place.folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(place.metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(place.stats_port),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(place.folder / HAPROXY_LAUNCHER),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(place.fallback_port),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(place.replica_ports[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(place.replica_ports[-1]),
        # Ray gives load balancers half a minute to notice that a gateway goes; the only one here is HAProxy, at once.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(place.num_threads),
    }


def pod_environment(platform: PlatformDocument) -> dict[str, str]:
    """Of every Ray container of a cluster, its `prepare` included. The document's own settings count last.

    Raises pydantic.ValidationError or ValueError where those are wrong; `wrong_settings` says so in sentences.
    """
    spec = platform.spec
    ray = RaySettings.model_validate(_group(spec.settings, "ray"))
    gateway = GatewaySettings.model_validate(_group(spec.settings, "gateway"))
    return {
        **ray_environment(ray, gateway, POD_HAPROXY),
        **_of_any_pod(),
        "SLIPWAY_METERING_CLUSTER": platform.name,
        "SLIPWAY_OBJECTS_ENDPOINT": spec.stores.objects.endpoint,
        "SLIPWAY_OBJECTS_BUCKET": spec.stores.objects.bucket,
        "SLIPWAY_OBJECTS_REGION": spec.stores.objects.region,
        "SLIPWAY_TRACING_ENDPOINT": spec.observability.otlp_endpoint,
        "SLIPWAY_LOG_LEVEL": spec.observability.log_level,
        **spec.settings,
    }


def _of_any_pod() -> dict[str, str]:
    return {
        "HOME": str(HOME_DIR),
        # Libraries ask for it, and an unusual user has no line in /etc/passwd.
        "USER": "slipway",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SLIPWAY_RAY_OPERATED": "true",
        "SLIPWAY_MODELS_BUILTIN": "",
        "SLIPWAY_MODELS_WHEELS_ALLOWED": "false",
        "SLIPWAY_GATEWAY_HOST": "0.0.0.0",
        "SLIPWAY_GATEWAY_PORT": str(SERVE_PORT),
        "SLIPWAY_STORAGE_DATA_DIR": str(STATE_DIR / "data"),
        "SLIPWAY_STORAGE_STATE_DIR": str(STATE_DIR / "state"),
        "SLIPWAY_STORAGE_CACHE_DIR": str(CACHE_DIR),
    }


def wrong_settings(settings: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each of a document's settings that the platform's processes would not start with."""
    found = (_wrong(variable, value) for variable, value in sorted(settings.items()) if variable.startswith(_PREFIX))
    return tuple(sentence for sentence in found if sentence)


def _wrong(variable: str, value: str) -> str:
    group, _, name = variable.removeprefix(_PREFIX).lower().partition("_")
    part = Settings.model_fields.get(group)
    if part is None or part.annotation is None or name not in part.annotation.model_fields:
        return f"{variable} is no setting of Slipway's; `slipway config` lists them."
    try:
        part.annotation.model_validate({name: value})
    except ValueError as error:
        reason = str(error).splitlines()[2].strip().partition(" [")[0]
        return f"{variable} cannot be {value!r}: {reason}."
    return ""


def _group(settings: Mapping[str, str], group: str) -> dict[str, str]:
    prefix = f"{_PREFIX}{group.upper()}_"
    return {name.removeprefix(prefix).lower(): value for name, value in settings.items() if name.startswith(prefix)}
