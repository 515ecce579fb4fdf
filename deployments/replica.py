"""What the families share: a replica's start, its queue, its calls, its health, what it reports.

A family's module derives a class from `ModelReplica`, says how its engine is made, and decorates it.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from deployments.autoscaling import BACKLOG_METRIC, INFLOW_METRIC, LOAD_METRIC, START_METRIC
from deployments.call_adapters import CallAdapters, Stores, not_enabled, open_call_adapters, record_layout
from deployments.call_assets import STORING_TASKS, CallAssets
from deployments.call_metering import CallMetering, Stream
from deployments.document_waiting import when_stored
from deployments.engines.engine import AppliedAdapter, Engine
from deployments.metering import open_replica_metering
from deployments.metric_export import RayExport
from deployments.replica_metrics import ReplicaMetrics
from serve.catalog.catalog import Catalog
from serve.catalog.weights import ResolvedWeights, open_weight_cache
from serve.clock import SystemClock, Uuid7Ids
from serve.domain.documents import ModelDocument
from serve.domain.errors import EngineFailed, SlipwayError
from serve.domain.generation import EventBatch, ModelCall
from serve.domain.usage import Quantities, Tally, UsageStatus
from serve.metering.process import ProcessMetering
from serve.serving.fair_queue import FairQueue
from serve.serving.prediction import Predictor
from serve.serving.route_memory import Preload
from serve.serving.serve_config import engine_capacity
from serve.settings import Settings
from serve.storage.assets import Assets
from serve.storage.objects import open_object_store
from serve.storage.records import Records
from serve.telemetry import logs
from serve.telemetry.tracing import Traces

logger = logging.getLogger(__name__)


_DOCUMENT_SECONDS = 1800.0
"""How long a replica waits for its document. Longer than a new installation takes, whose gateway has to be there before
the operator can bring documents; Ray gives a model up whose replicas fail a few times."""
_TOLD_SECONDS = 0.05
"""Routers are told of the backlog in steps of this: Ray sends whatever has changed to every one of them."""


class ModelArgs(BaseModel):
    """An application's arguments: which model, and the digest of what cannot change under a living replica."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    build: str


