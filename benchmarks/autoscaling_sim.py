"""What the scaling policy costs in GPU-hours, and how many calls wait too long: a simulation, against Ray's policy.

    python -m benchmarks.autoscaling_sim [--quick] [--out benchmarks/results/NAME.json]

The policy is the one that runs in the controller; Ray's is its own code. What is simulated is the fleet and the calls.
See README.md for how to read the result.
"""

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import numbers, print_found
from benchmarks.machine import circumstances
from benchmarks.scaling_demand import TRACES, Demand
from benchmarks.scaling_fleet import Fleet, Outcome
from benchmarks.scaling_policies import policies

logger = logging.getLogger(__name__)

UTILISED = 0.25
"""Of the fleet, on average over the trace: demand peaks far above it."""


def main() -> None:
    """Simulate, and print."""
    options = _options()
    print_found(lambda: simulate(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=numbers, default=[10, 100, 1000, 10_000], help="sizes of fleets")
    parser.add_argument("--hours", type=float, default=4.0, help="simulated; a day of `diurnal` is as long as this")
    parser.add_argument("--target-wait", type=float, default=2.0, help="seconds until a call should have a place")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a quarter of an hour on ten GPUs: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.gpus, options.hours = [10], 0.25
    return options


def simulate(options: argparse.Namespace) -> dict[str, Any]:
    """Every trace on every fleet with every policy."""
    seconds = round(options.hours * 3600)
    found: dict[str, Any] = {}
    for name, make in TRACES.items():
        for num_gpus in options.gpus:
            demand = make(seconds, UTILISED * num_gpus, np.random.default_rng(options.seed))
            logger.info("%s: work of %.1f replicas on %d GPUs", name, demand.mean_replicas, num_gpus)
            found.setdefault(name, {})[str(num_gpus)] = _compared(demand, num_gpus, options.target_wait)
    return circumstances(sys.argv[1:]) | {"target_wait_seconds": options.target_wait, "traces": found}


def _compared(demand: Demand, num_gpus: int, target: float) -> dict[str, Any]:
    result: dict[str, Any] = {"models": demand.num_models, "mean_replicas_of_work": round(demand.mean_replicas, 2)}
    for name, new_policy in policies(demand, num_gpus, target).items():
        began = time.monotonic()
        outcome = Fleet(demand, num_gpus, new_policy).run()
        result[name] = told(outcome, target)
        logger.info(
            "%s on %d GPUs, %s: %s (%.0f s)", demand.name, num_gpus, name, result[name], time.monotonic() - began
        )
    return result


def told(outcome: Outcome, target: float) -> dict[str, float]:
    """The figures of one run."""
    return {
        "gpu_hours": round(outcome.gpu_hours, 2),
        "share_over_target": round(outcome.over(target), 4),
        "wait_p50_seconds": outcome.percentile(50),
        "wait_p95_seconds": outcome.percentile(95),
        "busy_share": round(outcome.busy_share, 3),
        "starts": outcome.num_starts,
    }


if __name__ == "__main__":
    main()
