"""Recording rules and alerts, as data; `make render` writes them to k8s/prometheus for a Prometheus to load.

Names of recorded series say what is left of the labels, what it is, and over how long, `level:metric:operation`, as
Prometheus advises. Series of a process are added up, series of the platform are the same from every gateway and so are
taken once, with `max`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

OBJECTIVE = 0.999
"""The share of calls that should not fail by our fault, over 30 days."""
FIRST_TOKEN_SECONDS = 5
"""An answer that has not begun by then is slow."""
OURS = 'outcome=~"overloaded|unavailable|failed"'
"""Outcomes that count against us."""
BURN_WINDOWS = ("5m", "30m", "1h", "6h", "3d")
RUNBOOKS = "k8s/runbooks"


class Severity(StrEnum):
    """Whether somebody is woken."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus keeps by evaluating `expr`."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that somebody should act on. `summary` may use `$labels`; what to do is in its runbook."""

    name: str
    expr: str
    hold: str
    """How long it must be so."""
    severity: Severity
    summary: str

    @property
    def runbook(self) -> str:
        """The page's path in the project."""
        return f"{RUNBOOKS}/{self.name}.md"


def _errors_ratio(labels: str, window: str) -> str:
    total = f"sum by ({labels}) (rate(slipway_requests_total[{window}]))"
    ours = f"sum by ({labels}) (rate(slipway_requests_total{{{OURS}}}[{window}]))"
    return f"({ours} or {total} * 0) / ({total} > 0)"


def _quantile(quantile: float, name: str, labels: str = "model", window: str = "5m") -> str:
    return f"histogram_quantile({quantile}, sum by ({labels}, le) (rate({name}_bucket[{window}])))"


def _mean(name: str, per: str) -> str:
    return f"sum by (model) (rate({name}[5m])) / (sum by (model) (rate({per}[5m])) > 0)"


LEDGER_WATCHED = "slipway:ledger_readable:max"


def _grown(name: str, window: str) -> str:
    """What a recorded total has grown by. What was not there before began at zero if the ledger was watched then;
    otherwise, as after an outage of Prometheus, where it was first seen."""
    return (
        f"{name} - ({name} offset {window} or {name} * 0 and on () {LEDGER_WATCHED} offset {window} == 1 "
        f"or min_over_time({name}[{window}]))"
    )


def _counted(name: str, labels: str, window: str) -> str:
    """What processes have counted, to the last scrape of each. Every process counts from zero, under a name of its own
    (`WorkerId`), and never begins anew; `increase()` would guess what lies beyond the first and last scrape, which is a
    tenth of what a process of a minute has done."""
    return f"sum by ({labels}) (max_over_time({name}[{window}]) - min_over_time({name}[{window}]))"


