"""What adapters cost: throughput with 1 to 64 of them in the same calls, and how soon a call with a new one begins.

    python -m benchmarks.adapters [--quick] [--model DIR] [--out benchmarks/results/NAME.json]

Ours, and three ways to serve adapters with diffusers, take the same calls. See README.md for how to read the result.
"""

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import diffusers
import torch

from benchmarks.adapter_binding import bind_ms, shapes_only, step_costs
from benchmarks.adapter_calls import STEPS, demands
from benchmarks.adapter_files import attention_shapes
from benchmarks.adapter_latency import first_step_ms
from benchmarks.adapter_ours import POLICY
from benchmarks.adapter_report import PUBLISHED_SWAP_SECONDS, report
from benchmarks.adapter_rivals import MAX_MODELS
from benchmarks.adapter_rounds import play_rounds
from benchmarks.adapter_shelf import Shelf
from benchmarks.adapter_systems import Setup, stock_seconds, warm_up
from benchmarks.command import numbers, print_found
from benchmarks.gpu.models import SDXL
from benchmarks.machine import circumstances
from deployments.engines.diffusion.assembly import measure_rows, native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import knee
from deployments.engines.diffusion.lanes import MAX_ROWS
from deployments.engines.diffusion.predictors import EagerPredictor

MODEL: Final = Path(__file__).parents[1] / "deployments" / "reference_models" / "shapes-sd"
SDXL_RANK: Final = 32
logger = logging.getLogger(__name__)


def main() -> None:
    """Measure, and print."""
    options = _options()
    # The libraries' notes on their own future and on several adapters in one model, which is what is measured here.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Already found a `peft_config`")
    diffusers.utils.logging.set_verbosity_error()
    print_found(lambda: measure(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="a directory in diffusers' layout")
    parser.add_argument("--adapters", type=numbers, default=[1, 4, 16, 64], help="how many are asked for")
    parser.add_argument("--rank", type=int, default=8, help="of every adapter")
    parser.add_argument("--steps", type=int, default=STEPS, help="of every call")
    parser.add_argument("--rounds", type=int, default=3, help="blocks of each system for each number of adapters")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of a block; systems get as many calls as that takes"
    )
    parser.add_argument("--samples", type=int, default=12, help="calls from each place where an adapter can be")
    parser.add_argument("--max-batch-size", type=int, default=8, help="calls in a static batch")
    parser.add_argument("--max-rows", type=int, help="rows of our batch; unless given, the knee that is measured")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of PyTorch, for all systems")
    parser.add_argument("--seed", type=int, default=0, help="of what is asked")
    parser.add_argument("--quick", action="store_true", help="few adapters, calls and steps, once: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.adapters, options.rounds, options.seconds = [1, 8], 1, 0.0
        options.steps, options.samples, options.max_batch_size, options.max_rows = 5, 3, 2, 4
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result."""
    result = circumstances(sys.argv[1:])
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="slipway-adapters-") as folder:
        return {"benchmark": "adapters"} | result | _measured(options, Path(folder))


def _measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    setup, bundle = _setup(options)
    shelf = Shelf(folder)
    shelf.fill(attention_shapes(bundle.unet), options.rank, max(*options.adapters, options.samples + 1))
    steps = step_costs(bundle, setup.bundle(), options.rank, _row_counts(setup.max_rows), 3 if options.quick else 15)
    logger.info("ms of a step: %s", steps)
    bind = _bind_ms(setup, folder, options.rank)
    logger.info("ms from a file to the rows: %s", bind)
    latency = _latency(setup, shelf, folder / "latency", options.samples)
    logger.info("ms to the first step: %s", latency)
    with setup.systems(shelf, folder / "throughput") as systems:
        warm_up(systems, options.steps, max(options.adapters))
        num_calls = setup.num_calls(systems, options.seconds, options.steps)
        blocks = play_rounds(systems, demands(options.adapters), num_calls, options.rounds, options.steps, options.seed)
        stock = stock_seconds(systems)
    settings = {"settings": _settings(options, bundle, setup, num_calls)}
    measured = {"first_step_ms": latency, "bind_ms": bind, "step_ms": steps, "diffusers_seconds": stock}
    return settings | report(blocks, latency, bind["this_model"], steps) | measured


def _setup(options: argparse.Namespace) -> tuple[Setup, Bundle]:
    bundle = Bundle.load(options.model, device="cpu", dtype=torch.float32)
    times = measure_rows(bundle, EagerPredictor(bundle), native_shape(bundle), options.max_rows)
    max_rows = options.max_rows or knee(times, MAX_ROWS)
    logger.info("ms by rows %s, at most %d rows", times.by_rows, max_rows)
    return Setup(options.model, times, max_rows, options.max_batch_size), bundle


def _row_counts(max_rows: int) -> list[int]:
    return sorted({rows for rows in (2, 8, max_rows) if rows <= max_rows})


@torch.inference_mode()
def _bind_ms(setup: Setup, folder: Path, rank: int) -> dict[str, Any]:
    """Of this model, and of the shapes of SDXL; beside them what was published for diffusers."""
    own = bind_ms(setup.bundle().unet, folder / "own", rank, torch.float32)
    sdxl = bind_ms(shapes_only(SDXL.unet, torch.bfloat16), folder / "sdxl", SDXL_RANK, torch.bfloat16)
    published = [1000 * seconds for seconds in PUBLISHED_SWAP_SECONDS]
    return {"this_model": own, "sdxl_shapes": sdxl, "published_of_diffusers_for_sdxl": published}


def _latency(setup: Setup, shelf: Shelf, disk: Path, num_samples: int) -> Mapping[str, Mapping[str, float]]:
    ours = setup.ours(shelf, disk)
    try:
        return first_step_ms(ours, num_samples)
    finally:
        ours.close()


def _settings(
    options: argparse.Namespace, bundle: Bundle, setup: Setup, num_calls: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "model": options.model.name,
        "pixels": bundle.native_size,
        "threads": options.threads,
        "adapters": options.adapters,
        "rank": options.rank,
        "adapted_layers": len(attention_shapes(bundle.unet)),
        "steps": options.steps,
        "rounds": options.rounds,
        "calls_per_block": dict(num_calls),
        "max_rows": setup.max_rows,
        "max_batch_size": setup.batch_size,
        "max_resident": POLICY.max_resident,
        "max_host": POLICY.max_host,
        "multiplexed": {"max_num_models_per_replica": MAX_MODELS},
    }


if __name__ == "__main__":
    main()
