"""The full path of a workflow's run: from the request to the last event, over HTTP, a runner and SQLite.

Part of `python -m benchmarks.workflows`. One gateway and one runner, each a process; runs are asked for with
`Accept: text/event-stream`, so a run's time ends when its client has the last event.
"""

import argparse
import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from benchmarks.figures import compared, figure, orders, percentile, ratio
from benchmarks.load import Block, Exchange, LoadFailed, Target, run_block
from benchmarks.workflow_graphs import SHAPES, layered, with_other_leaf
from benchmarks.workflow_platform import GATEWAY, PLAIN, RUNNER, Platform
from benchmarks.workflow_trouble import canceled_ms, failed_ms, publish_trouble

NUM_CLIENTS = (1, 8, 32)
STAGES = ("accepted", "claimed", "ended", "seen")
_CLIENTS_SIZE, _MEMORY_SIZE = 100, 30
_EVENTS = "text/event-stream"
_STEP = b'"status":"succeeded"'
_values = itertools.count(1)
"""Inputs that no run had before, so that nothing is cached."""
logger = logging.getLogger(__name__)
median = percentile(50)
Rounds = dict[str, list[list[float]]]
"""By what was measured: a list of samples for each round."""


@dataclass(slots=True)
class Bench:
    """The servers, and a client of ours beside the measured ones."""

    platform: Platform
    ours: Target
    plain: Target
    client: httpx.AsyncClient
    num_runs: int
    """Of a kind in a round."""

    def request(self, name: str, value: int) -> bytes:
        """A run, with its events as the answer."""
        return self.ours.post(f"/v1/workflows/{name}/runs", {"input": {"x": value}}, _EVENTS)

    async def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """The first version of a workflow."""
        (await self.client.put(f"/v1/workflows/{name}/draft", json=document)).raise_for_status()
        (await self.client.post(f"/v1/workflows/{name}/versions", json={})).raise_for_status()

    async def runs(self, name: str, values: Iterable[int]) -> Block:
        """One run after the other, each to its end. Raises LoadFailed where one did not succeed."""
        block = await run_block(self.ours, [self.request(name, value) for value in values], 1)
        return succeeded(block)

    async def stages(self, block: Block) -> list[list[float]]:
        """Milliseconds until each run was written down, claimed, ended, and seen to have ended."""
        found = (await self.client.get("/v1/runs", params={"limit": len(block.exchanges)})).json()["data"]
        epoch, stages = time.time() - time.perf_counter(), list[list[float]]()
        for exchange, run in zip(block.exchanges, reversed(found), strict=True):
            told = [run[name] for name in ("created_at", "started_at", "finished_at")]
            moments = [datetime.fromisoformat(moment).timestamp() for moment in told]
            moments = [epoch + exchange.sent, *moments, epoch + exchange.ended]
            stages.append([(after - before) * 1e3 for before, after in itertools.pairwise(moments)])
        return stages


def succeeded(block: Block) -> Block:
    """The block. Raises LoadFailed where a run of it did not succeed."""
    for exchange in block.exchanges:
        if b"event: succeeded" not in exchange.body[-4000:]:
            raise LoadFailed(f"a run did not succeed: {exchange.body[-500:].decode(errors='replace')}")
    return block


async def measured_path(options: argparse.Namespace) -> dict[str, Any]:
    """One part after the other."""
    async with _bench(options) as bench:
        graphs: dict[str, Any] = {shape: {} for shape in SHAPES}
        for shape, size in itertools.product(SHAPES, options.path_sizes):
            graphs[shape][str(size)] = await _of_graph(bench, shape, size, options.rounds)
            logger.info("%s of %d: %s", shape, size, graphs[shape][str(size)]["run_ms"])
        await bench.publish("clients", layered(_CLIENTS_SIZE))
        clients = {str(num): await _clients(bench, num, options) for num in NUM_CLIENTS}
        await publish_trouble(bench.client)
        return {
            "graphs": graphs,
            "clients": clients,
            "cancel_ms": figure([[await canceled_ms(bench.client)] for _ in range(options.rounds)], median),
            "failure_ms": figure([[await failed_ms(bench.client)] for _ in range(options.rounds)], median),
            "memory": await _memory(bench, options.memory_runs),
        }


@asynccontextmanager
async def _bench(options: argparse.Namespace) -> AsyncIterator[Bench]:
    platform = Platform(options.path_sizes)
    try:
        ours, plain = await platform.start()
        headers = {"Authorization": f"Bearer {ours.key}"}
        async with httpx.AsyncClient(base_url=ours.url, headers=headers, timeout=60) as client:
            yield Bench(platform, ours, plain, client, options.path_runs)
    finally:
        await platform.stop()