USAGE: tuple[Recording, ...] = (
    Recording(
        "tenant_model_kind:slipway_tokens:rate5m", "sum by (tenant, model, kind) (rate(slipway_tokens_total[5m]))"
    ),
    Recording(
        "tenant_model_kind:slipway_tokens:increase1h",
        _counted("slipway_tokens_total", "tenant, model, kind", "1h"),
    ),
    Recording("tenant_model:slipway_images:rate5m", "sum by (tenant, model) (rate(slipway_images_total[5m]))"),
    Recording("tenant_model:slipway_images:increase1h", _counted("slipway_images_total", "tenant, model", "1h")),
    Recording("tenant_model:slipway_pixels:rate5m", "sum by (tenant, model) (rate(slipway_pixels_total[5m]))"),
    Recording(
        "tenant_model:slipway_pixel_steps:rate5m", "sum by (tenant, model) (rate(slipway_pixel_steps_total[5m]))"
    ),
    Recording(
        "tenant_model:slipway_gpu_seconds:rate5m", "sum by (tenant, model) (rate(slipway_gpu_seconds_total[5m]))"
    ),
    Recording(LEDGER_WATCHED, "max(slipway_ledger_readable)"),
    Recording("tenant_model_unit:slipway_units:booked", "max by (tenant, model, unit) (slipway_booked_units)"),
    Recording("tenant_model:slipway_cost_dollars:booked", "max by (tenant, model) (slipway_booked_cost_dollars)"),
    Recording("tenant_model_unit:slipway_units:booked1h", _grown("tenant_model_unit:slipway_units:booked", "1h")),
    Recording("tenant_model:slipway_cost_dollars:booked1h", _grown("tenant_model:slipway_cost_dollars:booked", "1h")),
    Recording(
        "tenant_model:slipway_dollars_per_million_tokens:booked1h",
        "1e6 * tenant_model:slipway_cost_dollars:booked1h / (sum by (tenant, model) "
        '(tenant_model_unit:slipway_units:booked1h{unit=~"prompt_tokens|completion_tokens"}) > 0)',
    ),
    Recording(
        "tenant_model:slipway_dollars_per_image:booked1h",
        "tenant_model:slipway_cost_dollars:booked1h / (sum by (tenant, model) "
        '(tenant_model_unit:slipway_units:booked1h{unit="images"}) > 0)',
    ),
    Recording(
        "tenant_period:slipway_budget_used:ratio",
        "(max by (tenant, period) (slipway_budget_spent_dollars) + max by (tenant, period) "
        "(slipway_budget_held_dollars)) / (max by (tenant, period) (slipway_budget_limit_dollars) > 0)",
    ),
    Recording(
        "slipway:token_difference:ratio1h",
        'abs(sum(tenant_model_kind:slipway_tokens:increase1h{kind!="cached"}) - sum(tenant_model_unit:'
        'slipway_units:booked1h{unit=~"prompt_tokens|completion_tokens"})) / (sum(tenant_model_unit:'
        'slipway_units:booked1h{unit=~"prompt_tokens|completion_tokens"}) > 100000)',
    ),
)
"""Usage and cost per tenant and model."""

SERVICE: tuple[Recording, ...] = (
    Recording("model_outcome:slipway_requests:rate5m", "sum by (model, outcome) (rate(slipway_requests_total[5m]))"),
    Recording("model:slipway_requests:increase1h", "sum by (model) (increase(slipway_requests_total[1h]))"),
    Recording("model:slipway_failures:increase1h", f"sum by (model) (increase(slipway_requests_total{{{OURS}}}[1h]))"),
    *(Recording(f"model:slipway_errors:ratio_rate{window}", _errors_ratio("model", window)) for window in BURN_WINDOWS),
    Recording("tenant_model:slipway_errors:ratio_rate1h", _errors_ratio("tenant, model", "1h")),
    Recording("model:slipway_first_token_seconds:p50_5m", _quantile(0.5, "slipway_time_to_first_token_seconds")),
    Recording("model:slipway_first_token_seconds:p95_5m", _quantile(0.95, "slipway_time_to_first_token_seconds")),
    Recording("model:slipway_inter_token_seconds:p95_5m", _quantile(0.95, "slipway_inter_token_seconds")),
    Recording("model:slipway_call_seconds:p95_5m", _quantile(0.95, "slipway_call_duration_seconds")),
    Recording("model:slipway_queue_seconds:p95_5m", _quantile(0.95, "slipway_queue_duration_seconds")),
    Recording("model:slipway_cold_start_seconds:p95_1h", _quantile(0.95, "slipway_cold_start_seconds", window="1h")),
    Recording("route:slipway_http_seconds:p95_5m", _quantile(0.95, "slipway_http_request_duration_seconds", "route")),
    Recording(
        "route_status:slipway_http_requests:rate5m", "sum by (route, status) (rate(slipway_http_requests_total[5m]))"
    ),
    Recording("model:slipway_queued_calls:sum", "sum by (model) (slipway_queued_calls)"),
    Recording(
        "model:slipway_places_taken:ratio",
        "sum by (model) (slipway_running_calls) / (sum by (model) (slipway_places) > 0)",
    ),
    Recording("model:slipway_step_seconds:mean5m", _mean("slipway_step_seconds_total", "slipway_batches_total")),
    Recording("model:slipway_batch_rows:mean5m", _mean("slipway_batch_rows_total", "slipway_batches_total")),
    Recording(
        "model:slipway_adapter_host_hits:ratio_rate5m",
        '(sum by (model) (rate(slipway_adapter_requests_total{tier="host"}[5m])) or '
        'sum by (model) (rate(slipway_adapter_requests_total{tier!="gpu"}[5m])) * 0) / '
        '(sum by (model) (rate(slipway_adapter_requests_total{tier!="gpu"}[5m])) > 0)',
    ),
    Recording(
        "model:slipway_adapter_evictions:per_request5m",
        '(sum by (model) (rate(slipway_adapter_evictions_total{tier="host"}[5m])) or '
        'sum by (model) (rate(slipway_adapter_requests_total{tier!="gpu"}[5m])) * 0) / '
        '(sum by (model) (rate(slipway_adapter_requests_total{tier!="gpu"}[5m])) > 0)',
    ),
)
"""How well the service does."""


