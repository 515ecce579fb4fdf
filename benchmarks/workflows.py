"""What does it cost to execute a workflow, beside its nodes' own work?

    python -m benchmarks.workflows [--parts in_process,full_path] [--quick] [--out FILE]

Nodes are quick operations (an addition). `full_path` is in `benchmarks.workflow_path`. In `in_process` everything is in
one process, without sockets and without a database: planning, keys, scheduling, what is told of every step, and results
kept in memory. A graph is compiled once, as a runner remembers it; planning is part of every run.

    cold          nothing is cached; every run has another input. Microseconds of CPU time per node, and per node of
                  `levels` and `networkx` in the same rounds
    first_node    milliseconds until the first node has ended
    rerun         the same again, all cached: milliseconds
    one_leaf      the last addition is a subtraction: milliseconds
    branches      five branches of a node that takes 100 ms: milliseconds
    clients       runs of a layered graph of 100 nodes, so many at a time: nodes per second, p95 of a run
    cancel        milliseconds from the cancel to the return, with 32 nodes running

`levels` is what is written by hand instead: `asyncio.gather`, level by level. `networkx` is its topological
generations, and again `gather`. Neither keys, caches, retries, tells, or skips anything: they are what the loop alone
would cost. Ratios are of rounds.

Published for comparison, on another machine and not run here: ComfyUI's executor takes 253 us per node at 10 nodes of
a chain and 18.7 ms at 400, and 6.8 s for a cached rerun of 400.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.command import numbers, print_result
from benchmarks.figures import compared, figure, orders, percentile, ratio
from benchmarks.machine import circumstances
from benchmarks.workflow_graphs import SHAPES, Sleeping, compiled, layered, with_other_leaf
from benchmarks.workflow_path import measured_path
from benchmarks.workflow_rivals import RIVALS
from benchmarks.workflow_runs import Bench

AIMS = {"cold_us_per_node": 100.0, "rerun_400_ms": 10.0, "branches_ms": 120.0}
_REPEATS = 5
median = percentile(50)


def main() -> None:
    """Measure, and print."""
    options = _options()
    print_result(measure(options), options.out)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result."""
    result = {"benchmark": "workflows"} | circumstances(sys.argv[1:]) | {"aims": AIMS}
    if "in_process" in options.parts:
        result["in_process"] = await asyncio.to_thread(measured, options)
    if "full_path" in options.parts:
        result["full_path"] = await measured_path(options)
    return result | {"load_average_after": round(os.getloadavg()[0], 2)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="in_process,full_path", help="one of them, or both")
    parser.add_argument("--rounds", type=int, default=5, help="of everything, in turns")
    parser.add_argument("--sizes", type=numbers, default=[10, 30, 100, 200, 400], help="nodes of a graph, in process")
    parser.add_argument("--path-sizes", type=numbers, default=[10, 100, 400], help="nodes of a graph, full path")
    parser.add_argument("--path-runs", type=int, default=7, help="runs of a kind in a round of the full path")
    parser.add_argument("--path-seconds", type=float, default=4.0, help="of a block of clients")
    parser.add_argument("--memory-runs", type=int, default=500, help="runs after which memory is looked at, thrice")
    parser.add_argument("--quick", action="store_true", help="little of everything: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.sizes, options.path_sizes = 2, [10, 100], [10]
        options.path_runs, options.path_seconds, options.memory_runs = 2, 0.5, 10
    return options


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """One part after the other: they would disturb each other."""
    found = {
        shape: {str(size): _of_graph(make(size), options.rounds) for size in options.sizes}
        for shape, make in SHAPES.items()
    }
    return {
        "graphs": found,
        "branches_ms": figure([[_branches()] for _ in range(options.rounds)], median),
        "clients": {str(num): _clients(num, options.rounds) for num in (1, 8, 32)},
        "cancel_ms": figure([[_cancel()] for _ in range(options.rounds)], median),
    }


def _of_graph(spec: Mapping[str, Any], num_rounds: int) -> dict[str, Any]:
    graph, changed = compiled(spec), compiled(with_other_leaf(spec))
    size = len(graph.nodes)
    taken: dict[str, list[list[float]]] = {name: [] for name in ("slipway", *RIVALS, "first", "rerun", "one_leaf")}
    for names in orders(["slipway", *RIVALS], num_rounds):
        for name in names:
            if name == "slipway":
                _round(graph, changed, taken)
            else:
                taken[name].append([_cpu(lambda name=name: RIVALS[name](graph, 1)) for _ in range(_REPEATS)])
    return {
        "cold_us_per_node": figure(taken["slipway"], median, 1e6 / size),
        "first_node_ms": figure(taken["first"], median, 1e3),
        "rerun_ms": figure(taken["rerun"], median, 1e3),
        "one_leaf_ms": figure(taken["one_leaf"], median, 1e3),
        "by": {name: compared(taken["slipway"], taken[name], median, ratio, 2) for name in RIVALS},
    }


def _round(graph: Any, changed: Any, taken: dict[str, list[list[float]]]) -> None:
    bench = Bench()
    values = range(1000, 1000 + _REPEATS)
    taken["slipway"].append([_cpu(lambda value=value: bench.run(graph, value)) for value in values])
    taken["first"].append([asyncio.run(bench.first_node(graph, value)) for value in range(2000, 2000 + _REPEATS)])
    taken["rerun"].append([_cpu(lambda: bench.run(graph, 1000)) for _ in range(_REPEATS)])
    taken["one_leaf"].append([_cpu(lambda value=value: bench.run(changed, value)) for value in values])


def _cpu(work: Callable[[], Any]) -> float:
    """Seconds of CPU time of this thread, the loop's own start left out."""

    async def timed() -> float:
        began = time.thread_time()
        await work()
        return time.thread_time() - began

    gc.collect()
    gc.disable()
    try:
        return asyncio.run(timed())
    finally:
        gc.enable()


def _branches() -> float:
    bench = Bench(operations=Sleeping(0.1))
    graph = compiled(Sleeping.branches(5), Sleeping.operations())

    async def timed() -> float:
        began = time.perf_counter()
        await bench.run(graph, 1)
        return (time.perf_counter() - began) * 1e3

    return asyncio.run(timed())


def _cancel() -> float:
    bench = Bench(operations=Sleeping(60.0))
    graph = compiled(Sleeping.branches(32), Sleeping.operations())

    async def timed() -> float:
        running = asyncio.create_task(bench.run(graph, 1))
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        running.cancel()
        await asyncio.wait({running})
        return (time.perf_counter() - began) * 1e3

    return asyncio.run(timed())


def _clients(num_clients: int, num_rounds: int) -> dict[str, Any]:
    graph, rates, seconds = compiled(layered(100)), list[list[float]](), list[list[float]]()
    for number in range(num_rounds):
        bench, taken = Bench(), list[float]()

        async def client(first: int, bench: Bench = bench, taken: list[float] = taken) -> None:
            for value in range(first, first + _REPEATS):
                began = time.perf_counter()
                await bench.run(graph, value)
                taken.append(time.perf_counter() - began)

        async def all_clients(number: int = number, client: Any = client) -> float:
            began = time.perf_counter()
            await asyncio.gather(*(client(number * 10_000 + index * 100) for index in range(num_clients)))
            return time.perf_counter() - began

        took = asyncio.run(all_clients())
        rates.append([num_clients * _REPEATS * len(graph.nodes) / took])
        seconds.append(taken)
    return {
        "nodes_per_second": figure(rates, median, digits=0),
        "p95_run_ms": figure(seconds, percentile(95), 1e3),
    }


if __name__ == "__main__":
    main()
