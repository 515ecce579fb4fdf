"""The command line against servers that misbehave: what it says, and the exit code."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.http_server import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from typer.testing import CliRunner, Result

from serve.cli import follow
from serve.cli.main import build_app

CARD = {
    "name": "echo",
    "tasks": ["completion"],
    "inputs": {"completion": {"properties": {"prompt": {"type": "string"}}, "additionalProperties": False}},
}
RUN = {"id": "r1", "model": "echo", "task": "completion", "status": "queued", "usage": {"completion_tokens": 2}}
Handler = Callable[[Request], Any]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No context, no environment, no waiting."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    monkeypatch.setattr(follow, "_FIRST_PAUSE_SECONDS", 0.001)


def slipway(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(build_app(), list(arguments), **options)


@contextmanager
def answering(**handlers: Handler) -> Iterator[str]:
    """A server: `get_v1_runs` answers GET /v1/runs, and `any` everything that is left."""

    async def dispatch(request: Request) -> Response:
        name = request.method.lower() + request.url.path.replace("/", "_")
        answer: Response = await handlers.get(name, handlers.get("any", _nothing))(request)
        return answer

    @asynccontextmanager
    async def build() -> AsyncIterator[Starlette]:
        yield Starlette(routes=[Route("/{path:path}", dispatch, methods=["GET", "POST", "PUT", "DELETE"])])

    with serving(build) as url:
        yield url


async def _nothing(_: Request) -> Response:
    return PlainTextResponse("no such thing", 404)


def always(body: Any, status: int = 200, **headers: str) -> Handler:
    async def handler(_: Request) -> Response:
        return JSONResponse(body, status, {name.replace("_", "-"): value for name, value in headers.items()})

    return handler


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "param": None, "code": "c"} | more}


def test_no_platform_is_exit_3_and_says_how_to_start_one() -> None:
    result = slipway("--url", "http://127.0.0.1:1", "get", "models")
    assert result.exit_code == 3
    assert "slipway up" in result.stderr
    assert "Traceback" not in result.output


REFUSALS: dict[str, tuple[int, int]] = {
    "bad-request": (400, 4),
    "no-key": (401, 4),
    "conflict": (409, 4),
    "overloaded": (429, 4),
    "broken": (500, 1),
    "loading": (503, 1),
}


@pytest.mark.parametrize(("status", "exit_code"), REFUSALS.values(), ids=REFUSALS.keys())
def test_the_platforms_own_words_are_shown_with_what_support_asks_for(status: int, exit_code: int) -> None:
    body = error("Because \x1b[31mof this.", param="input.steps", code="too_many")
    with answering(any=always(body, status, x_request_id="req-1", retry_after="7")) as url:
        result = slipway("get", "models", "--url", url)
    assert result.exit_code == exit_code
    assert result.stderr == (
        "error: Because [31mof this.\ncode: too_many  field: input.steps  retry after: 7 s  request: req-1\n"
    )
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("handler", "exit_code"),
    [(always([1, 2]), 3), (_nothing, 4), (always({"error": "oops"}, 502), 1), (always({"error": {}}, 400), 4)],
    ids=["a-list", "a-web-server", "a-proxy-error", "an-error-without-words"],
)
def test_something_else_at_the_address_is_no_traceback(handler: Handler, exit_code: int) -> None:
    with answering(any=handler) as url:
        result = slipway("get", "models", "--url", url)
    assert result.exit_code == exit_code
    assert "error: " in result.stderr
    assert "Traceback" not in result.output


def test_a_key_that_no_header_can_carry_is_a_usage_error() -> None:
    assert slipway("get", "models", "--key", "schlüssel\u2028", "--url", "http://127.0.0.1:1").exit_code == 2


def test_names_are_quoted_into_one_segment_of_the_path() -> None:
    seen: list[bytes] = []

    async def remember(request: Request) -> Response:
        seen.append(request.scope["raw_path"])
        return JSONResponse(error("no"), 404)

    with answering(any=remember) as url:
        for name in ("../admin/documents", "..", "a/b?c#d", "é"):
            assert slipway("delete", "run", name, "--url", url).exit_code == 4
    assert seen == [
        b"/v1/runs/..%2Fadmin%2Fdocuments",
        b"/v1/runs/%2E%2E",
        b"/v1/runs/a%2Fb%3Fc%23d",
        b"/v1/runs/%C3%A9",
    ]


def test_a_limit_over_one_page_is_filled_from_as_many_as_it_takes() -> None:
    asked: list[dict[str, str]] = []

    async def page(request: Request) -> Response:
        asked.append(dict(request.query_params))
        first = int(asked[-1].get("after", "0"))
        ids = range(first + 1, first + int(asked[-1]["limit"]) + 1)
        return JSONResponse({"data": [RUN | {"id": str(n)} for n in ids], "has_more": True})

    with answering(get_v1_runs=page) as url:
        result = slipway("get", "runs", "--limit", "130", "--url", url, "-o", "json")
    assert [run["id"] for run in json.loads(result.stdout)] == [str(n) for n in range(1, 131)]
    assert asked == [{"limit": "100"}, {"limit": "30", "after": "100"}]


USAGE_ERRORS: dict[str, list[str]] = {
    "unknown-command": ["gte"],
    "unknown-kind": ["get", "pods"],
    "kind-without-filter": ["get", "models", "--status", "running"],
    "bad-format": ["get", "models", "-o", "xml"],
    "bad-url": ["get", "models", "--url", "localhost"],
    "bad-limit": ["get", "runs", "--limit", "0"],
    "undeletable": ["delete", "tenant", "x"],
    "describe-key": ["describe", "key", "x"],
    "no-such-file": ["apply", "-f", "/no/such/file.yaml"],
    "bad-expiry": ["keys", "create", "t", "--expires", "soon"],
}


@pytest.mark.parametrize("arguments", USAGE_ERRORS.values(), ids=USAGE_ERRORS.keys())
def test_a_command_line_that_makes_no_sense_is_exit_2_before_anything_is_sent(arguments: list[str]) -> None:
    result = slipway(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""


# Following a run


def whole(text: str) -> dict[str, Any]:
    return {"text": text, "choices": [{"index": 0, "text": text, "finish_reason": "stop"}]}


def events(*lines: tuple[int, str, dict[str, Any]]) -> str:
    return "".join(f"id: {seq}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for seq, kind, data in lines)


def run_server(stream: Handler, final: dict[str, Any], **more: Handler) -> Any:
    return answering(
        get_v1_catalog_echo=always(CARD),
        post_v1_models_echo_runs=always(RUN, 202),
        get_v1_runs_r1_events=stream,
        get_v1_runs_r1=always(RUN | final),
        **more,
    )


def test_a_cut_event_stream_is_resumed_and_no_event_shows_twice() -> None:
    story = [
        (1, "queued", {}),
        (2, "started", {}),
        (3, "output", {"index": 0, "text": "Hello "}),
        (4, "output", {"index": 0, "text": "world"}),
        (5, "succeeded", {}),
    ]
    asked: list[str | None] = []

    async def two_at_a_time(request: Request) -> Response:
        asked.append(request.headers.get("last-event-id"))
        after = int(asked[-1] or 0)
        return StreamingResponse(iter([": hi\n\n" + events(*story[after : after + 2])]), media_type="text/event-stream")

    with run_server(two_at_a_time, {"status": "succeeded", "output": whole("Hello world")}) as url:
        result = slipway("run", "echo", "prompt=hi", "--url", url)
    assert (result.exit_code, result.stdout) == (0, "Hello world\n"), result.output
    assert asked == [None, "2", "4"]


def test_an_answer_that_starts_again_is_announced() -> None:
    story = [
        (1, "started", {}),
        (2, "output", {"index": 0, "text": "Hel"}),
        (3, "started", {}),
        (4, "output", {"index": 0, "text": "Hello"}),
        (5, "succeeded", {}),
    ]

    async def stream(_: Request) -> Response:
        return Response(events(*story), media_type="text/event-stream")

    with run_server(stream, {"status": "succeeded", "output": whole("Hello")}) as url:
        result = slipway("run", "echo", "prompt=hi", "--url", url)
    assert result.stdout == "Hel\nHello\n"
    assert "starts again" in result.stderr


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_run_that_does_not_succeed_is_exit_5(status: str) -> None:
    async def stream(_: Request) -> Response:
        return Response(events((1, status, {})), media_type="text/event-stream")

    reason = {"code": "engine_failed", "message": "The engine broke.", "param": None}
    with run_server(stream, {"status": status, "error": reason if status == "failed" else None}) as url:
        result = slipway("run", "echo", "prompt=hi", "--url", url)
        as_json = slipway("run", "echo", "prompt=hi", "--url", url, "-o", "json")
    assert result.exit_code == as_json.exit_code == 5
    assert ("The engine broke." if status == "failed" else "canceled") in result.stderr
    assert json.loads(as_json.stdout)["status"] == status


def test_a_stream_that_never_ends_properly_is_given_up() -> None:
    async def stream(_: Request) -> Response:
        return Response(": nothing\n\n", media_type="text/event-stream")

    with run_server(stream, {}) as url:
        assert slipway("run", "echo", "prompt=hi", "--url", url).exit_code == 3


def test_further_choices_and_tool_calls_are_shown_at_the_end() -> None:
    async def stream(_: Request) -> Response:
        return Response(events((1, "output", {"index": 0, "text": "a"}), (2, "succeeded", {})))

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    choices = [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}, {"index": 2, "text": "", "tool_calls": [call]}]
    with run_server(stream, {"status": "succeeded", "output": {"text": "a", "choices": choices}}) as url:
        result = slipway("run", "echo", "prompt=hi", "--url", url)
    assert result.stdout.startswith("a\n[2] b\n[\n")
    assert json.loads(result.stdout.partition("[2] b\n")[2]) == [call]


INTERRUPTS: dict[str, tuple[str, int, int]] = {"cancel": ("c\n", 5, 1), "detach": ("d\n", 0, 0), "enter": ("\n", 0, 0)}


@pytest.mark.parametrize(("answer", "exit_code", "num_cancels"), INTERRUPTS.values(), ids=INTERRUPTS.keys())
def test_ctrl_c_asks_whether_to_cancel_or_detach(
    answer: str, exit_code: int, num_cancels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancels: list[str] = []

    async def cancel(_: Request) -> Response:
        cancels.append("cancel")
        return JSONResponse(RUN)

    async def stream(_: Request) -> Response:
        return Response(events((2, "canceled", {})) if cancels else events((1, "log", {"message": "working"})))

    _interrupt_at_the_first_event(monkeypatch)
    monkeypatch.setattr("serve.cli.run._can_ask", lambda: True)
    with run_server(stream, {"status": "canceled"}, post_v1_runs_r1_cancel=cancel) as url:
        result = slipway("run", "echo", "prompt=hi", "--url", url, input=answer)
    assert (result.exit_code, len(cancels)) == (exit_code, num_cancels), result.output


def test_ctrl_c_where_nobody_can_be_asked_leaves_the_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream(_: Request) -> Response:
        return Response(events((1, "log", {"message": "working"})))

    _interrupt_at_the_first_event(monkeypatch)
    with run_server(stream, {}) as url:
        result = slipway("run", "echo", "prompt=hi", "--url", url)
    assert result.exit_code == 0
    assert "slipway describe run r1" in result.stderr


def _interrupt_at_the_first_event(monkeypatch: pytest.MonkeyPatch) -> None:
    show, num_shown = follow.Display.show, 0

    def interrupted(self: follow.Display, event: Any) -> None:
        nonlocal num_shown
        num_shown += 1
        show(self, event)
        if num_shown == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(follow.Display, "show", interrupted)


# Chat


def test_an_error_in_the_middle_of_an_answer_ends_with_its_sentence() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "Well"}}]}
    sent = f"data: {json.dumps(chunk)}\n\ndata: {json.dumps(error('The replica died.'))}\n\n"

    async def stream(_: Request) -> Response:
        return Response(sent, media_type="text/event-stream")

    with answering(post_v1_chat_completions=stream) as url:
        result = slipway("chat", "echo", "-m", "hi", "--url", url)
    assert result.exit_code == 1
    assert result.stdout == "Well\n"
    assert "The replica died." in result.stderr


def test_the_command_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "serve.cli.main", "--version"], capture_output=True, check=True)
    assert done.stdout.strip()
