"""From our spec to vLLM's arguments and environment. Pure but for `apply_environment`."""

import os
from pathlib import Path
from typing import Any

from serve.domain.documents import AdapterPolicy
from serve.domain.documents import VllmEngine as VllmSpec

GIB = 2**30
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `max_lora_rank`."""
CPU_WORKER = "deployments.engines.vllm_cpu_lora.AdapterWorker"


def environment(num_gpus: float, enforce_eager: bool, num_cores: int) -> dict[str, str]:
    """What vLLM and its libraries must find in the environment before they are imported.

    On CPU the worker lives in the engine core's process: measured on two cores it is one process, 0.5 GiB and three
    seconds less than vLLM's default, and generates half as many tokens again. Threads are not bound to cores, for
    those are shared with other replicas. Ray sets OMP_NUM_THREADS to a replica's CPUs; without it one core is left to
    the rest of the machine: a thread that waits for one that is not scheduled stalls every step (on two busy cores
    two threads made 1 to 45 tokens a second where one made 40 to 50).

    Eager means eager: else the first request for log probabilities compiles a helper of vLLM's sampler, and every
    stream of the replica stands still for 15 seconds.
    """
    wanted = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_XGRAMMAR_CACHE_MB": "64",
    }
    if enforce_eager:
        wanted["TORCH_COMPILE_DISABLE"] = "1"
    if num_gpus == 0:
        wanted |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        wanted["OMP_NUM_THREADS"] = str(max(1, num_cores - 1))
    return wanted


def apply_environment(num_gpus: float, enforce_eager: bool) -> None:
    """Set it, for this process and those that vLLM starts. What an operator set stays, except the tracking."""
    # It would override the specification's cache size, in whole GiB.
    os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)
    for name, value in environment(num_gpus, enforce_eager, len(os.sched_getaffinity(0))).items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ["VLLM_NO_USAGE_STATS"] = os.environ["DO_NOT_TRACK"] = os.environ["HF_HUB_OFFLINE"] = "1"


def engine_arguments(
    spec: VllmSpec, weights: Path, name: str, num_gpus: float, adapters: AdapterPolicy | None = None
) -> dict[str, Any]:
    """Keyword arguments of AsyncEngineArgs, structured outputs aside."""
    arguments: dict[str, Any] = {
        "model": str(weights),
        "served_model_name": name,
        "runner": spec.runner,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "language_model_only": True,
        "dtype": spec.dtype,
        "max_model_len": spec.max_model_len,
        "max_num_seqs": spec.max_concurrency,
        "max_num_batched_tokens": spec.max_num_batched_tokens,
        "enforce_eager": spec.enforce_eager,
        "enable_prefix_caching": spec.runner == "generate",
        "seed": 0,
        "enable_log_requests": False,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    return arguments | _device_arguments(spec, num_gpus) | _lora_arguments(spec, adapters or AdapterPolicy(), num_gpus)


def num_mixtures(spec: VllmSpec, policy: AdapterPolicy) -> int:
    """How many mixtures of adapters may be in one batch; more would have no sequence that uses them."""
    return min(policy.max_resident, spec.max_concurrency)


def _lora_arguments(spec: VllmSpec, policy: AdapterPolicy, num_gpus: float) -> dict[str, Any]:
    """vLLM allocates `max_loras` x `max_lora_rank` for every module when it starts, used or not."""
    if not policy.enabled:
        return {}
    max_loras = num_mixtures(spec, policy)
    return {
        "enable_lora": True,
        "max_lora_rank": next(rank for rank in LORA_RANKS if rank >= policy.max_rank),
        "max_loras": max_loras,
        "max_cpu_loras": max(policy.max_host, max_loras),
        "lora_dtype": "auto",
        "worker_cls": CPU_WORKER if num_gpus == 0 else "auto",
    }


def _device_arguments(spec: VllmSpec, num_gpus: float) -> dict[str, Any]:
    if num_gpus == 0:
        return {
            "kv_cache_memory_bytes": int(spec.cpu_kv_cache_gib * GIB),
            "distributed_executor_backend": "uni",
        }
    if num_gpus < 1:
        return {"gpu_memory_utilization": spec.gpu_memory_utilization * num_gpus}
    # All GPUs of a replica are on one node, in one bundle: vLLM's own processes suffice, and Ray is not asked again.
    return {
        "gpu_memory_utilization": spec.gpu_memory_utilization,
        "tensor_parallel_size": int(num_gpus),
        "distributed_executor_backend": "mp" if num_gpus > 1 else None,
    }
