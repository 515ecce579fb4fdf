"""A platform for tests: `slipway up --detach` in folders of its own, and the means to call it and to kill its parts."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fakes.processes import free_ports

SLIPWAY = [sys.executable, "-m", "serve.cli.main"]
ECHO = {
    "apiVersion": "slipway.dev/v1alpha1",
    "kind": "Model",
    "metadata": {"name": "echo"},
    "spec": {
        "family": "llm",
        "tasks": ["chat", "completion", "embedding"],
        "card": {"title": "Echo"},
        "engine": {"kind": "echo", "maxConcurrency": 4},
        "placement": {"cpus": 0.1},
        "scaling": {"replicas": 1},
    },
}
BROKEN = "no-weights"
"""A model that cannot start."""


def echo_document(name: str, *, engine: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """An echo model with another name, pace or size."""
    document: dict[str, Any] = json.loads(json.dumps(ECHO))
    document["metadata"]["name"] = name
    document["spec"] |= spec
    document["spec"]["engine"] |= engine or {}
    return document


@dataclass
class TestPlatform:
    """A running platform."""

    __test__ = False

    folder: Path
    port: int
    environment: dict[str, str]
    output: str = ""
    key: str = field(default="", repr=False)
    terminal: subprocess.Popen[bytes] | None = None
    """Of a platform in the foreground: `slipway up`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.folder / "state/slipway/platform.json").read_text())
        return result

    def client(self, key: str | None = None, timeout: float = 120) -> httpx.Client:
        """A client with the first key, or another."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`slipway ARGUMENTS` in the platform's environment."""
        return subprocess.run(
            [*SLIPWAY, *arguments], env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def apply(self, document: dict[str, Any], ready_seconds: float = 120) -> None:
        """Apply a model; where it has replicas from the start, wait for them."""
        name = document["metadata"]["name"]
        with self.client() as client:
            client.put(f"/v1/admin/documents/Model/{name}", json=document).raise_for_status()
            scaling = document["spec"].get("scaling", {})
            if scaling.get("replicas") or scaling.get("minReplicas"):
                wait_for(lambda: self.model_state(client, name) == "ready", ready_seconds, f"{name} ready")

    def model_state(self, client: httpx.Client, name: str) -> str:
        """The catalog's word; an HTTP status where the proxy in front has nobody to ask for the moment."""
        answer = client.get(f"/v1/catalog/{name}")
        return str(answer.json().get("state") if answer.is_success else answer.status_code)

    def new_key(self, tenant: str) -> str:
        """A key of another tenant, made where need be."""
        with self.client() as client:
            client.post("/v1/admin/tenants", json={"name": tenant})
            body = {"title": "test", "tenant": tenant, "project": "default", "scopes": ["inference", "read"]}
            answer = client.post("/v1/keys", json=body)
            answer.raise_for_status()
            return str(answer.json()["key"])

    def pids(self, *words: str) -> list[int]:
        """The platform's processes whose command line holds all of `words`."""
        mark = f"SLIPWAY_PLATFORM_ID={self.state['id']}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if all(word in command for word in words):
                        found.append(int(entry.name))
        return found

    def kill(self, *words: str) -> None:
        """kill -9 of the processes with these words; there must be one."""
        victims = self.pids(*words)
        assert victims, f"no process of the platform has {words} in its command line"
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    def down(self) -> None:
        """Stop it."""
        self.run("down")

    def greeted(self, output: str) -> None:
        """Note what `up` has printed, and the key in it."""
        self.output = output
        self.key = output.partition("API key: ")[2].split()[0]


def _platform_in(folder: Path, settings: dict[str, str]) -> TestPlatform:
    (port,) = free_ports(1)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLIPWAY_", "RAY_"))}
    environment = inherited | {
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "SLIPWAY_GATEWAY_PORT": str(port),
        # Every ten seconds by default, which whoever reads the metrics would have to wait for.
        "RAY_metrics_report_interval_ms": "2000",
        **{f"SLIPWAY_{name}".upper(): value for name, value in settings.items()},
    }
    return TestPlatform(folder, port, environment)


@contextlib.contextmanager
def running_platform(folder: Path, **settings: str) -> Iterator[TestPlatform]:
    """A platform with these settings (`ray_throughput="false"` is SLIPWAY_RAY_THROUGHPUT=false)."""
    platform = _platform_in(folder, settings)
    started = platform.run("up", "--detach", timeout=300)
    try:
        assert started.returncode == 0, started.stdout + started.stderr + ray_log(folder)
        platform.greeted(started.stdout)
        yield platform
    finally:
        platform.down()


@contextlib.contextmanager
def platform_in_the_foreground(folder: Path, **settings: str) -> Iterator[TestPlatform]:
    """The same as in a terminal, and not waited for: who interrupts its `terminal` presses Ctrl-C."""
    platform = _platform_in(folder, settings)
    environment = platform.environment | {"PYTHONUNBUFFERED": "1"}
    with (
        (folder / "terminal.log").open("w") as out,
        subprocess.Popen([*SLIPWAY, "up"], env=environment, stdout=out, stderr=out) as up,
    ):
        platform.terminal = up
        try:
            yield platform
        finally:
            up.send_signal(signal.SIGINT)


def wait_for_greeting(platform: TestPlatform) -> None:
    """Until a platform in the foreground is ready."""
    output, up = platform.folder / "terminal.log", platform.terminal
    assert up is not None
    wait_for(lambda: "API key: " in output.read_text() or up.poll() is not None, 300, "the platform is ready")
    assert up.poll() is None, output.read_text() + ray_log(platform.folder)
    platform.greeted(output.read_text())


def ray_log(folder: Path) -> str:
    """The end of Ray's log, for a failed start."""
    log = folder / "state/slipway/ray.log"
    return log.read_text()[-3000:] if log.exists() else ""


def a_second(ask: Callable[[], object]) -> float:
    """How long a second is to somebody who can only ask: with the time of twenty questions, as they take now."""
    began = time.monotonic()
    for _ in range(5):
        ask()
    return 1 + 4 * (time.monotonic() - began)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until `condition` holds; gives the seconds it took, and fails after `seconds`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - began
