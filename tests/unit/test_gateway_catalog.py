"""The catalogue, documents, keys and tenants over HTTP; health and metrics."""

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.engines import ScriptedEngine
from fakes.gateway import CHAT, EMBEDDER, gateway, model_document

from serve.domain.generation import Completed, Finished, TextDelta
from serve.domain.usage import Quantities


async def test_a_card_tells_everything_about_a_model(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        card = (await client.get(f"/v1/catalog/{CHAT}")).json()
    assert (card["name"], card["family"], card["tasks"]) == (CHAT, "llm", ["chat", "completion"])
    assert (card["state"], card["replicas"]) == ("ready", {"ready": 1, "desired": 1})
    assert card["modalities"] == {"input": ["text"], "output": ["text"]}
    assert card["digest"].startswith("sha256:")
    assert card["created_at"].endswith("Z")
    assert set(card["inputs"]) == {"chat", "completion"}
    temperature = card["inputs"]["chat"]["properties"]["temperature"]
    assert temperature["maximum"] == 2
    assert (temperature["title"], temperature["x-ui"]["widget"]) == ("Temperature", "slider")
    assert card["inputs"]["chat"]["properties"]["logit_bias"]["x-ui"]["advanced"]


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({}, [CHAT, EMBEDDER, "poet"]),
    ({"modality": "embedding"}, [EMBEDDER]),
    ({"task": "chat"}, [CHAT, "poet"]),
    ({"base": "llama"}, ["poet"]),
    ({"q": "VERSE rhymes"}, ["poet"]),
    ({"q": "verse prose"}, []),
    ({"modality": "image"}, []),
]


@pytest.mark.parametrize(("params", "names"), FILTERS, ids=[json.dumps(params) for params, _ in FILTERS])
async def test_the_catalogue_is_filtered(tmp_path: Path, params: dict[str, str], names: list[str]):
    card = {"title": "Poet", "description": "Writes verse.", "tags": ["rhymes"], "baseArchitecture": "llama"}
    async with gateway(tmp_path) as made, made.client() as client:
        await made.services.catalog.apply(model_document("poet", ["chat"], card=card), "api")
        found = (await client.get("/v1/catalog", params=params)).json()
    assert [card["name"] for card in found["data"]] == names
    assert all(card["state"] == "loading" for card in found["data"] if card["name"] == "poet")


async def test_a_document_is_applied_once_and_told_to_the_executor_each_time(tmp_path: Path):
    document = json.loads(model_document("new", ["chat"]).canonical())
    changed = json.loads(model_document("new", ["chat"], card={"title": "changed"}).canonical())
    path = "/v1/admin/documents/Model/new"
    async with gateway(tmp_path) as made, made.client() as client:
        results = [(await client.put(path, json=body)).json()["result"] for body in (document, document, changed)]
        found = (await client.get(path)).json()
        listed = (await client.get("/v1/admin/documents", params={"kind": "Model"})).json()
        deleted = await client.delete(path)
        gone = await client.get(path)
    assert results == ["created", "unchanged", "configured"]
    assert found["document"]["spec"]["card"]["title"] == "changed"
    assert (found["managed_by"], found["generation"]) == ("api", 2)
    assert [item["document"]["metadata"]["name"] for item in listed["data"]] == [CHAT, EMBEDDER, "new"]
    assert made.desired.applied == [[CHAT, EMBEDDER, "new"]] * 3 + [[CHAT, EMBEDDER]]
    assert (deleted.status_code, gone.status_code) == (204, 404)


async def test_the_other_manager_gets_a_409(tmp_path: Path):
    document = json.loads(model_document("new", ["chat"]).canonical())
    path, kubernetes = "/v1/admin/documents/Model/new", {"x-slipway-managed-by": "kubernetes"}
    async with gateway(tmp_path) as made, made.client() as client:
        assert (await client.put(path, json=document, headers=kubernetes)).status_code == 200
        changed = await client.put(path, json=document)
        deleted = await client.delete(path)
        odd = await client.put(path, json=document, headers={"x-slipway-managed-by": "me"})
    assert (changed.status_code, deleted.status_code, odd.status_code) == (409, 409, 400)
    assert made.desired.applied == [[CHAT, EMBEDDER, "new"]]


