"""What the HTTP front and the runner count."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from serve.domain import errors
from serve.domain.generation import Completed, EventBatch, TextDelta, ToolCallDelta
from serve.domain.names import TenantName
from serve.domain.steps import Step, StepStatus
from serve.domain.workflow import NodePrefix
from serve.telemetry import series
from serve.telemetry.exposition import CONTENT_TYPE as CONTENT_TYPE
from serve.telemetry.exposition import render
from serve.telemetry.recording import Count, Level, Recorder, Spread

UNMATCHED_ROUTE = "unmatched"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OUTCOMES: tuple[tuple[type[BaseException], str], ...] = (
    (errors.Overloaded, "overloaded"),
    (errors.ModelUnavailable, "unavailable"),
    (errors.MeteringUnavailable, "unavailable"),
    (errors.StorageUnavailable, "unavailable"),
    (errors.ReplicaLost, "unavailable"),
    (errors.EngineFailed, "failed"),
    (errors.Canceled, "canceled"),
    (errors.DeadlineExceeded, "canceled"),
    (errors.SlipwayError, "refused"),
    (Exception, "failed"),
)
"""The first that fits. What is no Exception is the task's cancellation, or the closing of a stream."""


def outcome_of(error: BaseException | None) -> str:
    """The label of a call that ended so."""
    if error is None:
        return "succeeded"
    return next((outcome for kind, outcome in _OUTCOMES if isinstance(error, kind)), "canceled")


@dataclass(frozen=True, slots=True)
class RequestCells:
    """The cells of one route, method and status."""

    total: Count
    seconds: Spread


class CallWatch:
    """One call of a model, timed from its beginning to its end: `with metrics.call(...) as watch`."""

    __slots__ = ("_first", "_last", "_metrics", "_model", "_now", "_tenant", "_tokens", "is_whole")

    def __init__(self, metrics: "Metrics", tenant: str, model: str, now: Callable[[], float]) -> None:
        self._metrics, self._tenant, self._model, self._now = metrics, tenant, model, now
        self._first: Spread | None = metrics.first_token(model)
        self._tokens = metrics.inter_token(model)
        self._last = now()
        self.is_whole = False

    def saw(self, batch: EventBatch) -> None:
        """These events came just now."""
        self.is_whole = bool(batch) and isinstance(batch[-1], Completed)
        moment = self._now()
        seconds, self._last = moment - self._last, moment
        if self._first is not None:
            self._first.observe(seconds)
            self._first = None
        elif num_pieces := sum([isinstance(event, TextDelta | ToolCallDelta) for event in batch]):
            self._tokens.observe(seconds / num_pieces, num_pieces)

    def __enter__(self) -> "CallWatch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = None if self.is_whole and isinstance(error, GeneratorExit) else error
        self._metrics.requests(self._tenant, self._model, outcome_of(ended)).inc()


class Metrics:
    """The series of a process that calls models. `front` is the gateway or the runner.

    Cells are kept here by what they are looked up with, so that a request pays for a dict.
    """

    def __init__(self, front: str = "gateway") -> None:
        self.recorder = Recorder()
        self.is_exported = False
        """Whether somebody else brings this process's series to Prometheus; a scrape of it then shows none of them."""
        self._front = front
        self._http: dict[tuple[str, str, int], RequestCells] = {}
        self._requests: dict[tuple[str, str, str], Count] = {}
        self._spreads: dict[tuple[str, str], Spread] = {}
        self._steps: dict[tuple[str, StepStatus], Count] = {}
        self.in_flight: Level = self.recorder.level(series.HTTP_IN_FLIGHT)

    def request(self, route: str, method: str, status: int) -> RequestCells:
        """The cells of answers on `route`, which is a template and never a raw path."""
        key = (route, method if method in _METHODS else "OTHER", status)
        found = self._http.get(key)
        if found is None:
            total = self.recorder.count(series.HTTP_REQUESTS, key[0], key[1], str(status))
            found = self._http[key] = RequestCells(total, self.recorder.spread(series.HTTP_SECONDS, *key[:2]))
        return found

    def call(self, tenant: TenantName, model: str, now: Callable[[], float]) -> CallWatch:
        """Watch a call that begins now; `now` gives monotonic seconds."""
        return CallWatch(self, tenant, model, now)

    def refused(self, tenant: TenantName, error: errors.SlipwayError) -> None:
        """A call was turned away before a model was asked."""
        self.recorder.count(series.REFUSALS, tenant, error.code).inc()

    def requests(self, tenant: str, model: str, outcome: str) -> Count:
        """The cell of calls that ended so."""
        found = self._requests.get((tenant, model, outcome))
        if found is None:
            found = self.recorder.count(series.REQUESTS, tenant, model, self._front, outcome)
            self._requests[tenant, model, outcome] = found
        return found

    def first_token(self, model: str) -> Spread:
        """The cell of a model's times to the first events."""
        return self._spread(series.FIRST_TOKEN_SECONDS, model)

    def inter_token(self, model: str) -> Spread:
        """The cell of a model's times between tokens."""
        return self._spread(series.INTER_TOKEN_SECONDS, model)

    def step(self, step: Step) -> None:
        """A step of a workflow's run has begun, or ended."""
        if not step.status.is_terminal:
            return
        prefix = step.type.partition(":")[0]
        kind = NodePrefix.MODEL.value if prefix == NodePrefix.TASK else prefix
        found = self._steps.get((kind, step.status))
        if found is None:
            found = self._steps[kind, step.status] = self.recorder.count(series.WORKFLOW_STEPS, kind, step.status.value)
        found.inc()
        if step.started_ms is not None and step.finished_ms is not None:
            self._spread(series.WORKFLOW_STEP_SECONDS, kind).observe((step.finished_ms - step.started_ms) / 1000)

    def journal(self, process: str, lag_seconds: float, num_bytes: int, num_unshipped: int) -> None:
        """The journal of this process, as it is now."""
        journal_levels(self.recorder, process, lag_seconds, num_bytes, num_unshipped)

    def _spread(self, declared: series.Series, label: str) -> Spread:
        key = (declared.name, label)
        found = self._spreads.get(key)
        if found is None:
            found = self._spreads[key] = self.recorder.spread(declared, label)
        return found

    def render(self, *platform: Recorder) -> bytes:
        """The text that Prometheus scrapes here: the platform's series, and this process's unless others have them."""
        return render(*platform) if self.is_exported else render(self.recorder, *platform)


def journal_levels(recorder: Recorder, process: str, lag_seconds: float, num_bytes: int, num_unshipped: int) -> None:
    """Set the levels of a process's journal."""
    recorder.level(series.JOURNAL_LAG_SECONDS, process).set(lag_seconds)
    recorder.level(series.JOURNAL_BYTES, process).set(num_bytes)
    recorder.level(series.JOURNAL_UNSHIPPED, process).set(num_unshipped)
