"""What else could make the forward pass faster: one change at a time, each on networks of its own, at some row counts.

For the engine's developers: what pays here belongs in `predictors.py`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.speed import COMPILE_SECONDS, Bench
from deployments.engines.diffusion.batch import Predictor


def run(record: Record, setting: Setting, name: str) -> None:
    """The stage."""
    row_counts = (*setting.few_rows, setting.rows[-1])
    for variant, (prepare, needed_seconds) in _variants(setting).items():
        if not record.lacks(*(f"forward/{variant}/{rows}" for rows in row_counts)):
            continue
        bench = Bench(record, setting, name)
        try:
            predictor = prepare(bench)
        except Exception as error:
            record.note(f"not prepared: {variant}", f"{type(error).__name__}: {error}"[:500])
            continue
        for rows in row_counts:
            bench.forward(variant, predictor, rows, needed_seconds)
        torch.backends.cudnn.benchmark = False


def _variants(setting: Setting) -> dict[str, tuple[Callable[[Bench], Predictor], float]]:
    return {
        "graphs": (lambda bench: setting.graphs(bench.bundle), COMPILE_SECONDS),
        "graphs_cudnn_benchmark": (lambda bench: _cudnn(bench, setting), COMPILE_SECONDS),
        "graphs_of_whole": (lambda bench: _whole(bench, setting), 2 * COMPILE_SECONDS),
        "graphs_uncompiled": (lambda bench: setting.graphs(bench.bundle, compile=False), 20.0),
        "graphs_fused_qkv": (lambda bench: _fused(bench, setting), COMPILE_SECONDS),
        "graphs_max_autotune": (lambda bench: _autotuned(bench, setting), 2 * COMPILE_SECONDS),
    }


def _cudnn(bench: Bench, setting: Setting) -> Predictor:
    """Let cuDNN time its algorithms for every new shape."""
    torch.backends.cudnn.benchmark = True
    return setting.graphs(bench.bundle)


def _options(setting: Setting, **on_gpu: Any) -> dict[str, Any]:
    return on_gpu if setting.is_cuda else {"backend": "eager"}


def _whole(bench: Bench, setting: Setting) -> Predictor:
    """The residual blocks and their normalisations compiled too."""
    unet = torch.compile(bench.bundle.unet, fullgraph=True, dynamic=False, **_options(setting))
    return setting.graphs(dataclasses.replace(bench.bundle, unet=unet), compile=False)


def _fused(bench: Bench, setting: Setting) -> Predictor:
    """One matrix product for query, key and value."""
    bench.bundle.unet.fuse_qkv_projections()
    return setting.graphs(bench.bundle)


def _autotuned(bench: Bench, setting: Setting) -> Predictor:
    """Matrix products generated and timed against the library's."""
    options = _options(setting, mode="max-autotune-no-cudagraphs")
    bench.bundle.unet.compile_repeated_blocks(fullgraph=True, dynamic=False, **options)
    return setting.graphs(bench.bundle, compile=False)
