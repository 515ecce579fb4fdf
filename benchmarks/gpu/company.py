"""Calls that come and go: the Poisson test of `benchmarks.diffusion`, on a GPU, with everything compiled."""

from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.speed import COMPILE_SECONDS, GENEROUS
from benchmarks.painters import (
    BATCH_WAIT_SECONDS,
    Painter,
    PipelineBatches,
    StepBatches,
    stock_pictures,
    stock_pipeline,
)
from benchmarks.picture_calls import PictureCall, calls_per_second
from benchmarks.picture_report import OURS, SERIAL, STATIC, aims, at_load, losses
from benchmarks.picture_rounds import ALONE_STEPS, alone_seconds, play_blocks, serial_seconds
from deployments.engines.diffusion.assembly import measure_rows, native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import knee
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop

BATCH_SIZES = (1, 2, 4, 8)
"""Of static batches: compiled, each size is a compilation, so there are four."""
_SEED = 0


def run(record: Record, setting: Setting, name: str) -> None:
    """The stage. One networks' weights for all three systems; the blocks are compiled for all of them."""
    loads, seconds = ((1.2,), 0.5) if setting.is_tiny else ((0.7, 1.2, 2.0, 0.5), 20.0)
    alone = (4,) if setting.is_tiny else ALONE_STEPS
    bundle = setting.make(name)
    predictor = setting.graphs(bundle)
    # From here to the loop it is what `assemble` does with a model's directory.
    times = measure_rows(bundle, predictor, native_shape(bundle), None)
    max_rows = min(knee(times, 32), 4) if setting.is_tiny else knee(times, 32)
    lanes = Lanes(times, native_shape(bundle), max_rows, predictor.buckets)
    predictor.settle(lanes.most_rows)
    pipeline = stock_pipeline(bundle)
    record.measure("warm_up", lambda: _warm_up(pipeline, bundle), COMPILE_SECONDS)
    capacity = record.measure("serial_per_second", lambda: _capacity(pipeline, bundle), COMPILE_SECONDS)
    if capacity is None:
        return
    painters = _painters(bundle, StepLoop(bundle, predictor, lanes), max_rows)
    try:
        for rival in (OURS, SERIAL):
            record.measure(f"alone_seconds/{rival}", lambda rival=rival: alone_seconds(painters[rival], alone))
        for load in loads:
            record.measure(
                f"load/{load}",
                lambda load=load: _at_load(painters, capacity, load, seconds),
                needed_seconds=3 * seconds * max(1.0, 1.3 * load) + 10,
            )
    finally:
        for painter in painters.values():
            painter.close()
    found = {key.removeprefix("load/"): value for key, value in record.figures.items() if key.startswith("load/")}
    record.note("max_rows", max_rows)
    record.note("aims", aims(found))
    record.note("where_rivals_win", losses(found))


def _painters(bundle: Bundle, loop: StepLoop, max_rows: int) -> dict[str, Painter]:
    side = bundle.native_size
    return {
        OURS: StepBatches(loop, side, side, max_rows),
        SERIAL: PipelineBatches(stock_pipeline(bundle), side, side),
        STATIC: PipelineBatches(stock_pipeline(bundle), side, side, BATCH_SIZES, BATCH_WAIT_SECONDS),
    }


def _warm_up(pipeline: Any, bundle: Bundle) -> str:
    """Compile what the rivals will run: in this thread, whose setting lets it compile often enough."""
    side = bundle.native_size
    with torch._dynamo.config.patch(GENEROUS):
        for guidance in (1.0, 7.5):
            for size in BATCH_SIZES:
                calls = [PictureCall(n, 0.0, "a red circle", 2, guidance, seed=n) for n in range(size)]
                stock_pictures(pipeline, calls, side, side)
    return "done"


def _capacity(pipeline: Any, bundle: Bundle) -> float:
    return round(calls_per_second(serial_seconds(pipeline, bundle.native_size, repeats=1)), 4)


def _at_load(painters: dict[str, Painter], capacity: float, load: float, seconds: float) -> dict[str, Any]:
    return at_load(play_blocks(painters, capacity, [load], 1, seconds, _SEED)[load])
