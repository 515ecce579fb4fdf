"""Every metric series of the HTTP front, declared once.

Units are base units (seconds, tokens). Labels are bounded: routes are templates, models are names of the catalogue,
methods are the known ones or `OTHER`.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serve.domain.usage import Quantities

CONTENT_TYPE = CONTENT_TYPE_LATEST
UNMATCHED_ROUTE = "unmatched"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_FIRST_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30, 60, 300)
_INTER_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 5)


@dataclass(frozen=True, slots=True)
class RequestSeries:
    """The series of one route, method and status; looked up once, because a look-up costs more than an increment."""

    total: Counter
    seconds: Histogram


@dataclass(frozen=True, slots=True)
class ModelSeries:
    """The series of one model."""

    first_token_seconds: Histogram
    inter_batch_seconds: Histogram
    prompt_tokens: Counter
    cached_tokens: Counter
    completion_tokens: Counter
    overloaded: Counter
    images: Counter

    def count(self, usage: Quantities) -> None:
        """Add what an answer consumed."""
        self.prompt_tokens.inc(usage.prompt_tokens)
        self.cached_tokens.inc(usage.cached_prompt_tokens)
        self.completion_tokens.inc(usage.completion_tokens)
        self.images.inc(usage.images)


class Metrics:
    """The series, over a registry of their own: two gateways in one process do not meet."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        if registry is None:
            ProcessCollector(registry=self.registry)
        self._declare_http()
        self._declare_models()
        self._requests: dict[tuple[str, str, int], RequestSeries] = {}
        self._models: dict[str, ModelSeries] = {}

    def _declare_http(self) -> None:
        self._requests_total = Counter(
            "slipway_http_requests_total", "Answered requests.", ("route", "method", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "slipway_http_request_duration_seconds",
            "From the first byte of a request's head to the last of its answer.",
            ("route", "method"),
            registry=self.registry,
            buckets=_REQUEST_SECONDS,
        )
        self.in_flight = Gauge(
            "slipway_http_in_flight_requests", "Requests held open, streams included.", registry=self.registry
        )

    def _declare_models(self) -> None:
        self._first_token_seconds = Histogram(
            "slipway_time_to_first_token_seconds",
            "From a valid request to the model's first events.",
            ("model",),
            registry=self.registry,
            buckets=_FIRST_TOKEN_SECONDS,
        )
        self._inter_batch_seconds = Histogram(
            "slipway_inter_batch_seconds",
            "Between two batches of events of one answer.",
            ("model",),
            registry=self.registry,
            buckets=_INTER_BATCH_SECONDS,
        )
        self._tokens_total = Counter(
            "slipway_tokens_total",
            "Tokens of finished answers; cached is a part of prompt.",
            ("model", "kind"),
            registry=self.registry,
        )
        self._images_total = Counter(
            "slipway_images_total", "Images of finished answers on OpenAI's routes.", ("model",), registry=self.registry
        )
        self._overloaded_total = Counter(
            "slipway_overloaded_total", "Calls refused with a full queue.", ("model",), registry=self.registry
        )

    def request(self, route: str, method: str, status: int) -> RequestSeries:
        """The series of answers on `route`, which is a template and never a raw path."""
        key = (route, method if method in _METHODS else "OTHER", status)
        found = self._requests.get(key)
        if found is None:
            total = self._requests_total.labels(*key)
            found = self._requests[key] = RequestSeries(total, self._request_seconds.labels(*key[:2]))
        return found

    def model(self, name: str) -> ModelSeries:
        """The series of a model of the catalogue."""
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = self._model_series(name)
        return found

    def _model_series(self, name: str) -> ModelSeries:
        tokens = self._tokens_total.labels
        return ModelSeries(
            self._first_token_seconds.labels(name),
            self._inter_batch_seconds.labels(name),
            tokens(name, "prompt"),
            tokens(name, "cached"),
            tokens(name, "completion"),
            self._overloaded_total.labels(name),
            self._images_total.labels(name),
        )

    def render(self) -> bytes:
        """The text that Prometheus scrapes; its media type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)
