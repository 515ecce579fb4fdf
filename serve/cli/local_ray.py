"""The Ray of this machine: its processes, from the first to the last.

`slipway up` starts it with `ray start`, and talks to its REST API, as KubeRay does. Every process that comes of it
carries SLIPWAY_PLATFORM_ID in its environment; that is how none is left behind.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from serve.cli.haproxy import write_haproxy_launcher
from serve.cli.local_prometheus import write_files
from serve.domain.errors import Conflict
from serve.serving.ray_environment import HaproxyPlace, ray_environment
from serve.settings import Settings

_STATE_FILE = "platform.json"
_OBJECT_STORE_BYTES = 512 * 2**20
"""Blobs travel through the asset store, so Ray's own needs little; its default is a third of the memory."""
_CPUS_PER_CORE = 8
"""Logical CPUs per core: locally `placement.cpus` orders nothing, and must not keep a small model from starting."""
_TERM_SECONDS = 15.0
_PORTS = range(20_000, 26_000)
"""Above those that Ray gives its workers, below those that Linux gives outgoing connections."""
_REPLICA_PORTS = range(26_000, 32_700, 100)
"""The first of each hundred that gateways may have. Two platforms with the same would answer for each other."""
_PORT_TRIALS = 100


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform: what `down` needs to find it. `started_at` is Unix seconds."""

    id: str
    pid: int
    url: str
    ray_address: str
    started_at: float


def read_state(settings: Settings) -> Platform | None:
    """The platform that was started last and not taken down, alive or not."""
    try:
        return Platform(**json.loads((settings.storage.state_dir / _STATE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_alive(platform: Platform) -> bool:
    """Whether its `ray start` still runs."""
    return _platform_id(platform.pid) == platform.id


def free_port() -> int:
    """A TCP port that is free now, and that the kernel gives to nobody who does not ask for it.

    Some are bound half a minute after they were chosen, and by then the kernel would have lent one of its own range to
    any outgoing connection.
    """
    for _ in range(_PORT_TRIALS):
        port = secrets.choice(_PORTS)
        if _is_free(port):
            return port
    raise Conflict(f"No TCP port between {_PORTS[0]} and {_PORTS[-1]} is free.", "no_free_port")


def free_hundred() -> range:
    """A hundred ports that no other platform of this machine has: one of its gateways would be listening on one."""
    for _ in range(_PORT_TRIALS):
        first = secrets.choice(_REPLICA_PORTS)
        ports = range(first, first + _REPLICA_PORTS.step)
        if all(_is_free(port) for port in ports):
            return ports
    raise Conflict(f"No hundred TCP ports from {_REPLICA_PORTS[0]} on are free.", "no_free_port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def ray_token(settings: Settings) -> str:
    """Ray's token, made on first use, readable by this user alone."""
    path = settings.storage.state_dir / "ray-token"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    settings.storage.state_dir.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    return token


def metrics_token(settings: Settings) -> str:
    """What opens the gateway's metrics: the setting, or else a word that is made from the platform's secret."""
    made = hashlib.sha256(f"slipway metrics {ray_token(settings)}".encode()).hexdigest()
    return settings.gateway.metrics_token.get_secret_value() or made


def start(settings: Settings) -> Platform:
    """Start Ray's head in a session of its own, so that a terminal's Ctrl-C reaches only us."""
    dashboard, metrics = free_port(), free_port()
    platform_id = secrets.token_hex(8)
    address = f"http://127.0.0.1:{dashboard}"
    if settings.ray.ha_proxy:
        write_haproxy_launcher(_haproxy_folder(platform_id), ray_token(settings))
    write_files(settings, metrics, metrics_token(settings))
    log_path = settings.storage.state_dir / "ray.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            _command(dashboard, metrics),
            env=environment_of(settings, platform_id, address, ray_token(settings)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://{settings.gateway.host}:{settings.gateway.port}"
    platform = Platform(platform_id, process.pid, url, address, time.time())
    (settings.storage.state_dir / _STATE_FILE).write_text(json.dumps(asdict(platform)))
    return platform


def _command(dashboard_port: int, metrics_port: int) -> list[str]:
    cpus = (os.cpu_count() or 1) * _CPUS_PER_CORE
    options = {
        "node-ip-address": "127.0.0.1",
        "port": free_port(),
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard_port,
        "metrics-export-port": metrics_port,
        "num-cpus": cpus,
        "object-store-memory": _OBJECT_STORE_BYTES,
        "resources": json.dumps({"pool_default": 1000}),
        "include-log-monitor": "false",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", *flags]


def environment_of(settings: Settings, platform_id: str, address: str, token: str) -> dict[str, str]:
    """What Ray, and so every process of the platform, is started with."""
    storage = settings.storage
    return dict(os.environ) | {
        "SLIPWAY_PLATFORM_ID": platform_id,
        "SLIPWAY_RAY_ADDRESS": address,
        "SLIPWAY_RAY_TOKEN": token,
        "SLIPWAY_GATEWAY_METRICS_TOKEN": metrics_token(settings),
        "SLIPWAY_STORAGE_DATA_DIR": str(storage.data_dir.resolve()),
        "SLIPWAY_STORAGE_CACHE_DIR": str(storage.cache_dir.resolve()),
        "SLIPWAY_STORAGE_STATE_DIR": str(storage.state_dir.resolve()),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        **ray_environment(settings.ray, settings.gateway, _haproxy_place(platform_id)),
    }


def _haproxy_folder(platform_id: str) -> Path:
    return Path("/tmp") / f"slw-{platform_id[:8]}"


def _haproxy_place(platform_id: str) -> HaproxyPlace:
    return HaproxyPlace(
        _haproxy_folder(platform_id),
        metrics_port=free_port(),
        stats_port=free_port(),
        num_threads=min(4, os.cpu_count() or 1),
        replica_ports=free_hundred(),
        fallback_port=free_port(),
    )


def stop(settings: Settings, platform: Platform) -> None:
    """End every process of `platform`: asked first, then made to; remove what they leave in shared memory."""
    if is_alive(platform):
        os.kill(platform.pid, signal.SIGTERM)
    deadline = time.monotonic() + _TERM_SECONDS
    while _members(platform.id) and time.monotonic() < deadline:
        _reap()
        time.sleep(0.1)
    while members := _members(platform.id):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.1)
    _sweep_shared_memory(platform.started_at)
    shutil.rmtree(_haproxy_folder(platform.id), ignore_errors=True)
    (settings.storage.state_dir / _STATE_FILE).unlink(missing_ok=True)


def _members(platform_id: str) -> list[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _platform_id(pid) == platform_id]


def _platform_id(pid: int) -> str | None:
    """The platform that process `pid` belongs to; None for a foreign, finished or unreadable one."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for variable in environment.split(b"\0"):
        if variable.startswith(b"SLIPWAY_PLATFORM_ID="):
            return variable.partition(b"=")[2].decode()
    return None


def _reap() -> None:
    """Collect our own children that have ended; a zombie has no environment, and yet is in the table."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _sweep_shared_memory(since: float) -> None:
    """Unlink Python shared-memory segments of this user, made since then, that no process maps any more."""
    mapped = _mapped_segments()
    for segment in Path("/dev/shm").glob("psm_*"):
        with contextlib.suppress(OSError):
            status = segment.stat()
            if status.st_uid == os.getuid() and status.st_mtime >= since and segment.name not in mapped:
                segment.unlink()


def _mapped_segments() -> set[str]:
    names = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            names |= {line.rsplit("/", 1)[-1] for line in maps.read_text().splitlines() if "/dev/shm/psm_" in line}
    return names
