"""The operator's client against the gateway's own routes."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.adapter_files import image_adapter
from fakes.documents import adapter, envelope, model
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway

from operators import platform_api
from operators.platform_api import PlatformApi, PlatformAway
from operators.state import ApiAction, Catalogue, Refusal, Verb
from serve.auth.tokens import admin_token
from serve.domain.documents import Document
from serve.domain.serving import ScalingChange
from serve.domain.workflow import WorkflowDocument

TENANT = "other"


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


@pytest.fixture
async def api(made: Gateway) -> AsyncIterator[PlatformApi]:
    """Opened by what an installation's Secret holds."""
    token = admin_token("x" * 40)
    await made.services.keys.ensure_admin(token)
    async with PlatformApi("http://slipway", token.text, httpx.ASGITransport(made.app)) as opened:
        yield opened


def apply(document: Document) -> ApiAction:
    return ApiAction(Verb.APPLY, document.kind, document.name, "", document)


def delete(kind: str, name: str) -> ApiAction:
    return ApiAction(Verb.DELETE, kind, name, "")


def workflow(name: str = "greet", template: str = "Hello {name}") -> WorkflowDocument:
    inputs = {"template": template, "value_name": {"$input": "who"}}
    spec = {
        "interface": {
            "inputs": [{"name": "who", "type": "text"}],
            "outputs": [{"name": "said", "from": ["greet", "text"]}],
        },
        "nodes": {"greet": {"type": "op:text.template", "inputs": inputs}},
    }
    return WorkflowDocument.model_validate(envelope("Workflow", name, spec))


async def test_a_model_that_was_applied_is_known_by_its_digest(made: Gateway, api: PlatformApi):
    document = model("mine", scaling={"replicas": 2}, prices={"prompt": "1"})
    assert await api.execute(apply(document), TENANT) is None
    found = await api.catalogue(TENANT)
    assert found.is_answering
    assert found.version
    assert (found.models["mine"].digest, found.models["mine"].managed_by) == (document.digest(), "kubernetes")
    assert found.models["mine"].body == {}
    assert found.reports["mine"]["state"] == "loading"
    assert found.reports["mine"]["price_version"]
    assert await api.execute(apply(document), TENANT) is None
    assert await api.execute(delete("Model", "mine"), TENANT) is None
    assert "mine" not in (await api.catalogue(TENANT)).models
    assert await api.execute(delete("Model", "mine"), TENANT) is None, "what is gone is deleted"


async def test_a_model_of_somebody_else_is_given_with_its_document(made: Gateway, api: PlatformApi):
    document = model("theirs", scaling={"replicas": 2}, card={"title": "Theirs", "tags": ["a"]})
    async with made.client() as client:
        body = json.loads(document.canonical())
        response = await client.put("/v1/admin/documents/Model/theirs", json=body)
        assert response.status_code == 200
    found = (await api.catalogue(TENANT)).models["theirs"]
    assert (found.managed_by, found.body) == ("api", json.loads(document.canonical()))
    for action, digest in ((apply(model("theirs")), model("theirs").digest()), (delete("Model", "theirs"), "")):
        refused = await api.execute(action, TENANT)
        assert refused is not None
        assert (refused.code, refused.digest) == ("managed_elsewhere", digest)


async def test_a_model_says_how_it_is_served(made: Gateway, api: PlatformApi):
    async def changes() -> dict[str, list[ScalingChange]]:
        return {CHAT: [ScalingChange(1_767_225_600_000, 0, 1, "a call at zero")]}

    object.__setattr__(made.services, "scaling_changes", changes)
    await made.services.catalog.record_cold_start(CHAT, 7.5)
    report = (await api.catalogue(TENANT)).reports[CHAT]
    assert (report["state"], report["replicas"]) == ("ready", {"ready": 1, "desired": 1})
    assert report["cold_start_seconds"] == 7.5
    assert report["placement"] == {"pool": "default", "gpus": 0, "cpus": 1}
    assert report["scaling"] == {"min_replicas": 0, "max_replicas": 1, "idle_seconds": 600}
    assert report["scaling_decisions"] == [
        {"at": "2026-01-01T00:00:00.000Z", "before": 0, "after": 1, "reason": "a call at zero"}
    ]


async def test_an_invalid_card_is_refused_with_the_field(api: PlatformApi):
    wrong = model("bad", card={"title": "x", "inputs": {"nonsense": {"default": 1}}})
    refused = await api.execute(apply(wrong), TENANT)
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_card"
    assert "nonsense" in refused.message


