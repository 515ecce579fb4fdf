"""What a model replica exports. Ray adds its own prefix, which the scrape configuration takes off again."""

from ray.util.metrics import Counter, Gauge, Histogram

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
