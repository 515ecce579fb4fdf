"""Prometheus's own judgement of the rules: valid, and each alert fires when it should and not when it should not."""

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup

from serve.cli.main import build_app
from serve.telemetry import render, series
from serve.telemetry.rules import ALERTS, RECORDINGS

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
REQUESTS = "slipway_requests_total"
Inputs = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation (`0+10x60`: 0, 10, 20 ...), a sample each `pace` minutes. After `at` of them the
    alert fires for exactly the labels in `firing`."""

    name: str
    alert: str
    inputs: Inputs
    at: int
    firing: list[dict[str, str]] = field(default_factory=list)
    pace: int = 1


def calls(outcomes: dict[str, str], tenant: str = "acme") -> Inputs:
    return {
        f'{REQUESTS}{{tenant="{tenant}",model="m",front="gateway",outcome="{outcome}",WorkerId="w"}}': values
        for outcome, values in outcomes.items()
    }


def first_tokens(under_5s: str, total: str) -> Inputs:
    name = 'slipway_time_to_first_token_seconds_bucket{{model="m",le="{}"}}'
    return {name.format(le): under_5s for le in ("2.5", "5.0")} | {name.format(le): total for le in ("10.0", "+Inf")}


def starts(quick: str, total: str) -> Inputs:
    name = 'slipway_cold_start_seconds_bucket{{model="m",le="{}"}}'
    return {name.format("20.0"): quick, name.format("600.0"): total, name.format("+Inf"): total}


def work(tokens: str, booked: str) -> Inputs:
    return {
        'slipway_tokens_total{tenant="t",model="m",kind="completion",WorkerId="w"}': tokens,
        'slipway_booked_units{tenant="t",model="m",unit="completion_tokens",instance="g1"}': booked,
        'slipway_booked_units{tenant="t",model="m",unit="completion_tokens",instance="g2"}': booked,
    }


def budget(spent: str, held: str = "0x500") -> Inputs:
    labels = '{tenant="acme",period="month"}'
    return {
        f"slipway_budget_limit_dollars{labels}": "100x500",
        f"slipway_budget_spent_dollars{labels}": spent,
        f"slipway_budget_held_dollars{labels}": held,
    }


def evictions(rate: int) -> Inputs:
    return {
        'slipway_adapter_evictions_total{model="m",tier="host"}': f"0+{rate}x60",
        'slipway_adapter_requests_total{model="m",tier="host"}': "0+50x60",
        'slipway_adapter_requests_total{model="m",tier="store"}': "0+50x60",
        'slipway_adapter_requests_total{model="m",tier="gpu"}': "0+500x60",
    }


def replicas(ready: str, desired: str, failed: str = "0x60") -> Inputs:
    return {
        'slipway_model_replicas{model="m",state="ready",instance="g1"}': ready,
        'slipway_model_replicas{model="m",state="desired",instance="g1"}': desired,
        'slipway_model_state{model="m",state="failed",instance="g1"}': failed,
    }


OF_MODEL = [{"model": "m"}]
GATEWAY_UP, RAY_UP = 'up{job="slipway-gateway",instance="g"}', 'up{job="slipway-ray",instance="r"}'
GAPS, READABLE = "slipway_ledger_gaps", "slipway_ledger_readable"
LAG = 'slipway_journal_lag_seconds{process="replica",WorkerId="w"}'
UNSHIPPED = 'slipway_journal_unshipped_records{process="replica",WorkerId="w"}'
BOOKINGS = 'slipway_ledger_bookings_total{result="inserted",WorkerId="w"}'
UNPRICED = 'slipway_booked_attempts{{tenant="{}",model="m",which="unpriced",instance="{}"}}'
CASES = (
    Case(
        "a gateway that does not answer",
        "SlipwayGatewayDown",
        {GATEWAY_UP: "0x10"},
        5,
        [{"job": "slipway-gateway", "instance": "g"}],
    ),
    Case("no gateway at all", "SlipwayGatewayDown", {RAY_UP: "1x10"}, 5, [{"job": "slipway-gateway"}]),
    Case("a gateway that answers", "SlipwayGatewayDown", {GATEWAY_UP: "1x10"}, 5),
    Case(
        "agents that do not answer",
        "SlipwayMetricsMissing",
        {RAY_UP: "0x10"},
        8,
        [{"job": "slipway-ray", "instance": "r"}],
    ),
    Case("agents that answer", "SlipwayMetricsMissing", {RAY_UP: "1x10"}, 8),
    Case("none ready", "SlipwayModelUnavailable", replicas("0x30", "2x30"), 20, OF_MODEL),
    Case("one failed at its start", "SlipwayModelUnavailable", replicas("0x30", "0x30", "1x30"), 20, OF_MODEL),
    Case("some ready", "SlipwayModelUnavailable", replicas("1x30", "2x30"), 20),
    Case("at zero by intent", "SlipwayModelUnavailable", replicas("0x30", "0x30"), 20),
    Case("starting for a moment", "SlipwayModelUnavailable", replicas("0x5 1x25", "1x30"), 20),
    Case(
        "one in twenty fails",
        "SlipwayErrorBudgetBurnFast",
        calls({"succeeded": "0+95x100", "failed": "0+5x100"}),
        90,
        OF_MODEL,
    ),
    Case("few fail", "SlipwayErrorBudgetBurnFast", calls({"succeeded": "0+9999x100", "failed": "0+1x100"}), 90),
    Case(
        "callers' mistakes",
        "SlipwayErrorBudgetBurnFast",
        calls({"succeeded": "0+5x100", "refused": "0+5x100", "canceled": "0+9x100"}),
        90,
    ),
    Case(
        "failures that are over",
        "SlipwayErrorBudgetBurnFast",
        calls({"succeeded": "0+95x300", "failed": "0+5x30 150x270"}),
        250,
    ),
    Case(
        "one failure in the night",
        "SlipwayErrorBudgetBurnFast",
        calls({"succeeded": "0x100", "failed": "0x50 1x50"}),
        55,
    ),
    Case(
        "a replica that died in a quiet hour",
        "SlipwayErrorBudgetBurnFast",
        calls({"succeeded": "0+1x100", "unavailable": "0x50 1x50"}),
        55,
    ),
    Case(
        "a counter that begins anew",
        "SlipwayErrorBudgetBurnFast",
        calls({"succeeded": "0+100x50 0+100x50", "failed": "7x50 0x50"}),
        90,
    ),
    Case(
        "a leak for days",
        "SlipwayErrorBudgetBurnSlow",
        calls({"succeeded": "0+995x150", "unavailable": "0+5x150"}),
        149,
        OF_MODEL,
        30,
    ),
    Case(
        "within the objective",
        "SlipwayErrorBudgetBurnSlow",
        calls({"succeeded": "0+9995x150", "unavailable": "0+5x150"}),
        149,
        [],
        30,
    ),
    Case(
        "one tenant's calls fail",
        "SlipwayTenantFailing",
        calls({"succeeded": "0+9x90", "overloaded": "0+1x90"}) | calls({"succeeded": "0+9x90"}, "other"),
        80,
        [{"tenant": "acme", "model": "m"}],
    ),
    Case("nobody's do", "SlipwayTenantFailing", calls({"succeeded": "0+9x90"}), 80),
    Case(
        "answers begin late",
        "SlipwayFirstTokenSlow",
        first_tokens("0+80x60", "0+100x60") | calls({"succeeded": "0+100x60"}),
        30,
        OF_MODEL,
    ),
    Case(
        "answers begin in time",
        "SlipwayFirstTokenSlow",
        first_tokens("0+99x60", "0+100x60") | calls({"succeeded": "0+100x60"}),
        30,
    ),
    Case(
        "a call now and then that wakes its model",
        "SlipwayFirstTokenSlow",
        first_tokens("0+0x60", "0+0.1x60") | calls({"succeeded": "0+0.1x60"}),
        30,
    ),
    Case(
        "a queue that grows",
        "SlipwayQueueGrowing",
        {'slipway_queued_calls{model="m",WorkerId="w"}': "0+2x60"},
        40,
        OF_MODEL,
    ),
    Case(
        "a queue that is drained",
        "SlipwayQueueGrowing",
        {'slipway_queued_calls{model="m",WorkerId="w"}': "100-2x40"},
        30,
    ),
    Case("a short queue", "SlipwayQueueGrowing", {'slipway_queued_calls{model="m",WorkerId="w"}': "5x60"}, 40),
    Case(
        "no place free",
        "SlipwayModelSaturated",
        {
            'slipway_running_calls{model="m",WorkerId="a"}': "8x40",
            'slipway_running_calls{model="m",WorkerId="b"}': "8x40",
            'slipway_places{model="m",WorkerId="a"}': "8x40",
            'slipway_places{model="m",WorkerId="b"}': "8x40",
        },
        30,
        OF_MODEL,
    ),
    Case(
        "one replica full, one idle",
        "SlipwayModelSaturated",
        {
            'slipway_running_calls{model="m",WorkerId="a"}': "8x40",
            'slipway_running_calls{model="m",WorkerId="b"}': "0x40",
            'slipway_places{model="m",WorkerId="a"}': "8x40",
            'slipway_places{model="m",WorkerId="b"}': "8x40",
        },
        30,
    ),
    Case("starts that take long", "SlipwayColdStartSlow", starts("0x60", "0+1x60"), 40, OF_MODEL),
    Case("starts that do not", "SlipwayColdStartSlow", starts("0+1x60", "0+1x60"), 40),
    Case("adapters put each other out", "SlipwayAdaptersThrashing", evictions(80), 40, OF_MODEL),
    Case("adapters that fit", "SlipwayAdaptersThrashing", evictions(5), 40),
    Case("journals that nobody empties", "SlipwayLedgerAway", {UNSHIPPED: "40x30", BOOKINGS: "100x30"}, 20, [{}]),
    Case("journals and no ledger at all", "SlipwayLedgerAway", {UNSHIPPED: "40x30"}, 20, [{}]),
    Case("tables that cannot be read", "SlipwayLedgerAway", {READABLE: "0x30"}, 20, [{}]),
    Case("a busy ledger", "SlipwayLedgerAway", {UNSHIPPED: "40x30", BOOKINGS: "0+100x30", READABLE: "1x30"}, 20),
    Case("an idle ledger", "SlipwayLedgerAway", {UNSHIPPED: "0x30", BOOKINGS: "100x30", READABLE: "1x30"}, 20),
    Case("a record that waits", "SlipwayJournalLag", {LAG: "0+30x30"}, 20, [{"process": "replica"}]),
    Case("records that are on their way", "SlipwayJournalLag", {LAG: "2x30"}, 20),
    Case("a record that is gone", "SlipwayUsageUnreconciled", {GAPS: "0x5 1x10"}, 7, [{}]),
    Case(
        "more booked than counted",
        "SlipwayUsageUnreconciled",
        {'slipway_ledger_difference_units{unit="images"}': "-1x10"},
        7,
        [{"unit": "images"}],
    ),
    Case(
        "nothing is missing",
        "SlipwayUsageUnreconciled",
        {GAPS: "0x10", 'slipway_ledger_difference_units{unit="images"}': "0x10"},
        7,
    ),
    Case(
        "a Prometheus that restarts",
        "SlipwayUsageUnreconciled",
        work("0+9000x30 0+9000x30", "0+9000x60") | {GAPS: "0x20 _x10 0x30"},
        50,
    ),
    Case("a record that came twice", "SlipwayUsageConflict", {"slipway_ledger_conflicts": "0x5 2x10"}, 7, [{}]),
    Case("none that did", "SlipwayUsageConflict", {"slipway_ledger_conflicts": "0x10"}, 7),
    Case(
        "a model without a price",
        "SlipwayModelUnpriced",
        {UNPRICED.format("a", "g1"): "3x10", UNPRICED.format("a", "g2"): "3x10", UNPRICED.format("b", "g1"): "1x10"},
        5,
        OF_MODEL,
    ),
    Case("every model has one", "SlipwayModelUnpriced", {UNPRICED.format("a", "g1"): "0x10"}, 5),
    Case("a third of the tokens is not booked", "SlipwayMetricsDisagree", work("0+9000x200", "0+6000x200"), 190, [{}]),
    Case("all are booked", "SlipwayMetricsDisagree", work("0+9000x200", "0+9000x200"), 190),
    Case("a replica that starts again", "SlipwayMetricsDisagree", work("0+9000x100 0+9000x100", "0+9000x200"), 190),
    Case(
        "a Prometheus that was away",
        "SlipwayMetricsDisagree",
        work("0+9000x99 _x20 1080000+9000x80", "0+9000x99 _x20 1080000+9000x80"),
        190,
    ),
    Case(
        "a Prometheus that is new beside an old ledger",
        "SlipwayMetricsDisagree",
        work("5000000+9000x100", "700000000+9000x100") | {READABLE: "1x100"},
        50,
    ),
    Case("little work", "SlipwayMetricsDisagree", work("0+9x200", "0+1x200"), 190),
    Case(
        "a budget nearly used",
        "SlipwayBudgetBurn",
        budget("80x60", "12x60"),
        30,
        [{"tenant": "acme", "period": "month"}],
    ),
    Case(
        "a budget that will not last the night",
        "SlipwayBudgetBurn",
        budget("40+0.2x100"),
        90,
        [{"tenant": "acme", "period": "month"}],
    ),
    Case("a budget that lasts", "SlipwayBudgetBurn", budget("60+0.001x100"), 90),
    Case("a period that begins", "SlipwayBudgetBurn", budget("99x30 0+0.01x70"), 90),
)


GROUPS = [group["name"] for group in yaml.safe_load(render.prometheus_files()["rules.yaml"])["groups"]]
"""What is recorded before what looks at it: promtool would go through them in any order, and some cases have steps that
are longer than a sample lasts."""


def as_promtool(case: Case) -> dict[str, object]:
    """A case as promtool reads it: the alert's labels, and nothing of its wording."""
    query = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    severity = next(alert.severity.value for alert in ALERTS if alert.name == case.alert)
    expected = [
        {"alertname": case.alert, "alertstate": "firing", "severity": severity} | labels for labels in case.firing
    ]
    samples = [
        {"labels": "ALERTS{" + ", ".join(f'{name}="{value}"' for name, value in sample.items()) + "}", "value": 1}
        for sample in expected
    ]
    return {
        "name": case.name,
        "interval": f"{case.pace}m",
        "input_series": [{"series": name, "values": values} for name, values in case.inputs.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{case.at * case.pace}m", "exp_samples": samples}],
    }


@needs_promtool
def test_promtool_accepts_the_rules_and_the_scrape_configuration(tmp_path: Path):
    for name, text in render.prometheus_files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "token").write_text("secret")
    (tmp_path / "targets").mkdir()
    for kind, name in (("rules", "rules.yaml"), ("config", "scrape.yaml")):
        checked = subprocess.run(
            [str(PROMTOOL), "check", kind, name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_fires_when_it_should_and_not_when_it_should_not(alert, tmp_path: Path):
    cases = [case for case in CASES if case.alert == alert.name]
    assert any(case.firing for case in cases), "no case in which it fires"
    assert any(not case.firing for case in cases), "no case in which it does not"
    (tmp_path / "rules.yaml").write_text(render.prometheus_files()["rules.yaml"])
    tests = {
        "rule_files": ["rules.yaml"],
        "group_eval_order": GROUPS,
        "evaluation_interval": f"{cases[0].pace}m",
        "tests": [as_promtool(case) for case in cases],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    told = subprocess.run(
        [str(PROMTOOL), "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


@needs_promtool
def test_the_rules_make_usage_and_cost_per_token_and_image_out_of_the_metrics(tmp_path: Path):
    labels = 'tenant="t",model="m"'
    booked = {"prompt_tokens": "0+600000x90", "cached_prompt_tokens": "0+300000x90", "completion_tokens": "0+400000x90"}
    inputs = {
        f'slipway_booked_units{{{labels},unit="{unit}",instance="{instance}"}}': values
        for unit, values in (booked | {"images": "0+10x90"}).items()
        for instance in ("a", "b")
    }
    inputs |= {f'slipway_booked_cost_dollars{{{labels},instance="{instance}"}}': "0+2x90" for instance in ("a", "b")}
    inputs[f'slipway_tokens_total{{{labels},kind="prompt",WorkerId="1"}}'] = "0+60x90"
    inputs[f'slipway_tokens_total{{{labels},kind="prompt",WorkerId="2"}}'] = "0+120x90"
    expected = {
        "tenant_model:slipway_cost_dollars:booked1h": 120,
        "tenant_model:slipway_dollars_per_million_tokens:booked1h": 2,
        "tenant_model:slipway_dollars_per_image:booked1h": 0.2,
        "sum without (kind) (tenant_model_kind:slipway_tokens:rate5m)": 3,
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
        "promql_expr_test": [
            {
                "expr": f"max by (tenant, model) ({expr})",
                "eval_time": "80m",
                "exp_samples": [{"labels": f"{{{labels}}}", "value": value}],
            }
            for expr, value in expected.items()
        ],
    }
    (tmp_path / "rules.yaml").write_text(render.prometheus_files()["rules.yaml"])
    tests = {"rule_files": ["rules.yaml"], "group_eval_order": GROUPS, "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    told = subprocess.run(
        [str(PROMTOOL), "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize(("path", "text"), render.files().items(), ids=list(render.files()))
def test_the_rendered_files_are_those_of_the_code(path: str, text: str):
    assert (K8S / path).read_text() == text, "run `make render`"


def test_nothing_else_lies_among_the_rendered_files():
    rendered = {K8S / path for path in render.files()}
    assert {path for folder in ("prometheus", "dashboards") for path in (K8S / folder).rglob("*.*")} == rendered


def test_a_recording_rule_has_its_own_name():
    names = [recording.name for recording in RECORDINGS]
    assert len(names) == len(set(names))
    assert not set(names) & set(series.BY_NAME)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_a_page_that_says_what_it_means_how_to_see_and_what_to_do(alert):
    page = (ROOT / alert.runbook).read_text()
    assert page.startswith(f"# {alert.name}\n")
    for heading in ("## What it means", "## How to see", "## What to do"):
        assert heading in page
    assert "```" in page


def commands_of(page: str) -> list[list[str]]:
    """Every `slipway ...` of a page, in its blocks and in its sentences, as words."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    return [
        shlex.split(part, comments=True)[1:]
        for line in (*lines, *re.findall(r"`(slipway [^`]+)`", page))
        for part in line.split("&&")
        if part.strip().startswith("slipway ")
    ]


@pytest.mark.parametrize("page", sorted((K8S / "runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_the_commands_of_a_runbook_are_understood(page: Path):
    for words in commands_of(page.read_text()):
        command = typer.main.get_command(build_app())
        while isinstance(command, TyperGroup) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert not isinstance(command, TyperGroup) or command.invoke_without_command, words
        command.make_context("slipway", words)  # raises what a wrong use is told


def test_there_are_no_pages_of_alerts_that_are_gone():
    assert {path.stem for path in (K8S / "runbooks").glob("*.md")} == {alert.name for alert in ALERTS}
