"""Who comes in: keys, scopes, paths, places."""

from pathlib import Path

import pytest
from fakes.asgi import Exchange
from fakes.effort import effort
from fakes.engines import ScriptedEngine
from fakes.gateway import CHAT, gateway, settings_in
from fastapi.routing import APIRoute
from pydantic import SecretStr

from serve.auth.access import Scope
from serve.domain.generation import Completed, Finished, TextDelta
from serve.domain.usage import Quantities
from serve.gateway.access import PUBLIC_PATHS
from serve.gateway.app import create_app
from serve.settings import GatewaySettings

SQL = "x' OR (SELECT pg_sleep(8)) IS NOT NULL --"
BODY = b'{"model":"slow","messages":[{"role":"user","content":"hi"}]}'
ANSWER = [TextDelta("a"), Finished("stop"), Completed(Quantities())]


def protected_routes() -> list[tuple[str, str]]:
    """(method, path) of every route that needs a key."""
    routes = [route for route in create_app(None).routes if isinstance(route, APIRoute)]
    found = [(method, route.path) for route in routes for method in route.methods if route.path not in PUBLIC_PATHS]
    assert len(found) > 20
    return sorted(found)


@pytest.mark.parametrize("token", [None, "", SQL, "slw_" + "a" * 5000, "slw_x_y", "\x00"], ids=range(6))
async def test_no_route_opens_without_a_good_key(tmp_path: Path, token: str | None):
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with gateway(tmp_path) as made:
        for method, path in protected_routes():
            exchange = Exchange(made.app, path.replace("{", "").replace("}", ""), BODY, headers, method)
            with effort() as spent:
                await exchange.run()
            assert exchange.status == 401, path
            assert b'"authentication_error"' in exchange.body
            assert spent.seconds < 0.5


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "/V1/models",
        "/v1/models/",
        "/v1/models.",
        "/v1//models",
        "/v1/../v1/models",
        "/livez/../v1/models",
        "/livez/",
        "/docs/../v1/keys",
        "/v1/models%2f",
        "/v1/models\\",
        "/v1/models;a=b",
        "/metrics/x",
        "",
        "*",
    ],
)
async def test_odd_paths_never_open_anything(tmp_path: Path, path: str):
    async with gateway(tmp_path) as made:
        for headers in ({}, {"host": "evil/?"}, {"host": "evil/#"}, {"host": "evil/livez?"}):
            exchange = Exchange(made.app, path, b"", headers, "GET")
            await exchange.run()
            assert exchange.status in (401, 404), path
        known = Exchange(made.app, path, b"", {"authorization": f"Bearer {made.key}", "host": "x/?"}, "GET")
        await known.run()
        assert known.status == 404, path


