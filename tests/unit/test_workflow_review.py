"""What a hostile reading of workflows found: each of these once was otherwise."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import ManualClock
from fakes.gateway import CHAT, gateway
from fakes.images import picture
from fakes.runs import made
from fakes.stages import Workshop, echo, said
from fakes.workflow_bench import Bench
from fakes.workflow_runs import workflow_run
from fakes.workflows import given, known, ref, served_models, workflow
from sqlalchemy import select

from serve.domain.errors import EngineFailed
from serve.domain.media import Asset
from serve.domain.names import AssetId, RunId, TenantName
from serve.domain.run import RunStatus
from serve.domain.steps import Performed, Stage
from serve.domain.usage import Quantities
from serve.domain.written import asset_ids_in, is_asset, written_asset
from serve.gateway.run_answers import shown_outputs
from serve.settings import WorkflowsSettings
from serve.storage.assets import Assets
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_results
from serve.workflow.facts import Known
from serve.workflow.results.result_store import StoredResults
from serve.workflow.results.results import Kept

LANGUAGE = "smollm2-135m-instruct"
TENANT = TenantName("default")
ASSET = {"id": "01a2-x", "sha256": "0" * 64, "media_type": "image/png", "num_bytes": 7, "created_ms": 1}


def chat(prompt: Any, **more: Any) -> dict[str, Any]:
    return {"type": f"model:{LANGUAGE}", "task": "chat", "inputs": {"prompt": prompt, "seed": 1}, **more}


FORGED = {
    "a path for an id": ASSET | {"id": "../runs/x"},
    "two dots for an id": ASSET | {"id": ".."},
    "no text for an id": ASSET | {"id": 7},
    "fewer than no bytes": ASSET | {"num_bytes": -(10**15)},
    "a word for bytes": ASSET | {"num_bytes": "many"},
    "more bytes than a column holds": ASSET | {"num_bytes": 10**30},
    "a field of its own": ASSET | {"url": "http://elsewhere.example"},
    "nothing": {},
}


@pytest.mark.parametrize("how", FORGED)
def test_json_that_only_looks_like_an_asset_is_json(how: str) -> None:
    value = {"asset": FORGED[how]}
    assert not is_asset(value)
    assert asset_ids_in({"out": [value]}) == {}
    assert shown_outputs({"out": value}) == {"out": value}


def test_an_asset_is_shown_with_its_address() -> None:
    written = written_asset(Asset(**ASSET))
    assert shown_outputs({"out": written})["out"]["asset"]["url"] == "/v1/assets/01a2-x/content"
    assert asset_ids_in(written) == {"01a2-x": 7}


@pytest.mark.parametrize("num_bytes", ["many", -(10**15), 10**30])
async def test_an_answer_that_looks_like_an_asset_costs_no_other_result(tmp_path: Path, num_bytes: Any) -> None:
    forged = {"json": {"asset": {"id": "x", "num_bytes": num_bytes}}}
    async with gateway(tmp_path) as running:
        results = StoredResults(running.services.records, running.services.assets, ManualClock(), WorkflowsSettings())
        await results.keep(TENANT, [Kept("k1", forged, RunId("r"), "a"), Kept("k2", {"text": "a"}, RunId("r"), "b")])
        async with running.services.records.read() as connection:
            columns = workflow_results.c
            rows = (await connection.execute(select(columns.num_bytes, columns.assets))).all()
    assert len(rows) == 2
    assert all(row.num_bytes > 0 and row.assets == [] for row in rows)


@pytest.mark.parametrize("value", [{"id": ["a"]}, {"id": {"a": 1}}, {"id": 7}, {"id": "a"}, ["id"], "id"])
async def test_an_output_may_be_called_as_what_keeps_large_outputs_is(records: Records, value: Any) -> None:
    class Odd:
        async def perform(self, stage: Stage) -> Performed:
            return Performed({"document": value}, None, Quantities(), 0)

    bench = Bench(records)
    run = await made(bench.store, **workflow_run())
    async with bench.running(Odd(), lambda call: []):
        ended = await bench.ended(run)
    assert (ended.status, ended.outputs, ended.attempt) == (RunStatus.SUCCEEDED, {"document": value}, 1)


async def test_nodes_that_turn_out_to_be_the_same_run_once() -> None:
    """What is fed by results that are not to be kept is known by what came."""
    nodes = {
        "a": chat("q", policy={"cache": "off"}),
        "one": chat(ref("a", "text")),
        "two": chat(ref("a", "text")),
    }
    spec = workflow(nodes, {"one": ("one", "text"), "two": ("two", "text")})
    performed, stage = await Workshop(known()).perform(spec)
    assert [step.label for step in stage.calls] == ["a", "one"]
    assert performed.outputs["one"] == performed.outputs["two"]
    assert stage.rows["two"].reason == "the same as one"


async def test_of_nodes_that_turn_out_to_be_the_same_each_tries_as_often_as_it_may() -> None:
    nodes = {
        "a": chat("q", policy={"cache": "off"}),
        "one": chat(ref("a", "text")),
        "two": chat(ref("a", "text"), policy={"retries": 1}),
    }
    spec = workflow(nodes, {"one": ("one", "text"), "two": ("two", "text")})

    def model(step: Any) -> Any:
        if step.label == "one":
            raise EngineFailed("It broke.")
        return echo(step)

    performed, stage = await Workshop(known()).perform(spec, model=model)
    assert stage.statuses() == {"a": "succeeded", "one": "failed", "two": "succeeded"}
    assert set(performed.outputs) == {"two"}


async def test_a_switch_that_has_nothing_to_give_fails() -> None:
    pick = {"type": "op:switch", "inputs": {"value": given("which"), "cases": ["a"], "case_1": "A"}}
    spec = workflow({"pick": pick}, {"out": ("pick", "value")}, {"which": "text"})
    found, _ = await Workshop(known()).perform(spec, {"which": "a"})
    lost, _ = await Workshop(known()).perform(spec, {"which": "b"})
    assert found.outputs == {"out": "A"}
    assert lost.error is not None
    assert lost.error.code == "no_case"


async def test_what_a_changed_model_answers_is_not_kept_as_that_of_the_one_before() -> None:
    """A run that was let in before a model changed is executed by the model that there is then."""
    facts = {name: replace(one, digest=f"sha256:{name}") for name, one in served_models().items()}
    changed = {name: replace(one, digest="sha256:new") for name, one in facts.items()}
    spec = workflow({"a": chat("hi")}, {"out": ("a", "text")})
    shop = Workshop(Known(facts))
    await shop.perform(spec, model=lambda step: said("as before"))
    shop.known = Known(changed)
    late, stage = await shop.perform(spec, model=lambda step: said("as now"))
    shop.known = Known(facts)
    again, _ = await shop.perform(spec, model=lambda step: said("never asked"))
    assert (late.outputs["out"], len(stage.calls)) == ("as now", 1)
    assert again.outputs["out"] == "as before"


async def test_the_pictures_of_a_document_and_of_a_request_are_looked_up_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_asked = 0
    get, many = Assets.get, Assets.assets

    async def one(assets: Assets, tenant: TenantName, asset_id: AssetId) -> Asset:
        nonlocal num_asked
        num_asked += 1
        return await get(assets, tenant, asset_id)

    async def all_of(assets: Assets, tenant: TenantName, ids: Collection[str]) -> Mapping[str, Asset]:
        nonlocal num_asked
        num_asked += 1
        return await many(assets, tenant, ids)

    monkeypatch.setattr(Assets, "get", one)
    monkeypatch.setattr(Assets, "assets", all_of)
    async with gateway(tmp_path) as running, running.client() as client:
        files = {"file": ("a.png", picture(), "image/png")}
        source = f"asset:{(await client.post('/v1/assets', files=files)).json()['id']}"
        nodes = {
            "sheet": {"type": "op:image.grid", "inputs": {"images": [source] * 200}},
            "more": {"type": "op:image.grid", "inputs": {"images": given("images")}},
            "ask": {"type": f"model:{CHAT}", "inputs": {"prompt": "a"}},
        }
        outputs = {"sheet": ("sheet", "image"), "more": ("more", "image"), "text": ("ask", "text")}
        spec = workflow(nodes, outputs, {"images": "list[image]"})
        body = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        assert (await client.put("/v1/workflows/sheets/draft", json=body)).status_code == 201
        num_asked = 0
        asked = {"input": {"images": [source] * 100}}
        answer = await client.post("/v1/workflows/sheets@draft/runs", json=asked)
        assert answer.status_code == 202, answer.text
        assert answer.json()["input"]["images"] == [source] * 100
        assert num_asked <= 3
        plan = await client.post("/v1/workflows/sheets@draft/plan", json=asked)
        assert plan.status_code == 200, plan.text
        unknown = await client.post("/v1/workflows/sheets@draft/runs", json={"input": {"images": [source, "asset:b"]}})
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "input.images.1")
