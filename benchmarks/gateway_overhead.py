"""What Slipway adds to an answer in milliseconds, and how many it gives a second, with an engine that costs nothing.

    python -m benchmarks.gateway_overhead [--quick] [--out benchmarks/results/NAME.json]

Three sides, never two at once: the echo engine behind the least of a server, behind Slipway, and behind Slipway with
HAProxy. See README.md for how to read the result.
"""

import argparse
import itertools
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.answers import ChatAnswer, read_stream, read_whole
from benchmarks.command import numbers, print_result
from benchmarks.echo_models import ECHO_MODELS, INSTANT, PACED, PREFILL_MS, TOKEN_MS
from benchmarks.load import Block, Target, run_block
from benchmarks.machine import circumstances
from benchmarks.processes import Processes
from benchmarks.servers import Server, Slipway, Stage, plain_echo

PLAIN, THROUGHPUT, HA_PROXY = "plain", "slipway_throughput", "slipway_throughput_ha_proxy"
AIM_MS = 5.0
_WORDS = "the quick brown fox jumps over the lazy dog and then it sleeps in the sun"
_NUM_TOKENS = 16
_PACED = "paced"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """One block of one side."""

    answers: list[ChatAnswer]
    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float


def main() -> None:
    """Measure, and print."""
    options = _options()
    print_result(measure(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="blocks of each side; the intervals come from these")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long a block sends requests")
    parser.add_argument("--concurrency", type=numbers, default=[1, 16, 64], help="numbers of clients: 1,16,64")
    parser.add_argument("--sides", default=f"{PLAIN},{THROUGHPUT},{HA_PROXY}", help="some of them, for profiling")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 seconds: does it run at all?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 2.0
    return options


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result."""
    result = circumstances(sys.argv[1:])
    sides = {name: server for name, server in _sides().items() if name in options.sides.split(",")}
    stage = Stage()
    try:
        blocks = await _blocks(stage, sides, options)
    finally:
        await stage.leave()
    settings = {
        "rounds": options.rounds,
        "seconds_per_block": options.seconds,
        "prompt_words": len(_WORDS.split()),
        "output_tokens": _NUM_TOKENS,
        "paced": {"prefill_ms": PREFILL_MS, "token_ms": TOKEN_MS},
    }
    stages = {"start_seconds": stage.start_seconds, "processes_left_behind": stage.num_left}
    return {"benchmark": "gateway_overhead"} | result | {"settings": settings} | stages | report(blocks)


def _sides() -> dict[str, Server]:
    modes = {"SLIPWAY_RAY_THROUGHPUT": "true", "SLIPWAY_RAY_HA_PROXY": "false"}
    documents = ECHO_MODELS
    return {
        PLAIN: plain_echo(),
        THROUGHPUT: Slipway(modes, documents=documents),
        HA_PROXY: Slipway(modes | {"SLIPWAY_RAY_HA_PROXY": "true"}, documents=documents),
    }


Blocks = dict[str, dict[str, list[Measured]]]
"""By side and kind of block; one for each round."""


async def _blocks(stage: Stage, sides: Mapping[str, Server], options: argparse.Namespace) -> Blocks:
    kinds = [(_PACED, 1), *itertools.product(("unary", "streamed"), options.concurrency)]
    blocks: Blocks = {name: {f"{kind}_{n}": [] for kind, n in kinds} for name in sides}
    for index, order in enumerate(figures.orders(list(sides), options.rounds)):
        for name in order:
            target, processes = await stage.enter(name, sides[name])
            for kind, concurrency in kinds:
                measured = await _block(target, processes, kind, concurrency, options.seconds)
                blocks[name][f"{kind}_{concurrency}"].append(measured)
                speed = len(measured.answers) / measured.seconds
                logger.info("round %d, %s, %s, %d clients: %.1f/s", index + 1, name, kind, concurrency, speed)
    return blocks


async def _block(target: Target, processes: Processes, kind: str, concurrency: int, seconds: float) -> Measured:
    """Warm up for a quarter of the time, then measure."""
    requests = itertools.repeat(target.post("/v1/chat/completions", _body(kind)))
    await run_block(target, requests, concurrency, max(0.5, seconds / 4))
    cpu = processes.cpu_seconds()
    block = await run_block(target, requests, concurrency, seconds)
    cpu = processes.cpu_seconds() - cpu
    return Measured(_answers(block, kind), block.seconds, block.client_cpu_seconds, cpu)


def _body(kind: str) -> dict[str, Any]:
    body = {
        "model": PACED if kind == _PACED else INSTANT,
        "messages": [{"role": "user", "content": _WORDS}],
        "max_tokens": _NUM_TOKENS,
    }
    return body if kind == "unary" else body | {"stream": True, "stream_options": {"include_usage": True}}


def _answers(block: Block, kind: str) -> list[ChatAnswer]:
    read = read_whole if kind == "unary" else read_stream
    return [read(exchange) for exchange in block.exchanges]


def report(blocks: Blocks) -> dict[str, Any]:
    """Figures of each side, and of Slipway's two by the plain one's where it was measured."""
    sides = {name: {kind: _side(rounds) for kind, rounds in kinds.items()} for name, kinds in blocks.items()}
    if PLAIN not in blocks:
        return {"sides": sides}
    compared = {
        name: {kind: _compared(rounds, blocks[PLAIN][kind]) for kind, rounds in kinds.items()}
        for name, kinds in blocks.items()
        if name != PLAIN
    }
    added = {name: kinds[f"{_PACED}_1"]["first_token_added_ms"]["p50"]["value"] for name, kinds in compared.items()}
    aim = {"first_token_added_ms": AIM_MS, "met": {name: value < AIM_MS for name, value in added.items()}}
    return {"aim": aim, "by_plain": compared, "sides": sides}


def _side(rounds: list[Measured]) -> dict[str, Any]:
    p50, p99 = figures.percentile(50), figures.percentile(99)
    found: dict[str, Any] = {"requests_per_second": figures.figure(_speeds(rounds), p50, digits=1)}
    for name, samples in _samples(rounds).items():
        found[name] = {"p50": figures.figure(samples, p50), "p99": figures.figure(samples, p99)}
    found["server_cpu_ms_per_request"] = figures.figure(_cpu(rounds), p50)
    found["client_cpu_share"] = round(sum(m.client_cpu_seconds for m in rounds) / sum(m.seconds for m in rounds), 3)
    found["requests"] = sum(len(measured.answers) for measured in rounds)
    return found


def _compared(ours: list[Measured], plain: list[Measured]) -> dict[str, Any]:
    p50, p99 = figures.percentile(50), figures.percentile(99)
    found: dict[str, Any] = {
        "requests_per_second_ratio": figures.compared(_speeds(ours), _speeds(plain), p50, figures.ratio),
        "server_cpu_added_ms": figures.compared(_cpu(ours), _cpu(plain), p50, figures.difference),
    }
    theirs = _samples(plain)
    for name, samples in _samples(ours).items():
        found[f"{name.removesuffix('_ms')}_added_ms"] = {
            "p50": figures.compared(samples, theirs[name], p50, figures.difference),
            "p99": figures.compared(samples, theirs[name], p99, figures.difference),
        }
    return found


def _samples(rounds: list[Measured]) -> dict[str, list[list[float]]]:
    """Milliseconds by name; what streams alone have is there for streams alone."""
    found = {"whole_answer_ms": [[1000 * answer.seconds for answer in m.answers] for m in rounds]}
    if all(answer.text_at for m in rounds for answer in m.answers):
        found["first_token_ms"] = [[1000 * answer.first_token_seconds for answer in m.answers] for m in rounds]
    if all(len(answer.text_at) > 1 for m in rounds for answer in m.answers):
        found["per_output_token_ms"] = [[1000 * answer.seconds_per_token for answer in m.answers] for m in rounds]
    return found


def _speeds(rounds: list[Measured]) -> list[list[float]]:
    return [[len(measured.answers) / measured.seconds] for measured in rounds]


def _cpu(rounds: list[Measured]) -> list[list[float]]:
    return [[1000 * measured.server_cpu_seconds / len(measured.answers)] for measured in rounds]


if __name__ == "__main__":
    main()
