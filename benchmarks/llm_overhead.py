"""How much of bare vLLM's throughput is left when the same model is called through Slipway, and what it adds in time.

    python -m benchmarks.llm_overhead [--quick] [--out benchmarks/results/NAME.json]

Both sides run the same weights with the same engine options, never at the same time, in the order A B B A. The same
client sends the same prompts, no prompt twice to one server, and every answer has the same number of tokens. See
README.md for how to read the result.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.answers import ChatAnswer, read_stream
from benchmarks.command import numbers, print_result
from benchmarks.load import LoadFailed, Target, run_block
from benchmarks.machine import circumstances
from benchmarks.processes import Processes
from benchmarks.prompts import prompt
from benchmarks.servers import Server, Slipway, Stage, bare_vllm, omp_environment
from serve.catalog.builtin import builtin_documents
from serve.catalog.weights import ResolvedWeights, open_weight_cache
from serve.domain.documents import ModelDocument, Weights
from serve.settings import Settings

MODEL = "smollm2-135m-instruct"
AIM = 0.97
AIM_CONCURRENCY = 16
BARE, SLIPWAY = "bare_vllm", "slipway"
_CHAT = "/v1/chat/completions"
_NUM_PROMPT_WORDS = 48
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """One block of one side: `concurrency` clients, each its requests one after another."""

    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    answers: dict[str, ChatAnswer]
    """By the prompt's seed."""

    @property
    def num_tokens(self) -> int:
        return sum(answer.completion_tokens for answer in self.answers.values())


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked: the model, the ids that would end an answer, the tokens of an answer, requests per client."""

    model: str
    ending_tokens: list[int]
    output_tokens: int
    requests: int

    def body(self, seed: str, output_tokens: int) -> dict[str, Any]:
        """A streamed chat of exactly `output_tokens`: what would end it earlier is made impossible."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt(seed, _NUM_PROMPT_WORDS)}],
            "max_tokens": output_tokens,
            "temperature": 0,
            "top_p": 1,
            "logit_bias": {str(token): -100 for token in self.ending_tokens},
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def main() -> None:
    """Measure, and print."""
    options = _options()
    print_result(measure(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="pairs of blocks; the intervals come from these")
    parser.add_argument("--requests", type=int, default=4, help="requests of each client in a block")
    parser.add_argument("--concurrency", type=numbers, default=[1, 4, 16], help="numbers of clients: 1,4,16")
    parser.add_argument("--output-tokens", type=int, default=128, help="tokens of every answer")
    parser.add_argument("--quick", action="store_true", help="2 rounds, 2 requests, 32 tokens: does it run at all?")
    parser.add_argument("--weights", type=Path, help="a directory to serve in place of the model's own weights")
    parser.add_argument("--sides", default=f"{BARE},{SLIPWAY}", help="one of them alone, for profiling")
    parser.add_argument(
        "--bare-environment", choices=["ours", "vllm"], default="ours",
        help="threads and processes of bare vLLM: as our replica sets them, or as vLLM does by itself",
    )  # fmt: skip
    parser.add_argument("--omp-threads", type=int, help="OMP_NUM_THREADS for both; by default each side's own")
    parser.add_argument("--ha-proxy", action=argparse.BooleanOptionalAction, help="HAProxy before the gateway")
    parser.add_argument("--throughput", action=argparse.BooleanOptionalAction, help="gRPC between replicas")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.requests, options.output_tokens = 2, 2, 32
    return options


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result."""
    document = model_document(options.weights)
    result = circumstances(sys.argv[1:])
    modes = ray_modes(options.ha_proxy, options.throughput)
    environment = modes | omp_environment(options.omp_threads)
    with closing(resolved_weights(document)) as weights:
        work = Workload(document.name, ending_tokens(weights.path), options.output_tokens, options.requests)
        sides = _sides(options, document, weights.path, environment)
        stage = Stage()
        try:
            blocks = await _blocks(stage, sides, work, options)
        finally:
            await stage.leave()
    model = json.loads(document.canonical())
    del model["spec"]["card"]
    settings = {
        "model": model,
        "modes": modes,
        "bare_environment": options.bare_environment,
        "omp_threads": options.omp_threads,
        "rounds": options.rounds,
        "requests_per_client": options.requests,
        "output_tokens": options.output_tokens,
        "prompt_words": _NUM_PROMPT_WORDS,
    }
    stages = {"start_seconds": stage.start_seconds, "processes_left_behind": stage.num_left}
    return {"benchmark": "llm_overhead"} | result | {"settings": settings} | stages | report(blocks)


def model_document(weights: Path | None) -> ModelDocument:
    """The built-in chat model, with other weights where they are asked for."""
    (document,) = builtin_documents([MODEL])
    if weights is None:
        return document
    spec = document.spec.model_copy(update={"weights": Weights(uri=f"file://{weights.resolve()}")})
    return document.model_copy(update={"spec": spec})


def resolved_weights(document: ModelDocument) -> ResolvedWeights:
    """The directory that a replica would read, kept in the cache until it is closed."""
    assert document.spec.weights is not None
    return open_weight_cache(Settings()).resolve(document.spec.weights)


def ending_tokens(weights: Path) -> list[int]:
    """The ids after which this model stops."""
    found: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        path = weights / name
        ids = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
        found |= set(ids) if isinstance(ids, list) else set() if ids is None else {ids}
    return sorted(found)


def ray_modes(ha_proxy: bool | None, throughput: bool | None) -> dict[str, str]:
    """Slipway's settings for the two modes of Ray Serve; the product's own defaults where nothing is asked for."""
    defaults = Settings().ray
    wanted = {
        "SLIPWAY_RAY_HA_PROXY": defaults.ha_proxy if ha_proxy is None else ha_proxy,
        "SLIPWAY_RAY_THROUGHPUT": defaults.throughput if throughput is None else throughput,
    }
    return {name: "true" if value else "false" for name, value in wanted.items()}


def _sides(
    options: argparse.Namespace, document: ModelDocument, weights: Path, environment: Mapping[str, str]
) -> dict[str, Server]:
    bare = bare_vllm(document, weights, options.bare_environment, omp_environment(options.omp_threads))
    if options.weights is None:
        ours = Slipway(environment, builtin=MODEL)
    else:
        ours = Slipway(environment, documents=[document])
    servers: dict[str, Server] = {BARE: bare, SLIPWAY: ours}
    return {name: server for name, server in servers.items() if name in options.sides.split(",")}


Blocks = dict[str, dict[int, list[Measured]]]
"""By side and concurrency; one for each round."""


async def _blocks(stage: Stage, sides: Mapping[str, Server], work: Workload, options: argparse.Namespace) -> Blocks:
    blocks: Blocks = {name: {n: [] for n in options.concurrency} for name in sides}
    for index, order in enumerate(figures.orders(list(sides), options.rounds)):
        for name in order:
            target, processes = await stage.enter(name, sides[name])
            for concurrency in options.concurrency:
                measured = await _block(target, processes, work, f"{index}", concurrency)
                blocks[name][concurrency].append(measured)
                speed = measured.num_tokens / measured.seconds
                logger.info("round %d, %s, %d clients: %.1f tokens/s", index + 1, name, concurrency, speed)
    return blocks


async def _block(target: Target, processes: Processes, work: Workload, round_: str, concurrency: int) -> Measured:
    """Warm up with prompts of their own, then measure."""
    warm = [f"{round_}/{concurrency}/warm/{i}" for i in range(2 * concurrency)]
    await run_block(target, _requests(target, work, warm, max(8, work.output_tokens // 4)), concurrency)
    seeds = [f"{round_}/{concurrency}/{i}" for i in range(concurrency * work.requests)]
    requests = list(_requests(target, work, seeds, work.output_tokens))
    cpu = processes.cpu_seconds()
    block = await run_block(target, requests, concurrency)
    cpu = processes.cpu_seconds() - cpu
    order = {request: seed for request, seed in zip(requests, seeds, strict=True)}
    answers = {order[exchange.request]: read_stream(exchange) for exchange in block.exchanges}
    wrong = {answer.completion_tokens for answer in answers.values()} - {work.output_tokens}
    if wrong:
        raise LoadFailed(f"answers of {sorted(wrong)} tokens, where {work.output_tokens} were asked for")
    return Measured(block.seconds, block.client_cpu_seconds, cpu, answers)


def _requests(target: Target, work: Workload, seeds: list[str], output_tokens: int) -> Iterator[bytes]:
    return (target.post(_CHAT, work.body(seed, output_tokens)) for seed in seeds)


def report(blocks: Blocks) -> dict[str, Any]:
    """Figures of each side, and of one by the other where both were measured."""
    sides = {name: {str(n): _side(rounds) for n, rounds in by_n.items()} for name, by_n in blocks.items()}
    if not {BARE, SLIPWAY} <= blocks.keys():
        return {"sides": sides}
    compared = {str(n): _compared(blocks[SLIPWAY][n], blocks[BARE][n]) for n in blocks[BARE]}
    found = compared.get(str(AIM_CONCURRENCY), {}).get("tokens_per_second_ratio")
    aim: dict[str, Any] = {"tokens_per_second_ratio": AIM, "at_concurrency": AIM_CONCURRENCY}
    aim["met"] = None if found is None else found["value"] >= AIM
    return {"aim": aim, "slipway_by_bare_vllm": compared, "sides": sides}


def _side(rounds: list[Measured]) -> dict[str, Any]:
    p50, p99 = figures.percentile(50), figures.percentile(99)
    first, gaps, steps = _first(rounds), _gaps(rounds), _steps(rounds)
    num_tokens = sum(measured.num_tokens for measured in rounds)
    answers = [answer for measured in rounds for answer in measured.answers.values()]
    return {
        "tokens_per_second": figures.figure(_speeds(rounds), p50),
        "tokens_per_second_by_round": [round(speed, 1) for (speed,) in _speeds(rounds)],
        "first_token_ms": {"p50": figures.figure(first, p50, 1000), "p99": figures.figure(first, p99, 1000)},
        "chunk_gap_ms": {"p50": figures.figure(gaps, p50, 1000), "p99": figures.figure(gaps, p99, 1000)},
        "per_output_token_ms": {"p50": figures.figure(steps, p50, 1000), "p99": figures.figure(steps, p99, 1000)},
        "tokens_per_chunk": round(num_tokens / sum(len(answer.text_at) for answer in answers), 3),
        "server_cpu_ms_per_token": figures.figure(_cpu(rounds), p50, 1000),
        "client_cpu_share": round(sum(m.client_cpu_seconds for m in rounds) / sum(m.seconds for m in rounds), 4),
        "requests": len(answers),
        "prompt_tokens": sum(answer.prompt_tokens for answer in answers),
        "cached_prompt_tokens": sum(answer.cached_tokens for answer in answers),
        "completion_tokens": num_tokens,
    }


def _compared(ours: list[Measured], theirs: list[Measured]) -> dict[str, Any]:
    p50, p99 = figures.percentile(50), figures.percentile(99)
    pairs = [
        (mine, yours.answers[seed])
        for a, b in zip(ours, theirs, strict=True)
        for seed, mine, yours in ((seed, answer, b) for seed, answer in a.answers.items())
    ]
    if any(mine.prompt_tokens != yours.prompt_tokens for mine, yours in pairs):
        raise LoadFailed("the two sides counted different prompt tokens: they did not do the same work")
    ratio, difference = figures.ratio, figures.difference
    return {
        "tokens_per_second_ratio": figures.compared(_speeds(ours), _speeds(theirs), p50, ratio),
        "server_cpu_ratio": figures.compared(_cpu(ours), _cpu(theirs), p50, ratio),
        "first_token_added_ms": {
            "p50": figures.compared(_first(ours, 1000), _first(theirs, 1000), p50, difference),
            "p99": figures.compared(_first(ours, 1000), _first(theirs, 1000), p99, difference),
        },
        "per_output_token_ratio": {
            "p50": figures.compared(_steps(ours), _steps(theirs), p50, ratio),
            "p99": figures.compared(_steps(ours), _steps(theirs), p99, ratio),
        },
        "identical_answers": round(sum(mine.text == yours.text for mine, yours in pairs) / len(pairs), 4),
    }


def _speeds(rounds: list[Measured]) -> list[list[float]]:
    return [[measured.num_tokens / measured.seconds] for measured in rounds]


def _cpu(rounds: list[Measured]) -> list[list[float]]:
    return [[measured.server_cpu_seconds / measured.num_tokens] for measured in rounds]


def _first(rounds: list[Measured], scale: float = 1.0) -> list[list[float]]:
    return [[scale * answer.first_token_seconds for answer in measured.answers.values()] for measured in rounds]


def _gaps(rounds: list[Measured]) -> list[list[float]]:
    return [[gap for answer in measured.answers.values() for gap in answer.gaps] for measured in rounds]


def _steps(rounds: list[Measured]) -> list[list[float]]:
    return [[answer.seconds_per_token for answer in measured.answers.values()] for measured in rounds]


if __name__ == "__main__":
    main()
