"""A whole gateway in one process: real stores over SQLite, the echo engine, no network but what a test opens."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from fakes.adapter_shelf import EngineAdapters
from fakes.databases import new_sqlite
from fastapi import FastAPI
from starlette.routing import BaseRoute

from deployments.call_assets import CallAssets
from deployments.engines.echo import EchoEngine
from serve.auth.access import ALL_SCOPES, Scope
from serve.auth.keys import Keys
from serve.auth.links import AssetLinks
from serve.auth.people import open_people
from serve.auth.tenants import Tenants
from serve.catalog.adapters.bases import Bases
from serve.catalog.adapters.fetching import AdapterSources
from serve.catalog.adapters.files import open_adapter_files
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.catalog import Catalog
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import InvalidRequest
from serve.domain.names import RunId
from serve.gateway import app as gateway_app
from serve.gateway.app import create_app
from serve.gateway.fetch import GuardedFetcher
from serve.gateway.run_limits import RunLimits
from serve.gateway.services import Services
from serve.gateway.workflows.known import Knowledge
from serve.metering.budgets.wallets import Wallets
from serve.metering.prices.price_book import PriceBook
from serve.metering.rates.rates import Rates
from serve.runs.store import RunStore
from serve.serving.in_memory import InMemoryModels, SupportsStream
from serve.settings import Settings, StorageSettings
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.telemetry.metrics import Metrics
from serve.telemetry.tracing import Traces
from serve.workflow.library.library import Library

CHAT = "echo-chat"
EMBEDDER = "echo-embed"
FORBIDDEN_HOST = "private.example"


def model_document(name: str, tasks: Sequence[str], **spec: Any) -> ModelDocument:
    """A document of the echo engine; `spec` adds to or replaces fields of its spec."""
    body: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {"family": "llm", "tasks": list(tasks), "card": {"title": name}, "engine": {"kind": "echo"}} | spec,
    }
    return ModelDocument.model_validate(body)


@dataclass(slots=True)
class RecordedDesired:
    """A `ports.DesiredState` that keeps what it was told."""

    applied: list[list[str]] = field(default_factory=list)

    async def apply(self, models: Sequence[ModelDocument]) -> None:
        self.applied.append([model.name for model in models])


class OneForbiddenHost:
    """Knows one host that webhooks may not go to."""

    async def check_url(self, url: str) -> None:
        if FORBIDDEN_HOST in url:
            raise InvalidRequest("The URL leads to an address that is not public.", "forbidden_address", "webhook.url")


@dataclass(slots=True)
class Gateway:
    """A running gateway, and a key of each kind that tests need."""

    services: Services
    app: FastAPI
    key: str
    other_key: str
    """An inference key of another tenant."""
    desired: RecordedDesired
    nudged: list[RunId]

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """A client without a network. Close it, or use it in an `async with`."""
        transport = httpx.ASGITransport(self.app)
        headers = {"authorization": f"Bearer {self.key if key is None else key}"} if key != "" else {}
        return httpx.AsyncClient(transport=transport, base_url="http://slipway", headers=headers)


def settings_in(folder: Path, **parts: Any) -> Settings:
    """Settings whose state is under `folder`."""
    storage = StorageSettings(data_dir=folder / "data", cache_dir=folder / "cache", state_dir=folder / "state")
    return Settings(storage=storage, **parts)


@cache
def _routes() -> list[BaseRoute]:
    return create_app(None).routes


def app_of(services: Services) -> FastAPI:
    """`create_app`, with the routes of the first: to make a hundred takes longer than most tests."""
    with patch.object(gateway_app, "_ROUTERS", ()):
        app = create_app(services)
    own = {route.path for route in app.routes}
    app.router.routes += [route for route in _routes() if route.path not in own]
    return app


@asynccontextmanager
async def gateway(
    folder: Path, engines: Mapping[str, SupportsStream] | None = None, settings: Settings | None = None
) -> AsyncIterator[Gateway]:
    """A gateway over `folder` with the models `echo-chat` (chat, completion) and `echo-embed`.

    `engines` adds models that chat, or replaces the engines of these.
    """
    settings = settings or settings_in(folder)
    new_sqlite(settings.storage.data_dir / "slipway.db")
    records = Records(settings.storage.url())
    services, desired, nudged = _services(settings, records, engines or {})
    for name in services.models._engines:
        tasks = ["embedding"] if name == EMBEDDER else ["chat", "completion"]
        await services.catalog.apply(model_document(name, tasks), "api")
    key = await services.keys.bootstrap()
    assert key is not None
    made = Gateway(services, app_of(services), key, await _other_key(services), desired, nudged)
    try:
        yield made
    finally:
        await records.close()


def _services(
    settings: Settings, records: Records, engines: Mapping[str, SupportsStream]
) -> tuple[Services, RecordedDesired, list[RunId]]:
    clock, ids, desired, nudged = SystemClock(), Uuid7Ids(), RecordedDesired(), list[RunId]()

    async def nudge(run_id: RunId) -> None:
        nudged.append(run_id)

    chat, embedder = model_document(CHAT, ["chat"]), model_document(EMBEDDER, ["embedding"])
    echoes = {document.name: EchoEngine(document.spec.engine) for document in (chat, embedder)}
    keys = Keys(records, clock, settings.gateway.key_cache_seconds)
    objects = open_object_store(settings)
    assets = Assets(records, objects, clock, ids)
    catalog, library = Catalog(records, clock), Library(records, clock, settings.workflows)
    registry = AdapterRegistry(records, objects, clock, settings.adapters)
    held = EngineAdapters(lambda: open_adapter_files(settings, registry, objects))
    services = Services(
        settings=settings,
        clock=clock,
        ids=ids,
        records=records,
        models=InMemoryModels({**echoes, **engines}, CallAssets(assets), held),
        catalog=catalog,
        prices=PriceBook(records, clock),
        rates=Rates(records, clock),
        wallets=Wallets(records, clock, ids, settings.metering, f"gateway-{ids.new()}"),
        run_limits=RunLimits(records, clock),
        keys=keys,
        tenants=Tenants(records, clock),
        people=open_people(settings, records, clock, ids, keys),
        runs=RunStore(records, clock, settings.runs, assets),
        assets=assets,
        adapters=registry,
        workflows=library,
        knowledge=Knowledge(catalog, library),
        bases=Bases(registry, KnownLayouts(records, clock)),
        adapter_sources=AdapterSources(settings.objects, os.environ.get("HF_ENDPOINT", "")),
        adapter_downloads=GuardedFetcher(settings.adapters.allow_private_addresses),
        desired=desired,
        metrics=Metrics(),
        traces=Traces("gateway", settings.tracing.endpoint, settings.tracing.sample_ratio),
        nudge=nudge,
        fetcher=OneForbiddenHost(),
        downloads=GuardedFetcher(settings.images.allow_private_addresses),
        links=AssetLinks(records, clock),
    )
    return services, desired, nudged


async def _other_key(services: Services) -> str:
    await services.tenants.create("other")
    _, token = await services.keys.create(
        tenant="other", project="default", title="other", scopes=ALL_SCOPES - {Scope.ADMIN}, parent=None
    )
    return token
