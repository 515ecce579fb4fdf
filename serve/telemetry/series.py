"""Every metric series of the product, declared once, as data.

Units are base units (seconds, bytes, dollars). Labels are bounded: routes are templates, statuses and kinds are closed
sets, tenants and models are nouns of the installation and yet have a cap, beyond which a process says `other`. Keys,
runs, adapters and anything a user wrote are never labels; the ledger answers for those. What a GPU does is not here:
NVIDIA's DCGM exporter knows it better.

Two kinds of series differ in how they are read:

    of a process    counted where it happens; every process has its own, and a query adds them up
    of the platform read from the database and from Ray's report when `/metrics` is asked: the same from every gateway,
                    so a query takes the maximum. What the ledger has booked may also go down, by corrections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What may happen to a series' value."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Place(StrEnum):
    """Which process counts; `PLATFORM` series are read, not counted."""

    GATEWAY = "gateway"
    REPLICA = "replica"
    RUNNER = "runner"
    LEDGER = "ledger"
    CONTROLLER = "controller"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Series:
    """One series. `buckets` are the upper bounds of a histogram, without infinity."""

    name: str
    help: str
    kind: Kind
    labels: tuple[str, ...]
    places: frozenset[Place]
    buckets: tuple[float, ...] = ()

    @property
    def is_of_platform(self) -> bool:
        """Whether it is read from the database or from Ray, rather than counted."""
        return Place.PLATFORM in self.places

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names that Prometheus has it under."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


OVERFLOW = "other"
"""What stands for every value beyond a label's cap."""

LABEL_CAPS: Mapping[str, int] = {"tenant": 200, "model": 500, "route": 200}
"""Distinct values of a label that one process tells apart; of any other label, 100."""
DEFAULT_CAP = 100

_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_FIRST_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 5.0)
_CALL_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_START_SECONDS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1200.0)

_GATEWAY = frozenset({Place.GATEWAY})
_CALLERS = frozenset({Place.GATEWAY, Place.RUNNER})
_REPLICA = frozenset({Place.REPLICA})
_LEDGER = frozenset({Place.LEDGER})
_RUNNER = frozenset({Place.RUNNER})
_CONTROLLER = frozenset({Place.CONTROLLER})
_PLATFORM = frozenset({Place.PLATFORM})
_JOURNALS = frozenset({Place.GATEWAY, Place.RUNNER, Place.REPLICA})


def _counter(name: str, help: str, labels: tuple[str, ...], places: frozenset[Place]) -> Series:
    return Series(name, help, Kind.COUNTER, labels, places)


def _gauge(name: str, help: str, labels: tuple[str, ...], places: frozenset[Place]) -> Series:
    return Series(name, help, Kind.GAUGE, labels, places)


def _histogram(
    name: str, help: str, labels: tuple[str, ...], places: frozenset[Place], buckets: tuple[float, ...]
) -> Series:
    return Series(name, help, Kind.HISTOGRAM, labels, places, buckets)


_OF_MODEL = ("model",)
_OF_TENANT = ("tenant", "model")
_OF_TIER = ("model", "tier")

# The HTTP front.
HTTP_REQUESTS = _counter("slipway_http_requests_total", "Answered requests.", ("route", "method", "status"), _GATEWAY)
HTTP_SECONDS = _histogram(
    "slipway_http_request_duration_seconds",
    "From the first byte of a request's head to the last of its answer.",
    ("route", "method"),
    _GATEWAY,
    _REQUEST_SECONDS,
)
HTTP_IN_FLIGHT = _gauge("slipway_http_in_flight_requests", "Requests held open, streams included.", (), _GATEWAY)
REFUSALS = _counter(
    "slipway_admission_refusals_total",
    "Calls turned away before a model was asked, by the error's code.",
    ("tenant", "reason"),
    _GATEWAY,
)

# Calls of models, as those who wait for them see them.
REQUESTS = _counter(
    "slipway_requests_total",
    "Calls of models, by how they ended: succeeded, canceled, refused (the caller's fault), overloaded, unavailable, "
    "failed. The last three are ours.",
    ("tenant", "model", "front", "outcome"),
    _CALLERS,
)
FIRST_TOKEN_SECONDS = _histogram(
    "slipway_time_to_first_token_seconds",
    "From a valid request to the model's first events.",
    _OF_MODEL,
    _CALLERS,
    _FIRST_TOKEN_SECONDS,
)
INTER_TOKEN_SECONDS = _histogram(
    "slipway_inter_token_seconds",
    "Between two batches of an answer, shared among the pieces of text of the second.",
    _OF_MODEL,
    _CALLERS,
    _TOKEN_SECONDS,
)

