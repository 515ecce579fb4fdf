"""What batching at the denoising step brings and costs, against a serial pipeline and against static batches. CPU.

    python -m benchmarks.diffusion [--quick] [--model DIR] [--out benchmarks/results/NAME.json]

Three systems take the same calls, which arrive as a Poisson process at several loads; the load is measured in what the
serial pipeline can do. See README.md for how to read the result.
"""

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import diffusers
import torch

from benchmarks.command import print_found
from benchmarks.machine import circumstances
from benchmarks.painters import BATCH_WAIT_SECONDS, Painter, PipelineBatches, StepBatches, stock_pipeline
from benchmarks.picture_calls import GUIDED_SHARE, STEPS, calls_per_second
from benchmarks.picture_report import OURS, SERIAL, STATIC, report
from benchmarks.picture_rounds import alone_seconds, play_blocks, serial_seconds
from deployments.engines.diffusion.assembly import measure_rows, native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes, knee
from deployments.engines.diffusion.lanes import MAX_ROWS, Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.predictors import EagerPredictor

MODEL = Path(__file__).parents[1] / "deployments" / "reference_models" / "shapes-sd"
logger = logging.getLogger(__name__)


def main() -> None:
    """Measure, and print."""
    options = _options()
    # The libraries' notes on their own future, once for every pipeline that is made.
    warnings.filterwarnings("ignore", category=FutureWarning)
    diffusers.utils.logging.set_verbosity_error()
    print_found(lambda: measure(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a directory in diffusers' layout")
    parser.add_argument("--loads", type=_shares, default=[0.3, 0.5, 0.7, 0.9, 1.2], help="of the serial pipeline")
    parser.add_argument("--rounds", type=int, default=2, help="blocks of each system at each load")
    parser.add_argument("--seconds", type=float, default=14.0, help="how long a block's calls arrive")
    parser.add_argument("--max-batch-size", type=int, default=8, help="calls in a static batch, at most")
    parser.add_argument("--max-rows", type=int, help="rows of our batch; unless given, the knee that is measured")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of PyTorch, for all systems")
    parser.add_argument("--seed", type=int, default=0, help="of the arrivals and of what is asked")
    parser.add_argument("--quick", action="store_true", help="two loads of 3 seconds, once: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.loads, options.rounds, options.seconds = [0.5, 1.2], 1, 3.0
    return options


def _shares(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result."""
    result = circumstances(sys.argv[1:])
    torch.set_num_threads(options.threads)
    bundle = Bundle.load(options.model, device="cpu", dtype=torch.float32)
    times = measure_rows(bundle, EagerPredictor(bundle), native_shape(bundle), options.max_rows)
    max_rows = options.max_rows or knee(times, MAX_ROWS)
    by_kind = serial_seconds(stock_pipeline(bundle), bundle.native_size)
    capacity = calls_per_second(by_kind)
    logger.info("ms by rows %s, at most %d rows; the serial pipeline does %.2f/s", times.by_rows, max_rows, capacity)
    painters = _painters(bundle, times, max_rows, options)
    try:
        alone = {name: alone_seconds(painters[name]) for name in (OURS, SERIAL)}
        blocks = play_blocks(painters, capacity, options.loads, options.rounds, options.seconds, options.seed)
    finally:
        for painter in painters.values():
            painter.close()
    measured = {
        "serial_capacity_per_second": round(capacity, 3),
        "serial_seconds": {f"{n} steps, {_told(guided)}": round(s, 4) for (n, guided), s in by_kind.items()},
        "step_ms_by_rows": {rows: round(ms, 2) for rows, ms in times.by_rows.items()},
    }
    settings = {"settings": _settings(options, bundle, max_rows)}
    return {"benchmark": "diffusion"} | result | settings | measured | report(blocks, alone, times)


def _painters(bundle: Bundle, times: StepTimes, max_rows: int, options: argparse.Namespace) -> dict[str, Painter]:
    """The rivals' pipelines share our networks, and so their memory layout: what differs is how calls share a model."""
    side = bundle.native_size
    lanes = Lanes(StepTimes(dict(times.by_rows)), native_shape(bundle), max_rows)
    loop = StepLoop(bundle, EagerPredictor(bundle), lanes)
    batch_sizes = range(1, options.max_batch_size + 1)
    return {
        OURS: StepBatches(loop, side, side, max_rows),
        SERIAL: PipelineBatches(stock_pipeline(bundle), side, side),
        STATIC: PipelineBatches(stock_pipeline(bundle), side, side, batch_sizes, BATCH_WAIT_SECONDS),
    }


def _settings(options: argparse.Namespace, bundle: Bundle, max_rows: int) -> dict[str, Any]:
    return {
        "model": options.model.name,
        "pixels": bundle.native_size,
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds_per_block": options.seconds,
        "steps": {str(steps): share for steps, share in STEPS.items()},
        "guided_share": GUIDED_SHARE,
        "max_rows": max_rows,
        "static": {"max_batch_size": options.max_batch_size, "batch_wait_timeout_s": BATCH_WAIT_SECONDS},
    }


def _told(is_guided: bool) -> str:
    return "guided" if is_guided else "not guided"


if __name__ == "__main__":
    main()
