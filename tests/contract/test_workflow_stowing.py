"""What steps put out that no row takes as it is: too large, or with characters that no database stores."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from fakes.models import Step as Said
from fakes.models import completed
from fakes.runs import made
from fakes.stages import Workshop
from fakes.workflow_bench import ACME, Bench, costs
from fakes.workflow_runs import PRICE, workflow_run
from fakes.workflows import LANGUAGE, known, ref, workflow
from sqlalchemy import func, select

from deployments.runner import AssetOutputs
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.errors import StorageUnavailable
from serve.domain.generation import ModelCall, TextDelta
from serve.domain.names import AssetId
from serve.domain.run import ModelTerms, Run, RunStatus, WorkflowTerms
from serve.domain.steps import StepStatus
from serve.domain.stowed import stowed_asset
from serve.domain.workflow import WorkflowSpec
from serve.gateway.run_answers import shown_outputs
from serve.gateway.workflows.run_views import step_view
from serve.runs.stage import WorkflowStage
from serve.settings import WorkflowsSettings
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.storage.tables import assets as asset_rows
from serve.workflow.results.result_store import StoredResults

LARGE = "é" * 500_000
"""A million bytes."""
CHAIN = 10


def say(prompt: Any = "hi") -> dict[str, Any]:
    return {"type": f"model:{LANGUAGE}", "inputs": {"prompt": prompt, "seed": 1}}


def passed_on(source: Any, ending: str = "") -> dict[str, Any]:
    return {"type": "op:text.template", "inputs": {"template": "{a}" + ending, "value_a": source}}


def chain(ending: str = "") -> WorkflowSpec:
    """A model's text through ten nodes, each of which adds `ending`."""
    nodes = {"say": say()}
    for index in range(CHAIN):
        nodes[f"n{index}"] = passed_on(ref(f"n{index - 1}", "text") if index else ref("say", "text"), ending)
    nodes["size"] = {"type": "op:text.length", "inputs": {"text": ref(f"n{CHAIN - 1}", "text")}}
    return workflow(nodes, {"size": ("size", "characters"), "text": (f"n{CHAIN - 1}", "text")})


def answers(text: str) -> Callable[[ModelCall], Iterable[Said]]:
    return lambda call: [[TextDelta(text), *completed()]]


class Installation:
    """Runs of workflows over a database and a folder."""

    def __init__(self, database: Records, folder: Path) -> None:
        clock = SystemClock()
        self.records = database
        self.assets = Assets(database, FilesystemObjects(folder / "objects"), clock, Uuid7Ids())
        self.shop = Workshop(known(), results=StoredResults(database, self.assets, clock, WorkflowsSettings()))
        self.bench = Bench(database)
        self.bench.outputs = AssetOutputs(self.assets)

    async def start(self, spec: WorkflowSpec) -> Run:
        models = {LANGUAGE: ModelTerms(digest="sha256:m", price=PRICE)}
        return await made(self.bench.store, **workflow_run(workflow=WorkflowTerms(digest=spec.digest(), models=models)))

    async def run(self, spec: WorkflowSpec, text: str) -> tuple[Run, int]:
        """A run's end, and how often the model was asked."""
        run = await self.start(spec)
        async with self.bench.running(self.shop.performer(spec), answers(text)) as models:
            return await self.bench.ended(run, 20), len(models.calls)

    async def num_assets(self, run: Run) -> int:
        mine = asset_rows.c.run_id == run.id
        async with self.records.read() as connection:
            return int(await connection.scalar(select(func.count()).select_from(asset_rows).where(mine)) or 0)

    async def content(self, known: Any) -> bytes:
        asset = await self.assets.get(ACME, AssetId(known["id"]))
        return b"".join([chunk async for chunk in self.assets.content(asset)])


@pytest.fixture
def installation(database: Records, tmp_path: Path) -> Installation:
    return Installation(database, tmp_path)


async def test_a_large_text_is_in_no_row_of_those_that_pass_it_on(installation: Installation) -> None:
    run, _ = await installation.run(chain(), LARGE)
    assert run.status is RunStatus.SUCCEEDED
    steps = await installation.bench.steps(run)
    assert max(len(json.dumps(step.outputs)) for step in steps.values()) < 1000
    kept = {stowed_asset((steps[f"n{index}"].outputs or {})["text"])["id"] for index in range(CHAIN)}  # type: ignore[index]
    assert len(kept) == 1
    assert await installation.num_assets(run) == 3, "the text, the model's list of texts, the outputs of the run"
    shown = step_view(steps["n0"]).output or {}
    assert shown["text"]["$document"]["asset"]["url"] == f"/v1/assets/{next(iter(kept))}/content"
    assert await installation.content(shown["text"]["$document"]["asset"]) == LARGE.encode()
    assert (steps["size"].outputs or {})["characters"] == len(LARGE)
    assert json.loads(await installation.content(stowed_asset(run.outputs)))["text"] == LARGE
    whole = shown_outputs(run.outputs or {})["$document"]["asset"]
    assert whole["url"] == f"/v1/assets/{whole['id']}/content"


