"""The ledger's sums beside a Prometheus server's, over the same time.

Replicas count usage by tenant and model in `slipway_*_total`; `increase()` adds over their restarts. How much of the
time Prometheus was watching is told by the scrapes that it has.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx

from serve.cli.exits import CliError, ExitCode
from serve.cli.times import ago, span
from serve.metering.reconcile import Key, Scraped, compared

if TYPE_CHECKING:
    from serve.cli.client import Client

_SETTLE_SECONDS = 60
"""The window ends this long ago: what was counted then is booked and scraped by now."""
_SERIES = {
    "prompt_tokens": 'slipway_tokens_total{kind="prompt"}',
    "completion_tokens": 'slipway_tokens_total{kind="completion"}',
    "images": "slipway_images_total",
}


def compare(client: "Client", url: str, window: str) -> list[dict[str, Any]]:
    """For each tenant, model and unit, what the ledger and the server at `url` have. Raises CliError."""
    seconds = round(span(window, "--window").total_seconds())
    asked = {"from": ago(f"{seconds + _SETTLE_SECONDS}s", "--window"), "to": ago(f"{_SETTLE_SECONDS}s", "--window")}
    rows = client.get("/v1/usage", asked | {"group_by": ["tenant", "model"], "tenant": "*", "limit": 1000})["data"]
    booked = {
        (row["group"]["tenant"], row["group"]["model"], unit): int(row["quantities"].get(unit, 0))
        for row in rows
        for unit in _SERIES
    }
    return [asdict(one) for one in compared({key: value for key, value in booked.items() if value}, _scraped(url, seconds))]


def _scraped(url: str, seconds: int) -> Mapping[Key, Scraped]:
    found: dict[Key, Scraped] = {}
    with httpx.Client(base_url=url, timeout=30) as server:
        coverage = _coverage(server, seconds)
        for unit, series in _SERIES.items():
            query = f"sum by (tenant, model) (increase({series}[{seconds}s] offset {_SETTLE_SECONDS}s))"
            for result in _asked(server, query):
                labels, increase = result["metric"], float(result["value"][1])
                if increase:
                    found[labels.get("tenant", ""), labels.get("model", ""), unit] = Scraped(increase, coverage)
    return found


def _coverage(server: httpx.Client, seconds: int) -> float:
    """The share of the window in which the server scraped anything at all."""
    query = f"count_over_time((max(up) >= bool 0)[{seconds}s:15s] offset {_SETTLE_SECONDS}s)"
    results = _asked(server, query)
    return min(1.0, float(results[0]["value"][1]) / max(1, seconds // 15)) if results else 0.0


def _asked(server: httpx.Client, query: str) -> list[dict[str, Any]]:
    try:
        answer = server.get("/api/v1/query", params={"query": query})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise CliError(f"Prometheus did not answer at {server.base_url}: {error}", ExitCode.UNREACHABLE) from error
    return found