async def test_a_workflow_belongs_to_the_namespaces_tenant(api: PlatformApi):
    assert await api.execute(apply(workflow()), TENANT) is None
    found = (await api.catalogue(TENANT)).workflows["greet"]
    assert (found.digest, found.managed_by, found.version) == (workflow().digest(), "kubernetes", "1")
    assert (await api.catalogue("default")).workflows == {}
    changed = workflow(template="Good day {name}")
    assert await api.execute(apply(changed), TENANT) is None
    found = (await api.catalogue(TENANT)).workflows["greet"]
    assert (found.digest, found.version) == (changed.digest(), "2")
    assert await api.execute(delete("Workflow", "greet"), TENANT) is None
    assert (await api.catalogue(TENANT)).workflows == {}


async def test_an_adapter_belongs_to_the_namespaces_tenant(api: PlatformApi, tmp_path: Path):
    (tmp_path / "x.safetensors").write_bytes(image_adapter())
    uri = f"file://{tmp_path}/x.safetensors"
    painter = model(
        "painter",
        family="text_to_image",
        tasks=["text_to_image"],
        card={"title": "Painter", "baseArchitecture": "sd15"},
        adapters={"enabled": True},
    )
    document = adapter("style", weights={"uri": uri}, base="painter")
    early = await api.execute(apply(document), TENANT)
    assert early is not None
    assert "painter" in early.message
    for one in (painter, document):
        assert await api.execute(apply(one), TENANT) is None
    found = (await api.catalogue(TENANT)).adapters["style"]
    assert (found.digest, found.managed_by, found.base) == (document.digest(), "kubernetes", "painter")
    assert found.version.startswith("sha256:")
    assert (await api.catalogue("default")).adapters == {}
    assert await api.execute(delete("Adapter", "style"), TENANT) is None
    assert (await api.catalogue(TENANT)).adapters == {}


async def test_a_tenant_that_is_not_there_is_told(api: PlatformApi):
    refused = await api.execute(apply(workflow()), "nobody")
    assert refused is not None
    assert "nobody" in refused.message
    assert (await api.catalogue("nobody")).is_answering


async def test_listings_come_in_pages(made: Gateway, api: PlatformApi, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        assert await api.execute(apply(workflow(f"w{number}")), TENANT) is None
        assert await api.execute(apply(model(f"m{number}")), TENANT) is None
    monkeypatch.setattr(platform_api, "_PAGE", 2)
    found = await api.catalogue(TENANT)
    assert sorted(found.workflows) == ["w0", "w1", "w2"]
    assert sorted(found.models) == sorted([CHAT, EMBEDDER, "m0", "m1", "m2"])


async def test_a_wrong_key_is_told_and_is_about_no_document(made: Gateway):
    async with PlatformApi("http://slipway", "slw_wrong", httpx.ASGITransport(made.app)) as api:
        found = await api.catalogue(TENANT)
        assert not found.is_answering
        assert "401" in found.message
        with pytest.raises(PlatformAway):
            await api.execute(apply(model()), TENANT)


@pytest.mark.parametrize("path", ["/v1/admin/served", "/v1/admin/digests?kind=Adapter", "/v1/admin/version"])
async def test_only_administrators_are_told(made: Gateway, path: str):
    async with made.client(made.other_key) as client:
        assert (await client.get(path)).status_code == 403


Answer = Callable[[httpx.Request], httpx.Response]


def raising(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def answering(status: int, **given: Any) -> Answer:
    return lambda request: httpx.Response(status, **given)


AWAY = [
    pytest.param(raising, None, id="nobody listens"),
    pytest.param(answering(503, headers={"retry-after": "7"}), 7.0, id="it says when"),
    pytest.param(answering(429, json={"error": {"code": "overloaded", "message": "busy"}}), None, id="busy"),
    pytest.param(answering(502, text="<html>bad gateway</html>"), None, id="a proxy without a gateway"),
]


@pytest.mark.parametrize(("answer", "seconds"), AWAY)
async def test_a_platform_that_is_away_refuses_nothing(answer: Answer, seconds: float | None):
    async with PlatformApi("http://slipway", "key", httpx.MockTransport(answer)) as api:
        assert not (await api.catalogue(TENANT)).is_answering
        for action in (apply(model()), delete("Model", "echo")):
            with pytest.raises(PlatformAway) as away:
                await api.execute(action, TENANT)
            assert away.value.retry_after_seconds == seconds


@pytest.mark.parametrize("answer", [answering(200, text="hello"), answering(200, json=[]), answering(404, text="?")])
async def test_what_is_no_platform_is_not_taken_for_an_empty_one(answer: Answer):
    async with PlatformApi("http://slipway", "key", httpx.MockTransport(answer)) as api:
        found = await api.catalogue(TENANT)
    assert found == Catalogue(message=found.message)
    assert found.message


async def test_an_error_inside_the_platform_is_about_the_document():
    broken = answering(500, json={"error": {"code": "internal_error", "message": "Something broke.", "param": "spec"}})
    async with PlatformApi("http://slipway", "key", httpx.MockTransport(broken)) as api:
        refused = await api.execute(apply(model()), TENANT)
    assert refused == Refusal("Model", "echo", model().digest(), "internal_error", "Something broke. (spec)")
