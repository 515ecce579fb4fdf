"""Adapters of workflows' runs: names become the versions that they mean when the run is accepted."""

from pathlib import Path

import httpx
from fakes.adapter_files import language_adapter
from fakes.gateway import CHAT, gateway, model_document
from fakes.workflows import given as of
from fakes.workflows import ref, workflow

from serve.domain.names import RunId, TenantName
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


async def test_a_workflow_inside_another_names_adapters_by_id_or_takes_them_as_an_input(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        await made.services.catalog.apply(model_document(CHAT, ["chat"], adapters={"enabled": True}), "api")
        formal = await bring(client, "formal")
        statuses = {}
        for name, adapter in {"word": "formal", "exact": {"id": formal, "scale": 1.0}}.items():
            await save(client, workflow({"one": say("a", [adapter])}, {"out": ("one", "text")}), name)
            assert (await client.post(f"/v1/workflows/{name}/versions", json={})).status_code == 201
            outer = workflow({"sub": {"type": f"workflow:{name}@1"}}, {"out": ("sub", "out")})
            await save(client, outer, f"outer-{name}")
            answer = await client.post(f"/v1/workflows/outer-{name}@draft/runs", json={})
            statuses[name] = answer.status_code, (answer.json()["error"] or {}).get("code")
    assert statuses == {"word": (400, "invalid_adapter"), "exact": (202, None)}
