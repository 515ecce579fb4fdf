"""What a model replica exports. Ray adds its own prefix, which the scrape configuration takes off again."""

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from serve.catalog.adapters.files import AdapterTier
from serve.domain.usage import Quantities

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]


class ReplicaMetrics:
    """The series of one replica, all labelled with its model."""

    def __init__(self, model: str) -> None:
        tags = {"model": model}
        self._running = Gauge("slipway_replica_running_requests", "Calls in the engine", tag_keys=("model",))
        self._waiting = Gauge("slipway_replica_waiting_requests", "Calls in the queue", tag_keys=("model",))
        self._backlog = Gauge("slipway_replica_backlog_seconds", "Predicted wait of the last", tag_keys=("model",))
        self._seconds = Histogram("slipway_call_duration_seconds", "In the engine", _SECONDS, tag_keys=("model",))
        self._queued = Histogram("slipway_queue_duration_seconds", "In the queue", _SECONDS, tag_keys=("model",))
        self._tokens = Counter("slipway_replica_tokens", "Tokens counted by the engine", tag_keys=("model", "kind"))
        self._images = Counter("slipway_replica_images", "Images finished by the engine", tag_keys=("model",))
        self._pixels = Counter("slipway_replica_pixels", "Pixels of those images", tag_keys=("model",))
        self._pixel_steps = Counter("slipway_replica_pixel_steps", "Pixels times denoising steps", tag_keys=("model",))
        for counter in (self._images, self._pixels, self._pixel_steps):
            counter.set_default_tags(tags)
        for series in (self._running, self._waiting, self._backlog, self._seconds, self._queued):
            series.set_default_tags(tags)
        self._tokens.set_default_tags(tags)
        self.adapters = AdapterMetrics(model)

    def sample(self, num_running: int, num_waiting: int, backlog_seconds: float) -> None:
        """The queue as it is now."""
        self._running.set(num_running)
        self._waiting.set(num_waiting)
        self._backlog.set(backlog_seconds)

    def completed(self, usage: Quantities, seconds: float, queued_seconds: float) -> None:
        """One call that came to its end."""
        self._seconds.observe(seconds)
        self._queued.observe(queued_seconds)
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_prompt_tokens),
            ("completion", usage.completion_tokens),
        ):
            if count:
                self._tokens.inc(count, {"kind": kind})
        for counter, count in (
            (self._images, usage.images),
            (self._pixels, usage.pixels),
            (self._pixel_steps, usage.pixel_steps),
        ):
            if count:
                counter.inc(count)


class AdapterMetrics:
    """The series of a replica's adapters, by model and tier; never by adapter, of which tenants make any number."""

    def __init__(self, model: str) -> None:
        keys, tags = ("model", "tier"), {"model": model}
        self._requests = Counter("slipway_adapter_requests", "Adapters of calls, by where they were", tag_keys=keys)
        self._evictions = Counter("slipway_adapter_evictions", "Adapters that made room", tag_keys=keys)
        self._seconds = Histogram("slipway_adapter_load_duration_seconds", "To the tier above", _SECONDS, tag_keys=keys)
        self._resident = Gauge("slipway_adapter_resident", "Adapters kept in a tier", tag_keys=keys)
        self._bytes = Gauge("slipway_adapter_bytes", "Host memory that adapters take", tag_keys=("model",))
        for series in (self._requests, self._evictions, self._seconds, self._resident, self._bytes):
            series.set_default_tags(tags)
        self._told: dict[str, float] = {}

    def adapter_requested(self, tier: AdapterTier) -> None:
        """See `adapter_cache.Observer`."""
        self._requests.inc(1, {"tier": tier.value})

    def adapter_loaded(self, tier: AdapterTier, seconds: float) -> None:
        """See `adapter_cache.Observer`."""
        self._seconds.observe(seconds, {"tier": tier.value})

    def adapter_evicted(self, tier: AdapterTier) -> None:
        """See `adapter_cache.Observer`."""
        self._evictions.inc(1, {"tier": tier.value})

    def sample(self, cache: Mapping[str, float], engine: Mapping[str, float]) -> None:
        """Take over what is only counted elsewhere: the cache's state, and what the engine did on the accelerator."""
        self._bytes.set(cache["adapter_bytes"])
        self._resident.set(cache["adapter_resident_host"], {"tier": AdapterTier.HOST.value})
        self._resident.set(engine.get("mixtures_loaded", 0.0), {"tier": AdapterTier.GPU.value})
        for series, tier, count in (
            (self._evictions, AdapterTier.DISK, cache["adapter_evictions_disk"]),
            (self._evictions, AdapterTier.GPU, engine.get("mixtures_evicted_total", 0.0)),
            (self._requests, AdapterTier.GPU, engine.get("mixture_hits_total", 0.0)),
        ):
            if num_new := self._num_new(f"{series.info['name']} {tier}", count):
                series.inc(num_new, {"tier": tier.value})
        self._sample_binding(engine)

    def _sample_binding(self, engine: Mapping[str, float]) -> None:
        """The engine tells how many it bound and in how long together: of each the mean is taken."""
        num_loads = self._num_new("loads", engine.get("mixture_loads_total", 0.0))
        seconds = self._num_new("seconds", engine.get("mixture_load_seconds_total", 0.0))
        for _ in range(int(num_loads)):
            self._seconds.observe(seconds / num_loads, {"tier": AdapterTier.GPU.value})

    def _num_new(self, name: str, count: float) -> float:
        before, self._told[name] = self._told.get(name, 0.0), count
        return count - before