# Workflows. Which ones, the runs themselves say.
WORKFLOW_STEPS = _counter(
    "slipway_workflow_steps_total",
    "Steps of workflows' runs, by what they are (model, op, workflow) and how they ended.",
    ("kind", "status"),
    _RUNNER,
)
WORKFLOW_STEP_SECONDS = _histogram(
    "slipway_workflow_step_duration_seconds",
    "Of steps that ran, tries and what they waited for in between included.",
    ("kind",),
    _RUNNER,
    _CALL_SECONDS,
)

# Work, counted where it is done.
TOKENS = _counter(
    "slipway_tokens_total",
    "Tokens computed, from engine objects, also of calls that did not succeed; cached is a part of prompt.",
    ("tenant", "model", "kind"),
    _REPLICA,
)
IMAGES = _counter("slipway_images_total", "Images finished.", _OF_TENANT, _REPLICA)
PIXELS = _counter("slipway_pixels_total", "Pixels of those images.", _OF_TENANT, _REPLICA)
PIXEL_STEPS = _counter("slipway_pixel_steps_total", "Pixels times denoising steps.", _OF_TENANT, _REPLICA)
GPU_SECONDS = _counter("slipway_gpu_seconds_total", "Calls' shares of busy accelerators.", _OF_TENANT, _REPLICA)
CALLS = _counter("slipway_calls_total", "Attempts that ended in a replica, by how.", ("model", "status"), _REPLICA)
CALL_SECONDS = _histogram("slipway_call_duration_seconds", "In the engine.", _OF_MODEL, _REPLICA, _CALL_SECONDS)
QUEUE_SECONDS = _histogram(
    "slipway_queue_duration_seconds",
    "In a replica's queue, adapters' loading included.",
    _OF_MODEL,
    _REPLICA,
    _CALL_SECONDS,
)
QUEUED_CALLS = _gauge("slipway_queued_calls", "Calls in a replica's queue.", _OF_MODEL, _REPLICA)
RUNNING_CALLS = _gauge("slipway_running_calls", "Calls in the engine.", _OF_MODEL, _REPLICA)
PLACES = _gauge("slipway_places", "Calls that the engine takes at the same time.", _OF_MODEL, _REPLICA)
BACKLOG_SECONDS = _gauge("slipway_backlog_seconds", "Predicted wait of the last in the queue.", _OF_MODEL, _REPLICA)
STEPS = _counter("slipway_steps_total", "Denoising steps of images, or tokens' forward passes.", _OF_MODEL, _REPLICA)
STEP_SECONDS = _counter("slipway_step_seconds_total", "Time in batched steps.", _OF_MODEL, _REPLICA)
BATCHES = _counter("slipway_batches_total", "Batched steps: one forward pass each.", _OF_MODEL, _REPLICA)
BATCH_ROWS = _counter("slipway_batch_rows_total", "Rows of those batches, guidance's included.", _OF_MODEL, _REPLICA)
COLD_START_SECONDS = _histogram(
    "slipway_cold_start_seconds", "From a replica's making to its first call.", _OF_MODEL, _REPLICA, _START_SECONDS
)

# Adapters, by model and tier; never by adapter, of which tenants make any number.
ADAPTER_REQUESTS = _counter(
    "slipway_adapter_requests_total", "Adapters of calls, by the tier they were found in.", _OF_TIER, _REPLICA
)
ADAPTER_EVICTIONS = _counter("slipway_adapter_evictions_total", "Adapters that made room.", _OF_TIER, _REPLICA)
ADAPTER_SECONDS = _histogram(
    "slipway_adapter_load_duration_seconds", "From a tier to the one above.", _OF_TIER, _REPLICA, _CALL_SECONDS
)
ADAPTERS_RESIDENT = _gauge("slipway_adapter_resident", "Adapters kept in a tier.", _OF_TIER, _REPLICA)
ADAPTER_BYTES = _gauge("slipway_adapter_bytes", "Host memory that adapters take.", _OF_MODEL, _REPLICA)

