"""From a call handed over to its first step on an idle machine, by where its adapter was."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.adapter_calls import AdapterCall, adapter_calls
from benchmarks.adapter_ours import StepBatches

TIERS: Final = ("none", "bound", "host", "disk", "cold")
_STEPS: Final = 2


def first_step_ms(ours: StepBatches, num_samples: int) -> dict[str, dict[str, float]]:
    """Milliseconds by tier, of `num_samples` adapters that nobody has asked for before, and of no adapter.

    Each adapter goes through all tiers, the coldest first: in the object store, on the disk (read and checked anew), in
    host memory (packed anew and taken to the device), on the device. The prompt is the same and known: what differs is
    the adapter. What the file system keeps in memory it may keep: files were written moments before.
    """
    [call] = adapter_calls("latency", 1, None, steps=_STEPS)
    found: dict[str, list[float]] = {tier: [] for tier in TIERS}
    ours.paint([call])
    for number in range(num_samples + 1):
        for tier, prepare in _preparations(ours).items():
            prepare()
            adapter = None if tier == "none" else number
            found[tier].append(1000 * ours.first_step_seconds(_with(call, adapter)))
    # The first of each pays for what is made once in a process: threads, buffers, imports.
    return {tier: _percentiles(samples[1:]) for tier, samples in found.items()}


def _preparations(ours: StepBatches) -> Mapping[str, Callable[[], None]]:
    """What makes each tier the one where the adapter is found; in the order in which they follow each other."""
    return {
        "cold": lambda: None,
        "disk": ours.forget,
        "host": ours.forget_device,
        "bound": lambda: None,
        "none": lambda: None,
    }


def _with(call: AdapterCall, adapter: int | None) -> AdapterCall:
    return replace(call, adapter=adapter)


def _percentiles(samples: list[float]) -> dict[str, float]:
    return {name: round(float(np.percentile(samples, rank)), 2) for name, rank in {"p50": 50, "p95": 95}.items()}
