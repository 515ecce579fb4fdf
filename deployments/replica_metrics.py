"""What a model replica counts."""

from collections.abc import Mapping

from serve.catalog.adapters.files import AdapterTier
from serve.domain.names import TenantName
from serve.domain.usage import Quantities, UsageStatus
from serve.telemetry import series
from serve.telemetry.metrics import journal_levels
from serve.telemetry.recording import Count, Recorder


class ReplicaMetrics:
    """The series of one replica, all labelled with its model."""

    def __init__(self, model: str) -> None:
        self.recorder = recorder = Recorder()
        self._model = model
        self._running = recorder.level(series.RUNNING_CALLS, model)
        self._waiting = recorder.level(series.QUEUED_CALLS, model)
        self._places = recorder.level(series.PLACES, model)
        self._backlog = recorder.level(series.BACKLOG_SECONDS, model)
        self._seconds = recorder.spread(series.CALL_SECONDS, model)
        self._queued = recorder.spread(series.QUEUE_SECONDS, model)
        self._cold_starts = recorder.spread(series.COLD_START_SECONDS, model)
        self._work: dict[TenantName, tuple[tuple[str, Count], ...]] = {}
        self._engine = Counters()
        self.adapters = AdapterMetrics(recorder, model)

    def started(self, seconds: float) -> None:
        """The replica took this long from its making to its first call."""
        self._cold_starts.observe(seconds)

    def sample(self, num_running: int, num_waiting: int, backlog_seconds: float, capacity: int) -> None:
        """The queue as it is now, and how many calls the engine takes."""
        self._running.set(num_running)
        self._waiting.set(num_waiting)
        self._backlog.set(backlog_seconds)
        self._places.set(capacity)

    def sample_engine(self, counters: Mapping[str, float]) -> None:
        """Take over what the engine counts of its steps; an engine without batched steps says nothing of them."""
        for declared, name in (
            (series.STEPS, "steps_total"),
            (series.BATCHES, "batches_total"),
            (series.BATCH_ROWS, "batch_rows_total"),
            (series.STEP_SECONDS, "step_seconds_total"),
        ):
            if name in counters:
                self._engine.take(self.recorder.count(declared, self._model), name, counters[name])

    def sample_journal(self, lag_seconds: float, num_bytes: int, num_unshipped: int) -> None:
        """The replica's journal as it is now."""
        journal_levels(self.recorder, "replica", lag_seconds, num_bytes, num_unshipped)

    def waited(self, seconds: float) -> None:
        """A call has got a place after this long."""
        self._queued.observe(seconds)

    def ended(self, tenant: TenantName, status: UsageStatus, usage: Quantities, seconds: float) -> None:
        """One attempt that came to its end after `seconds` in the engine, however it ended; once for each."""
        self._seconds.observe(seconds)
        self.recorder.count(series.CALLS, self._model, status.value).inc()
        cells = self._work.get(tenant) or self._cells(tenant)
        for unit, cell in cells:
            if amount := getattr(usage, unit):
                cell.inc(amount / 1000 if unit == "gpu_ms" else amount)

    def _cells(self, tenant: TenantName) -> tuple[tuple[str, Count], ...]:
        count, model = self.recorder.count, self._model
        self._work[tenant] = made = (
            ("prompt_tokens", count(series.TOKENS, tenant, model, "prompt")),
            ("cached_prompt_tokens", count(series.TOKENS, tenant, model, "cached")),
            ("completion_tokens", count(series.TOKENS, tenant, model, "completion")),
            ("images", count(series.IMAGES, tenant, model)),
            ("pixels", count(series.PIXELS, tenant, model)),
            ("pixel_steps", count(series.PIXEL_STEPS, tenant, model)),
            ("gpu_ms", count(series.GPU_SECONDS, tenant, model)),
        )
        return made


class AdapterMetrics:
    """The series of a replica's adapters, by model and tier; never by adapter, of which tenants make any number."""

    def __init__(self, recorder: Recorder, model: str) -> None:
        self._recorder = recorder
        self._model = model
        self._engine = Counters()
        self._num_loads = 0.0
        self._load_seconds = 0.0

    def adapter_requested(self, tier: AdapterTier) -> None:
        """See `adapter_cache.Observer`."""
        self._requests(tier).inc()

    def adapter_loaded(self, tier: AdapterTier, seconds: float) -> None:
        """See `adapter_cache.Observer`."""
        self._recorder.spread(series.ADAPTER_SECONDS, self._model, tier.value).observe(seconds)

    def adapter_evicted(self, tier: AdapterTier) -> None:
        """See `adapter_cache.Observer`."""
        self._evictions(tier).inc()

    def sample(self, cache: Mapping[str, float], engine: Mapping[str, float]) -> None:
        """Take over what is only counted elsewhere: the cache's state, and what the engine did on the accelerator."""
        self._recorder.level(series.ADAPTER_BYTES, self._model).set(cache["adapter_bytes"])
        self._resident(AdapterTier.HOST, cache["adapter_resident_host"])
        self._resident(AdapterTier.GPU, engine.get("mixtures_loaded", 0.0))
        gpu, disk = AdapterTier.GPU, AdapterTier.DISK
        self._engine.take(self._evictions(disk), "disk evictions", cache["adapter_evictions_disk"])
        self._engine.take(self._evictions(gpu), "evictions", engine.get("mixtures_evicted_total", 0.0))
        self._engine.take(self._requests(gpu), "hits", engine.get("mixture_hits_total", 0.0))
        self._sample_binding(engine)

    def _sample_binding(self, engine: Mapping[str, float]) -> None:
        """The engine tells how many it bound and in how long together: of each the mean is taken."""
        num_loads = engine.get("mixture_loads_total", 0.0) - self._num_loads
        seconds = engine.get("mixture_load_seconds_total", 0.0) - self._load_seconds
        if num_loads >= 1:
            loaded = self._recorder.spread(series.ADAPTER_SECONDS, self._model, AdapterTier.GPU.value)
            loaded.observe(seconds / num_loads, int(num_loads))
            self._num_loads += num_loads
            self._load_seconds += seconds

    def _requests(self, tier: AdapterTier) -> Count:
        return self._recorder.count(series.ADAPTER_REQUESTS, self._model, tier.value)

    def _evictions(self, tier: AdapterTier) -> Count:
        return self._recorder.count(series.ADAPTER_EVICTIONS, self._model, tier.value)

    def _resident(self, tier: AdapterTier, number: float) -> None:
        self._recorder.level(series.ADAPTERS_RESIDENT, self._model, tier.value).set(number)


class Counters:
    """Totals that are counted elsewhere, and how much of each was taken over."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def take(self, cell: Count, name: str, total: float) -> None:
        """Add what is new of the total `name`."""
        before, self._told[name] = self._told.get(name, 0.0), total
        cell.inc(max(0.0, total - before))
