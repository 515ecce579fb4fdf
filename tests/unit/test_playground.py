"""The playground: what a caller without a key may do, how often, and as whom."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.engines import ScriptedEngine
from fakes.gateway import CHAT, Gateway, gateway, model_document, settings_in
from pydantic import SecretStr
from sqlalchemy import select

from serve.domain.generation import Completed, Finished, TextDelta
from serve.domain.usage import Quantities
from serve.gateway.client_addresses import PEER_HEADER, peer_word
from serve.settings import AnonymousSettings, GatewaySettings, RaySettings
from serve.storage.tables import runs

OPEN = "open-chat"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
CHATS, RUNS = "/v1/chat/completions", f"/v1/models/{OPEN}/runs"
TOKEN = "the platform's token"
ID = "00000000-0000-7000-8000-000000000001"
ELSEWHERE = (
    "GET /v1/runs",
    "GET /v1/assets",
    "POST /v1/assets",
    f"DELETE /v1/assets/{ID}",
    f"DELETE /v1/runs/{ID}",
    f"GET /v1/runs/{ID}/deliveries",
    f"GET /v1/models/{OPEN}/prices",
    "GET /v1/webhooks/secret",
    "GET /v1/keys",
    "POST /v1/keys",
    "GET /v1/adapters",
    "GET /v1/usage",
    "GET /v1/budgets",
    "GET /v1/me",
    "GET /v1/admin/models",
)
CAPS = AnonymousSettings(
    requests_per_minute=10, requests_per_day=100, client_requests_per_minute=2, client_requests_per_day=20
)


def answers() -> ScriptedEngine:
    usage = Quantities(prompt_tokens=1, completion_tokens=1)
    return ScriptedEngine([TextDelta("a")], [Finished("stop"), Completed(usage)])


async def opened(made: Gateway) -> Gateway:
    """With its playground: one model."""
    document = model_document(OPEN, ["chat"], card={"title": OPEN, "playground": True})
    await made.services.catalog.apply(document, "api")
    return made


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    settings = settings_in(tmp_path, anonymous=CAPS, ray=RaySettings(token=SecretStr(TOKEN)))
    async with gateway(tmp_path, {OPEN: answers()}, settings) as running:
        yield await opened(running)


def stranger(made: Gateway, peer: str = "203.0.113.9") -> httpx.AsyncClient:
    """A client without a key whose socket is at `peer`."""
    transport = httpx.ASGITransport(made.app, client=(peer, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://slipway")


async def status(made: Gateway, peer: str, headers: dict[str, str] | None = None) -> int:
    async with stranger(made, peer) as client:
        return (await client.post(CHATS, json=BODY | {"model": OPEN}, headers=headers)).status_code


async def test_a_model_of_the_playground_answers_without_a_key(made: Gateway):
    async with stranger(made) as client:
        answer = await client.post(CHATS, json=BODY | {"model": OPEN})
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-limit-requests"] == "2"
    context = made.services.models._engines[OPEN].calls[0].context
    assert (context.tenant, context.project) == ("anonymous", "default")


async def test_other_models_ask_for_a_key_as_unknown_ones_do(made: Gateway):
    bodies = []
    async with stranger(made) as client:
        for model in (CHAT, "unknown"):
            found = [
                await client.post(CHATS, json=BODY | {"model": model}),
                await client.post(f"/v1/models/{model}/runs", json={"input": BODY}),
                await client.get(f"/v1/models/{model}"),
                await client.get(f"/v1/catalog/{model}"),
            ]
            assert [answer.status_code for answer in found] == [401] * 4
            bodies.append([answer.json() for answer in found])
    assert bodies[0] == bodies[1]
    assert bodies[0][0]["error"]["code"] == "missing_api_key"


async def test_a_wrong_key_is_not_made_good_by_the_playground(made: Gateway):
    async with stranger(made) as client:
        for wrong in (
            {"authorization": "Bearer slw_wrong"},
            {"authorization": "Bearer "},
            {"authorization": "Basic YQ"},
        ):
            assert (await client.post(CHATS, json=BODY | {"model": OPEN}, headers=wrong)).status_code == 401
        stale = {"cookie": "slipway=stale; __Host-slipway=stale"}
        assert (await client.get("/v1/models", headers=stale)).status_code == 401


async def test_the_catalogue_shows_a_stranger_the_playground_alone(made: Gateway):
    async with stranger(made) as client:
        models = (await client.get("/v1/models")).json()["data"]
        cards = (await client.get("/v1/catalog")).json()["data"]
    assert [model["id"] for model in models] == [OPEN]
    assert [card["name"] for card in cards] == [OPEN]


async def test_everything_else_asks_for_a_key(made: Gateway):
    async with stranger(made) as client:
        for request in ELSEWHERE:
            method, path = request.split()
            assert (await client.request(method, path)).status_code == 401, request


async def test_a_run_is_its_callers_by_its_id_and_no_other_tenants_is(made: Gateway):
    async with stranger(made) as client, made.client() as owner:
        run = (await client.post(RUNS, json={"input": BODY})).json()
        assert (await client.get(f"/v1/runs/{run['id']}")).json()["status"] == "queued"
        assert (await client.post(f"/v1/runs/{run['id']}/cancel")).json()["status"] == "canceled"
        other = (await owner.post(RUNS, json={"input": BODY})).json()
        assert (await client.get(f"/v1/runs/{other['id']}")).status_code == 404


async def test_a_stranger_is_told_what_a_call_would_cost_as_often_as_they_like(made: Gateway):
    async with stranger(made) as client:
        plans = [await client.post(f"/v1/models/{OPEN}/plan", json={"input": BODY}) for _ in range(4)]
        assert [plan.status_code for plan in plans] == [200] * 4
        assert (await client.post(f"/v1/models/{CHAT}/plan", json={"input": BODY})).status_code == 401
        assert (await client.post(RUNS, json={"input": BODY})).status_code == 202


async def test_a_stranger_has_no_pictures_read_for_a_plan(made: Gateway):
    painter = {"title": "Painter", "playground": True}
    document = model_document("painter", ["image_to_image"], card=painter, family="image_to_image")
    await made.services.catalog.apply(document, "api")
    body = {"input": {"prompt": "a boat", "image": "data:image/png;base64,AAAA"}}
    async with stranger(made) as client, made.client() as owner:
        refused = await client.post("/v1/models/painter/plan", json=body)
        read = await owner.post("/v1/models/painter/plan", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "input.image")
    assert read.json()["error"]["code"] == "unsupported_image"


async def test_an_idempotency_key_means_something_within_one_client_only(made: Gateway):
    ids = []
    for peer in ("203.0.113.9", "203.0.113.9", "203.0.113.10"):
        async with stranger(made, peer) as client:
            answer = await client.post(RUNS, json={"input": BODY}, headers={"idempotency-key": "1"})
            ids.append(answer.json()["id"])
    assert ids[0] == ids[1] != ids[2]


async def test_a_stranger_has_us_write_to_no_address(made: Gateway):
    async with stranger(made) as client:
        answer = await client.post(RUNS, json={"input": BODY, "webhook": {"url": "https://example.org/"}})
    assert answer.status_code == 403
    async with made.services.records.read() as connection:
        assert (await connection.execute(select(runs.c.id))).all() == []


async def test_a_client_has_its_share_and_not_more(made: Gateway):
    assert [await status(made, "203.0.113.9") for _ in range(3)] == [200, 200, 429]
    assert await status(made, "203.0.113.10") == 200


async def test_one_client_that_only_listens_leaves_places_for_others(tmp_path: Path):
    settings = settings_in(tmp_path, anonymous=CAPS, gateway=GatewaySettings(max_in_flight_per_tenant=32))
    engine = ScriptedEngine(600)
    async with gateway(tmp_path, {OPEN: engine}, settings) as made, stranger(await opened(made)) as client:
        call = BODY | {"model": OPEN}
        held = [asyncio.create_task(client.post(CHATS, json=call)) for _ in range(2)]
        await engine.has_calls(2)
        refused = await client.get("/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        async with stranger(made, "203.0.113.10") as other:
            assert (await other.get("/v1/models")).status_code == 200
        for task in held:
            task.cancel()
        await asyncio.wait(held)


async def test_new_addresses_of_one_network_are_one_client(made: Gateway):
    rotated = [await status(made, f"2001:db8:1:1::{number}") for number in range(1, 5)]
    assert rotated == [200, 200, 429, 429]


async def test_new_networks_of_one_site_have_four_clients_shares(made: Gateway):
    rotated = [await status(made, f"2001:db8:1:{number:x}::1") for number in range(1, 11)]
    assert rotated == [200] * 8 + [429] * 2
    assert await status(made, "2001:db8:2:1::1") == 200


async def test_a_header_makes_no_new_client(made: Gateway):
    for host, header in enumerate(("x-forwarded-for", "x-real-ip", "forwarded", PEER_HEADER)):
        peer = f"203.0.113.{host}"
        assert [await status(made, peer, {header: f"198.51.100.{number}"}) for number in range(3)] == [200, 200, 429]


async def test_clients_behind_our_haproxy_are_told_apart(made: Gateway):
    for number in range(3):
        seen = {PEER_HEADER: f"{peer_word(TOKEN)} 198.51.100.{number}"}
        assert await status(made, "127.0.0.1", seen) == 200


async def test_all_strangers_together_have_a_cap(made: Gateway):
    statuses = [await status(made, f"198.51.100.{number}") for number in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    async with made.client() as client:
        assert (await client.post(CHATS, json=BODY | {"model": OPEN})).status_code == 200


@pytest.mark.parametrize("enabled", [True, False], ids=["no-model", "off"])
async def test_without_a_playground_every_request_asks_for_a_key(tmp_path: Path, enabled: bool):
    settings = settings_in(tmp_path, anonymous=AnonymousSettings(enabled=enabled))
    async with gateway(tmp_path, {OPEN: answers()}, settings) as made:
        if not enabled:
            await opened(made)
        async with stranger(made) as client:
            assert (await client.get("/v1/models")).status_code == 401
            assert (await client.post(CHATS, json=BODY | {"model": OPEN})).status_code == 401
