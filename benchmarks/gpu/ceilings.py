"""What this device can do at best, measured: matrix products, attention, convolutions, memory, launches.

Everything else is read against these. Random numbers, never zeros: on zeros a matrix product can run faster.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from benchmarks.gpu.clock import once, warm_seconds
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting

_NUM_LAUNCHES = 2000


@torch.inference_mode()
def run(record: Record, setting: Setting) -> None:
    """The stage."""
    device, dtype = setting.device, setting.dtype
    sides = (64,) if setting.is_tiny else (4096, 8192, 16384)
    for side in sides:
        record.measure(f"matmul_tflops/{side}", lambda side=side: _matmul(side, device, dtype))
    record.measure("attention_tflops", lambda: _attention(setting))
    record.measure("convolution_tflops", lambda: _convolution(setting))
    record.measure("copy_gb_per_second", lambda: _copy(setting))
    record.measure("launch_microseconds", lambda: _launch(device))
    if device.startswith("cuda"):
        record.measure("launch_in_graph_microseconds", lambda: _launch_in_graph())
    record.measure("float32_matmul_tflops", lambda: _matmul(sides[0], device, torch.float32))


def _rate(work: float, call: Callable[[], Any], device: str) -> float:
    return float(f"{work / warm_seconds(call, device, num_warm_ups=3, most=20):.4g}")


def _matmul(side: int, device: str, dtype: torch.dtype) -> float:
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return _rate(2 * side**3 / 1e12, lambda: a @ b, device)


def _attention(setting: Setting) -> float:
    """SDXL's largest self-attention at 1024 x 1024, sixteen rows."""
    rows, heads, length = (1, 2, 64) if setting.is_tiny else (16, 10, 4096)
    q, k, v = (torch.randn(rows, heads, length, 64, device=setting.device, dtype=setting.dtype) for _ in range(3))
    work = 4 * rows * heads * length * length * 64 / 1e12
    return _rate(work, lambda: functional.scaled_dot_product_attention(q, k, v), setting.device)


def _convolution(setting: Setting) -> float:
    """SDXL's widest convolution at half of its latents' side, sixteen rows."""
    rows, channels, side = (1, 32, 8) if setting.is_tiny else (16, 640, 64)
    kind = {"device": setting.device, "dtype": setting.dtype}
    x = torch.randn(rows, channels, side, side, **kind).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3, **kind).to(memory_format=torch.channels_last)
    work = 2 * rows * side * side * channels * channels * 9 / 1e12
    return _rate(work, lambda: functional.conv2d(x, weight, padding=1), setting.device)


def _copy(setting: Setting) -> float:
    """Device to device; bytes read and bytes written are both counted."""
    num_bytes = 2**20 if setting.is_tiny else 4 * 2**30
    source = torch.randint(0, 255, (num_bytes,), device=setting.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return _rate(2 * num_bytes / 1e9, lambda: target.copy_(source), setting.device)


def _launch(device: str) -> float:
    """What one small kernel costs, called from Python one after the other."""
    x = torch.zeros(1, device=device)

    def many() -> None:
        for _ in range(_NUM_LAUNCHES):
            x.add_(1.0)

    many()
    return round(min(once(many, device) for _ in range(3)) / _NUM_LAUNCHES * 1e6, 3)


def _launch_in_graph() -> float:
    x = torch.zeros(1, device="cuda")
    graph = torch.cuda.CUDAGraph()
    x.add_(1.0)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for _ in range(_NUM_LAUNCHES):
            x.add_(1.0)
    graph.replay()
    return round(min(once(graph.replay, "cuda") for _ in range(3)) / _NUM_LAUNCHES * 1e6, 3)
