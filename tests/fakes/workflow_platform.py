"""A platform for workflows in one process: the gateway, a runner, echo models, operations, journals and the ledger."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fakes.adapter_shelf import EngineAdapters
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway, model_document, settings_in
from fakes.images import StoredOutputs
from sqlalchemy import func, select

from deployments.call_assets import CallAssets
from deployments.call_metering import CallMetering
from deployments.engines.echo import EchoEngine
from serve.catalog.adapters.files import open_adapter_files
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import ModelDocument, Queue
from serve.domain.generation import EventBatch, ModelCall, Verdict
from serve.domain.ports import Models
from serve.domain.run import RunStatus
from serve.domain.serving import ModelStatus
from serve.domain.workflow import WorkflowSpec
from serve.gateway.workflows.known import Knowledge
from serve.metering.ledger.ledger import Ledger
from serve.metering.process import ProcessMetering
from serve.runs.execution import Runner
from serve.serving.fair_queue import FairQueue
from serve.serving.in_memory import InMemoryModels
from serve.settings import MeteringSettings, RunsSettings, Settings
from serve.storage.metering_tables import usage_events
from serve.storage.objects import open_object_store
from serve.workflow.execution.local_operations import LocalOperations
from serve.workflow.execution.performing import Performer
from serve.workflow.results.history import StepHistory
from serve.workflow.results.result_store import StoredResults

PAINTER, SLOW = "painter", "slow"
PRICES = {CHAT: {"prompt": "1", "completion": "2"}, SLOW: {"prompt": "1", "completion": "2"}}
PRICES[PAINTER] = {"prompt": "1", "image": "0.01", "megapixelStep": "0.1"}
_SIDES = {name: {"default": 64, "maximum": 512} for name in ("width", "height")}
_PATIENCE_SECONDS = 60.0


def _documents() -> list[ModelDocument]:
    inputs = _SIDES | {"steps": {"default": 4, "maximum": 20}}
    painter = {"family": "text_to_image", "card": {"title": "Painter", "inputs": inputs}}
    return [
        model_document(CHAT, ["chat", "completion"], adapters={"enabled": True}),
        model_document(EMBEDDER, ["embedding"]),
        model_document(SLOW, ["chat", "completion"], engine={"kind": "echo", "tokenMs": 20}),
        model_document(PAINTER, ["text_to_image", "image_to_image"], **painter),
    ]


@dataclass(slots=True)
class NotedModels:
    """Passes calls on, and remembers them."""

    models: Models
    calls: list[tuple[str, ModelCall]] = field(default_factory=list)
    num_open: int = 0

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.calls.append((model, call))
        self.num_open += 1
        stream = self.models.call(model, call, verdict)
        try:
            async for batch in stream:
                yield batch
        finally:
            self.num_open -= 1
            await stream.aclose()

    async def counters(self, model: str) -> Mapping[str, float]:
        return await self.models.counters(model)

    async def statuses(self) -> Mapping[str, ModelStatus]:
        return await self.models.statuses()


@dataclass(slots=True)
class WorkflowPlatform:
    """What runs, and a client of the first tenant's."""

    made: Gateway
    client: httpx.AsyncClient
    models: NotedModels
    history: StepHistory
    results: StoredResults

    async def publish(self, **workflows: WorkflowSpec) -> None:
        """Version 1 of each."""
        for name, spec in workflows.items():
            body = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            saved = await self.client.put(f"/v1/workflows/{name}/draft", json=body)
            assert saved.status_code == 201, saved.text
            version = await self.client.post(f"/v1/workflows/{name}/versions", json={})
            assert version.status_code == 201, version.text

    async def run(self, name: str, status: str = "succeeded", **body: Any) -> dict[str, Any]:
        """A run's view at its end."""
        headers = {"prefer": "wait=30"}
        answer = await self.client.post(f"/v1/workflows/{name}/runs", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        assert view["status"] == status, view["error"]
        return view

    async def ended(self, run_id: str) -> dict[str, Any]:
        """A run's view, once it has ended."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not RunStatus((view := (await self.client.get(f"/v1/runs/{run_id}")).json())["status"]).is_terminal:
                await asyncio.sleep(0.02)
        return dict(view)

    async def steps(self, run_id: str) -> dict[str, dict[str, Any]]:
        """A run's steps, by label."""
        answer = await self.client.get(f"/v1/runs/{run_id}/steps")
        assert answer.status_code == 200, answer.text
        return {step["label"]: step for step in answer.json()["data"]}

    async def booked(self, run_id: str, num_calls: int) -> dict[str, int]:
        """What the ledger has of a run, in nano-dollars by node, once so many calls are booked."""
        cost = func.sum(usage_events.c.cost_nano)
        query = select(usage_events.c.node, cost, func.count()).where(usage_events.c.run_id == run_id)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                async with self.made.services.records.read() as connection:
                    rows = (await connection.execute(query.group_by(usage_events.c.node))).all()
                if sum(row[2] for row in rows) >= num_calls:
                    assert sum(row[2] for row in rows) == num_calls
                    return {row[0]: int(row[1]) for row in rows}
                await asyncio.sleep(0.02)


@asynccontextmanager
async def workflow_platform(folder: Path) -> AsyncIterator[WorkflowPlatform]:
    """A platform over `folder` with the models of `_documents`, at `PRICES`."""
    settings = settings_in(folder, runs=RunsSettings(poll_seconds=0.02))
    documents = _documents()
    engines = {document.name: EchoEngine(document.spec.engine) for document in documents}
    async with gateway(folder, settings=settings) as made, made.client() as client:
        for document in documents:
            await made.services.catalog.apply(document, "api")
        for model, price in PRICES.items():
            assert (await client.put(f"/v1/admin/prices/{model}", json=price)).status_code == 200
        metering = _metering(folder, made)
        platform, runner = _platform(made, client, settings, engines, metering)
        for part in (metering, runner):
            await part.start()
        try:
            yield platform
        finally:
            await runner.stop()
            await metering.stop()


def _metering(folder: Path, made: Gateway) -> ProcessMetering:
    settings, services = MeteringSettings(sync_ms=20, ship_seconds=0.02), made.services
    books = Ledger(services.records, services.clock, settings, services.prices)
    return ProcessMetering(
        settings, folder / "journals", "one", SystemClock(), Uuid7Ids(), books, usage=True, witness=False
    )


def _platform(
    made: Gateway,
    client: httpx.AsyncClient,
    settings: Settings,
    engines: Mapping[str, EchoEngine],
    metering: ProcessMetering,
) -> tuple[WorkflowPlatform, Runner]:
    services = made.services
    records, assets, clock = services.records, services.assets, services.clock
    meters = {name: CallMetering(name, metering.meter, lambda *told: None) for name in engines}
    held = EngineAdapters(lambda: open_adapter_files(settings, services.adapters, open_object_store(settings)))
    models = NotedModels(InMemoryModels(engines, CallAssets(assets), held, meters))
    history, results = StepHistory(records, clock), StoredResults(records, assets, clock, settings.workflows)
    performer = Performer(
        documents=services.workflows.documents,
        knows=Knowledge(services.catalog, services.workflows, with_deleted=True),
        media=assets,
        results=results,
        operations=LocalOperations(assets, FairQueue(4, Queue(), clock), max_pixels=settings.images.max_pixels),
        history=history,
        clock=clock,
        settings=settings.workflows,
    )
    runner = Runner(
        services.runs,
        models,
        clock,
        owner="one",
        settings=settings.runs,
        max_concurrency=32,
        outputs=StoredOutputs(assets),
        costs=services.prices.run_costs,
        workflows=performer,
    )
    return WorkflowPlatform(made, client, models, history, results), runner
