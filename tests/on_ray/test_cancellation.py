"""Whoever leaves frees the engine: by every way of leaving, on both of Ray's transports."""

from collections.abc import Callable

import httpx
import pytest
from fakes.platform import TestPlatform, a_second, wait_for

LONG = {"model": "slow", "messages": [{"role": "user", "content": " ".join(["word"] * 1000)}]}


def running(client: httpx.Client) -> float:
    """Calls in the engine of `slow`, by the engine's own counters."""
    answer = client.get("/v1/admin/models/slow/counters")
    answer.raise_for_status()
    return float(answer.json()["running"])


def leave_a_stream(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/chat/completions", json=LONG | {"stream": True}) as answer:
        next(answer.iter_lines())


def leave_a_unary_call(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=LONG, timeout=httpx.Timeout(10, read=1.0))


def cancel_a_run(client: httpx.Client) -> None:
    run = client.post("/v1/models/slow/runs", json={"input": {"messages": LONG["messages"]}}).json()
    wait_for(lambda: running(client) >= 1, 120, "the run reaches the engine")
    canceled = client.post(f"/v1/runs/{run['id']}/cancel")
    assert canceled.status_code == 200
    wait_for(lambda: client.get(run["urls"]["self"]).json()["status"] == "canceled", 60, "the run is canceled")


def let_a_deadline_pass(client: httpx.Client) -> None:
    body = {"input": {"messages": LONG["messages"]}, "deadline_s": 1}
    run = client.post("/v1/models/slow/runs", json=body, headers={"Prefer": "wait=60"}).json()
    assert (run["status"], run["error"]["code"]) == ("failed", "deadline_exceeded")


@pytest.mark.parametrize("leave", [leave_a_stream, leave_a_unary_call, cancel_a_run, let_a_deadline_pass])
def test_the_engine_is_free_within_a_second(
    either_transport: TestPlatform, leave: Callable[[httpx.Client], None]
) -> None:
    with either_transport.client() as client:
        wait_for(lambda: running(client) == 0, 120, "the engine is idle")
        at_most = a_second(lambda: running(client))
        leave(client)
        wait_for(lambda: running(client) == 0, at_most, "the sequence is freed")