# Usage on its way to the ledger.
JOURNAL_LAG_SECONDS = _gauge(
    "slipway_journal_lag_seconds", "Age of the oldest closed record that is not booked.", ("process",), _JOURNALS
)
JOURNAL_BYTES = _gauge("slipway_journal_bytes", "Disk that journals take.", ("process",), _JOURNALS)
JOURNAL_UNSHIPPED = _gauge(
    "slipway_journal_unshipped_records", "Closed records that are not booked.", ("process",), _JOURNALS
)
BOOKINGS = _counter(
    "slipway_ledger_bookings_total",
    "Events that shippers sent: inserted, duplicate, conflict.",
    ("result",),
    _LEDGER,
)
BOOKING_SECONDS = _histogram(
    "slipway_ledger_booking_duration_seconds", "One batch's transaction.", (), _LEDGER, _REQUEST_SECONDS
)

# The scaling policy.
WANTED_REPLICAS = _gauge("slipway_autoscaling_wanted_replicas", "Asked for.", _OF_MODEL, _CONTROLLER)
INFLOW = _gauge(
    "slipway_autoscaling_inflow", "Replica-seconds of work that arrive each second.", _OF_MODEL, _CONTROLLER
)
SCALING_BACKLOG = _gauge("slipway_autoscaling_backlog_seconds", "Replica-seconds that wait.", _OF_MODEL, _CONTROLLER)
SCALING_LOAD = _gauge("slipway_autoscaling_load", "Replicas' worth of places that are taken.", _OF_MODEL, _CONTROLLER)
SCALING_DECISIONS = _counter(
    "slipway_autoscaling_decisions_total", "Changes of the wanted number.", ("model", "direction"), _CONTROLLER
)

# The platform, read when asked.
MODEL_REPLICAS = _gauge("slipway_model_replicas", "Replicas: ready, and desired.", ("model", "state"), _PLATFORM)
MODEL_STATE = _gauge(
    "slipway_model_state",
    "1 for the state that a model is in: ready, loading, at_zero, failed.",
    ("model", "state"),
    _PLATFORM,
)
QUEUED_RUNS = _gauge(
    "slipway_queued_runs", "Runs that no runner has begun; of workflows all together.", _OF_MODEL, _PLATFORM
)
BOOKED_UNITS = _gauge("slipway_booked_units", "Booked usage since the beginning.", (*_OF_TENANT, "unit"), _PLATFORM)
BOOKED_COST = _gauge("slipway_booked_cost_dollars", "Booked cost since the beginning.", _OF_TENANT, _PLATFORM)
MONTH_UNITS = _gauge("slipway_booked_month_units", "Booked usage of this month, UTC.", (*_OF_TENANT, "unit"), _PLATFORM)
MONTH_COST = _gauge("slipway_booked_month_cost_dollars", "Booked cost of this month, UTC.", _OF_TENANT, _PLATFORM)
BOOKED_ATTEMPTS = _gauge(
    "slipway_booked_attempts",
    "Booked attempts since the beginning: all, and of them unbilled, estimated, unpriced.",
    (*_OF_TENANT, "which"),
    _PLATFORM,
)
LEDGER_CONFLICTS = _gauge("slipway_ledger_conflicts", "Records in quarantine that nobody has resolved.", (), _PLATFORM)
LEDGER_GAPS = _gauge("slipway_ledger_gaps", "Records that journals should have and have not.", (), _PLATFORM)
LEDGER_DIFFERENCE = _gauge(
    "slipway_ledger_difference_units",
    "What sources say they counted, less what is booked of them, of those with nothing on its way.",
    ("unit",),
    _PLATFORM,
)
LEDGER_UNRECONCILED = _gauge(
    "slipway_ledger_unreconciled_sources", "Processes whose records, sums or counters do not add up.", (), _PLATFORM
)
LEDGER_WITNESSES = _gauge(
    "slipway_ledger_waiting_witnesses", "Calls that a gateway or runner reported and no replica yet.", (), _PLATFORM
)
LEDGER_ANSWERS = _gauge("slipway_ledger_readable", "1 while the ledger's tables can be read.", (), _PLATFORM)
BUDGET_LIMIT = _gauge(
    "slipway_budget_limit_dollars", "Limit of a tenant's tightest budget.", ("tenant", "period"), _PLATFORM
)
BUDGET_SPENT = _gauge("slipway_budget_spent_dollars", "Spent of that budget.", ("tenant", "period"), _PLATFORM)
BUDGET_HELD = _gauge("slipway_budget_held_dollars", "Reserved of that budget.", ("tenant", "period"), _PLATFORM)

ALL: tuple[Series, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Series))
"""In the order of this file."""
BY_NAME: Mapping[str, Series] = {series.name: series for series in ALL}