BAD_DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "another name": ({"metadata": {"name": "other"}}, "metadata.name"),
    "a bad name": ({"metadata": {"name": "New"}}, "metadata.name"),
    "an unknown field": ({"speck": 1}, "speck"),
    "a bad kind": ({"kind": "Pod"}, "kind"),
}


@pytest.mark.parametrize(("change", "param"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
async def test_a_bad_document_is_refused_by_field(tmp_path: Path, change: dict[str, Any], param: str):
    document = json.loads(model_document("new", ["chat"]).canonical())
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.put("/v1/admin/documents/Model/new", json=document | change)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert made.desired.applied == []


async def test_a_key_is_shown_once_and_makes_none_above_itself(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        body = {"title": "child", "scopes": ["read", "keys"], "expires_at": "2100-01-01T00:00:00Z"}
        child = (await client.post("/v1/keys", json=body)).json()
        listed = (await client.get("/v1/keys")).json()
        async with made.client(child["key"]) as limited:
            refused = await limited.post("/v1/keys", json={"title": "x", "scopes": ["admin"]})
            foreign = await limited.post("/v1/keys", json={"title": "x", "scopes": ["read"], "tenant": "other"})
    assert child["expires_at"] == "2100-01-01T00:00:00.000Z"
    assert child["key"].startswith("slw_")
    assert all("key" not in key for key in listed["data"])
    assert child["key"] not in json.dumps(listed)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "scopes")
    assert (foreign.status_code, foreign.json()["error"]["param"]) == (403, "tenant")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "title"),
        ({"title": "t", "scopes": ["root"]}, "scopes.0"),
        ({"title": "t", "scopes": []}, "scopes"),
        ({"title": "t", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"title": "t", "expires_at": "2100-01-01T00:00:00"}, "expires_at"),
    ],
    ids=["no-title", "unknown-scope", "no-scope", "expired", "no-time-zone"],
)
async def test_a_bad_key_is_refused_by_field(tmp_path: Path, body: dict[str, Any], param: str):
    async with gateway(tmp_path) as made, made.client() as client:
        response = await client.post("/v1/keys", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_tenants_are_made_once(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        new = await client.post("/v1/admin/tenants", json={"name": "acme"})
        again = await client.post("/v1/admin/tenants", json={"name": "acme"})
        bad = await client.post("/v1/admin/tenants", json={"name": "A C"})
        listed = (await client.get("/v1/admin/tenants")).json()
    assert (new.status_code, again.status_code, bad.status_code) == (201, 409, 400)
    assert [tenant["name"] for tenant in listed["data"]] == ["acme", "default", "other"]
    assert "webhook_secret" not in json.dumps(listed)


async def test_ready_says_when_the_database_is_gone_and_alive_does_not(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client("") as client:
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        await made.services.records.close()
        for file in tmp_path.rglob("*.db*"):
            file.unlink()
        (tmp_path / "data").rename(tmp_path / "moved")
        ready, alive = await client.get("/readyz"), await client.get("/livez")
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
    assert alive.status_code == 200


async def test_metrics_count_requests_by_template_and_calls_by_model(tmp_path: Path):
    usage = Quantities(prompt_tokens=5, cached_prompt_tokens=2, completion_tokens=3)
    engine = ScriptedEngine([TextDelta("a")], [TextDelta("b"), Finished("stop"), Completed(usage)])
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
    async with gateway(tmp_path, {"scripted": engine}) as made, made.client() as client:
        await client.post("/v1/chat/completions", json=body)
        await client.get("/v1/runs/secret-id")
        await client.get("/v1/elsewhere")
        await client.request("BREW", "/v1/models")
        text = (await client.get("/metrics")).text
    for line in (
        'slipway_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0',
        'slipway_http_requests_total{method="GET",route="/v1/runs/{run_id}",status="404"} 1.0',
        'slipway_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'slipway_requests_total{front="gateway",model="scripted",outcome="succeeded",tenant="default"} 1.0',
        'slipway_time_to_first_token_seconds_count{model="scripted"} 1.0',
        'slipway_inter_token_seconds_count{model="scripted"} 1.0',
        "slipway_http_in_flight_requests 1.0",
    ):
        assert line in text
    assert 'method="OTHER"' in text
    assert "secret-id" not in text
