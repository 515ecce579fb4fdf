"""A real Prometheus reads a running platform by the configuration that `slipway up` writes."""

import re
import shutil
from pathlib import Path

import httpx
from fakes.platform import TestPlatform, wait_for
from fakes.prometheus import Prometheus, running_prometheus

TENANT = "watched"
RULES = (
    f'tenant_model_kind:slipway_tokens:rate5m{{tenant="{TENANT}", kind="completion"}}',
    'model:slipway_first_token_seconds:p95_5m{model="echo"}',
    'sum(model_outcome:slipway_requests:rate5m{model="echo"})',
)

SOON = 90
"""Seconds, at the most: Ray's agents take new numbers every ten, and what counts says zero for twenty at first."""


def chat(client: httpx.Client, times: int) -> int:
    """Tokens of that many answers."""
    num_tokens = 0
    for _ in range(times):
        body = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 8}
        answer = client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        num_tokens += answer.json()["usage"]["completion_tokens"]
    return num_tokens


def quick(folder: Path, copy: Path) -> Path:
    """The platform's configuration, asked every second rather than every ten."""
    shutil.copytree(folder, copy)
    for name in ("scrape.yaml", "rules.yaml"):
        text = (copy / name).read_text()
        (copy / name).write_text(re.sub(r"((?:scrape_|evaluation_)?interval: )\d+s", r"\g<1>1s", text))
    return copy / "scrape.yaml"


def is_one_of_each(prometheus: Prometheus) -> bool:
    return prometheus.value("count(up == 1)") == 2


def test_a_real_prometheus_reads_the_platform_and_its_rules_say_the_right_numbers(
    platform: TestPlatform, tmp_path: Path
) -> None:
    config = quick(platform.folder / "state/slipway/prometheus", tmp_path / "prometheus")
    of_tenant = f'tenant="{TENANT}", model="echo"'
    counted = f'sum(slipway_tokens_total{{{of_tenant}, kind="completion"}})'
    booked = f'sum(tenant_model_unit:slipway_units:booked{{{of_tenant}, unit="completion_tokens"}})'
    succeeded = f'sum(slipway_requests_total{{{of_tenant}, front="gateway", outcome="succeeded"}})'
    with (
        running_prometheus(config, tmp_path / "data") as prometheus,
        platform.client(platform.new_key(TENANT)) as client,
    ):
        wait_for(lambda: is_one_of_each(prometheus), SOON, "both jobs are scraped")
        num_tokens = chat(client, 3)
        wait_for(lambda: prometheus.value(counted) == num_tokens, SOON, "the replica's tokens are scraped")
        wait_for(lambda: prometheus.value(succeeded) == 3, SOON, "the gateway's calls are scraped")
        num_tokens += chat(client, 2)
        wait_for(lambda: prometheus.value(booked) == num_tokens, SOON, "the ledger's tokens are scraped")
        for rule in RULES:
            # A rate needs two numbers: what is there when Prometheus first looks is no increase to it.
            wait_for(lambda rule=rule: (prometheus.value(rule) or 0) > 0, SOON, f"{rule} has a value")
        wait_for(lambda: prometheus.value(counted) == num_tokens, 20, "the replica's other tokens are scraped")
        wait_for(lambda: prometheus.value(succeeded) == 5, 20, "the gateway's other calls are scraped")
        assert prometheus.value('max(slipway_model_replicas{model="echo", state="ready"})') == 1
        assert prometheus.value("max(slipway_ledger_readable)") == 1
        assert (prometheus.value('sum(slipway_time_to_first_token_seconds_count{model="echo"})') or 0) >= 5
        assert prometheus.value("sum(slipway_places)") is not None
        assert prometheus.value("max(slipway_journal_lag_seconds)") is not None
        assert prometheus.value("sum(slipway_ledger_bookings_total) > 0") is not None
        assert not prometheus.query('ALERTS{alertname=~"SlipwayUsageUnreconciled|SlipwayLedgerAway"}')
        assert not prometheus.query('{__name__=~"ray_.*"}')
