"""Runs over HTTP: accepted, joined, waited for, followed, canceled, forgotten; and nobody else's."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.gateway import CHAT, FORBIDDEN_HOST, Gateway, gateway
from sqlalchemy import update

from serve.domain.names import RunId, TenantName
from serve.gateway.app import create_app
from serve.gateway.run_requests import wait_seconds
from serve.storage.tables import runs

INPUT = {"messages": [{"role": "user", "content": "hi"}]}
PATH = f"/v1/models/{CHAT}/runs"


async def finish(made: Gateway, run_id: str) -> None:
    """End a run as a canceled one: no runner is needed for that."""
    await made.services.runs.request_cancel(TenantName("default"), RunId(run_id))


async def test_a_run_is_a_row_with_every_default_and_a_seed(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post(PATH, json={"input": INPUT})
        run = response.json()
        found = (await client.get(run["urls"]["self"])).json()
    assert response.status_code == 202
    assert (run["object"], run["status"], run["model"], run["task"]) == ("run", "queued", CHAT, "chat")
    assert run["request_id"] == response.headers["x-request-id"]
    assert run["created_at"].endswith("Z")
    assert run["input"]["temperature"] == 1.0
    assert isinstance(run["input"]["seed"], int)
    assert made.nudged == [run["id"]]
    assert found == run


async def test_a_seed_that_was_given_is_kept(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        run = (await client.post(PATH, json={"input": INPUT | {"seed": 7}})).json()
    assert run["input"]["seed"] == 7


async def test_the_same_idempotency_key_gives_the_first_run_and_another_body_a_409(tmp_path: Path):
    headers = {"idempotency-key": "k"}
    async with gateway(tmp_path) as made, made.client() as client:
        first = (await client.post(PATH, json={"input": INPUT, "priority": 1}, headers=headers)).json()
        again = (await client.post(PATH, json={"priority": 1, "input": INPUT}, headers=headers)).json()
        other = await client.post(PATH, json={"input": INPUT}, headers=headers)
        async with made.client(made.other_key) as stranger:
            theirs = (await stranger.post(PATH, json={"input": INPUT}, headers=headers)).json()
    assert again["id"] == first["id"]
    assert len(made.nudged) == 2
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reuse")
    assert other.headers["x-should-retry"] == "false"
    assert theirs["id"] != first["id"]


async def test_prefer_wait_answers_200_when_the_run_has_ended_in_time(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        waiting = asyncio.create_task(client.post(PATH, json={"input": INPUT}, headers={"prefer": "wait=30"}))
        while not made.nudged:
            await asyncio.sleep(0.01)
        await finish(made, made.nudged[0])
        response = await waiting
    assert (response.status_code, response.json()["status"]) == (200, "canceled")
    assert response.headers["preference-applied"] == "wait=30"


async def test_prefer_wait_answers_202_when_the_time_is_over(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post(PATH, json={"input": INPUT}, headers={"prefer": "wait=1"})
    assert (response.status_code, response.json()["status"]) == (202, "queued")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", None), ("wait=5", 5), ("respond-async, wait=100", 60), ("Wait = 0", 1), ("wait=-1", None), ("await=5", None)],
)
def test_prefer_is_read_as_the_rfc_has_it(header: str, seconds: int | None):
    assert wait_seconds(header) == seconds


BAD_RUNS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "no input": ({}, "missing_field", "input"),
    "unknown field": ({"input": INPUT, "x": 1}, "unknown_field", "x"),
    "unknown input": ({"input": INPUT | {"cache_salt": "a"}}, "unknown_field", "input.cache_salt"),
    "bad input": ({"input": INPUT | {"n": 2**31}}, "out_of_range", "input.n"),
    "image": (
        {"input": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}]}},
        "unsupported_modality",
        "input.messages.0.content.0",
    ),
    "foreign task": ({"input": INPUT, "task": "embedding"}, "unsupported_task", "task"),
    "no such task": ({"input": INPUT, "task": "dance"}, "invalid_value", "task"),
    "bad deadline": ({"input": INPUT, "deadline_s": 0}, "out_of_range", "deadline_s"),
    "bad priority": ({"input": INPUT, "priority": 11}, "out_of_range", "priority"),
    "private webhook": (
        {"input": INPUT, "webhook": {"url": f"http://{FORBIDDEN_HOST}/"}},
        "forbidden_address",
        "webhook.url",
    ),
}


@pytest.mark.parametrize(("body", "code", "param"), BAD_RUNS.values(), ids=BAD_RUNS.keys())
async def test_bad_runs_are_refused_by_name_and_leave_no_row(
    tmp_path: Path, body: dict[str, Any], code: str, param: str | None
):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post(PATH, json=body)
        listed = (await client.get("/v1/runs")).json()
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert listed["data"] == []


async def test_a_run_of_an_unknown_model_is_404(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/models/nope/runs", json={"input": INPUT})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_key_of_256_characters_is_too_long(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post(PATH, json={"input": INPUT}, headers={"idempotency-key": "k" * 256})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "idempotency-key")


async def test_lists_are_paged_and_filtered(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        made_ids = [(await client.post(PATH, json={"input": INPUT})).json()["id"] for _ in range(3)]
        await finish(made, made_ids[0])
        first = (await client.get("/v1/runs", params={"limit": 2})).json()
        rest = (await client.get("/v1/runs", params={"limit": 2, "after": first["data"][-1]["id"]})).json()
        queued = (await client.get("/v1/runs", params={"status": "queued", "model": CHAT})).json()
        of_models = (await client.get("/v1/runs", params={"kind": "model"})).json()
        of_workflows = (await client.get("/v1/runs", params={"kind": "workflow"})).json()
        bad = await client.get("/v1/runs", params={"status": "asleep"})
    assert [run["id"] for run in first["data"] + rest["data"]] == made_ids[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert len(queued["data"]) == 2
    assert (len(of_models["data"]), of_workflows["data"]) == (3, [])
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "status")


async def test_an_administrator_sees_what_waits_and_what_runs(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        empty = (await client.get("/v1/admin/queues")).json()
        ids = [(await client.post(PATH, json={"input": INPUT})).json()["id"] for _ in range(3)]
        await finish(made, ids[0])
        (queue,) = (await client.get("/v1/admin/queues")).json()["data"]
        (second,) = (await client.get("/v1/runs", params={"limit": 1, "after": ids[2]})).json()["data"]
    assert empty["data"] == []
    assert (queue["model"], queue["waiting"], queue["running"]) == (CHAT, 2, 0)
    assert queue["oldest_waiting_at"] == second["created_at"]


async def test_a_queued_run_is_canceled_at_once_and_can_be_forgotten(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        run = (await client.post(PATH, json={"input": INPUT})).json()
        canceled = await client.post(run["urls"]["cancel"])
        deleted = await client.delete(run["urls"]["self"])
        gone = await client.get(run["urls"]["self"])
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert gone.status_code == 404


async def test_events_stream_to_the_end_and_go_on_after_the_last_one_seen(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        run = (await client.post(PATH, json={"input": INPUT})).json()
        await finish(made, run["id"])
        whole = await client.get(run["urls"]["events"])
        rest = await client.get(run["urls"]["events"], headers={"last-event-id": "1"})
        bad = await client.get(run["urls"]["events"], headers={"last-event-id": "x"})
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert whole.headers["cache-control"] == "no-store"
    comment, *events = whole.text.strip().split("\n\n")
    assert comment.startswith(":")
    lines = [event.split("\n") for event in events]
    assert [(line[0], line[1]) for line in lines] == [("id: 1", "event: queued"), ("id: 2", "event: canceled")]
    assert all(json.loads(line[2].removeprefix("data: ")) is not None for line in lines)
    assert "id: 1\n" not in rest.text
    assert "id: 2\n" in rest.text
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "Last-Event-ID")


async def test_another_tenants_run_answers_as_an_unknown_one(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client, made.client(made.other_key) as stranger:
        run = (await client.post(PATH, json={"input": INPUT})).json()
        unknown = "0" * len(run["id"])
        for method, suffix in [
            ("GET", ""),
            ("POST", "/cancel"),
            ("DELETE", ""),
            ("GET", "/events"),
            ("GET", "/deliveries"),
        ]:
            theirs = await stranger.request(method, f"/v1/runs/{run['id']}{suffix}")
            nobodys = await stranger.request(method, f"/v1/runs/{unknown}{suffix}")
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.text.replace(run["id"], unknown) == nobodys.text
        assert (await stranger.get("/v1/runs")).json()["data"] == []
        assert (await client.get(run["urls"]["self"])).json()["status"] == "queued"


async def test_the_webhook_secret_is_the_tenants_own(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client, made.client(made.other_key) as stranger:
        mine = (await client.get("/v1/webhooks/secret")).json()["secret"]
        theirs = (await stranger.get("/v1/webhooks/secret")).json()["secret"]
    assert mine.startswith("whsec_")
    assert mine != theirs


async def test_a_runner_that_cannot_be_told_is_no_failure(tmp_path: Path):
    async def unreachable(run_id: RunId) -> None:
        raise ConnectionError(run_id)

    async with gateway(tmp_path) as made:
        app = create_app(replace(made.services, nudge=unreachable))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://slipway") as client:
            response = await client.post(PATH, json={"input": INPUT}, headers={"authorization": f"Bearer {made.key}"})
    assert response.status_code == 202


async def test_a_failed_runs_error_and_a_deadline_are_shown(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        run = (await client.post(PATH, json={"input": INPUT, "deadline_s": 5})).json()
        stored = await made.services.runs.get(TenantName("default"), RunId(run["id"]))
        async with made.services.records.write() as connection:
            error = {"code": "engine_failed", "message": "It broke.", "param": None}
            await connection.execute(update(runs).values(status="failed", error=error))
        failed = (await client.get(run["urls"]["self"])).json()
    assert stored.deadline_ms is not None
    assert abs(stored.deadline_ms - stored.created_ms - 5000) < 1000
    assert (failed["status"], failed["error"]["code"]) == ("failed", "engine_failed")
