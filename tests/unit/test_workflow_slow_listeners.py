"""Clients that open a run's events and never read them slow nobody: neither its other listeners, nor any other run."""

import asyncio
import re
from pathlib import Path

import pytest
from fakes.asgi import Exchange
from fakes.gateway import Gateway
from fakes.workflow_platform import SLOW, workflow_platform
from fakes.workflows import ref, workflow
from starlette.types import Message

from serve.domain.names import RunId

NUM_RUNS, NUM_LISTENERS = 5, 20
_SEQ = re.compile(rb"^id: (\d+)$", re.MULTILINE)


def link(prompt: object) -> dict[str, object]:
    return {"type": f"model:{SLOW}", "task": "chat", "inputs": {"prompt": prompt}}


CHAIN = workflow(
    {"a": link(" ".join(["word"] * 20)), "b": link(ref("a", "text")), "c": link(ref("b", "text"))},
    {"text": ("c", "text")},
)


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


@pytest.mark.parametrize("num_stalled", [1, 40])
async def test_listeners_that_never_read_make_nobody_wait(tmp_path: Path, num_stalled: int) -> None:
    async with workflow_platform(tmp_path) as shop:
        await shop.publish(chain=CHAIN)
        posts = [shop.client.post("/v1/workflows/chain/runs", json={}) for _ in range(NUM_RUNS)]
        run_ids = [answer.json()["id"] for answer in await asyncio.gather(*posts)]
        stuck = [stalled(shop.made, run_ids[0]) for _ in range(num_stalled)]
        stuck_tasks = [exchange.start() for exchange in stuck]
        others = [run_ids[1 + index % (NUM_RUNS - 1)] for index in range(NUM_LISTENERS // 2)]
        followed = [run_ids[0]] * (NUM_LISTENERS // 2) + others
        listeners = [follow(shop.made, run_id) for run_id in followed]
        async with asyncio.timeout(60):
            await asyncio.gather(*(listener.run() for listener in listeners))
        assert all(_SEQ.search(exchange.body) for exchange in stuck)
        assert not any(task.done() for task in stuck_tasks)
        for run_id, listener in zip(followed, listeners, strict=True):
            events = await shop.made.services.runs.events(RunId(run_id))
            assert [int(seq) for seq in _SEQ.findall(listener.body)] == [event.seq for event in events]
        for task in stuck_tasks:
            task.cancel()
        await asyncio.gather(*stuck_tasks, return_exceptions=True)
