"""What does it take to reconcile hundreds of Models and thousands of Adapters?

    python -m benchmarks.operator --out operator.json

The operator is the real one (`python -m operators`), a process of its own; the API server and the platform that it
talks to are in another one (`benchmarks.operator_servers`). It begins with an empty memory and an empty platform, and
has converged when every document is stored, every model is in the RayService and every resource has its status. Then
it is left alone, and what it writes and uses in that time is its steady state.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.command import print_result
from benchmarks.load import LoadFailed
from benchmarks.machine import circumstances
from benchmarks.operator_servers import NAMESPACE
from benchmarks.processes import Processes, free_port

_SIZES = ((125, 1250), (250, 2500), (500, 5000))
_QUICK_SIZES = ((10, 100), (20, 200))
_CONVERGE_SECONDS = 900.0
_POLL_SECONDS = 0.5
_CALM_SECONDS = 6.0
"""Without a write, after which it counts as converged: more than one of the operator's own polls."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Operator:
    """One operator's process, and what it uses."""

    def __init__(self, processes: Processes, folder: Path, port: int) -> None:
        kubeconfig, admin = folder / "kubeconfig", folder / "admin"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(f"http://127.0.0.1:{port}")))
        admin.write_text("a secret of this benchmark, long enough for a key")
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "SLIPWAY_OPERATOR_NAMESPACE": NAMESPACE,
            "SLIPWAY_OPERATOR_ADMIN_FILE": str(admin),
            "SLIPWAY_OPERATOR_PLATFORM_URL": f"http://127.0.0.1:{port}",
            "SLIPWAY_OPERATOR_HEALTH_PORT": "0",
            "SLIPWAY_OPERATOR_METRICS_PORT": "0",
        }
        self._process = processes.spawn([sys.executable, "-m", "operators"], environment)

    def must_run(self) -> None:
        """Raises LoadFailed if it has ended."""
        if self._process.poll() is not None:
            raise LoadFailed(f"the operator ended with {self._process.returncode}")

    def cpu_seconds(self) -> float:
        """Of processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def peak_mebibytes(self) -> float:
        """The most memory that was resident."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
        raise LoadFailed("the kernel tells no peak of memory")


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": NAMESPACE}}],
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
    }


async def measure_size(num_models: int, num_adapters: int, steady_seconds: float) -> dict[str, Any]:
    """One operator, from nothing to calm."""
    processes, port = Processes(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            sizes = ["--port", str(port), "--models", str(num_models), "--adapters", str(num_adapters)]
            processes.spawn([sys.executable, "-m", "benchmarks.operator_servers", *sizes], {})
            try:
                await _until_serving(client)
                operator = Operator(processes, Path(folder), port)
                converged = await _converged(client, operator, num_models, num_adapters)
                return converged | await _steady(client, operator, steady_seconds)
            except LoadFailed as error:
                raise LoadFailed(f"{error}\n{processes.last_words()}") from error
            finally:
                await processes.end()


async def _until_serving(client: httpx.AsyncClient) -> None:
    for _ in range(600):
        try:
            await _progress(client)
            return
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise LoadFailed("the servers do not answer")


async def _progress(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/bench")).json()
    return found


async def _converged(
    client: httpx.AsyncClient, operator: Operator, num_models: int, num_adapters: int
) -> dict[str, Any]:
    began = last_change = time.monotonic()
    seen: dict[str, Any] = {}
    cpu = 0.0
    while time.monotonic() - began < _CONVERGE_SECONDS:
        operator.must_run()
        now = await _progress(client)
        if now != seen:
            seen, last_change, cpu = now, time.monotonic(), operator.cpu_seconds()
        is_whole = now["num_served"] == now["statuses"].get("Model") == now["documents"]["Model"] == num_models
        is_whole &= now["statuses"].get("Adapter") == now["documents"]["Adapter"] == num_adapters
        if is_whole and time.monotonic() - last_change > _CALM_SECONDS:
            return {
                "models": num_models,
                "adapters": num_adapters,
                "seconds": round(last_change - began, 1),
                "cpu_seconds": round(cpu, 1),
                "ray_service_bytes": now["ray_service_bytes"],
                "serve_config_bytes": now["serve_config_bytes"],
                "writes": now["writes"],
            }
        await asyncio.sleep(_POLL_SECONDS)
    raise LoadFailed(f"not converged after {_CONVERGE_SECONDS:.0f} s: {seen}")


async def _steady(client: httpx.AsyncClient, operator: Operator, seconds: float) -> dict[str, Any]:
    before, cpu = (await _progress(client))["writes"], operator.cpu_seconds()
    await asyncio.sleep(seconds)
    after = (await _progress(client))["writes"]
    return {
        "peak_mebibytes": operator.peak_mebibytes(),
        "steady_seconds": seconds,
        "steady_writes": sum(after.values()) - sum(before.values()),
        "steady_cpu_share": round((operator.cpu_seconds() - cpu) / seconds, 3),
    }


async def measure(is_quick: bool, steady_seconds: float, arguments: list[str]) -> dict[str, Any]:
    """All sizes, smallest first."""
    around = circumstances(arguments)
    sizes = [await measure_size(*size, steady_seconds) for size in (_QUICK_SIZES if is_quick else _SIZES)]
    first, last = sizes[0], sizes[-1]
    growth = last["models"] / first["models"]
    return around | {
        "sizes": sizes,
        # 1 is linear. Below it, what does not grow with the number is a part of the first.
        "cpu_seconds_by_linear": round(last["cpu_seconds"] / first["cpu_seconds"] / growth, 2),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it runs")
    parser.add_argument("--steady-seconds", type=float, default=30.0, help="how long it is left alone at the end")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    print_result(measure(arguments.quick, arguments.steady_seconds, sys.argv[1:]), arguments.out)


if __name__ == "__main__":
    main()
