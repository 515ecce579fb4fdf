"""Log lines."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.gateway import CHAT, gateway, settings_in

from serve.settings import LogSettings
from serve.telemetry import logs

BODY = {"model": CHAT, "messages": [{"role": "user", "content": "my secret words"}]}


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("prompts", [False, True], ids=["prompts-off", "prompts-on"])
async def test_a_request_is_one_line_and_prompts_are_in_it_only_when_asked_for(tmp_path: Path, prompts: bool):
    stream, log = io.StringIO(), LogSettings(prompts=prompts)
    logs.configure(log, stream)
    async with gateway(tmp_path, settings=settings_in(tmp_path, log=log)) as made, made.client() as client:
        response = await client.post("/v1/chat/completions", json=BODY, headers={"x-request-id": "theirs"})
        await client.post("/v1/chat/completions", json=BODY | {"max_tokens": "my secret words"})
    (line, refused) = [line for line in lines_of(stream) if line["logger"] == "slipway.access"]
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["client_request_id"], line["tenant"], line["model"]) == ("theirs", "default", CHAT)
    assert (line["route"], line["status"], line["completion_tokens"]) == ("/v1/chat/completions", 200, 3)
    assert line["key_id"] in made.key
    assert isinstance(line["ms"], float)
    assert refused["status"] == 400
    assert made.key not in stream.getvalue()
    assert ("my secret words" in stream.getvalue()) is prompts


async def test_fields_belong_to_one_task():
    async def one(name: str) -> object:
        logs.begin(request_id=name)
        await asyncio.sleep(0)
        logs.bind(model=name)
        return dict(logs.bound())

    assert await asyncio.gather(one("a"), one("b")) == [
        {"request_id": "a", "model": "a"},
        {"request_id": "b", "model": "b"},
    ]


def test_a_line_holds_a_traceback_and_stays_one_line():
    stream = io.StringIO()
    logs.configure(LogSettings(), stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("test").exception("broken")
    (line,) = lines_of(stream)
    assert (line["level"], line["message"]) == ("ERROR", "broken")
    assert "two\nlines" in str(line["traceback"])


def test_lines_reach_standard_error_whatever_stands_in_its_place(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # Ray Serve's own holds lines back
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    logs.configure(LogSettings())
    logging.getLogger("test").info("shown")
    assert [line["message"] for line in lines_of(sys.__stderr__)] == ["shown"]


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()], ids=["json", "text"])
def test_a_traceback_is_whole_where_print_is_not_pythons(formatter: logging.Formatter, monkeypatch: pytest.MonkeyPatch):
    error = ValueError("why")
    record = logging.makeLogRecord({"msg": "broken", "exc_info": (ValueError, error, None)})
    monkeypatch.setattr("builtins.print", lambda *objects, **_: objects[0].no_such_attribute)  # Ray Serve's spoils it
    assert "ValueError: why" in formatter.format(record)


def test_a_poll_of_ray_is_no_line():
    logs.configure(LogSettings(), stream := io.StringIO())
    logging.getLogger("httpx").info("HTTP Request")
    assert not stream.getvalue()


def test_text_is_for_people_and_configuring_twice_writes_once():
    stream = io.StringIO()
    for _ in range(2):
        logs.configure(LogSettings(format="text", level="WARNING"), stream)
    logs.begin(model="m", note="two words")
    logging.getLogger("test").info("silent")
    logging.getLogger("test").warning("shown")
    assert stream.getvalue().count("\n") == 1
    assert "WARNING shown model=m note='two words'" in stream.getvalue()
