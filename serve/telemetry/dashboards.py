"""Grafana's dashboards, as data. Each begins with the questions it answers; a panel that answers none is not here.

`make render` writes them as JSON (`grafana`). Every query is checked against the series that are declared and the
recording rules.
"""

from dataclasses import dataclass
from typing import Any

from serve.telemetry.rules import FIRST_TOKEN_SECONDS, OBJECTIVE, OURS

_PER_SECOND = "suffix:/s"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and the legend's template."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`kind` is a panel type of Grafana. It is red from `red_from` on, and below `red_below`."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    red_from: float | None = None
    red_below: float | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page. `variables` are labels to choose values of, with a series that has them."""

    uid: str
    title: str
    questions: tuple[str, ...]
    panels: tuple[Panel, ...]
    variables: tuple[tuple[str, str], ...] = ()


_MODEL = ("model", "slipway_model_replicas")
_TENANT = ("tenant", "slipway_booked_cost_dollars")
_M = '{model=~"$model"}'
_TM = '{tenant=~"$tenant", model=~"$model"}'


def _one(title: str, expr: str, legend: str = "", **options: Any) -> Panel:
    return Panel(title, (Query(expr, legend),), **options)


def _this_month(name: str, by: str) -> str:
    """From the ledger, which needs no Prometheus that was there when the month began."""
    return f"sum by ({by}) (max by (tenant, model, unit) ({name}{_TM}))"


SERVICE = Dashboard(
    "slipway-service",
    "Slipway: is it up and fast?",
    ("Is it up, and fast?", "For whom is it not?", "Which model is at fault, and is it us or the callers?"),
    (
        _one("Gateways that answer", 'sum(up{job="slipway-gateway"})', kind="stat", width=4, red_below=1),
        _one(
            "Calls that did not fail by our fault, 1 h",
            f"1 - (sum(rate(slipway_requests_total{{{OURS}}}[1h])) or vector(0)) / "
            "(sum(rate(slipway_requests_total[1h])) > 0)",
            kind="stat",
            unit="percentunit",
            width=5,
            red_below=OBJECTIVE,
        ),
        _one("Requests held open", "sum(slipway_http_in_flight_requests)", kind="stat", width=5),
        _one("Models ready", 'sum(max by (model) (slipway_model_state{state="ready"}))', kind="stat", width=5),
        _one(
            "Models that failed",
            'sum(max by (model) (slipway_model_state{state="failed"}))',
            kind="stat",
            width=5,
            red_from=1,
        ),
        _one(
            "Calls by outcome",
            f"sum by (outcome) (model_outcome:slipway_requests:rate5m{_M})",
            "{{outcome}}",
            unit="reqps",
        ),
        _one("Our failures by model", f"model:slipway_errors:ratio_rate5m{_M}", "{{model}}", unit="percentunit"),
        _one(
            "Our failures by tenant, 1 h",
            "topk(10, tenant_model:slipway_errors:ratio_rate1h > 0)",
            "{{tenant}} {{model}}",
            unit="percentunit",
        ),
        _one(
            "Turned away before a model, by reason",
            "sum by (reason, tenant) (rate(slipway_admission_refusals_total[5m]))",
            "{{tenant}} {{reason}}",
            unit="reqps",
        ),
        Panel(
            "Time to first token",
            (
                Query(f"model:slipway_first_token_seconds:p50_5m{_M}", "{{model}} p50"),
                Query(f"model:slipway_first_token_seconds:p95_5m{_M}", "{{model}} p95"),
            ),
            unit="s",
            red_from=FIRST_TOKEN_SECONDS,
        ),
        _one("Between tokens, p95", f"model:slipway_inter_token_seconds:p95_5m{_M}", "{{model}}", unit="s"),
        _one(
            "Requests by status",
            "sum by (status) (route_status:slipway_http_requests:rate5m)",
            "{{status}}",
            unit="reqps",
        ),
        _one("Slowest routes, p95", "topk(10, route:slipway_http_seconds:p95_5m)", "{{route}}", unit="s"),
    ),
    (_MODEL,),
)

QUEUES = Dashboard(
    "slipway-queues",
    "Slipway: which model queues, and why?",
    (
        "Which model queues, and for how long?",
        "Why: full engines, slow steps, long calls, adapters that load, a cold start?",
    ),
    (
        _one("Calls waiting", f"model:slipway_queued_calls:sum{_M}", "{{model}}"),
        _one("Runs that nobody has begun", f"max by (model) (slipway_queued_runs{_M})", "{{model}}"),
        _one("Wait, p95", f"model:slipway_queue_seconds:p95_5m{_M}", "{{model}}", unit="s"),
        _one("Predicted wait of the last", f"max by (model) (slipway_backlog_seconds{_M})", "{{model}}", unit="s"),
        _one("Places taken", f"model:slipway_places_taken:ratio{_M}", "{{model}}", unit="percentunit", red_from=0.95),
        _one("In the engine, p95", f"model:slipway_call_seconds:p95_5m{_M}", "{{model}}", unit="s"),
        _one("A batched step", f"model:slipway_step_seconds:mean5m{_M}", "{{model}}", unit="s"),
        _one("Rows of a batch", f"model:slipway_batch_rows:mean5m{_M}", "{{model}}"),
        _one(
            "Attempts by how they ended",
            f"sum by (status) (rate(slipway_calls_total{_M}[5m]))",
            "{{status}}",
            unit="ops",
        ),
        Panel(
            "Replicas",
            (Query(f"max by (model, state) (slipway_model_replicas{_M})", "{{model}} {{state}}"),),
        ),
        _one("Steps", f"sum by (model) (rate(slipway_steps_total{_M}[5m]))", "{{model}}", unit="ops"),
        _one(
            "Steps of workflows by how they ended",
            "sum by (kind, status) (rate(slipway_workflow_steps_total[5m]))",
            "{{kind}} {{status}}",
            unit="ops",
        ),
        _one(
            "A step of a workflow, p95",
            "histogram_quantile(0.95, sum by (le, kind) (rate(slipway_workflow_step_duration_seconds_bucket[5m])))",
            "{{kind}}",
            unit="s",
        ),
    ),
    (_MODEL,),
)

COST = Dashboard(
    "slipway-cost",
    "Slipway: what do images and tokens cost?",
    (
        "What do images and tokens cost, per tenant and model, now and this month?",
        "Who is about to reach a budget?",
        "Where does no price apply?",
    ),
    (
        _one(
            "Cost this month, by tenant",
            _this_month("slipway_booked_month_cost_dollars", "tenant"),
            "{{tenant}}",
            kind="bargauge",
            unit="currencyUSD",
        ),
        _one(
            "Cost this month, by model",
            _this_month("slipway_booked_month_cost_dollars", "model"),
            "{{model}}",
            kind="bargauge",
            unit="currencyUSD",
        ),
        _one(
            "Cost of the last hour",
            f"tenant_model:slipway_cost_dollars:booked1h{_TM}",
            "{{tenant}} {{model}}",
            unit="currencyUSD",
        ),
        _one(
            "A million tokens, last hour",
            f"tenant_model:slipway_dollars_per_million_tokens:booked1h{_TM}",
            "{{tenant}} {{model}}",
            unit="currencyUSD",
        ),
        _one(
            "An image, last hour",
            f"tenant_model:slipway_dollars_per_image:booked1h{_TM}",
            "{{tenant}} {{model}}",
            unit="currencyUSD",
        ),
        _one(
            "Booked this month",
            _this_month("slipway_booked_month_units", "unit"),
            "{{unit}}",
            kind="bargauge",
        ),
        _one(
            "Tokens now",
            f"sum by (model, kind) (tenant_model_kind:slipway_tokens:rate5m{_TM}) > 0",
            "{{model}} {{kind}}",
            unit=_PER_SECOND,
        ),
        _one(
            "Images now",
            f"sum by (tenant, model) (tenant_model:slipway_images:rate5m{_TM}) > 0",
            "{{tenant}} {{model}}",
            unit=_PER_SECOND,
        ),
        _one(
            "Pixels now",
            f"sum by (model) (tenant_model:slipway_pixels:rate5m{_TM}) > 0",
            "{{model}}",
            unit=_PER_SECOND,
        ),
        _one(
            "Pixel steps now",
            f"sum by (model) (tenant_model:slipway_pixel_steps:rate5m{_TM}) > 0",
            "{{model}}",
            unit=_PER_SECOND,
        ),
        _one("Accelerators by tenant", f"sum by (tenant) (tenant_model:slipway_gpu_seconds:rate5m{_TM})", "{{tenant}}"),
        _one(
            "Budgets used",
            'tenant_period:slipway_budget_used:ratio{tenant=~"$tenant"}',
            "{{tenant}} {{period}}",
            kind="bargauge",
            unit="percentunit",
            red_from=0.9,
        ),
        _one(
            "Attempts that no price covers",
            'max by (model) (slipway_booked_attempts{which="unpriced"}) > 0',
            "{{model}}",
            kind="bargauge",
            red_from=1,
        ),
    ),
    (_TENANT, _MODEL),
)

ADAPTERS = Dashboard(
    "slipway-adapters",
    "Slipway: are adapters thrashing?",
    ("Are adapters thrashing?", "Where are they found, and what does it cost when they are not there?"),
    (
        _one(
            "Found in host memory", f"model:slipway_adapter_host_hits:ratio_rate5m{_M}", "{{model}}", unit="percentunit"
        ),
        _one("Put out per call that brings one", f"model:slipway_adapter_evictions:per_request5m{_M}", "{{model}}"),
        _one(
            "Adapters of calls, by tier",
            f"sum by (model, tier) (rate(slipway_adapter_requests_total{_M}[5m]))",
            "{{model}} {{tier}}",
            unit="ops",
        ),
        _one(
            "Put out, by tier",
            f"sum by (model, tier) (rate(slipway_adapter_evictions_total{_M}[5m]))",
            "{{model}} {{tier}}",
            unit="ops",
        ),
        _one(
            "Loading, p95",
            "histogram_quantile(0.95, sum by (model, tier, le) "
            f"(rate(slipway_adapter_load_duration_seconds_bucket{_M}[5m])))",
            "{{model}} from {{tier}}",
            unit="s",
        ),
        _one("Kept", f"sum by (model, tier) (slipway_adapter_resident{_M})", "{{model}} {{tier}}"),
        _one("Host memory", f"sum by (model) (slipway_adapter_bytes{_M})", "{{model}}", unit="bytes"),
    ),
    (_MODEL,),
)

SCALING = Dashboard(
    "slipway-scaling",
    "Slipway: what did the autoscaler decide, and why?",
    (
        "What did the autoscaler decide, and when?",
        "Why: what arrives, what waits, how full are the replicas?",
        "How long did the starts take?",
    ),
    (
        Panel(
            "Wanted, desired and ready",
            (
                Query(f"max by (model) (slipway_autoscaling_wanted_replicas{_M})", "{{model}} wanted"),
                Query(f"max by (model, state) (slipway_model_replicas{_M})", "{{model}} {{state}}"),
            ),
        ),
        _one(
            "Decisions",
            f"sum by (model, direction) (increase(slipway_autoscaling_decisions_total{_M}[5m]))",
            "{{model}} {{direction}}",
        ),
        _one("Replicas' worth of work that arrives", f"max by (model) (slipway_autoscaling_inflow{_M})", "{{model}}"),
        _one("Replicas' worth of places taken", f"max by (model) (slipway_autoscaling_load{_M})", "{{model}}"),
        _one(
            "Replica-seconds that wait",
            f"max by (model) (slipway_autoscaling_backlog_seconds{_M})",
            "{{model}}",
            unit="s",
        ),
        _one("Cold start, p95", f"model:slipway_cold_start_seconds:p95_1h{_M}", "{{model}}", unit="s"),
        _one("Starts", f"sum by (model) (increase(slipway_cold_start_seconds_count{_M}[5m]))", "{{model}}"),
        _one("State", f"max by (model, state) (slipway_model_state{_M}) > 0", "{{model}} {{state}}"),
    ),
    (_MODEL,),
)

ACCOUNTING = Dashboard(
    "slipway-accounting",
    "Slipway: is every token accounted for?",
    (
        "Is every token accounted for?",
        "Is usage reaching the ledger, and how late?",
        "What was estimated, what is in quarantine?",
    ),
    (
        _one("The ledger can be read", "max(slipway_ledger_readable)", kind="stat", width=4, red_below=1),
        _one("Missing records", "max(slipway_ledger_gaps)", kind="stat", width=4, red_from=1),
        _one(
            "Counted and not booked",
            "sum(max by (unit) (abs(slipway_ledger_difference_units)))",
            kind="stat",
            width=4,
            red_from=1,
        ),
        _one("Sources not adding up", "max(slipway_ledger_unreconciled_sources)", kind="stat", width=4, red_from=1),
        _one("In quarantine", "max(slipway_ledger_conflicts)", kind="stat", width=4, red_from=1),
        _one("Told by a witness alone", "max(slipway_ledger_waiting_witnesses)", kind="stat", width=4),
        _one(
            "Oldest record not booked",
            "max by (process) (slipway_journal_lag_seconds)",
            "{{process}}",
            unit="s",
            red_from=60,
        ),
        _one("Records not booked", "sum by (process) (slipway_journal_unshipped_records)", "{{process}}"),
        _one("Journals", "sum by (process) (slipway_journal_bytes)", "{{process}}", unit="bytes"),
        _one("Booked", "sum by (result) (rate(slipway_ledger_bookings_total[5m]))", "{{result}}", unit="ops"),
        _one(
            "A batch's transaction, p95",
            "histogram_quantile(0.95, sum by (le) (rate(slipway_ledger_booking_duration_seconds_bucket[5m])))",
            unit="s",
        ),
        _one(
            "Metrics against ledger, tokens of the last hour, from 100 000 on",
            "slipway:token_difference:ratio1h",
            unit="percentunit",
            red_from=0.2,
        ),
        _one(
            "Attempts: all, unbilled, estimated, unpriced",
            "sum by (which) (max by (tenant, model, which) (slipway_booked_attempts))",
            "{{which}}",
        ),
    ),
)

DASHBOARDS: tuple[Dashboard, ...] = (SERVICE, QUEUES, COST, ADAPTERS, SCALING, ACCOUNTING)
