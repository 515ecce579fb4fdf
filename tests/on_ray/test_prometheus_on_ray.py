"""A real Prometheus reads a running platform by the configuration that `slipway up` writes."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes.platform import TestPlatform, wait_for
from fakes.prometheus import Prometheus, running_prometheus

TENANT = "watched"
RULES = (
    f'tenant_model_kind:slipway_tokens:rate5m{{tenant="{TENANT}", kind="completion"}}',
    'model:slipway_first_token_seconds:p95_5m{model="echo"}',
    'sum(model_outcome:slipway_requests:rate5m{model="echo"})',
)

SOON = 180
"""Seconds, at the most: Ray's agents take new numbers every ten, and what counts says zero for twenty at first, which
pass while other tests run."""


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


@pytest.fixture(scope="session")
def prometheus(platform: TestPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It reads the platform."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = quick(platform.folder / "state/slipway/prometheus", folder / "config")
    with running_prometheus(config, folder / "data") as running:
        yield running


@dataclass(frozen=True)
class Watched:
    """A tenant that has been answered."""

    key: str
    num_calls: int
    num_tokens: int


@pytest.fixture(scope="session")
def watched(platform: TestPlatform, prometheus: Prometheus) -> Watched:
    """Its first calls were made when Prometheus already looked."""
    key = platform.new_key(TENANT)
    wait_for(lambda: is_one_of_each(prometheus), SOON, "both jobs are scraped")
    with platform.client(key) as client:
        return Watched(key, 3, chat(client, 3))


@pytest.mark.begins_early
def test_a_real_prometheus_reads_the_platform_and_the_rules_that_it_has(
    prometheus: Prometheus, watched: Watched
) -> None:
    assert watched.num_tokens > 0
    assert is_one_of_each(prometheus)
    assert not prometheus.query('ALERTS{alertname=~"SlipwayUsageUnreconciled|SlipwayLedgerAway"}')


@pytest.mark.comes_late
def test_its_rules_say_the_right_numbers(platform: TestPlatform, prometheus: Prometheus, watched: Watched) -> None:
    of_tenant = f'tenant="{TENANT}", model="echo"'
    counted = f'sum(slipway_tokens_total{{{of_tenant}, kind="completion"}})'
    booked = f'sum(tenant_model_unit:slipway_units:booked{{{of_tenant}, unit="completion_tokens"}})'
    succeeded = f'sum(slipway_requests_total{{{of_tenant}, front="gateway", outcome="succeeded"}})'
    num_tokens = watched.num_tokens
    with platform.client(watched.key) as client:
        wait_for(lambda: prometheus.value(counted) == num_tokens, SOON, "the replica's tokens are scraped")
        wait_for(lambda: prometheus.value(succeeded) == watched.num_calls, SOON, "the gateway's calls are scraped")
        num_tokens += chat(client, 2)
        wait_for(lambda: prometheus.value(booked) == num_tokens, SOON, "the ledger's tokens are scraped")
        for rule in RULES:
            # A rate needs two numbers: what is there when Prometheus first looks is no increase to it.
            wait_for(lambda rule=rule: (prometheus.value(rule) or 0) > 0, SOON, f"{rule} has a value")
        wait_for(lambda: prometheus.value(counted) == num_tokens, 120, "the replica's other tokens are scraped")
        wait_for(lambda: prometheus.value(succeeded) == watched.num_calls + 2, 120, "its other calls are scraped")
        assert prometheus.value('max(slipway_model_replicas{model="echo", state="ready"})') == 1
        assert prometheus.value("max(slipway_ledger_readable)") == 1
        assert (prometheus.value('sum(slipway_time_to_first_token_seconds_count{model="echo"})') or 0) >= 5
        assert prometheus.value("sum(slipway_places)") is not None
        assert prometheus.value("max(slipway_journal_lag_seconds)") is not None
        assert prometheus.value("sum(slipway_ledger_bookings_total) > 0") is not None
        assert not prometheus.query('ALERTS{alertname=~"SlipwayUsageUnreconciled|SlipwayLedgerAway"}')
        assert not prometheus.query('{__name__=~"ray_.*"}')
