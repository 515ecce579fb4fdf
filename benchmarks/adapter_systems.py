"""All systems over one model, each with networks of its own, and how many calls each is given."""

import logging
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.adapter_calls import UNIFORM, Demand, adapter_calls
from benchmarks.adapter_ours import Model, StepBatches
from benchmarks.adapter_rivals import LoadedByCall, MixedBatches, Multiplexed, Plain, System
from benchmarks.adapter_rounds import (
    LOADED,
    MIXED,
    MULTIPLEXED,
    OURS,
    OURS_PLAIN,
    SERIAL_PLAIN,
    STATIC_PLAIN,
    played,
)
from benchmarks.adapter_shelf import Shelf
from benchmarks.painters import stock_pipeline
from deployments.engines.diffusion.assembly import native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes
from deployments.engines.diffusion.lanes import Lanes

_FEW = 4
"""Calls that a system which takes one at a time is given at the least."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setup:
    """The model that everything runs on, and what was measured of it."""

    folder: Path
    times: StepTimes
    max_rows: int
    batch_size: int
    """Calls in a static batch."""

    def bundle(self) -> Bundle:
        """The networks, anew."""
        return Bundle.load(self.folder, device="cpu", dtype=torch.float32)

    def ours(self, shelf: Shelf | None, disk: Path) -> StepBatches:
        """Our system; its adapters come from `shelf`, and lie in `disk` from then on."""
        bundle = self.bundle()
        lanes = Lanes(StepTimes(dict(self.times.by_rows)), native_shape(bundle), self.max_rows)
        return StepBatches(Model(bundle, self.folder, lanes), shelf, disk)

    @contextmanager
    def systems(self, shelf: Shelf, disk: Path) -> Iterator[dict[str, System]]:
        """All of them."""
        stored = shelf.stored
        bundle = self.bundle()
        side, plain = bundle.native_size, stock_pipeline(bundle)
        logger.info("loading %d adapters for PEFT's mixed batches", len(stored))
        mixed = MixedBatches(stock_pipeline(self.bundle()), side, stored, self.batch_size)
        ours, without = self.ours(shelf, disk), self.ours(None, disk)
        ours.preload()
        try:
            yield {
                OURS: ours,
                OURS_PLAIN: without,
                LOADED: LoadedByCall(stock_pipeline(self.bundle()), side, stored),
                MIXED: mixed,
                MULTIPLEXED: Multiplexed(stock_pipeline(self.bundle()), side, stored),
                SERIAL_PLAIN: Plain(plain, side),
                STATIC_PLAIN: Plain(plain, side, self.batch_size),
            }
        finally:
            ours.close()
            without.close()

    def num_calls(self, systems: dict[str, System], seconds: float, steps: int) -> dict[str, int]:
        """As many as each does in about so many seconds without adapters, in whole batches of it; ours two at least."""
        full = max(1, self.max_rows // 2)
        ours = _whole(systems[OURS_PLAIN], full, 2, seconds, steps)
        static = _whole(systems[STATIC_PLAIN], self.batch_size, 1, seconds, steps)
        serial = max(min(_FEW, self.batch_size), _whole(systems[SERIAL_PLAIN], 1, 1, seconds, steps))
        return {
            OURS: ours,
            OURS_PLAIN: ours,
            MIXED: static,
            STATIC_PLAIN: static,
            LOADED: serial,
            MULTIPLEXED: serial,
            SERIAL_PLAIN: serial,
        }


def _whole(system: System, size: int, least: int, seconds: float, steps: int) -> int:
    """Calls that fill `seconds`, in batches of `size`; from one batch, after one that is not counted."""
    calls = adapter_calls("calibration", size, None, steps)
    system.paint(calls[:1])
    return size * max(least, round(seconds / played(system, calls).seconds))


def warm_up(systems: dict[str, System], steps: int, num_adapters: int) -> None:
    """What is paid once in a process, by every system: before the clock."""
    calls = adapter_calls("warm-up", 2, Demand(num_adapters, UNIFORM), steps)
    for system in systems.values():
        system.paint(calls)


def stock_seconds(systems: dict[str, System]) -> dict[str, Any]:
    """What diffusers took for adapters, beside the pictures."""
    loaded, mixed = systems[LOADED], systems[MIXED]
    assert isinstance(loaded, LoadedByCall)
    assert isinstance(mixed, MixedBatches)
    return {
        "unload_and_load": round(statistics.median(loaded.change_seconds), 4),
        "all_into_one_unet": round(mixed.load_seconds, 2),
    }
