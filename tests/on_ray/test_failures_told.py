"""What a person is told when something cannot work: in the answer, on the card, in the log."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.platform import BROKEN, TestPlatform, wait_for

MESSAGES = [{"role": "user", "content": "hello"}]


def chat(client: httpx.Client, model: str, **fields: Any) -> httpx.Response:
    return client.post("/v1/chat/completions", json={"model": model, "messages": MESSAGES, **fields})


def run_of(client: httpx.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/runs/{run_id}").json()
    return found


def test_a_model_that_cannot_start_says_why(platform: TestPlatform, request: pytest.FixtureRequest) -> None:
    broken = "there is nothing at /nowhere/nothing"
    with platform.client() as client:
        wait_for(lambda: platform.model_state(client, BROKEN) == "failed", 120, "the model has failed")
        assert broken in client.get(f"/v1/catalog/{BROKEN}").json()["message"]
        refused = chat(client, BROKEN)
        assert refused.status_code == 503
        assert broken in refused.json()["error"]["message"]
        assert chat(client, "echo").status_code == 200
    request.getfixturevalue("orphan")  # deletes the model; what comes of its run takes half a minute


@pytest.mark.comes_late
def test_the_runs_of_a_model_that_cannot_start_end_with_it(platform: TestPlatform, orphan: str) -> None:
    with platform.client() as client:
        wait_for(lambda: run_of(client, orphan)["status"] == "failed", 90, "the run has failed")
        assert run_of(client, orphan)["error"]["code"] == "model_not_found"


def test_a_prompt_of_megabytes_is_refused_by_the_model_and_not_by_the_transport(
    either_transport: TestPlatform,
) -> None:
    with either_transport.client() as client:
        answer = chat(client, "echo", messages=[{"role": "user", "content": "a " * 3_000_000}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_request_is_in_the_log_at_once_and_once(either_transport: TestPlatform) -> None:
    with either_transport.client() as client:
        request_id = chat(client, "echo").headers["x-request-id"]
    (gateway,) = either_transport.pids("ServeReplica:gateway")
    log = Path(f"/proc/{gateway}/fd/2").readlink()

    def lines() -> list[str]:
        return [line for line in log.read_text().splitlines() if request_id in line]

    wait_for(lambda: bool(lines()), 20, "the request is in the log, which is written by the next one at the latest")
    time.sleep(0.5)
    assert len(lines()) == 1
    assert lines()[0].startswith('{"time":')
