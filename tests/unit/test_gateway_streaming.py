"""Streams that end early: clients that leave, engines that fail, bodies that stall."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from fakes.asgi import Exchange
from fakes.engines import ScriptedEngine
from fakes.gateway import Gateway, gateway, settings_in
from starlette.requests import ClientDisconnect
from starlette.types import Message

from serve.domain import errors
from serve.domain.generation import Completed, Finished, TextDelta
from serve.domain.usage import Quantities
from serve.gateway.streaming import KEEP_ALIVE, CancelOnDisconnect, with_keep_alive
from serve.settings import GatewaySettings

DELTA = [TextDelta("a")]
END = [Finished("stop"), Completed(Quantities(prompt_tokens=1, completion_tokens=1))]


def chat(made: Gateway, stream: bool) -> Exchange:
    """A chat with the scripted engine."""
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    return Exchange(
        made.app, "/v1/chat/completions", json.dumps(body).encode(), {"authorization": f"Bearer {made.key}"}
    )


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("script", [(60.0,), (DELTA, 60.0)], ids=["before-the-first-token", "in-mid-stream"])
async def test_when_the_client_leaves_the_models_work_ends(tmp_path: Path, stream: bool, script: tuple[Any, ...]):
    engine = ScriptedEngine(*script)
    async with gateway(tmp_path, {"scripted": engine}) as made:
        exchange = chat(made, stream)
        task = exchange.start()
        await asyncio.wait_for(engine.is_running.wait(), 50)
        if stream and len(script) > 1:
            await asyncio.wait_for(exchange.has_answered.wait(), 50)
        assert engine.num_closed == 0
        exchange.leave()
        await asyncio.wait_for(task, 50)
        assert engine.num_closed == 1
        assert b'status="499"' in made.services.metrics.render()
        assert made.services.metrics.in_flight.value == 0


@pytest.mark.parametrize("num_messages", range(6))
async def test_a_client_may_leave_at_any_message_of_the_answer(tmp_path: Path, num_messages: int):
    engine = ScriptedEngine(DELTA, DELTA, DELTA, END)
    async with gateway(tmp_path, {"scripted": engine}) as made:
        exchange = chat(made, True)
        send = exchange._send

        async def leave_after(message: Message) -> None:
            await send(message)
            if len(exchange.sent) == num_messages:
                exchange.leave()
                await asyncio.sleep(0)

        exchange._send = leave_after
        await asyncio.wait_for(exchange.run(), 50)
        assert engine.num_closed == 1


FAILURES: list[tuple[Exception, int, str, str]] = [
    (errors.Overloaded("Full.", "", None, 2.5), 429, "rate_limit_error", "overloaded"),
    (errors.ModelUnavailable("Loading."), 503, "server_error", "model_unavailable"),
    (
        errors.InvalidRequest("Long.", "context_length_exceeded"),
        400,
        "invalid_request_error",
        "context_length_exceeded",
    ),
    (errors.DeadlineExceeded("Late."), 504, "server_error", "deadline_exceeded"),
    (errors.EngineFailed("secret /opt/weights"), 500, "server_error", "engine_failed"),
    (errors.ReplicaLost("secret 10.0.0.7 died"), 503, "server_error", "replica_lost"),
    (errors.StorageUnavailable("secret bucket"), 503, "server_error", "storage_unavailable"),
    (RuntimeError("secret stack"), 500, "server_error", "internal_error"),
]
FAILURE_IDS = [code for *_, code in FAILURES]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("error", "status", "kind", "code"), FAILURES, ids=FAILURE_IDS)
async def test_a_failure_before_the_first_token_has_a_status(
    tmp_path: Path, stream: bool, error: Exception, status: int, kind: str, code: str
):
    async with gateway(tmp_path, {"scripted": ScriptedEngine(error)}) as made:
        exchange = chat(made, stream)
        await exchange.run()
    told = json.loads(exchange.body)["error"]
    assert (exchange.status, told["type"], told["code"]) == (status, kind, code)
    assert b"secret" not in exchange.body
    headers = dict(exchange.sent[0]["headers"])
    if status >= 500 and "secret" in str(error) and status != 503:
        assert headers[b"x-request-id"].decode() in told["message"]
    if code == "overloaded":
        assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (b"3", b"2500")


@pytest.mark.parametrize(("error", "status", "kind", "code"), FAILURES, ids=FAILURE_IDS)
async def test_a_failure_in_mid_stream_is_an_event_and_then_the_end(
    tmp_path: Path, error: Exception, status: int, kind: str, code: str
):
    async with gateway(tmp_path, {"scripted": ScriptedEngine(DELTA, error)}) as made:
        exchange = chat(made, True)
        await exchange.run()
    last = exchange.body.decode().strip().split("\n\n")[-1]
    told = json.loads(last.removeprefix("data: "))["error"]
    assert exchange.status == 200
    assert (told["type"], told["code"]) == (kind, code)
    assert b"[DONE]" not in exchange.body
    assert b"secret" not in exchange.body


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_stream_without_completed_is_a_failure(tmp_path: Path, stream: bool):
    async with gateway(tmp_path, {"scripted": ScriptedEngine(DELTA, [Finished("stop")])}) as made:
        exchange = chat(made, stream)
        await exchange.run()
    assert b'"code":"engine_failed"' in exchange.body
    assert b"[DONE]" not in exchange.body


async def test_one_batch_is_one_write(tmp_path: Path):
    async with gateway(tmp_path, {"scripted": ScriptedEngine(DELTA * 50, DELTA * 50, END)}) as made:
        exchange = chat(made, True)
        await exchange.run()
    written = [message for message in exchange.sent if message.get("body")]
    assert len(written) == 3


async def test_a_body_that_stalls_is_a_408(tmp_path: Path):
    settings = settings_in(tmp_path, gateway=GatewaySettings(body_idle_seconds=0.05))
    async with gateway(tmp_path, settings=settings) as made:
        exchange = chat(made, False)

        async def stall() -> Message:
            await asyncio.sleep(60)
            raise AssertionError("read for too long")

        exchange._receive = stall
        await asyncio.wait_for(exchange.run(), 50)
    assert exchange.status == 408
    assert b"request_timeout" in exchange.body


async def test_a_client_that_leaves_before_its_body_is_whole_is_no_error(tmp_path: Path):
    async with gateway(tmp_path) as made:
        exchange = chat(made, False)

        async def gone() -> Message:
            return {"type": "http.disconnect"}

        exchange._receive = gone
        await exchange.run()
        assert b'status="499"' in made.services.metrics.render()
    assert exchange.sent == []


async def test_a_cancel_from_outside_is_not_taken_for_a_client_that_left():
    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def body() -> None:
        async with CancelOnDisconnect(receive):
            await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_task_of_a_client_that_left_may_go_on():
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        async with CancelOnDisconnect(receive):
            await asyncio.sleep(60)
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_silence_is_filled_with_comments_and_closing_closes_the_source():
    is_closed = False

    async def slow() -> AsyncGenerator[bytes, None]:
        nonlocal is_closed
        try:
            yield b"a"
            await asyncio.sleep(60)
        finally:
            is_closed = True

    source = slow()
    kept = with_keep_alive(source, 0.01)
    assert [await anext(kept), await anext(kept), await anext(kept)] == [b"a", KEEP_ALIVE, KEEP_ALIVE]
    await kept.aclose()
    await source.aclose()
    assert is_closed
