"""Calls with adapters over three replicas: no thrashing, no hot spot, nothing left hanging."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fakes.platform import TestPlatform, echo_document, wait_for
from safetensors.numpy import save

MODEL = "styled"
ENGINE = {"maxConcurrency": 4, "tokenMs": 40, "adapterLoadMs": 200}
MESSAGES = [{"role": "user", "content": "one two three four five"}]
ASK = """
import json, sys, ray
from ray import serve
ray.init(address=sys.argv[1], namespace="serve", log_to_driver=False, configure_logging=False)
for line in sys.stdin:
    replicas = serve.get_deployment_handle("replica", f"model-{line.strip()}")
    asked = [replicas.broadcast(each).results() for each in ("counters", "record_routing_stats")]
    print(json.dumps([counters | stats for counters, stats in zip(*asked)]), flush=True)
"""


class Replicas:
    """Asks each replica of the model for its own counters and for what it tells routers."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def told(self) -> list[dict[str, Any]]:
        """Of each replica, in the same order each time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(MODEL, file=self._process.stdin, flush=True)
        result: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return result


@pytest.fixture(scope="module")
def styled(platform: TestPlatform) -> Iterator[TestPlatform]:
    """Three replicas of an engine that takes 200 ms to load an adapter, and 200 ms for a call; and seven adapters."""
    platform.apply(
        echo_document(MODEL, engine=ENGINE, adapters={"enabled": True}, scaling={"replicas": 3}), ready_seconds=120
    )
    with platform.client() as client:
        for name in ("hot", *(f"style-{number}" for number in range(6))):
            upload(client, name)
        yield platform
        client.delete(f"/v1/admin/documents/Model/{MODEL}").raise_for_status()


@pytest.fixture(scope="module")
def replicas(styled: TestPlatform) -> Iterator[Replicas]:
    """A program beside the platform that asks its replicas."""
    (raylet,) = styled.pids("raylet/raylet")
    words = Path(f"/proc/{raylet}/cmdline").read_bytes().decode().split("\0")
    environ = dict(
        each.split("=", 1) for each in Path(f"/proc/{raylet}/environ").read_text().split("\0") if "=" in each
    )
    (address,) = [word.partition("=")[2] for word in words if word.startswith("--gcs-address=")]
    environment = styled.environment | {name: environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    command = [sys.executable, "-c", ASK, address]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        asked = Replicas(process)
        wait_for(lambda: len(asked.told()) == 3, 90, "three replicas")
        yield asked
        process.kill()


def upload(client: httpx.Client, name: str) -> None:
    """A PEFT adapter of its own for some language model."""
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    numbers = np.random.default_rng(list(name.encode())).standard_normal((4, 64), np.float32)
    tensors = {f"{module}.lora_A.weight": numbers, f"{module}.lora_B.weight": numbers.T.copy()}
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["q_proj"]}
    files = [
        ("file", ("adapter_model.safetensors", save(tensors))),
        ("file", ("adapter_config.json", json.dumps(config).encode())),
    ]
    client.post("/v1/adapters", data={"name": name}, files=files).raise_for_status()


async def call_all(platform: TestPlatform, models: Sequence[str], concurrency: int) -> None:
    """Call each model once, so many at a time; every call must be answered."""
    waiting = list(reversed(models))
    limits = httpx.Limits(max_connections=concurrency)
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=60, limits=limits) as client:

        async def work() -> None:
            while waiting:
                body = {"model": waiting.pop(), "messages": MESSAGES}
                answer = await client.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text

        await asyncio.gather(*(work() for _ in range(concurrency)))


def new_work(before: list[dict[str, Any]], after: list[dict[str, Any]], counter: str) -> list[float]:
    return [new[counter] - old[counter] for old, new in zip(before, after, strict=True)]


async def test_six_adapters_on_three_replicas_do_not_thrash(styled: TestPlatform, replicas: Replicas) -> None:
    # A router that has just met a replica does not know its queue, and a slow first answer sends calls elsewhere.
    await call_all(styled, [MODEL] * 30, concurrency=10)
    before = await asyncio.to_thread(replicas.told)
    models = [f"{MODEL}:style-{number}" for number in range(6)]
    await call_all(styled, models * 40, concurrency=10)
    after = await asyncio.to_thread(replicas.told)
    holders = Counter(digest for told in after for digest in told["adapters"])
    assert len(holders) == 6
    assert max(holders.values()) <= 2
    assert sum(new_work(before, after, "adapters_prepared_total")) == sum(holders.values())
    assert max(new_work(before, after, "finished")) <= 180


async def test_one_hot_adapter_puts_all_replicas_to_work(styled: TestPlatform, replicas: Replicas) -> None:
    before = await asyncio.to_thread(replicas.told)
    # A busy machine is slow to tell the last replica; from then on it has its share.
    for num_rounds in range(1, 11):
        await call_all(styled, [f"{MODEL}:hot"] * 200, concurrency=10)
        after = await asyncio.to_thread(replicas.told)
        assert sum(new_work(before, after, "finished")) == 200 * num_rounds
        if min(new_work(before, after, "finished")) >= 30:
            break
    assert min(new_work(before, after, "finished")) >= 30
    assert new_work(before, after, "adapters_prepared_total") == [1, 1, 1]


def test_a_crowd_of_runs_is_answered_whole(styled: TestPlatform) -> None:
    with styled.client() as client:
        body = {"input": {"messages": MESSAGES}, "adapters": [{"name": "style-0"}, {"name": "style-1", "scale": 0.5}]}
        runs = [client.post(f"/v1/models/{MODEL}/runs", json=body).json()["id"] for _ in range(50)]
        for run in runs:
            wait_for(lambda run=run: client.get(f"/v1/runs/{run}").json()["status"] == "succeeded", 120, "a run's end")
