"""Adapters of workflows' runs: names become the versions that they mean when the run is accepted."""

from pathlib import Path

import httpx
import pytest
from fakes.adapter_files import language_adapter
from fakes.gateway import CHAT, gateway, model_document
from fakes.workflows import given as of
from fakes.workflows import ref, workflow

from serve.domain.names import RunId, TenantName
from serve.domain.run import RunAdapter
from serve.domain.workflow import WorkflowSpec

TENANT = TenantName("default")


async def bring(client: httpx.AsyncClient, name: str) -> str:
    files = [("file", (path, data)) for path, data in language_adapter().items()]
    answer = await client.post("/v1/adapters", data={"name": name}, files=files)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


async def save(client: httpx.AsyncClient, spec: WorkflowSpec, name: str = "styles") -> None:
    body = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    answer = await client.put(f"/v1/workflows/{name}/draft", json=body)
    assert answer.status_code == 201, answer.text


def say(prompt: object, adapters: object) -> dict[str, object]:
    return {"type": f"model:{CHAT}", "task": "chat", "inputs": {"prompt": prompt, "adapters": adapters}}


async def test_adapters_are_pinned_in_the_document_and_in_the_inputs(tmp_path: Path) -> None:
    nodes = {
        "one": say("a", ["formal", of("style")]),
        "two": say(ref("one", "text"), [{"name": "formal", "scale": 0.5}]),
    }
    spec = workflow(nodes, {"out": ("two", "text")}, {"style": "adapter"})
    async with gateway(tmp_path) as made, made.client() as client:
        await made.services.catalog.apply(model_document(CHAT, ["chat"], adapters={"enabled": True}), "api")
        formal, terse = [await bring(client, name) for name in ("formal", "terse")]
        await save(client, spec)
        answer = await client.post("/v1/workflows/styles@draft/runs", json={"input": {"style": "terse"}})
        assert answer.status_code == 202, answer.text
        run = await made.services.runs.get(TENANT, RunId(answer.json()["id"]))
        assert run.workflow is not None
        document = await made.services.workflows.documents.get(TENANT, run.workflow.digest)
        unknown = await client.post("/v1/workflows/styles@draft/runs", json={"input": {"style": "nobody"}})
    assert run.inputs == {"style": {"id": terse, "scale": 1.0}}
    assert document.nodes["one"].inputs["adapters"] == [{"id": formal, "scale": 1.0}, {"$input": "style"}]
    assert document.nodes["two"].inputs["adapters"] == [{"id": formal, "scale": 0.5}]
    assert {adapter.id for adapter in run.adapters} == {formal, terse}
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "adapter_not_found")
    assert unknown.json()["error"]["param"] == "input.style"


async def nest(client: httpx.AsyncClient, adapter: object) -> None:
    """The workflow `inner`, which calls its model with `adapter`, within the draft `outer`."""
    await save(client, workflow({"one": say("a", [adapter])}, {"out": ("one", "text")}), "inner")
    assert (await client.post("/v1/workflows/inner/versions", json={})).status_code == 201
    await save(client, workflow({"sub": {"type": "workflow:inner@1"}}, {"out": ("sub", "out")}), "outer")


async def test_what_adapters_are_called_within_another_workflow_stands_in_the_terms(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        await made.services.catalog.apply(model_document(CHAT, ["chat"], adapters={"enabled": True}), "api")
        formal = await bring(client, "formal")
        await nest(client, {"name": "formal", "scale": 0.5})
        answer = await client.post("/v1/workflows/outer@draft/runs", json={})
        plan = await client.post("/v1/workflows/outer@draft/plan", json={})
        assert answer.status_code == 202, answer.text
        run = await made.services.runs.get(TENANT, RunId(answer.json()["id"]))
    assert run.workflow is not None
    assert run.workflow.adapters == {"formal": RunAdapter.model_validate({"id": formal, "scale": 0.5})}
    assert [adapter.id for adapter in run.adapters] == [formal]
    assert plan.status_code == 200, plan.text


@pytest.mark.parametrize("form", ["name", "version", "as runs keep it"])
async def test_another_tenants_adapter_within_a_workflow_is_as_unknown_as_one_that_is_not_there(
    tmp_path: Path, form: str
) -> None:
    told = {}
    for name in ("other/theirs", "other/nobody"):
        async with gateway(tmp_path / name) as made, made.client() as client, made.client(made.other_key) as other:
            await made.services.catalog.apply(model_document(CHAT, ["chat"], adapters={"enabled": True}), "api")
            theirs = await bring(other, "theirs")
            version = theirs if name == "other/theirs" else f"{name}@sha256:{'0' * 64}"
            written = name if form == "name" else version
            await nest(client, {"id": written, "scale": 1.0} if form == "as runs keep it" else written)
            answers = [await client.post(f"/v1/workflows/outer@draft/{part}", json={}) for part in ("runs", "plan")]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert (await client.get("/v1/runs")).json()["data"] == []
            errors = [answer.json()["error"] for answer in answers]
            told[name] = [{**error, "message": error["message"].replace(written, "?")} for error in errors]
    assert told["other/theirs"] == told["other/nobody"]
    assert {error["param"] for error in told["other/theirs"]} == {"nodes.sub/nodes.one.inputs.adapters"}
    assert {error["code"] for error in told["other/theirs"]} == {"adapter_not_found"}


async def test_an_adapter_that_does_not_fit_the_model_is_refused_wherever_it_is_named(tmp_path: Path) -> None:
    inner = workflow(
        {"ask": {"type": "task:chat", "inputs": {"model": of("which"), "prompt": "a", "adapters": ["formal"]}}},
        {"out": ("ask", "text")},
        {"which": "model"},
    )
    outer = workflow(
        {"sub": {"type": "workflow:inner@1", "inputs": {"which": of("which")}}},
        {"out": ("sub", "out")},
        {"which": "model"},
    )
    async with gateway(tmp_path) as made, made.client() as client:
        for name, rank in ((CHAT, 64), ("small", 1)):
            adapters = {"enabled": True, "maxRank": rank}
            await made.services.catalog.apply(model_document(name, ["chat"], adapters=adapters), "api")
        await bring(client, "formal")
        await save(client, inner, "inner")
        assert (await client.post("/v1/workflows/inner/versions", json={})).status_code == 201
        await save(client, outer, "outer")
        statuses = {}
        for name in (CHAT, "small"):
            answer = await client.post("/v1/workflows/outer@draft/runs", json={"input": {"which": name}})
            statuses[name] = answer.status_code
    assert statuses == {CHAT: 202, "small": 422}
