"""What vLLM is told, on each kind of machine."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from deployments.engines.vllm_settings import engine_arguments, environment
from serve.domain.documents import AdapterPolicy, VllmEngine


def arguments(num_gpus: float, **spec: object) -> dict:
    return engine_arguments(VllmEngine.model_validate({"kind": "vllm", **spec}), Path("/weights"), "m", num_gpus)


@pytest.mark.parametrize(
    ("num_gpus", "told"),
    [
        pytest.param(
            0, {"kv_cache_memory_bytes": 3 * 2**29, "distributed_executor_backend": "uni"}, id="on CPU, in one process"
        ),
        pytest.param(0.5, {"gpu_memory_utilization": 0.4}, id="half a GPU has half its share of memory"),
        pytest.param(1, {"gpu_memory_utilization": 0.8, "tensor_parallel_size": 1}, id="a whole GPU"),
        pytest.param(
            4,
            {"gpu_memory_utilization": 0.8, "tensor_parallel_size": 4, "distributed_executor_backend": "mp"},
            id="several GPUs are tensor parallel",
        ),
    ],
)
def test_the_device_decides_memory_and_processes(num_gpus, told):
    made = arguments(num_gpus, gpuMemoryUtilization=0.8, cpuKvCacheGib=1.5)
    assert {key: made[key] for key in told} == told
    assert ("kv_cache_memory_bytes" in made) == (num_gpus == 0)


def test_only_safetensors_are_loaded_and_no_code():
    made = arguments(0)
    assert (made["load_format"], made["trust_remote_code"]) == ("safetensors", False)


def lora_arguments(num_gpus: float, **policy: object) -> dict:
    made = engine_arguments(
        VllmEngine(kind="vllm", max_concurrency=8),
        Path("/weights"),
        "m",
        num_gpus,
        AdapterPolicy.model_validate(policy),
    )
    return {name: value for name, value in made.items() if "lora" in name}


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        pytest.param({}, {}, id="nothing is allocated for a card without adapters"),
        pytest.param({"maxRank": 20}, {"max_lora_rank": 32}, id="the next rank that vLLM takes"),
        pytest.param({"maxRank": 512}, {"max_lora_rank": 512}, id="the highest rank"),
        pytest.param({"maxResident": 5}, {"max_loras": 5}, id="mixtures of a batch"),
        pytest.param({"maxResident": 50}, {"max_loras": 8}, id="no more than there are sequences"),
        pytest.param({"maxHost": 2}, {"max_cpu_loras": 8}, id="what is bound is in host memory too"),
    ],
)
def test_a_cards_adapters_decide_what_vllm_allocates(policy, told):
    made = lora_arguments(1, enabled=bool(policy), **policy)
    assert {name: made.get(name) for name in told} == told
    assert made.get("enable_lora", False) == bool(policy)


def test_on_cpu_our_own_operations_apply_adapters():
    """vLLM's own give the last slot's adapter to sequences without any."""
    made = engine_arguments(VllmEngine(kind="vllm"), Path("/weights"), "m", 0, AdapterPolicy(enabled=True))
    module, _, name = made["worker_cls"].rpartition(".")
    assert find_spec(module) is not None
    assert name == "AdapterWorker"
    assert "worker_cls" not in arguments(0)


def test_concurrency_is_the_number_of_sequences():
    assert arguments(0, maxConcurrency=7, maxModelLen=128)["max_num_seqs"] == 7


@pytest.mark.parametrize("num_gpus", [0, 1])
def test_nothing_is_reported_or_downloaded(num_gpus):
    told = environment(num_gpus, enforce_eager=False, num_cores=4)
    assert told["VLLM_NO_USAGE_STATS"] == told["DO_NOT_TRACK"] == told["HF_HUB_OFFLINE"] == "1"
    assert ("VLLM_ENABLE_V1_MULTIPROCESSING" in told) == (num_gpus == 0)


def test_eager_means_that_nothing_compiles_while_streams_wait():
    assert "TORCH_COMPILE_DISABLE" in environment(0, enforce_eager=True, num_cores=4)
    assert "TORCH_COMPILE_DISABLE" not in environment(1, enforce_eager=False, num_cores=4)


@pytest.mark.parametrize(("num_cores", "num_threads"), [(1, "1"), (2, "1"), (8, "7")])
def test_a_core_is_left_to_the_rest_of_the_machine(num_cores, num_threads):
    assert environment(0, enforce_eager=True, num_cores=num_cores)["OMP_NUM_THREADS"] == num_threads
    assert "OMP_NUM_THREADS" not in environment(1, enforce_eager=True, num_cores=num_cores)
