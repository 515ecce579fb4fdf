"""What batching at the denoising step brings and costs, against a serial pipeline and against static batches. CPU.

    python -m benchmarks.diffusion [--quick] [--model DIR] [--out benchmarks/results/NAME.json]

Three systems take the same calls, which arrive as a Poisson process at several loads; the load is measured in what the
serial pipeline can do. See README.md for how to read the result.
"""

import argparse
import logging
import os
import statistics
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from benchmarks import figures
from benchmarks.command import print_found
from benchmarks.machine import circumstances
from benchmarks.painters import (
    BATCH_WAIT_SECONDS,
    Answer,
    Painter,
    PipelineBatches,
    StepBatches,
    play,
    stock_pipeline,
)
from benchmarks.picture_calls import (
    GUIDANCE,
    GUIDED_SHARE,
    STEPS,
    Kind,
    PictureCall,
    calls_per_second,
    kinds,
    poisson_calls,
)
from benchmarks.picture_report import OURS, SERIAL, STATIC, Blocks, report
from deployments.engines.diffusion.assembly import measure_rows, native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes, knee
from deployments.engines.diffusion.lanes import MAX_ROWS, Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.predictors import EagerPredictor

MODEL = Path(__file__).parents[1] / "deployments" / "reference_models" / "shapes-sd"
_ALONE_STEPS = (4, 10, 25, 50)
_NEVER_SECONDS = 0.5
"""Between two calls of which each is to run alone."""
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
    parser.add_argument("--seconds", type=float, default=15.0, help="how long a block's calls arrive")
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
    seconds_by_kind = serial_seconds(bundle)
    capacity = calls_per_second(seconds_by_kind)
    logger.info("ms by rows %s, at most %d rows; the serial pipeline does %.2f/s", times.by_rows, max_rows, capacity)
    painters = _painters(bundle, times, max_rows, options)
    try:
        alone = {name: _alone(painters[name]) for name in (OURS, SERIAL)}
        blocks = _blocks(painters, capacity, options)
    finally:
        for painter in painters.values():
            painter.close()
    settings = _settings(options, bundle, max_rows)
    measured = {
        "serial_capacity_per_second": round(capacity, 3),
        "serial_seconds": {_told(kind): round(seconds, 4) for kind, seconds in seconds_by_kind.items()},
        "step_ms_by_rows": {rows: round(ms, 2) for rows, ms in times.by_rows.items()},
    }
    found = report(blocks, alone, times)
    return {"benchmark": "diffusion"} | result | {"settings": settings} | measured | found


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


def _told(kind: Kind) -> str:
    return f"{kind[0]} steps{', guided' if kind[1] else ''}"


def _stock(bundle: Bundle) -> Any:
    """The rivals' pipeline. It shares our networks, and with them the memory layout, which makes it faster than stock:
    what is compared is how calls share a model.
    """
    return stock_pipeline(bundle)


def serial_seconds(bundle: Bundle, repeats: int = 2) -> dict[Kind, float]:
    """How long the stock pipeline takes for each kind of call in the mix: the best of some, after a warm-up."""
    pipeline, side = _stock(bundle), bundle.native_size

    def once(kind: Kind) -> float:
        painter = PipelineBatches(pipeline, side, side)
        try:
            return play(painter, [_call(*kind)])[0].seconds
        finally:
            painter.close()

    once((4, True))
    return {kind: min(once(kind) for _ in range(repeats)) for kind in kinds()}


def _call(steps: int, is_guided: bool, number: int = 0, arrives_at: float = 0.0) -> PictureCall:
    return PictureCall(number, arrives_at, "a red circle", steps, GUIDANCE if is_guided else 1.0, seed=number)


def _painters(bundle: Bundle, times: StepTimes, max_rows: int, options: argparse.Namespace) -> dict[str, Painter]:
    side = bundle.native_size
    lanes = Lanes(StepTimes(dict(times.by_rows)), native_shape(bundle), max_rows)
    loop = StepLoop(bundle, EagerPredictor(bundle), lanes)
    batch_sizes = range(1, options.max_batch_size + 1)
    return {
        OURS: StepBatches(loop, side, side, max_rows),
        SERIAL: PipelineBatches(_stock(bundle), side, side),
        STATIC: PipelineBatches(_stock(bundle), side, side, batch_sizes, BATCH_WAIT_SECONDS),
    }


def _alone(painter: Painter) -> dict[str, float]:
    """Seconds of guided calls that nothing runs beside, by steps: the median of three."""
    return {
        str(steps): statistics.median(play(painter, [_call(steps, True)])[0].seconds for _ in range(3))
        for steps in _ALONE_STEPS
    }


def _blocks(painters: dict[str, Painter], capacity: float, options: argparse.Namespace) -> Blocks:
    blocks: Blocks = {load: {name: [] for name in painters} for load in options.loads}
    for index, order in enumerate(figures.orders(list(painters), options.rounds)):
        for load in options.loads:
            calls = poisson_calls(f"{options.seed}/{index}/{load}", load * capacity, options.seconds)
            for name in order:
                answers = play(painters[name], calls)
                blocks[load][name].append(answers)
                _log(index, load, name, answers)
    return blocks


def _log(index: int, load: float, name: str, answers: Sequence[Answer]) -> None:
    seconds = [answer.seconds for answer in answers]
    p50, p95 = np.percentile(seconds, [50, 95])
    logger.info(
        "round %d, load %.1f, %s: %d pictures, p50 %.2f s, p95 %.2f s", index + 1, load, name, len(seconds), p50, p95
    )


if __name__ == "__main__":
    main()