def _burns(factor: float, long: str, short: str) -> str:
    """Both windows burn the error budget this much too fast: the long one says it matters, the short that it lasts."""
    limit = f"{factor * (1 - OBJECTIVE):.4g}"
    return f"(model:slipway_errors:ratio_rate{long} > {limit} and model:slipway_errors:ratio_rate{short} > {limit})"


_ENOUGH = "and on (model) model:slipway_requests:increase1h > 10"
_SEVERAL = "and on (model) model:slipway_failures:increase1h > 3"
"""In a quiet hour one attempt that died with its replica, and was made again, is above any limit, and wakes nobody."""

AVAILABILITY: tuple[Alert, ...] = (
    Alert(
        "SlipwayGatewayDown",
        'up{job="slipway-gateway"} == 0 or absent(up{job="slipway-gateway"})',
        "1m",
        Severity.PAGE,
        "No gateway answers Prometheus.",
    ),
    Alert(
        "SlipwayMetricsMissing",
        'up{job="slipway-ray"} == 0 or absent(up{job="slipway-ray"})',
        "5m",
        Severity.TICKET,
        "The metrics of Ray's processes cannot be read: most alerts are blind.",
    ),
    Alert(
        "SlipwayModelUnavailable",
        '(max by (model) (slipway_model_replicas{state="desired"}) > 0 '
        'unless on (model) max by (model) (slipway_model_replicas{state="ready"}) > 0) '
        'or max by (model) (slipway_model_state{state="failed"}) > 0',
        "10m",
        Severity.PAGE,
        "{{ $labels.model }} should have replicas and none is ready.",
    ),
    Alert(
        "SlipwayErrorBudgetBurnFast",
        f"({_burns(14.4, '1h', '5m')} or {_burns(6, '6h', '30m')}) {_SEVERAL}",
        "2m",
        Severity.PAGE,
        "{{ $labels.model }} fails {{ $value | humanizePercentage }} of its calls: the month's error budget is gone in "
        "days.",
    ),
    Alert(
        "SlipwayErrorBudgetBurnSlow",
        f"{_burns(1, '3d', '6h')} {_ENOUGH}",
        "1h",
        Severity.TICKET,
        "{{ $labels.model }} fails more calls than its objective allows, and has for days.",
    ),
    Alert(
        "SlipwayTenantFailing",
        "tenant_model:slipway_errors:ratio_rate1h > 0.05 and on (tenant, model) "
        "sum by (tenant, model) (increase(slipway_requests_total[1h])) > 20",
        "10m",
        Severity.TICKET,
        "{{ $labels.tenant }} has {{ $value | humanizePercentage }} of its calls of {{ $labels.model }} fail.",
    ),
)

SPEED: tuple[Alert, ...] = (
    Alert(
        "SlipwayFirstTokenSlow",
        f"model:slipway_first_token_seconds:p95_5m > {FIRST_TOKEN_SECONDS} {_ENOUGH}",
        "10m",
        Severity.TICKET,
        "One in twenty answers of {{ $labels.model }} begins after {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "SlipwayQueueGrowing",
        "model:slipway_queued_calls:sum > 10 and deriv(model:slipway_queued_calls:sum[10m]) > 0",
        "10m",
        Severity.TICKET,
        "{{ $labels.model }} has {{ $value }} calls waiting, and more every minute.",
    ),
    Alert(
        "SlipwayModelSaturated",
        "model:slipway_places_taken:ratio > 0.95",
        "20m",
        Severity.TICKET,
        "{{ $labels.model }} has had no place free for twenty minutes.",
    ),
    Alert(
        "SlipwayColdStartSlow",
        "model:slipway_cold_start_seconds:p95_1h > 300",
        "1m",
        Severity.TICKET,
        "{{ $labels.model }} took {{ $value | humanizeDuration }} to start.",
    ),
    Alert(
        "SlipwayAdaptersThrashing",
        "model:slipway_adapter_evictions:per_request5m > 0.5",
        "15m",
        Severity.TICKET,
        "{{ $labels.model }} puts out an adapter for every other call that brings one.",
    ),
)