@pytest.mark.parametrize(
    "path",
    [
        "/invocations",
        "/pause",
        "/resume",
        "/update_weights",
        "/tokenize",
        "/detokenize",
        "/collective_rpc",
        "/inference/v1/generate",
        "/ping",
        "/v1/load_lora_adapter",
        "/v1/responses",
        "/v1/chat/completions/render",
        "/redoc",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_engines_own_routes_are_not_there(tmp_path: Path, path: str, method: str):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.request(method, path, content=b"{}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "route_not_found")


async def test_a_wrong_method_is_405_and_says_which_are_right(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.get("/v1/chat/completions")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        (Scope.READ, "POST", "/v1/chat/completions"),
        (Scope.READ, "POST", f"/v1/models/{CHAT}/runs"),
        (Scope.READ, "POST", "/v1/assets"),
        (Scope.INFERENCE, "GET", "/v1/models"),
        (Scope.INFERENCE, "GET", "/v1/runs"),
        (Scope.INFERENCE, "GET", "/v1/keys"),
        (Scope.READ, "GET", "/v1/webhooks/secret"),
        (Scope.KEYS, "GET", "/v1/admin/documents"),
        (Scope.KEYS, "POST", "/v1/admin/tenants"),
    ],
)
async def test_a_key_without_the_scope_is_403(tmp_path: Path, scope: Scope, method: str, path: str):
    async with gateway(tmp_path) as made:
        _, key = await made.services.keys.create(
            tenant="default", project="default", title="narrow", scopes=[scope], parent=None
        )
        async with made.client(key) as client:
            response = await client.request(method, path, content=BODY)
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (403, "permission_error")
    assert "scope" in error["message"]


async def test_public_paths_need_no_key_and_no_place(tmp_path: Path):
    settings = settings_in(tmp_path, gateway=GatewaySettings(max_in_flight=1))
    engine = ScriptedEngine(600)
    async with gateway(tmp_path, {"slow": engine}, settings) as made, made.client("") as client:
        held = Exchange(made.app, "/v1/chat/completions", BODY, {"authorization": f"Bearer {made.key}"})
        task = held.start()
        await engine.has_calls(1)
        for path in ("/livez", "/readyz", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200
        held.leave()
        await task


@pytest.mark.parametrize(
    ("token", "status"), [("", 401), ("wrong", 401), ("scraper", 200)], ids=["nothing", "wrong", "the metrics token"]
)
async def test_metrics_tell_of_every_tenant_and_so_take_the_metrics_token(tmp_path: Path, token: str, status: int):
    settings = settings_in(tmp_path, gateway=GatewaySettings(metrics_token=SecretStr("scraper")))
    async with gateway(tmp_path, settings=settings) as made, made.client(token) as client:
        assert (await client.get("/metrics")).status_code == status


@pytest.mark.parametrize("scopes", [["inference", "read", "keys"], ["admin"]], ids=["a tenant's", "an administrator's"])
async def test_of_keys_only_administrators_open_the_metrics(tmp_path: Path, scopes: list[str]):
    async with gateway(tmp_path) as made, made.client() as admin:
        key = (await admin.post("/v1/keys", json={"title": "scraper", "scopes": scopes})).json()["key"]
        async with made.client(key) as client:
            assert (await client.get("/metrics")).status_code == (200 if "admin" in scopes else 403)


@pytest.mark.parametrize("limits", [{"max_in_flight": 2}, {"max_in_flight_per_tenant": 2}], ids=["gateway", "tenant"])
async def test_beyond_the_places_callers_get_429_and_when_one_is_free_they_come_in(
    tmp_path: Path, limits: dict[str, int]
):
    engine = ScriptedEngine(600)
    settings = settings_in(tmp_path, gateway=GatewaySettings(**limits))
    async with gateway(tmp_path, {"slow": engine}, settings) as made, made.client() as client:
        held = [
            Exchange(made.app, "/v1/chat/completions", BODY, {"authorization": f"Bearer {made.key}"}) for _ in range(2)
        ]
        tasks = [exchange.start() for exchange in held]
        await engine.has_calls(2)
        refused = await client.get("/v1/models")
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["retry-after-ms"] == "1000"
        assert refused.headers["x-should-retry"] == "true"
        if "max_in_flight_per_tenant" in limits:
            async with made.client(made.other_key) as other:
                assert (await other.get("/v1/models")).status_code == 200
        held[0].leave()
        await tasks[0]
        assert (await client.get("/v1/models")).status_code == 200
        held[1].leave()
        await tasks[1]


async def test_a_revoked_key_opens_nothing(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        new = (await client.post("/v1/keys", json={"title": "t"})).json()
        async with made.client(new["key"]) as other:
            assert (await other.get("/v1/models")).status_code == 200
            assert (await client.delete(f"/v1/keys/{new['id']}")).status_code == 204
            assert (await other.get("/v1/models")).status_code == 401


async def test_an_admin_sees_and_ends_the_keys_of_a_tenant_and_nobody_else_does(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as admin, made.client(made.other_key) as theirs:
        tenants = [tenant["name"] for tenant in (await admin.get("/v1/admin/tenants")).json()["data"]]
        (name,) = (tenant for tenant in tenants if tenant != "default")
        body = {"title": "t", "tenant": name, "scopes": ["inference", "read", "keys"]}
        new = (await admin.post("/v1/keys", json=body)).json()
        assert new["id"] in [key["id"] for key in (await admin.get(f"/v1/keys?tenant={name}")).json()["data"]]
        async with made.client(new["key"]) as stranger:
            assert (await stranger.get("/v1/keys?tenant=default")).status_code == 403
        assert (await admin.delete(f"/v1/keys/{new['id']}?tenant={name}")).status_code == 204
        async with made.client(new["key"]) as stranger:
            assert (await stranger.get("/v1/models")).status_code == 401
        assert (await theirs.get("/v1/models")).status_code == 200


async def test_the_request_id_is_ours_whatever_the_client_sends(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.get("/v1/models", headers={"x-request-id": "mine"})
        again = await client.get("/v1/models", headers={"x-request-id": "mine"})
    assert response.headers["x-request-id"] not in ("mine", again.headers["x-request-id"])
    assert len(response.headers.get_list("x-request-id")) == 1
    assert response.headers["openai-processing-ms"].isdigit()