async def test_outputs_that_are_put_away_whole_are_told_from_one_that_is_called_so(
    installation: Installation,
) -> None:
    small, large = [workflow({"say": passed_on("", text)}, {"document": ("say", "text")}) for text in ("small", LARGE)]
    first, _ = await installation.run(small, "")
    assert first.outputs == {"document": "small"}
    second, _ = await installation.run(large, "")
    assert json.loads(await installation.content(stowed_asset(second.outputs))) == {"document": LARGE}


async def test_what_was_put_away_is_there_for_the_next_attempt(installation: Installation) -> None:
    spec = chain(".")
    first, _ = await installation.run(spec, LARGE)
    steps = await installation.bench.steps(first)
    claimed = first.model_copy(update={"status": RunStatus.RUNNING, "fence": 2})
    attempt = type("Attempt", (), {"run": claimed})
    sink = AssetOutputs(installation.assets)
    stage = WorkflowStage(attempt, None, steps.values(), costs, None, sink)  # type: ignore[arg-type]  # no calls
    await stage.restore()
    assert (stage.stored["n3"].outputs or {})["text"] == LARGE + "." * 4
    assert stage.steps["n3"].outputs == steps["n3"].outputs
    (known,) = (stowed_asset(value) for value in (steps["n3"].outputs or {}).values())
    assert await stage.put_away({"text": LARGE + "." * 4}) == {"text": {"$document": {"asset": known}}}, "no new asset"


async def test_a_step_whose_outputs_are_gone_is_done_again(installation: Installation) -> None:
    first, _ = await installation.run(chain("."), LARGE)
    steps = await installation.bench.steps(first)
    await installation.assets.delete_for_runs([first.id])
    attempt = type("Attempt", (), {"run": first})
    stage = WorkflowStage(attempt, None, steps.values(), costs, None, AssetOutputs(installation.assets))  # type: ignore[arg-type]
    await stage.restore()
    assert set(stage.stored) == {"size"}


async def test_a_kept_result_that_was_put_away_is_taken_over_and_outlives_its_first_run(
    installation: Installation,
) -> None:
    first, num_first = await installation.run(chain(), LARGE)
    second, num_second = await installation.run(chain(), "something else")
    assert (num_first, num_second) == (1, 0)
    steps = await installation.bench.steps(second)
    assert steps["n9"].status is StepStatus.CACHED
    await installation.bench.store.delete(ACME, first.id)
    await installation.assets.delete_for_runs([first.id])
    asset = stowed_asset((steps["n9"].outputs or {})["text"])
    assert await installation.content(asset) == LARGE.encode()
    third, num_third = await installation.run(chain(), LARGE)
    assert third.status is RunStatus.SUCCEEDED
    assert num_third == 1, "results go with the run that made them"


async def test_a_store_that_is_away_fails_no_step(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: Any, **given: Any) -> None:
        raise StorageUnavailable("The store is away.")

    spec = workflow({"say": say(), "size": {"type": "op:text.length", "inputs": {"text": ref("say", "text")}}},
                    {"size": ("size", "characters")})  # fmt: skip
    monkeypatch.setattr(installation.assets, "add", away)
    run, _ = await installation.run(spec, LARGE)
    assert (run.status, run.outputs) == (RunStatus.SUCCEEDED, {"size": len(LARGE)})
    assert ((await installation.bench.steps(run))["say"].outputs or {})["text"] == LARGE


def parsing() -> WorkflowSpec:
    nodes = {"say": say(), "parse": {"type": "op:json.parse", "inputs": {"text": ref("say", "text")}},
             "again": {"type": "op:json.write", "inputs": {"value": ref("parse", "value")}}}  # fmt: skip
    return workflow(nodes, {"value": ("parse", "value"), "text": ("again", "text")})


async def test_characters_that_no_database_stores_are_replaced_for_all_that_follow(
    installation: Installation,
) -> None:
    run, _ = await installation.run(parsing(), r'{"a\u0000": ["b\ud800c", 1]}')
    value = {"a\ufffd": ["b\ufffdc", 1]}
    assert (run.status, (run.outputs or {})["value"]) == (RunStatus.SUCCEEDED, value)
    assert json.loads((run.outputs or {})["text"]) == value
    again, num_calls = await installation.run(parsing(), "null")
    assert (again.outputs, num_calls) == (run.outputs, 0), "it was kept, too"


async def test_json_that_reads_like_something_put_away_is_a_value_still(installation: Installation) -> None:
    value = {"$document": {"asset": {"id": "of-somebody-else", "media_type": "application/json"}}}
    run, _ = await installation.run(parsing(), json.dumps(value))
    assert (run.outputs or {})["value"] == value
    again, num_calls = await installation.run(parsing(), "null")
    assert ((again.outputs or {})["value"], num_calls) == (value, 0)
