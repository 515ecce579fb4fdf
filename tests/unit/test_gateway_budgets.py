"""Budgets and credit over HTTP and on the command line: who may set what, and what each caller sees."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fakes.gateway import CHAT, Gateway, gateway

from serve.auth.access import Scope


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as made:
        yield made


async def key_of(platform: Gateway, tenant: str, *scopes: Scope) -> str:
    _, token = await platform.services.keys.create(
        tenant=tenant, project="default", title="test", scopes=scopes, parent=None
    )
    return token


async def made(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/budgets", json={"period": "month"} | body)


async def test_a_budget_is_made_shown_changed_and_deleted(platform: Gateway) -> None:
    async with platform.client() as client:
        budget = (await made(client, limit_usd="25.00", soft_limit_usd="20", title="trial")).json()
        assert budget["limit"] == {"nano_usd": 25 * 10**9, "usd": "25"}
        assert budget["remaining"] == budget["limit"]
        assert (budget["set_by"], budget["soft_exceeded"], budget["project"]) == ("admin", False, None)
        path = f"/v1/budgets/{budget['id']}"
        changed = (await client.patch(path, json={"soft_limit_usd": None, "limit_usd": "30"})).json()
        assert (changed["soft_limit"], changed["limit"]["usd"], changed["title"]) == (None, "30", "trial")
        assert (await client.get(path)).json() == changed
        assert (await client.get("/v1/budgets")).json()["data"] == [changed]
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"limit_usd": "-1"},
        {"limit_usd": "1e3"},
        {"limit_usd": 5},
        {"limit_usd": "0.0000000001"},
        {"limit_usd": "1", "period": "week"},
        {"limit_usd": "1", "title": "two\nlines"},
    ],
    ids=["no-limit", "negative", "exponent", "number", "too-fine", "period", "title"],
)
async def test_budgets_that_make_no_sense_are_refused(platform: Gateway, body: dict[str, object]) -> None:
    async with platform.client() as client:
        assert (await made(client, **body)).status_code == 400


async def test_an_owner_sets_budgets_of_its_tenant_and_changes_none_that_an_administrator_set(
    platform: Gateway,
) -> None:
    async with platform.client() as admin:
        theirs = (await made(admin, limit_usd="5", tenant="other")).json()
    async with platform.client(await key_of(platform, "other", Scope.BUDGETS, Scope.READ)) as owner:
        own = (await made(owner, limit_usd="1")).json()
        assert (own["tenant"], own["set_by"]) == ("other", "tenant")
        assert (await owner.patch(f"/v1/budgets/{own['id']}", json={"limit_usd": "2"})).status_code == 200
        refused = await owner.patch(f"/v1/budgets/{theirs['id']}", json={"limit_usd": "500"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
        assert (await owner.delete(f"/v1/budgets/{theirs['id']}")).status_code == 403
        assert (await made(owner, limit_usd="1", tenant="default")).status_code == 403
        assert (await owner.post("/v1/admin/credits", json={"tenant": "other", "amount_usd": "1"})).status_code == 403


async def test_another_tenant_s_budget_answers_as_an_unknown_one(platform: Gateway) -> None:
    async with platform.client() as admin:
        budget = (await made(admin, limit_usd="5")).json()
    async with platform.client(await key_of(platform, "other", Scope.BUDGETS, Scope.READ)) as owner:
        for method in ("GET", "DELETE"):
            theirs = await owner.request(method, f"/v1/budgets/{budget['id']}")
            unknown = await owner.request(method, "/v1/budgets/nothing")
            assert theirs.status_code == unknown.status_code == 404
            told = theirs.json()["error"]["message"].replace(budget["id"], "nothing")
            assert told == unknown.json()["error"]["message"]


async def test_a_key_that_only_reads_sees_what_limits_it_and_sets_nothing(platform: Gateway) -> None:
    async with platform.client() as admin:
        await admin.post("/v1/projects", json={"name": "web"})
        mine = (await made(admin, limit_usd="5")).json()
        other = (await made(admin, limit_usd="5", project="web")).json()
    async with platform.client(await key_of(platform, "default", Scope.READ)) as reader:
        assert [one["id"] for one in (await reader.get("/v1/budgets")).json()["data"]] == [mine["id"]]
        assert (await reader.get(f"/v1/budgets/{other['id']}")).status_code == 404
        assert (await made(reader, limit_usd="1")).status_code == 403


async def test_credit_is_granted_seen_by_its_tenant_and_voided(platform: Gateway) -> None:
    async with platform.client() as admin:
        grant = (await admin.post("/v1/admin/credits", json={"tenant": "other", "amount_usd": "12.5"})).json()
        assert (await admin.get("/v1/credits")).json()["remaining"]["usd"] == "0"
        async with platform.client(platform.other_key) as owner:
            seen = (await owner.get("/v1/credits")).json()
            assert (seen["tenant"], seen["billing"], seen["remaining"]["usd"]) == ("other", "postpaid", "12.5")
            assert [one["id"] for one in seen["grants"]] == [grant["id"]]
            assert (await owner.get("/v1/credits", params={"tenant": "default"})).status_code == 403
        assert (await admin.delete(f"/v1/admin/credits/{grant['id']}")).status_code == 204
        assert (await admin.get("/v1/admin/credits")).json()["data"][0]["voided_at"] is not None
        assert (await admin.delete(f"/v1/admin/credits/{grant['id']}")).status_code == 404


async def test_a_call_that_no_budget_has_room_for_is_a_429_that_clients_do_not_repeat(platform: Gateway) -> None:
    async with platform.client() as client:
        rate = {"prompt": "1", "completion": "1"}
        priced = await client.put(f"/v1/admin/prices/{CHAT}", json=rate)
        assert priced.status_code in (200, 201), priced.text
        await made(client, limit_usd="0.000000001", title="tiny")
        body = {"model": CHAT, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
        refused = await client.post("/v1/chat/completions", json=body)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "'tiny'" in error["message"]
        assert "retry-after" not in refused.headers
