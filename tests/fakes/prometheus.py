"""A real Prometheus for tests: a process with a folder and a port of its own."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.processes import free_ports, server


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/-/ready", trust_env=False).is_success
        return False

    def ask(self, path: str, **parameters: Any) -> httpx.Response:
        """An answer of its API."""
        return httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)

    def query(self, expr: str, **parameters: Any) -> dict[tuple[tuple[str, str], ...], float]:
        """What `expr` is now, by its labels."""
        answer = self.ask("query", query=expr, **parameters).json()
        assert answer["status"] == "success", answer
        return {tuple(sorted(found["metric"].items())): float(found["value"][1]) for found in answer["data"]["result"]}

    def value(self, expr: str) -> float | None:
        """The one number that `expr` is; None where there is none."""
        found = list(self.query(expr).values())
        assert len(found) <= 1, found
        return found[0] if found else None


@contextlib.contextmanager
def running_prometheus(config: Path, data: Path) -> Iterator[Prometheus]:
    """Starts one with `config`; skips where none is installed."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    (port,) = free_ports(1)
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}"]
    made = Prometheus(f"http://127.0.0.1:{port}")
    with server([binary, *arguments], data.with_suffix(".log"), made.is_ready, start_seconds=30):
        yield made
