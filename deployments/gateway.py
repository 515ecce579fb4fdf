"""The gateway's composition root: settings -> Services -> the ingress deployment."""

import contextlib
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve

from deployments.handles import RayModels
from deployments.metering import open_witness_metering
from deployments.metric_export import RayExport
from deployments.scaling_changes import RayHeadStore, ScalingChanges
from serve.auth.keys import Keys
from serve.auth.links import AssetLinks
from serve.auth.people import open_people
from serve.auth.tenants import Tenants
from serve.catalog.adapters.bases import Bases
from serve.catalog.adapters.fetching import open_adapter_sources
from serve.catalog.adapters.known_layouts import KnownLayouts
from serve.catalog.adapters.registry import AdapterRegistry
from serve.catalog.catalog import Catalog
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.errors import StorageUnavailable
from serve.domain.names import RunId
from serve.domain.ports import DesiredState
from serve.gateway.app import create_app
from serve.gateway.fetch import GuardedFetcher
from serve.gateway.playground import prepare
from serve.gateway.run_limits import RunLimits
from serve.gateway.services import Services
from serve.gateway.workflows.known import Knowledge
from serve.metering.budgets.wallets import Wallets
from serve.metering.meter import Meter
from serve.metering.prices.price_book import PriceBook
from serve.metering.rates.rates import Rates
from serve.runs.store import RunStore
from serve.serving.operated import OperatedDesiredState
from serve.serving.ray_rest import RayDesiredState, RayRest
from serve.serving.serve_config import RUNNER_APP, Listener, default_platform
from serve.serving.statuses import RayStatuses
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.telemetry import logs
from serve.telemetry.metrics import Metrics
from serve.telemetry.tracing import Traces
from serve.workflow.library.library import Library

_CARDS_FRESH_SECONDS = 5.0
"""A safety net: `reconfigure` announces every change of a card."""


_DASHBOARD_PORT = 8265
"""Ray's default, which KubeRay keeps."""


class GatewayArgs(BaseModel):
    """The gateway's arguments: none, everything is in the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Gateway:
    """One gateway replica. The app is built in the replica, where the settings and the handles are."""

    def __init__(self) -> None:
        settings = Settings()
        self._metering = open_witness_metering(settings, "gateway")
        self._services = compose(settings, self._metering.witness)
        self._services.metrics.is_exported = True
        self._export = RayExport([self._services.metrics.recorder], self._sample)
        self._has_begun = False

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Ray asks for the app once the replica is made."""
        return create_app(self._services)

    async def reconfigure(self, user_config: dict[str, str]) -> None:
        """Some card has changed: read the catalogue anew at the next request."""
        self._services.catalog.forget()
        await self._begin()

    async def check_health(self) -> None:
        """A gateway that can still run this is healthy; what it depends on has health of its own."""
        await self._begin()

    def _sample(self) -> None:
        journal = self._metering.sample()
        self._services.metrics.journal("gateway", journal.lag_seconds, journal.num_bytes, journal.num_unshipped)

    async def _begin(self) -> None:
        """Start what runs beside the requests, in their loop: a constructor has none."""
        if not self._has_begun:
            self._has_begun = True
            await self._metering.start()
            await self._services.rates.start()
            await self._services.wallets.start()
            await self._services.run_limits.start()
            with contextlib.suppress(StorageUnavailable):
                await prepare(self._services)

    async def __del__(self) -> Any:
        """Ray awaits this when the replica stops: what limits and budgets have left here goes back."""
        if self._has_begun:
            self._has_begun = False
            await self._services.run_limits.stop()
            await self._services.rates.stop()
            await self._services.wallets.stop()
            await self._metering.stop()
        self._export.stop()
        self._services.traces.stop()


def compose(settings: Settings, witness: Meter) -> Services:
    """Everything that the gateway's routes need. Calls are written down with `witness`."""
    logs.configure(settings.log)
    clock, ids = SystemClock(), Uuid7Ids()
    records = Records(settings.storage.url())
    keys = Keys(records, clock, settings.gateway.key_cache_seconds)
    objects = open_object_store(settings)
    assets = Assets(records, objects, clock, ids)
    catalog, library = Catalog(records, clock, _CARDS_FRESH_SECONDS), Library(records, clock, settings.workflows)
    registry = AdapterRegistry(records, objects, clock, settings.adapters)
    rest = RayRest(settings.ray.address or head_address(_gcs_address()), settings.ray.token.get_secret_value())
    return Services(
        settings=settings,
        clock=clock,
        ids=ids,
        records=records,
        models=RayModels(RayStatuses(rest), settings.gateway.model_wait_seconds, witness),
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
        adapter_sources=open_adapter_sources(settings),
        adapter_downloads=GuardedFetcher(settings.adapters.allow_private_addresses),
        desired=desired_state(settings, rest),
        nudge=nudge_runner,
        fetcher=GuardedFetcher(settings.webhooks.allow_private_addresses),
        downloads=GuardedFetcher(settings.images.allow_private_addresses),
        links=AssetLinks(records, clock),
        metrics=Metrics(),
        traces=Traces("gateway", settings.tracing.endpoint, settings.tracing.sample_ratio),
        scaling_changes=ScalingChanges(RayHeadStore()).current,
    )


def desired_state(settings: Settings, rest: RayRest) -> DesiredState:
    """Who turns stored documents into what Ray serves: an operator, or this gateway."""
    if settings.ray.operated:
        return OperatedDesiredState()
    listener = Listener(settings.gateway.host, settings.gateway.port, every_node=False)
    return RayDesiredState(rest, default_platform(), listener)


def head_address(gcs_address: str) -> str:
    """The URL of Ray's REST API on the host where a cluster's control store is."""
    host, _, _ = gcs_address.rpartition(":")
    return f"http://{host}:{_DASHBOARD_PORT}"


def _gcs_address() -> str:
    return str(ray.get_runtime_context().gcs_address)


async def nudge_runner(run_id: RunId) -> None:
    """Tell a runner that there is work. It is only haste: runners find queued runs by themselves."""
    handle = ray_serve.get_deployment_handle("runner", RUNNER_APP, _check_exists=False)
    handle.nudge.remote(run_id)


def build(args: GatewayArgs) -> ray_serve.Application:
    """The gateway's application."""
    return ray_serve.deployment(name="gateway")(ray_serve.ingress()(Gateway)).bind()
