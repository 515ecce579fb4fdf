"""The runner's composition root: the application that executes runs, sends webhooks and sweeps what has expired."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve

from deployments.handles import RayModels
from deployments.metering import open_witness_metering
from deployments.metric_export import RayExport
from deployments.workflow_parts import open_workflows
from serve.catalog.adapters.blobs import AdapterBlobs
from serve.catalog.adapters.disposal import AdapterDisposal
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.errors import EngineFailed
from serve.domain.names import AssetId, RunId
from serve.domain.run import Run
from serve.gateway.fetch import GuardedFetcher
from serve.metering.prices.price_book import PriceBook
from serve.runs.execution import Runner
from serve.runs.outputs import view
from serve.runs.retention import Sweeper
from serve.runs.store import RunStore
from serve.runs.webhooks import WebhookSender
from serve.serving.ray_rest import RayRest
from serve.serving.statuses import RayStatuses
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.telemetry import logs
from serve.telemetry.metrics import Metrics
from serve.telemetry.observed import ObservedModels
from serve.telemetry.tracing import Traces


class RunnerArgs(BaseModel):
    """How many runs one replica executes at the same time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_concurrency: int


class AssetOutputs:
    """Outputs that are too large for a row, as assets of their run."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    async def store(self, run: Run, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        """See `serve.runs.outputs.OutputSink`."""
        asset = await self._assets.add(
            tenant=run.tenant, project=run.project, run_id=run.id, data=data, media_type=media_type, name=name
        )
        return view(asset)

    async def read(self, run: Run, asset_id: str) -> bytes:
        """See `serve.runs.outputs.OutputSink`."""
        asset = await self._assets.get(run.tenant, AssetId(asset_id))
        return b"".join([chunk async for chunk in self._assets.content(asset)])

    async def keep_only(self, run: Run, asset_ids: Collection[str]) -> None:
        """See `serve.runs.outputs.OutputSink`."""
        await self._assets.delete_strays(run.id, run.fence, asset_ids)


class RunnerReplica:
    """One runner. Its work goes on between requests, in tasks of its own."""

    async def __init__(self, args: RunnerArgs) -> None:  # type: ignore[misc]  # Ray awaits a constructor
        settings = Settings()
        logs.configure(settings.log)
        clock, ids = SystemClock(), Uuid7Ids()
        records = Records(settings.storage.url())
        objects = open_object_store(settings)
        assets = Assets(records, objects, clock, ids)
        blobs = AdapterBlobs(records, objects, clock, settings.adapters)
        rest = RayRest(settings.ray.address, settings.ray.token.get_secret_value())
        store = RunStore(records, clock, settings.runs, assets)
        fetcher = GuardedFetcher(settings.webhooks.allow_private_addresses)
        self._metering = open_witness_metering(settings, "runner")
        models = RayModels(RayStatuses(rest), settings.gateway.model_wait_seconds, self._metering.witness)
        self._metrics = Metrics("runner")
        self._export = RayExport([self._metrics.recorder], self._sample)
        self._traces = Traces("runner", settings.tracing.endpoint, settings.tracing.sample_ratio)
        workflows = open_workflows(records, assets, clock, settings.workflows)
        self._history = workflows.history
        self._runner = Runner(
            store,
            ObservedModels(models, self._metrics, clock.monotonic, self._traces, "runner attempt"),
            clock,
            owner=ids.new(),
            settings=settings.runs,
            max_concurrency=args.max_concurrency,
            outputs=AssetOutputs(assets),
            costs=PriceBook(records, clock).run_costs,
            workflows=workflows.performer,
            watch=self._metrics.step,
        )
        self._webhooks = WebhookSender(records, clock, fetcher, settings.webhooks)
        disposal = AdapterDisposal(records, blobs, clock, settings.adapters)
        swept = (disposal, workflows.results, workflows.documents)
        self._sweeper = Sweeper(records, clock, settings.runs, assets, swept)
        for part in (self._metering, self._history, self._runner, self._webhooks, self._sweeper):
            await part.start()

    async def nudge(self, run_id: RunId) -> None:
        """A run was queued: look now rather than at the next poll."""
        self._runner.nudge(run_id)

    def _sample(self) -> None:
        journal = self._metering.sample()
        self._metrics.journal("runner", journal.lag_seconds, journal.num_bytes, journal.num_unshipped)

    async def check_health(self) -> None:
        """The loop that claims runs must be alive."""
        if not self._runner.is_alive:
            raise EngineFailed("The runner's loop has ended.")

    async def __del__(self) -> Any:
        """Ray awaits this when it takes the replica away: give the runs back, so that another has them at once."""
        for part in (self._runner, self._history, self._webhooks, self._sweeper, self._metering):
            await part.stop()
        self._export.stop()
        self._traces.stop()


def build(args: RunnerArgs) -> ray_serve.Application:
    """The runner's application."""
    return ray_serve.deployment(name="runner")(RunnerReplica).bind(args)
