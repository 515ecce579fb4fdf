"""Clients that open a run's events and never read them slow nobody: neither its other listeners, nor any other run."""

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.asgi import Exchange
from fakes.gateway import Gateway
from fakes.workflow_platform import SLOW, WorkflowPlatform, workflow_platform
from fakes.workflows import ref, workflow
from starlette.types import Message

from serve.domain.names import RunId

NUM_RUNS, NUM_LISTENERS = 5, 20
MOST_SECONDS = 1.0
"""From an event's being written to its being sent: the table is asked every half second at the least."""
_SEQ = re.compile(rb"^id: (\d+)$", re.MULTILINE)


def link(prompt: object) -> dict[str, object]:
    return {"type": f"model:{SLOW}", "task": "chat", "inputs": {"prompt": prompt}}


CHAIN = workflow(
    {"a": link(" ".join(["word"] * 20)), "b": link(ref("a", "text")), "c": link(ref("b", "text"))},
    {"text": ("c", "text")},
)


@dataclass(eq=False)
class Listener:
    """Follows a run, and notes when each of its events came."""

    exchange: Exchange
    came: dict[int, float] = field(default_factory=dict)
    """Unix milliseconds, by seq."""

    def __post_init__(self) -> None:
        send = self.exchange._send

        async def note(message: Message) -> None:
            await send(message)
            for seq in _SEQ.findall(message.get("body", b"")):
                self.came[int(seq)] = time.time() * 1000

        self.exchange._send = note  # type: ignore[method-assign]


def follow(made: Gateway, run_id: str) -> Exchange:
    return Exchange(made.app, f"/v1/runs/{run_id}/events", b"", {"authorization": f"Bearer {made.key}"}, "GET")


def stalled(made: Gateway, run_id: str) -> Exchange:
    """A client whose buffers are full from the first event on: to send that never ends."""
    exchange = follow(made, run_id)
    send = exchange._send

    async def stuck(message: Message) -> None:
        await send(message)
        if _SEQ.search(message.get("body", b"")):
            await asyncio.Event().wait()

    exchange._send = stuck  # type: ignore[method-assign]
    return exchange


async def lags(shop: WorkflowPlatform, num_stalled: int) -> list[float]:
    """How late every event came to every listener, in milliseconds."""
    posts = [shop.client.post("/v1/workflows/chain/runs", json={}) for _ in range(NUM_RUNS)]
    run_ids = [answer.json()["id"] for answer in await asyncio.gather(*posts)]
    stuck = [stalled(shop.made, run_ids[0]) for _ in range(num_stalled)]
    stuck_tasks = [exchange.start() for exchange in stuck]
    others = [run_ids[1 + index % (NUM_RUNS - 1)] for index in range(NUM_LISTENERS // 2)]
    followed = [run_ids[0]] * (NUM_LISTENERS // 2) + others
    listeners = [Listener(follow(shop.made, run_id)) for run_id in followed]
    began_ms = time.time() * 1000
    async with asyncio.timeout(20):
        await asyncio.gather(*(listener.exchange.run() for listener in listeners))
    assert all(_SEQ.search(exchange.body) for exchange in stuck)
    assert not any(task.done() for task in stuck_tasks)
    for task in stuck_tasks:
        task.cancel()
    for task in stuck_tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return await _lags(shop, followed, listeners, began_ms)


async def _lags(
    shop: WorkflowPlatform, followed: Sequence[str], listeners: Sequence[Listener], began_ms: float
) -> list[float]:
    found = []
    for run_id, listener in zip(followed, listeners, strict=True):
        events = await shop.made.services.runs.events(RunId(run_id))
        assert listener.came.keys() == {event.seq for event in events}
        found += [listener.came[event.seq] - max(event.created_ms, began_ms) for event in events]
    return sorted(found)


@pytest.mark.parametrize("num_stalled", [1, 40])
async def test_listeners_that_never_read_make_nobody_wait(tmp_path: Path, num_stalled: int) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(chain=CHAIN)
        alone = await lags(shop, 0)
        beside = await lags(shop, num_stalled)
    medians = [found[len(found) // 2] for found in (alone, beside)]
    assert len(beside) > 100
    assert beside[-1] < MOST_SECONDS * 1000
    assert medians[1] < medians[0] + 150
