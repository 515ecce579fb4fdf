"""Runs of workflows over HTTP: accepted whole, or refused before they cost or leave anything."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.gateway import CHAT, Gateway, gateway, model_document
from fakes.images import picture
from fakes.workflows import given as of
from fakes.workflows import ref, workflow
from sqlalchemy import func, select

from serve.auth.access import Scope
from serve.domain.names import AssetId, RunId, TenantName
from serve.domain.run import Run
from serve.domain.steps import Step, StepStatus
from serve.domain.workflow import WorkflowSpec
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import Budgets, NewBudget
from serve.runs import steps as step_rows
from serve.storage.metering_tables import holds
from serve.storage.tables import assets, runs
from serve.storage.workflow_tables import workflow_documents

TENANT = TenantName("default")
PAINTER = "painter"
STORY = workflow(
    {
        "ask": {"type": f"model:{CHAT}", "inputs": {"prompt": of("prompt"), "max_tokens": 5}},
        "say": {"type": f"model:{CHAT}", "inputs": {"prompt": ref("ask", "text"), "seed": of("seed")}},
    },
    {"answer": ("say", "text")},
    {"prompt": "text", "seed": {"type": "number", "optional": True}},
)
EDIT = workflow(
    {
        "edit": {
            "type": f"model:{PAINTER}",
            "task": "image_to_image",
            "inputs": {"prompt": "a", "image": of("photo"), "steps": of("steps")},
        }
    },
    {"picture": ("edit", "image")},
    {"photo": "image", "steps": {"type": "number", "default": 4}, "more": {"type": "list[image]", "optional": True}},
)


@asynccontextmanager
async def library(folder: Path, **workflows: WorkflowSpec) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """A gateway with a painter and published workflows."""
    async with gateway(folder) as made, made.client() as client:
        tasks = ["text_to_image", "image_to_image"]
        painter = model_document(PAINTER, tasks, family="text_to_image", adapters={"enabled": True})
        await made.services.catalog.apply(painter, "api")
        for name, spec in workflows.items():
            await publish(client, name, spec)
        yield made, client


async def publish(client: httpx.AsyncClient, name: str, spec: WorkflowSpec) -> None:
    body = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    saved = await client.put(f"/v1/workflows/{name}/draft", json=body, headers={"if-match": "*"})
    if saved.status_code == 404:
        saved = await client.put(f"/v1/workflows/{name}/draft", json=body)
    assert saved.status_code in (200, 201), saved.text
    made = await client.post(f"/v1/workflows/{name}/versions", json={})
    assert made.status_code in (200, 201), made.text


async def counts(made: Gateway) -> dict[str, int]:
    """What a run could leave: rows, and money that is held."""
    found = {}
    async with made.services.records.read() as connection:
        for table in (runs, assets, workflow_documents):
            found[table.name] = int(await connection.scalar(select(func.count()).select_from(table)) or 0)
        found["held"] = int(await connection.scalar(select(func.sum(holds.c.remaining_nano))) or 0)
    return found


async def start(client: httpx.AsyncClient, name: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/workflows/{name}/runs", json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def stored(made: Gateway, run: Mapping[str, Any]) -> Run:
    return await made.services.runs.get(TENANT, RunId(run["id"]))


async def test_a_run_is_written_down_with_all_that_was_decided(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY) as (made, client):
        await client.put(f"/v1/admin/prices/{CHAT}", json={"prompt": "1"})
        shown = await start(client, "story", input={"prompt": "hello"}, use_cache=False, metadata=False)
        run = await stored(made, shown)
    assert (shown["kind"], shown["workflow"], shown["model"], shown["task"]) == ("workflow", "story@1", None, None)
    assert shown["urls"]["steps"] == f"/v1/runs/{run.id}/steps"
    assert run.inputs == {"prompt": "hello"}
    assert run.workflow is not None
    assert (run.workflow.use_cache, run.workflow.metadata, set(run.workflow.seeds)) == (False, False, {"ask", "say"})
    assert run.workflow.models[CHAT].price is not None
    assert run.price is None
    assert made.nudged == [run.id]


async def test_runs_are_listed_by_their_workflow(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY, stories=STORY) as (_, client):
        first = await start(client, "story", input={"prompt": "hello"})
        await start(client, "stories", input={"prompt": "hello"})
        of_draft = await start(client, "story@draft", input={"prompt": "hello"})

        async def listed(workflow: str) -> list[str]:
            answer = await client.get("/v1/runs", params={"workflow": workflow})
            return [run["id"] for run in answer.json()["data"]]

        found = [await listed(name) for name in ("story", "story@1", "story@draft", "stor", "story%")]
    assert found == [[of_draft["id"], first["id"]], [first["id"]], [of_draft["id"]], [], []]


async def test_a_seed_that_is_given_is_not_drawn(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY) as (made, client):
        run = await stored(made, await start(client, "story", input={"prompt": "hello", "seed": 7}))
    assert run.workflow is not None
    assert set(run.workflow.seeds) == {"ask"}
    assert run.inputs["seed"] == 7


@pytest.mark.parametrize("which", ["story", "story@2", "story@latest", "story@prod", "story@draft"])
async def test_a_run_is_of_what_its_address_means_now(tmp_path: Path, which: str) -> None:
    later = STORY.model_copy(update={"title": "Later"})
    async with library(tmp_path, story=STORY) as (made, client):
        await publish(client, "story", later)
        await client.put("/v1/workflows/story/aliases/prod", json={"version": 1})
        run = await stored(made, await start(client, which, input={"prompt": "hello"}))
        assert run.workflow is not None
        executed = await made.services.workflows.documents.get(TENANT, run.workflow.digest)
    expected = {"story@prod": ("story@1", ""), "story@draft": ("story@draft", "Later")}
    assert (run.target, executed.title) == expected.get(which, ("story@2", "Later"))


async def test_a_run_of_a_draft_keeps_the_numbers_of_the_workflows_inside(tmp_path: Path) -> None:
    outer = workflow({"sub": {"type": "workflow:story@prod", "inputs": {"prompt": "hi"}}}, {"out": ("sub", "answer")})
    async with library(tmp_path, story=STORY) as (made, client):
        await client.put("/v1/workflows/story/aliases/prod", json={"version": 1})
        body = outer.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        await client.put("/v1/workflows/outer/draft", json=body)
        run = await stored(made, await start(client, "outer@draft"))
        assert run.workflow is not None
        executed = await made.services.workflows.documents.get(TENANT, run.workflow.digest)
    assert executed.nodes["sub"].type == "workflow:story@1"
    assert set(run.workflow.seeds) == {"sub/ask", "sub/say"}


REFUSED: dict[str, tuple[str, dict[str, Any], int, str, str | None]] = {
    "unknown workflow": ("nobody", {}, 404, "workflow_not_found", None),
    "unknown version": ("edit@9", {}, 404, "version_not_found", None),
    "no address": ("Edit!", {}, 404, "workflow_not_found", None),
    "missing input": ("edit", {"input": {}}, 400, "missing_field", "input.photo"),
    "unknown input": ("edit", {"input": {"photo": "data:", "x": 1}}, 400, "unknown_field", "input.x"),
    "unknown field": ("edit", {"inputs": {}}, 400, "unknown_field", "inputs"),
    "wrong type": ("edit", {"input": {"photo": "data:", "steps": "many"}}, 400, "invalid_type", "input.steps"),
    "beyond the card": ("edit", {"input": {"photo": "data:", "steps": 999}}, 400, "invalid_value", "input.steps"),
    "unknown asset": ("edit", {"input": {"photo": "asset:nobody"}}, 404, "asset_not_found", "input.photo"),
    "no picture": ("edit", {"input": {"photo": "data:image/png;base64,AAAA"}}, 400, "unsupported_image", "input.photo"),
    "unknown target": ("edit", {"input": {"photo": "data:"}, "targets": ["nobody"]}, 422, "invalid_workflow", None),
    "private webhook": (
        "story",
        {"input": {"prompt": "a"}, "webhook": {"url": "https://private.example/"}},
        400,
        "forbidden_address",
        "webhook.url",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, case: str) -> None:
    name, body, status, code, param = REFUSED[case]
    async with library(tmp_path, story=STORY, edit=EDIT) as (made, client):
        before = await counts(made)
        answer = await client.post(f"/v1/workflows/{name}/runs", json=body)
        assert await counts(made) == before
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert param is None or error["param"] == param, error
    assert made.nudged == []


async def test_another_tenants_workflow_and_assets_are_unknown(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY, edit=EDIT) as (made, client), made.client(made.other_key) as other:
        strange = await other.post("/v1/workflows/story/runs", json={"input": {"prompt": "a"}})
        absent = await other.post("/v1/workflows/nobody/runs", json={"input": {"prompt": "a"}})
        theirs = (await other.post("/v1/assets", content=picture(), headers={"content-type": "image/png"})).json()["id"]
        reached = await client.post("/v1/workflows/edit/runs", json={"input": {"photo": f"asset:{theirs}"}})
        document = await other.get("/v1/workflows/story/openapi.json")
    assert strange.status_code == absent.status_code == document.status_code == reached.status_code == 404
    assert strange.json()["error"] == absent.json()["error"] | {
        "message": absent.json()["error"]["message"].replace("nobody", "story")
    }


async def test_a_picture_that_a_document_names_must_be_the_tenants_own(tmp_path: Path) -> None:
    fixed = workflow(
        {
            "edit": {
                "type": f"model:{PAINTER}",
                "task": "image_to_image",
                "inputs": {"prompt": "a", "image": "asset:nobody"},
            }
        },
        {"picture": ("edit", "image")},
    )
    async with library(tmp_path, fixed=fixed) as (made, client):
        before = await counts(made)
        answer = await client.post("/v1/workflows/fixed/runs", json={})
        assert await counts(made) == before
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "nodes.edit.inputs.image")


async def test_a_form_brings_pictures_as_files(tmp_path: Path) -> None:
    async with library(tmp_path, edit=EDIT) as (made, client):
        files = [
            ("photo", ("a.png", picture())),
            ("more", ("b.png", picture(8, 8))),
            ("more", ("c.png", picture(9, 9))),
        ]
        data = {"steps": "7", "_options": '{"priority": 3}'}
        answer = await client.post("/v1/workflows/edit/runs", files=files, data=data)
        assert answer.status_code == 202, answer.text
        run = await stored(made, answer.json())
        names = [run.inputs["photo"], *run.inputs["more"]]
        found = [await made.services.assets.get(TENANT, AssetId(name.removeprefix("asset:"))) for name in names]
        wrong = await client.post("/v1/workflows/edit/runs", files={"steps": ("a.png", picture())})
    assert [(one.width, one.height) for one in found] == [(64, 64), (8, 8), (9, 9)]
    assert (run.inputs["steps"], run.priority) == (7, 3)
    assert wrong.json()["error"]["param"] == "input.steps"


async def test_the_same_key_and_request_give_the_first_run_again(tmp_path: Path) -> None:
    headers = {"idempotency-key": "order-1"}
    async with library(tmp_path, story=STORY) as (made, client):
        bodies = [{"input": {"prompt": "a"}}, {"input": {"prompt": "a"}}, {"input": {"prompt": "b"}}]
        first = await client.post("/v1/workflows/story/runs", json=bodies[0], headers=headers)
        await publish(client, "story", STORY.model_copy(update={"title": "Later"}))
        again = await client.post("/v1/workflows/story/runs", json=bodies[1], headers=headers)
        other = await client.post("/v1/workflows/story/runs", json=bodies[2], headers=headers)
        elsewhere = await client.post("/v1/workflows/story@1/runs", json=bodies[1], headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert again.json()["workflow"] == "story@1"
    assert [one.json()["error"]["code"] for one in (other, elsewhere)] == ["idempotency_key_reuse"] * 2
    assert len(made.nudged) == 1


async def test_a_model_that_the_key_may_not_use_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    outer = workflow({"sub": {"type": "workflow:story@1", "inputs": {"prompt": "a"}}}, {"out": ("sub", "answer")})
    async with library(tmp_path, story=STORY, outer=outer) as (made, _):
        _, token = await made.services.keys.create(
            tenant="default",
            project="default",
            title="narrow",
            scopes=frozenset({Scope.INFERENCE}),
            parent=None,
            models=(PAINTER,),
        )
        async with made.client(token) as narrow:
            before = await counts(made)
            answer = await narrow.post("/v1/workflows/outer/runs", json={})
            assert await counts(made) == before
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_what_a_run_can_cost_is_held_at_once_and_given_back_if_it_is_refused(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY, edit=EDIT) as (made, client):
        for model in (CHAT, PAINTER):
            await client.put(f"/v1/admin/prices/{model}", json={"prompt": "1", "completion": "2", "image": "0.01"})
        services = made.services
        budgets = Budgets(services.records, services.clock, services.ids)
        await budgets.create(NewBudget(TENANT, Period.TOTAL, 100_000_000, None))
        plan = (await client.post("/v1/workflows/story/plan", json={"input": {"prompt": "hello"}})).json()
        run = await stored(made, await start(client, "story", input={"prompt": "hello"}))
        held = await counts(made)
        bad = await client.post("/v1/workflows/edit/runs", json={"input": {"photo": "data:image/png;base64,AAAA"}})
        assert await counts(made) == held
        await client.put(f"/v1/admin/prices/{CHAT}", json={"prompt": "1000000"})
        dear = await client.post("/v1/workflows/story/runs", json={"input": {"prompt": "hello"}})
        assert await counts(made) == held
    assert run.reserved_nano == plan["cost_at_most"]["nano_usd"] > 0
    assert run.hold is not None
    assert run.workflow is not None
    assert run.workflow.models[CHAT].max_prompt_tokens == 4096
    assert run.workflow.models[CHAT].most == {"completion_tokens": 4096}
    assert bad.status_code == 400
    assert (dear.status_code, dear.json()["error"]["code"]) == (429, "insufficient_quota")


async def test_a_plan_says_what_would_run_and_keeps_nothing(tmp_path: Path) -> None:
    branch = workflow(
        {
            "ask": {"type": f"model:{CHAT}", "inputs": {"prompt": of("prompt"), "max_tokens": 5}},
            "if": {"type": "op:text.test", "inputs": {"text": ref("ask", "text"), "test": "contains", "other": "x"}},
            "say": {"type": f"model:{CHAT}", "inputs": {"prompt": "b"}, "when": ref("if", "result")},
        },
        {"answer": ("ask", "text"), "more": ("say", "text")},
        {"prompt": "text"},
    )
    async with library(tmp_path, branch=branch, edit=EDIT) as (made, client):
        before = await counts(made)
        plan = (await client.post("/v1/workflows/branch/plan", json={"input": {"prompt": "hi"}})).json()
        files = {"photo": ("a.png", picture())}
        painted = await client.post("/v1/workflows/edit/plan", files=files)
        part = (
            await client.post("/v1/workflows/branch/plan", json={"input": {"prompt": "hi"}, "targets": ["ask"]})
        ).json()
        assert await counts(made) == before
    assert {node["node"]: node["status"] for node in plan["nodes"]} == {"ask": "runs", "if": "runs", "say": "depends"}
    assert plan["critical_path"] == ["ask", "if", "say"]
    assert painted.status_code == 200, painted.text
    assert [node["node"] for node in part["nodes"]] == ["ask"]


async def test_the_steps_of_a_run_are_shown_page_by_page(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY) as (made, client), made.client(made.other_key) as other:
        run = await start(client, "story", input={"prompt": "a"})
        view = {"asset": {"id": "a1", "media_type": "image/png"}}
        done = Step(
            "each.1", StepStatus.SUCCEEDED, "model:m", outputs={"image": view}, tries=1, started_ms=0, finished_ms=1500
        )
        async with made.services.records.write() as connection:
            await step_rows.save(connection, run["id"], [done, Step("say", StepStatus.SKIPPED, reason="ask failed")])
        first = (await client.get(f"/v1/runs/{run['id']}/steps", params={"limit": 1})).json()
        rest = (await client.get(f"/v1/runs/{run['id']}/steps", params={"after": "each.1"})).json()
        strange = await other.get(f"/v1/runs/{run['id']}/steps")
    (step,) = first["data"]
    assert (step["label"], step["node"], step["seconds"], first["has_more"]) == ("each.1", "each", 1.5, True)
    assert step["output"]["image"]["asset"]["url"] == "/v1/assets/a1/content"
    assert [(one["label"], one["reason"]) for one in rest["data"]] == [("say", "ask failed")]
    assert strange.status_code == 404


async def test_a_client_that_listens_gets_the_runs_events_at_once(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY) as (made, client):
        headers = {"accept": "text/event-stream"}
        body = {"input": {"prompt": "a"}, "deadline_s": 60}
        seen = b""
        original = made.services.runs.create

        async def canceled(new: Any) -> Any:
            run, is_new = await original(new)
            await made.services.runs.request_cancel(run.tenant, run.id)
            return run, is_new

        made.services.runs.create = canceled  # type: ignore[method-assign]
        async with client.stream("POST", "/v1/workflows/story/runs", json=body, headers=headers) as answer:
            async for chunk in answer.aiter_bytes():
                seen += chunk
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [line for line in seen.decode().splitlines() if line.startswith("event:")] == [
        "event: queued",
        "event: canceled",
    ]


async def test_a_run_takes_the_seeds_that_another_drew(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY) as (made, client):
        first = await start(client, "story", input={"prompt": "hello"})
        again = await start(client, "story", input={"prompt": "hello"}, seeds_of=first["id"])
        other = await start(client, "story", input={"prompt": "hello"})
        terms = [(await stored(made, one)).workflow for one in (first, again, other)]
        unknown = await client.post("/v1/workflows/story/runs", json={"seeds_of": "nobody", "input": {"prompt": "a"}})
    seeds = [one.seeds for one in terms if one is not None]
    assert seeds[0] == seeds[1] != seeds[2]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "run_not_found")


async def test_a_run_shows_the_document_that_it_executes(tmp_path: Path) -> None:
    async with library(tmp_path, story=STORY) as (_, client):
        run = await start(client, "story@draft", input={"prompt": "hello"}, targets=["ask"])
        changed = STORY.model_copy(update={"title": "Later"}).model_dump(mode="json", by_alias=True)
        await client.put("/v1/workflows/story/draft", json=changed, headers={"if-match": "*"})
        shown = (await client.get(f"/v1/runs/{run['id']}/workflow")).json()
        painted = (await client.post(f"/v1/models/{PAINTER}/runs", json={"input": {"prompt": "a"}})).json()
        of_model = await client.get(f"/v1/runs/{painted['id']}/workflow")
    assert (shown["workflow"].get("title", ""), shown["targets"]) == ("", ["ask"])
    assert shown["workflow"]["nodes"].keys() == STORY.nodes.keys()
    assert set(shown["seeds"]) <= {"ask", "say"}
    assert (of_model.status_code, of_model.json()["error"]["code"]) == (404, "document_not_found")
