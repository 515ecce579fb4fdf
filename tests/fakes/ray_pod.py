"""A real Ray on this machine, started as KubeRay starts the pods of a RayService: environment, parameters, commands.

One node is head and worker in one, since two would want the same port. What a pod has to itself is moved: folders go
below the test's, ports are free ones. Nothing else of the manifest is changed.
"""

import contextlib
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from fakes.platform import SLIPWAY, wait_for
from fakes.processes import free_ports

from serve.cli import local_ray
from serve.settings import Settings, StorageSettings

Manifest = Mapping[str, Any]
_PORTS = ("gcs", "dashboard", "metrics", "serve", "haproxy_metrics", "haproxy_stats", "fallback")
_POD_ID = "5110000000000000"
_START_SECONDS = 240
"""Beside the other tests a start takes minutes."""


@dataclass
class RayPod:
    """A node that runs; `secrets` are what its Secrets hold, by variable."""

    folder: Path
    secrets: Mapping[str, str]
    admin_secret: str
    ports: Mapping[str, int] = field(default_factory=lambda: dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True)))

    @property
    def run_dir(self) -> Path:
        """What /run/slipway is in a pod. Short, for its sockets' sake."""
        return Path(f"/tmp/slw-{self.ports['gcs']}")

    @property
    def url(self) -> str:
        """Of the platform's API."""
        return f"http://127.0.0.1:{self.ports['serve']}"

    @property
    def rest_url(self) -> str:
        """Of Ray's."""
        return f"http://127.0.0.1:{self.ports['dashboard']}"

    def environment(self, container: Manifest) -> dict[str, str]:
        """The container's, with its folders and ports where they are here, and what KubeRay adds."""
        wanted = {each["name"]: each.get("value") or self.secrets.get(each["name"], "") for each in container["env"]}
        moved = {name: self._moved(value) for name, value in wanted.items()}
        return moved | {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "SLIPWAY_PLATFORM_ID": _POD_ID,
            "SLIPWAY_RAY_ADDRESS": self.rest_url,
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(self.ports["haproxy_metrics"]),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(self.ports["haproxy_stats"]),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(self.ports["fallback"]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.secrets["SLIPWAY_RAY_TOKEN"],
            "OMP_NUM_THREADS": "1",
        }

    def _moved(self, value: str) -> str:
        value = value.replace("/run/slipway", str(self.run_dir))
        for place in ("/var/lib/slipway", "/var/cache/slipway", "/home/slipway"):
            value = value.replace(place, f"{self.folder}{place}")
        return value

    def prepare(self, pod: Manifest) -> None:
        """Run the init container."""
        (container,) = pod["initContainers"]
        admin_file = self.folder / "admin"
        admin_file.write_text(self.admin_secret)
        assert container["command"][0] == "slipway"
        command = [*SLIPWAY, *container["command"][1:], "--haproxy-folder", str(self.run_dir / "haproxy")]
        environment = self.environment(container) | {"SLIPWAY_ADMIN_FILE": str(admin_file)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, cluster: Manifest) -> subprocess.Popen[bytes]:
        """`ray start` with the parameters of the head and of the first pool."""
        head, worker = cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]
        parameters = head["rayStartParams"] | worker["rayStartParams"]
        parameters |= {"port": self.ports["gcs"], "dashboard-port": self.ports["dashboard"]}
        parameters |= {"node-ip-address": "127.0.0.1", "metrics-export-port": self.ports["metrics"]}
        flags = shlex.split(" ".join(f"--{name}={value}" for name, value in parameters.items()))
        with (self.folder / "ray.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *flags],
                env=self.environment(head["template"]["spec"]["containers"][0]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def rest(self) -> httpx.Client:
        """A client of Ray's REST API, as KubeRay has one."""
        headers = {"Authorization": f"Bearer {self.secrets['SLIPWAY_RAY_TOKEN']}"}
        return httpx.Client(base_url=self.rest_url, headers=headers, timeout=30, trust_env=False)

    def deploy(self, service: Manifest) -> None:
        """Hand Ray the RayService's configuration, as KubeRay does; only the port is this machine's."""
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        config["http_options"] |= {"host": "127.0.0.1", "port": self.ports["serve"]}
        with self.rest() as rest:
            rest.put("/api/serve/applications/", json=config).raise_for_status()

    def applications(self) -> dict[str, Any]:
        """Ray's own report."""
        with self.rest() as rest:
            found: dict[str, Any] = rest.get("/api/serve/applications/").raise_for_status().json()["applications"]
        return found

    def replicas(self, application: str) -> set[str]:
        """The ids of an application's replicas that run."""
        deployments = self.applications()[application]["deployments"].values()
        found = [replica for each in deployments for replica in each["replicas"]]
        return {replica["replica_id"] for replica in found if replica["state"] == "RUNNING"}


def _answers(pod: RayPod) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        pod.applications()
        return True
    return False


@contextlib.contextmanager
def running_pod(folder: Path, service: Manifest, secrets: Mapping[str, str], admin_secret: str) -> Iterator[RayPod]:
    """The pods of `service` until the block ends, with its configuration handed to Ray."""
    pod = RayPod(folder, secrets, admin_secret)
    cluster = service["spec"]["rayClusterConfig"]
    pod.prepare(cluster["headGroupSpec"]["template"]["spec"])
    began = time.time()
    process = pod.start(cluster)
    try:
        wait_for(lambda: process.poll() is not None or _answers(pod), _START_SECONDS, "Ray answers")
        assert process.poll() is None, (folder / "ray.log").read_text()[-3000:]
        pod.deploy(service)
        yield pod
    finally:
        settings = Settings(storage=StorageSettings(state_dir=folder))
        local_ray.stop(settings, local_ray.Platform(_POD_ID, process.pid, pod.url, pod.rest_url, began))
        process.wait()
        shutil.rmtree(pod.run_dir, ignore_errors=True)
