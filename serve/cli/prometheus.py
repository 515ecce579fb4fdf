"""The ledger's sums beside a Prometheus server's, over the same time.

Replicas count usage by tenant and model in `slipway_*_total`, each from zero and under a name of its own, so that what
a series has grown by is what was counted: `increase()` would guess beyond the first and last scrape. How much of the
time Prometheus was watching is told by the scrapes that it has.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from serve.cli.exits import CliError, ExitCode
from serve.cli.times import span
from serve.metering.ledger.reconcile import Key, Scraped, compared

if TYPE_CHECKING:
    from serve.cli.client import Client

_HOUR_SECONDS = 3600
_HOW = "Start one with prometheus/scrape.yaml in the state directory, which `slipway up` writes."
_SERIES = {
    "prompt_tokens": 'slipway_tokens_total{kind="prompt"}',
    "completion_tokens": 'slipway_tokens_total{kind="completion"}',
    "images": "slipway_images_total",
}


def compare(client: "Client", url: str, window: str) -> list[dict[str, Any]]:
    """For each tenant, model and unit, what the ledger and the server at `url` have. Raises CliError.

    The time ends with the last full hour and is made of full hours, as the ledger's sums are.
    """
    num_hours = max(1, round(span(window, "--window").total_seconds() / _HOUR_SECONDS))
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    asked = {"from": (end - timedelta(hours=num_hours)).isoformat(), "to": end.isoformat(), "tenant": "*"}
    rows = client.get("/v1/usage", asked | {"group_by": ["tenant", "model"], "limit": 1000})["data"]
    booked = {
        (row["group"]["tenant"], row["group"]["model"], unit): int(row["quantities"][unit])
        for row in rows
        for unit in _SERIES
        if row["quantities"].get(unit)
    }
    return [asdict(one) for one in compared(booked, _scraped(url, end, num_hours * _HOUR_SECONDS))]


def _scraped(url: str, end: datetime, seconds: int) -> Mapping[Key, Scraped]:
    found: dict[Key, Scraped] = {}
    with httpx.Client(base_url=url, timeout=30) as server:
        coverage = _coverage(server, end, seconds)
        for unit, series in _SERIES.items():
            for result in _asked(server, _counted(series, seconds), end):
                labels, increase = result["metric"], float(result["value"][1])
                if increase:
                    found[labels.get("tenant", ""), labels.get("model", ""), unit] = Scraped(increase, coverage)
    return found


def _counted(series: str, seconds: int) -> str:
    return f"sum by (tenant, model) (max_over_time({series}[{seconds}s]) - min_over_time({series}[{seconds}s]))"


def _coverage(server: httpx.Client, end: datetime, seconds: int) -> float:
    """The share of the minutes in which the server scraped anything at all."""
    results = _asked(server, f"count_over_time((count(up))[{seconds}s:60s])", end)
    return min(1.0, float(results[0]["value"][1]) / (seconds // 60)) if results else 0.0


def _asked(server: httpx.Client, query: str, when: datetime) -> list[dict[str, Any]]:
    try:
        answer = server.get("/api/v1/query", params={"query": query, "time": when.timestamp()})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise CliError(
            f"Prometheus did not answer at {server.base_url}: {error}", ExitCode.UNREACHABLE, _HOW
        ) from error
    return found