async def _of_graph(bench: Bench, shape: str, size: int, num_rounds: int) -> dict[str, Any]:
    name, document = f"{shape}-{size}", SHAPES[shape](size)
    num_nodes = len(document["nodes"])
    await bench.publish(name, document)
    await bench.publish(f"{name}-leaf", with_other_leaf(document))
    await bench.runs(name, [next(_values)])
    taken: Rounds = {}
    for sides in orders(["ours", "plain"], num_rounds):
        for side in sides:
            found = await (_ours(bench, name) if side == "ours" else _plain(bench, f"/{shape}/{size}"))
            for kind, samples in found.items():
                taken.setdefault(kind, []).append(samples)
    shown = {kind: figure(taken[kind], median) for kind in ("run_ms", "first_node_ms", "rerun_ms", "one_leaf_ms")}
    cpu = {
        f"{process}_cpu_us_per_node": figure(taken[process], median, 1e6 / num_nodes) for process in (GATEWAY, RUNNER)
    }
    stages = {stage: round(_middle(taken[stage]), 1) for stage in STAGES}
    plain = {
        "run_ms": figure(taken["plain_ms"], median),
        "cpu_us_per_node": figure(taken[PLAIN], median, 1e6 / num_nodes),
    }
    by_plain = compared(taken["run_ms"], taken["plain_ms"], median, ratio, 2)
    return shown | cpu | {"stages_ms": stages, "plain": plain, "by_plain": by_plain}


async def _ours(bench: Bench, name: str) -> dict[str, list[float]]:
    platform, values = bench.platform, [next(_values) for _ in range(bench.num_runs)]
    before = {process: platform.cpu_seconds(process) for process in (GATEWAY, RUNNER)}
    block = await bench.runs(name, values)
    cpu = {process: [(platform.cpu_seconds(process) - before[process]) / len(values)] for process in before}
    stages = [list(one) for one in zip(*await bench.stages(block), strict=True)]
    firsts = [first_node_ms(exchange) for exchange in block.exchanges]
    rerun, one_leaf = await bench.runs(name, values), await bench.runs(f"{name}-leaf", values)
    return (
        cpu
        | dict(zip(STAGES, stages, strict=True))
        | {
            "run_ms": _milliseconds(block),
            "first_node_ms": firsts,
            "rerun_ms": _milliseconds(rerun),
            "one_leaf_ms": _milliseconds(one_leaf),
        }
    )


async def _plain(bench: Bench, path: str) -> dict[str, list[float]]:
    requests = [bench.plain.post(path, {"input": {"x": next(_values)}}) for _ in range(bench.num_runs)]
    before = bench.platform.cpu_seconds(PLAIN)
    block = succeeded(await run_block(bench.plain, requests, 1))
    cpu = (bench.platform.cpu_seconds(PLAIN) - before) / len(requests)
    return {"plain_ms": _milliseconds(block), PLAIN: [cpu]}


def _middle(rounds: list[list[float]]) -> float:
    return float(median([sample for samples in rounds for sample in samples]))


def _milliseconds(block: Block) -> list[float]:
    return [(exchange.ended - exchange.sent) * 1e3 for exchange in block.exchanges]


def first_node_ms(exchange: Exchange) -> float:
    """Until the client had the event of a node that succeeded."""
    for moment, part in exchange.parts:
        if _STEP in part:
            return (moment - exchange.sent) * 1e3
    raise LoadFailed("a run told of no step")


async def _clients(bench: Bench, num_clients: int, options: argparse.Namespace) -> dict[str, Any]:
    taken: Rounds = {"nodes": [], "run_ms": [], GATEWAY: [], RUNNER: [], "client": []}
    for _ in range(options.rounds):
        endless = (bench.request("clients", value) for value in _values)
        before = {process: bench.platform.cpu_seconds(process) for process in (GATEWAY, RUNNER)}
        block = succeeded(await run_block(bench.ours, endless, num_clients, options.path_seconds))
        num_nodes = len(block.exchanges) * _CLIENTS_SIZE
        for process, cpu in before.items():
            taken[process].append([(bench.platform.cpu_seconds(process) - cpu) / num_nodes])
        taken["nodes"].append([num_nodes / block.seconds])
        taken["run_ms"].append(_milliseconds(block))
        taken["client"].append([block.client_cpu_seconds / block.seconds])
    logger.info("%d clients: %.0f nodes/s", num_clients, _middle(taken["nodes"]))
    return {
        "nodes_per_second": figure(taken["nodes"], median, digits=0),
        "runs_per_second": figure(taken["nodes"], median, 1 / _CLIENTS_SIZE, 1),
        "p50_run_ms": figure(taken["run_ms"], median, digits=1),
        "p95_run_ms": figure(taken["run_ms"], percentile(95), digits=1),
        **{f"{process}_cpu_us_per_node": figure(taken[process], median, 1e6, 1) for process in (GATEWAY, RUNNER)},
        "client_cpu_share": round(_middle(taken["client"]), 2),
    }


async def _memory(bench: Bench, num_runs: int) -> dict[str, Any]:
    """Resident memory after so many runs, and after as many again, and again."""
    await bench.publish("memory", layered(_MEMORY_SIZE))
    found: dict[str, Any] = {"nodes_per_run": _MEMORY_SIZE, "runs": [], GATEWAY: [], RUNNER: []}
    for part in range(4):
        if part:
            requests = [bench.request("memory", next(_values)) for _ in range(num_runs)]
            succeeded(await run_block(bench.ours, requests, 8))
            await asyncio.sleep(0.5)
        found["runs"].append(part * num_runs)
        for process in (GATEWAY, RUNNER):
            found[process].append(round(bench.platform.rss_mib(process), 1))
    return {"rss_mib": found}