ACCOUNTING: tuple[Alert, ...] = (
    Alert(
        "SlipwayLedgerAway",
        "(max(slipway_ledger_readable) < 1) or (sum(slipway_journal_unshipped_records) > 0 "
        "unless sum(increase(slipway_ledger_bookings_total[5m])) > 0)",
        "5m",
        Severity.PAGE,
        "Usage waits in journals and the ledger takes nothing. When they are full, calls are refused.",
    ),
    Alert(
        "SlipwayJournalLag",
        "max by (process) (slipway_journal_lag_seconds) > 60",
        "5m",
        Severity.TICKET,
        "A {{ $labels.process }}'s oldest usage record has waited {{ $value | humanizeDuration }} for the ledger.",
    ),
    Alert(
        "SlipwayUsageUnreconciled",
        "max(slipway_ledger_gaps) > 0 or max(slipway_ledger_unreconciled_sources) > 0 "
        "or max by (unit) (abs(slipway_ledger_difference_units)) > 0",
        "15s",
        Severity.PAGE,
        "Sources have counted what the ledger does not have.",
    ),
    Alert(
        "SlipwayUsageConflict",
        "max(slipway_ledger_conflicts) > 0",
        "0s",
        Severity.TICKET,
        "{{ $value }} usage records came twice with different contents, and wait in quarantine.",
    ),
    Alert(
        "SlipwayModelUnpriced",
        'sum by (model) (max by (tenant, model) (slipway_booked_attempts{which="unpriced"})) > 0',
        "1m",
        Severity.TICKET,
        "{{ $labels.model }} has {{ $value }} attempts that no price covers.",
    ),
    Alert(
        "SlipwayMetricsDisagree",
        "slipway:token_difference:ratio1h > 0.2",
        "30m",
        Severity.TICKET,
        "Metrics and ledger differ by {{ $value | humanizePercentage }} of the last hour's tokens.",
    ),
    Alert(
        "SlipwayBudgetBurn",
        "tenant_period:slipway_budget_used:ratio > 0.9 or (tenant_period:slipway_budget_used:ratio > 0.5 and "
        "predict_linear(tenant_period:slipway_budget_used:ratio[1h], 21600) > 1)",
        "5m",
        Severity.TICKET,
        "{{ $labels.tenant }} has used {{ $value | humanizePercentage }} of its budget of the {{ $labels.period }}.",
    ),
)

RECORDINGS: tuple[Recording, ...] = (*USAGE, *SERVICE)
ALERTS: tuple[Alert, ...] = (*AVAILABILITY, *SPEED, *ACCOUNTING)


def rule_groups(runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Prometheus's rule file. `runbooks` is where the pages are, an URL for instance."""
    return {
        "groups": [
            {"name": "slipway-usage", "interval": "15s", "rules": _recorded(USAGE)},
            {"name": "slipway-service", "interval": "15s", "rules": _recorded(SERVICE)},
            {"name": "slipway-availability", "interval": "15s", "rules": _alerting(AVAILABILITY, runbooks)},
            {"name": "slipway-speed", "interval": "15s", "rules": _alerting(SPEED, runbooks)},
            {"name": "slipway-accounting", "interval": "15s", "rules": _alerting(ACCOUNTING, runbooks)},
        ]
    }


def _recorded(recordings: Sequence[Recording]) -> list[dict[str, Any]]:
    return [{"record": recording.name, "expr": recording.expr} for recording in recordings]


def _alerting(alerts: Sequence[Alert], runbooks: str) -> list[dict[str, Any]]:
    return [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "labels": {"severity": alert.severity.value},
            "annotations": {"summary": alert.summary, "runbook_url": f"{runbooks}/{alert.name}.md"},
        }
        for alert in alerts
    ]