class ModelReplica(ABC):
    """One replica of one model. Ray calls `reconfigure` before the first request, and whenever the card changes."""

    def __init__(self, args: ModelArgs) -> None:
        self.name = args.name
        self._settings = Settings()
        self._clock = SystemClock()
        self._predictor = Predictor()
        self._metrics = ReplicaMetrics(args.name)
        self._export = RayExport([self._metrics.recorder], self._sample)
        tracing = self._settings.tracing
        self._traces = Traces(f"replica {args.name}", tracing.endpoint, tracing.sample_ratio)
        self._start_seconds = 0.0
        self._engine: Engine | None = None
        self._queue: FairQueue | None = None
        self._weights: ResolvedWeights | None = None
        self._stores: Stores | None = None
        self._adapters: CallAdapters | None = None
        self._assets: CallAssets | None = None
        self._metering: ProcessMetering | None = None
        self._calls: CallMetering | None = None
        logs.configure(self._settings.log)

    @abstractmethod
    def make_engine(self, document: ModelDocument, weights: Path | None) -> Engine:
        """The engine for `document`, not yet started; `weights` is a directory."""

    async def reconfigure(self, user_config: dict[str, str]) -> None:
        """Take the document with this digest; start the engine if it is the first."""
        records = Records(self._settings.storage.url())
        try:
            catalog = Catalog(records, self._clock)
            document = await self._document(catalog, user_config["digest"])
            if self._engine is None:
                await self._start(document, catalog)
            self._configure_queue(document)
            await self._configure_adapters(document)
        finally:
            await records.close()

    async def _document(self, catalog: Catalog, digest: str) -> ModelDocument:
        """The document, once it is there: on a cluster Ray hears of it from the operator, at the same time as the
        platform does. Raises NotFound."""
        wait_seconds = _DOCUMENT_SECONDS if self._settings.ray.operated else 0.0
        return await when_stored(catalog, digest, self._clock, wait_seconds)

    async def _start(self, document: ModelDocument, catalog: Catalog) -> None:
        began = self._clock.monotonic()
        weights = await self._resolve(document, catalog)
        engine = self.make_engine(document, weights)
        await engine.start()
        if STORING_TASKS & set(document.spec.tasks):
            stores = self._open_stores()
            self._assets = CallAssets(Assets(stores.records, stores.objects, self._clock, Uuid7Ids()))
        await self._start_metering(engine, document)
        self._engine = engine
        seconds = self._start_seconds = self._clock.monotonic() - began
        self._metrics.started(seconds)
        await catalog.record_cold_start(self.name, seconds)
        logger.info("model %s ready after %.1f s", self.name, seconds)

    async def _start_metering(self, engine: Engine, document: ModelDocument) -> None:
        gpus = document.spec.placement.gpus
        self._metering = metering = open_replica_metering(self._settings, self.name, gpus, engine.counters)
        await metering.start()
        is_strict = self._settings.metering.durability == "strict"
        self._calls = CallMetering(self.name, metering.meter, self._ended, metering.synced if is_strict else None)

    def _open_stores(self) -> Stores:
        """For as long as this replica lives: its calls have pictures, or adapters."""
        if self._stores is None:
            self._stores = Stores(Records(self._settings.storage.url()), open_object_store(self._settings))
        return self._stores

    async def _configure_adapters(self, document: ModelDocument) -> None:
        """A model that takes none has no stores opened for them, and pays nothing."""
        policy, engine = document.spec.adapters, self._engine
        if engine is None or (self._adapters is None and not policy.enabled):
            return
        if self._adapters is None:
            stores = self._open_stores()
            if self._weights is not None:
                await record_layout(stores.records, self._clock, self._weights.digest, self._weights.path)
            self._adapters = open_call_adapters(
                self.name, engine, stores, self._settings, self._clock, self._metrics.adapters
            )
        await self._adapters.configure(policy)

    async def _resolve(self, document: ModelDocument, catalog: Catalog) -> Path | None:
        """The folder of the weights. An address without a digest keeps to the bytes it first resolved to."""
        weights = document.spec.weights
        if weights is None:
            return None
        card = await catalog.card(self.name)
        if weights.digest is None and card.digest == document.digest() and card.record is not None:
            weights = weights.model_copy(update={"digest": card.record.weights_digest})
        cache = open_weight_cache(self._settings)
        self._weights = await asyncio.to_thread(cache.resolve, weights, None, document.spec.weights_variant)
        await catalog.record_weights(self.name, self._weights.digest)
        return self._weights.path

    def _configure_queue(self, document: ModelDocument) -> None:
        if self._queue is None:
            self._queue = FairQueue(engine_capacity(document.spec.engine), document.spec.queue, self._clock)
        self._queue.limits = document.spec.queue

    async def call(self, call: ModelCall) -> AsyncGenerator[EventBatch, None]:
        """Batches of events; ends early, without a trace in the engine, when the caller goes."""
        engine, queue, calls = self._started()
        predicted_ms = self._predictor.predict_ms(call)
        context = call.context
        adapters = self._adapters_of(call)
        try:
            with self._traces.call_span("replica call", self.name, call) as (call, span):
                async with (
                    adapters.warm(call) if adapters else nullcontext() as ready,
                    queue.place(context.tenant, predicted_ms, context.priority, context.deadline_at, ready) as waited,
                    adapters.hold(call) if adapters else nullcontext(()) as applied,
                ):
                    self._metrics.waited(waited)
                    span.event("in the engine")
                    async with aclosing(calls.metered(call, await self._work(engine, call, applied))) as batches:
                        async for batch in batches:
                            span.first("first events")
                            yield batch
        except SlipwayError:
            raise
        except Exception as error:
            logger.exception("engine of %s failed on %s", self.name, context.request_id)
            raise EngineFailed(f"The model {self.name} failed on this call.") from error

    def _adapters_of(self, call: ModelCall) -> CallAdapters | None:
        """None for a call without adapters. They are warmed while the call waits, and held inside its place, so that
        a crowd holds nothing; a call whose adapters are not here takes no place while others are ready."""
        if not call.adapters:
            return None
        if self._adapters is None:
            raise not_enabled(self.name)
        return self._adapters

    async def _work(
        self, engine: Engine, call: ModelCall, applied: Sequence[AppliedAdapter]
    ) -> Callable[[Tally], Stream]:
        """What begins the engine's answer. A task without assets has nothing to be read or stored, and no layer in
        between."""
        assets = self._assets
        if assets is None or call.task not in STORING_TASKS:
            return lambda tally: engine.stream(call, applied, tally)
        given = await assets.with_inputs(call)
        return lambda tally: cast("Stream", assets.stored(call, engine.stream(given, applied, tally)))

    def _ended(self, call: ModelCall, status: UsageStatus, usage: Quantities, seconds: float) -> None:
        """See `call_metering.Ended`."""
        if status is UsageStatus.SUCCEEDED:
            self._predictor.learn(call, usage, seconds * 1000)
        self._metrics.ended(call.context.tenant, status, usage, seconds)

    def _started(self) -> tuple[Engine, FairQueue, CallMetering]:
        if self._engine is None or self._queue is None or self._calls is None:
            raise EngineFailed(f"The model {self.name} has not started.")
        return self._engine, self._queue, self._calls

    async def check_health(self) -> None:
        """Touch the engine. Ray replaces a replica that fails this three times in a row."""
        if self._engine is not None and self._queue is not None:
            await self._engine.check_health()

    def _sample(self) -> None:
        """What is only looked at, when metrics are handed over."""
        if self._engine is None or self._queue is None:
            return
        queue, counters = self._queue, self._engine.counters()
        self._metrics.sample(queue.num_running, queue.num_waiting, queue.backlog_seconds, queue.capacity)
        self._metrics.sample_engine(counters)
        if self._adapters is not None:
            self._metrics.adapters.sample(self._adapters.counters(), counters)
        if self._metering is not None:
            journal = self._metering.sample()
            self._metrics.sample_journal(journal.lag_seconds, journal.num_bytes, journal.num_unshipped)

    def counters(self) -> dict[str, float]:
        """The engine's own counters and those of its adapters, for tests and diagnosis."""
        counted = dict(self._started()[0].counters())
        return counted | self._adapters.counters() if self._adapters is not None else counted

    async def preload_adapter(self, preload: Preload) -> None:
        """Have an adapter ready: a router expects calls with it here."""
        if self._adapters is not None:
            await self._adapters.preload(preload.adapter)

    def record_routing_stats(self) -> dict[str, Any]:
        """What routers are told of this replica, for `AdapterRouter`."""
        if self._queue is None:
            return {}
        return {
            "adapters": self._adapters.told() if self._adapters is not None else {},
            "load": self._queue.num_running / self._queue.capacity,
            "backlog_seconds": _rounded(self._queue.backlog_seconds),
        }

    def record_autoscaling_stats(self) -> dict[str, float]:
        """This replica's own work, for `BacklogPolicy`."""
        if self._queue is None:
            return {}
        return {
            BACKLOG_METRIC: self._queue.backlog_seconds,
            LOAD_METRIC: self._queue.num_running / self._queue.capacity,
            INFLOW_METRIC: self._queue.inflow,
            START_METRIC: self._start_seconds,
        }

    async def __del__(self) -> Any:
        """Ray awaits this when it takes the replica away."""
        self._export.stop()
        self._traces.stop()
        if self._engine is not None:
            await self._engine.close()
        if self._metering is not None:
            await self._metering.stop()
        if self._assets is not None:
            await self._assets.close()
        if self._adapters is not None:
            await self._adapters.close()
        if self._stores is not None:
            await self._stores.records.close()
        if self._weights is not None:
            self._weights.close()


def _rounded(seconds: float) -> float:
    return round(round(seconds / _TOLD_SECONDS) * _TOLD_SECONDS, 2)
