"""How a platform that runs already bears chat requests: throughput, and waiting for the first token and each after it.

    python -m benchmarks.cluster_load --url http://slipway-gateway:8000 --admin-file FILE [--model NAME]

The chart's load test (`loadTest.enabled`). Nothing is started or stopped here, and everything is booked and paid for.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import figures
from benchmarks.answers import read_stream
from benchmarks.command import print_result
from benchmarks.load import Block, LoadFailed, Target, run_block
from serve.auth.tokens import admin_token

_WORDS = ("a", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "sleeps", "in", "that", "sun")
_CHAT = "/v1/chat/completions"
_WARM_UP = 4
"""Requests, which wait for the model where it starts from zero."""


def main() -> None:
    """Measure, and print."""
    options = _options()
    print_result(measure(options), options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="the gateway's, http://host:port")
    parser.add_argument("--admin-file", type=Path, required=True, help="a file with a key, or the mounted admin secret")
    parser.add_argument("--model", default="", help="the first one that chats, if nothing is said")
    parser.add_argument("--concurrency", type=int, default=16, help="clients, each sending its next when answered")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--max-tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    return parser.parse_args()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole result."""
    target = target_of(options.url, admin_token(options.admin_file.read_text()).text)
    model = options.model or await asyncio.to_thread(first_that_chats, target)
    requests = (target.post(_CHAT, _body(model, number, options.max_tokens)) for number in itertools.count())
    await run_block(target, itertools.islice(requests, _WARM_UP), 1)
    block = await run_block(target, requests, options.concurrency, options.seconds)
    settings = {"model": model, "concurrency": options.concurrency, "max_tokens": options.max_tokens}
    return {"benchmark": "cluster_load", "settings": settings, **report(block)}


def target_of(url: str, key: str) -> Target:
    """Where a URL leads.

    Raises:
        LoadFailed: it is not http://host[:port]; TLS would be measured with the platform.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise LoadFailed(f"{url} is not http://host:port: this client speaks plain HTTP to the gateway's Service")
    return Target(parts.hostname, parts.port or 80, key)


def first_that_chats(target: Target) -> str:
    """A model's name from the catalogue, ready ones first."""
    request = urllib.request.Request(f"{target.url}/v1/catalog", headers={"Authorization": f"Bearer {target.key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        cards = [card for card in json.load(answer)["data"] if "chat" in card["tasks"] and card["state"] != "failed"]
    if not cards:
        raise LoadFailed("no model chats")
    return str(min(cards, key=lambda card: card["state"] != "ready")["name"])


def _body(model: str, number: int, max_tokens: int) -> dict[str, Any]:
    """A prompt of its own: an answer from a cache would measure the cache."""
    words = " ".join(_WORDS[(number + index) % len(_WORDS)] for index in range(len(_WORDS)))
    return {
        "model": model,
        "messages": [{"role": "user", "content": f"{number}: {words}"}],
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def report(block: Block) -> dict[str, Any]:
    """Figures of one block; milliseconds but for what says otherwise."""
    answers = [read_stream(exchange) for exchange in block.exchanges]
    num_tokens = sum(answer.completion_tokens for answer in answers)
    return {
        "num_requests": len(answers),
        "seconds": round(block.seconds, 3),
        "requests_per_second": round(len(answers) / block.seconds, 3),
        "tokens_per_second": round(num_tokens / block.seconds, 3),
        "first_token_ms": _spread([answer.first_token_seconds for answer in answers]),
        "per_output_token_ms": _spread(
            [answer.seconds_per_token for answer in answers if answer.completion_tokens > 1]
        ),
        "answer_ms": _spread([answer.seconds for answer in answers]),
        "client_cpu_share": round(block.client_cpu_seconds / block.seconds, 3),
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ranks = {f"p{rank}": round(figures.percentile(rank)(seconds) * 1000, 3) for rank in (50, 90, 99)}
    return {"mean": round(statistics.fmean(seconds) * 1000, 3), **ranks}


if __name__ == "__main__":
    main()
