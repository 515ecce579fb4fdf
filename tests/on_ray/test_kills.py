"""kill -9 of each part, as its users notice it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest
from fakes.platform import TestPlatform, echo_document, wait_for

WORDS = " ".join(f"word{index}" for index in range(400))


pytestmark = pytest.mark.kills_the_gateway


def chat(model: str, content: str = WORDS, **options: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **options}


def stream_lines(client: httpx.Client, body: dict[str, object], heard: list[str]) -> None:
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        heard.extend(line for line in answer.iter_lines() if line)


@dataclass
class Bereaved:
    """Two calls whose replica died, and the next one."""

    heard: list[str]
    unary: httpx.Response
    again: httpx.Response
    seconds: float
    """Until the next one was answered."""


@pytest.fixture(scope="module")
def bereaved(platform: TestPlatform) -> Bereaved:
    """A model of this file's own, at 40 ms a token, dies once: starting it again takes longer than all else here."""
    platform.apply(echo_document("fragile", engine={"tokenMs": 40}))
    heard: list[str] = []
    with platform.client() as client, ThreadPoolExecutor(2) as together:
        reading = together.submit(stream_lines, client, chat("fragile", stream=True), heard)
        unary = together.submit(client.post, "/v1/chat/completions", json=chat("fragile", " ".join(["w"] * 100)))
        wait_for(lambda: len(heard) > 5 or reading.done(), 120, "some of the stream")
        wait_for(lambda: running(client, "fragile") == 2, 120, "both run")
        platform.kill("ServeReplica:model-fragile:replica")
        reading.result(60)
        began = time.monotonic()
        again = client.post("/v1/chat/completions", json=chat("fragile", "again"))
        return Bereaved(heard, unary.result(120), again, time.monotonic() - began)


def running(client: httpx.Client, model: str) -> float:
    """Calls in the engine, by its own counters."""
    return float(client.get(f"/v1/admin/models/{model}/counters").raise_for_status().json()["running"])


def test_a_stream_whose_replica_dies_ends_with_an_error_event_and_the_next_request_succeeds(bereaved: Bereaved) -> None:
    assert json.loads(bereaved.heard[-1].removeprefix("data: "))["error"]["code"] == "replica_lost"
    assert bereaved.again.status_code == 200
    assert bereaved.seconds < 60


def test_a_unary_call_outlives_its_replica(bereaved: Bereaved) -> None:
    assert bereaved.unary.status_code == 200


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("ServeReplica:gateway:gateway", id="the gateway"),
        pytest.param("ServeReplica:runner:runner", id="the runner", marks=pytest.mark.long),
        pytest.param("ServeReplica:model-slow:replica", id="the model's replica"),
    ],
)
def test_runs_finish_once_whatever_dies(platform: TestPlatform, part: str) -> None:
    words = " ".join(f"w{index}" for index in range(75))
    body = {"input": {"messages": [{"role": "user", "content": words}]}}
    with platform.client() as client:
        ids = [client.post("/v1/models/slow/runs", json=body).json()["id"] for _ in range(6)]
        wait_for(lambda: status(client, ids[0]) == "running", 120, "the first run starts")
        time.sleep(0.5)
        platform.kill(part)
        for run_id in ids:
            wait_for(lambda run_id=run_id: status(client, run_id) == "succeeded", 180, f"run {run_id}")
            wait_for(lambda run_id=run_id: bool(events(client, run_id)), 180, "a gateway tells its events")
            run = client.get(f"/v1/runs/{run_id}").json()
            assert run["output"]["text"] == words
            assert run["usage"]["completion_tokens"] == 75
            endings = [kind for kind in events(client, run_id) if kind in ("succeeded", "failed", "canceled")]
            assert endings == ["succeeded"]


def status(client: httpx.Client, run_id: str) -> str:
    """The run's status; a gateway that is being replaced is asked again."""
    try:
        answer = client.get(f"/v1/runs/{run_id}")
        return str(answer.json()["status"]) if answer.status_code == 200 else ""
    except (httpx.HTTPError, ValueError):
        return ""


def events(client: httpx.Client, run_id: str) -> list[str]:
    """Their kinds; none while a gateway is being replaced."""
    try:
        text = client.get(f"/v1/runs/{run_id}/events").text
    except httpx.HTTPError:
        return []
    return [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]


@pytest.mark.long
def test_a_wedged_engine_is_replaced_within_a_minute(platform: TestPlatform) -> None:
    platform.apply(echo_document("wedge"))
    with platform.client(timeout=5) as impatient, pytest.raises(httpx.TimeoutException):
        impatient.post("/v1/chat/completions", json=chat("wedge", "!wedge"))
    began = time.monotonic()
    with platform.client(timeout=5) as client:

        def answers() -> bool:
            try:
                return client.post("/v1/chat/completions", json=chat("wedge", "hello")).status_code == 200
            except httpx.TimeoutException:
                return False

        wait_for(answers, 60, "another replica answers")
    assert time.monotonic() - began < 60
