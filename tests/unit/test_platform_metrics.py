"""What `/metrics` says of the platform, and what a replica counts."""

from pathlib import Path

import pytest
from fakes.gateway import gateway
from sqlalchemy import insert

from deployments.replica_metrics import ReplicaMetrics
from serve.catalog.adapters.files import AdapterTier
from serve.domain.names import TenantName
from serve.domain.usage import UNITS, Quantities, UsageStatus
from serve.gateway.platform_metrics import PlatformMetrics, tell_budgets
from serve.metering.budgets.accounts import Budget, Period
from serve.metering.budgets.budgets import BudgetState
from serve.metering.ledger.booking import COUNTS
from serve.storage.metering_tables import usage_hours
from serve.telemetry import series
from serve.telemetry.exposition import render
from serve.telemetry.recording import Recorder

ACME = TenantName("acme")


def row(number: int, tenant: str, cost_nano: int, **quantities: int) -> dict[str, object]:
    """An hour of the roll-up."""
    texts = dict.fromkeys(
        ("project", "key_id", "adapters", "workflow", "node", "tag1", "tag2", "tag3", "tag4", "tag5"), ""
    )
    numbers = dict.fromkeys((*UNITS, *COUNTS, "free_nano", "credit_nano"), 0)
    own = {"id": str(number), "hour_ms": number, "tenant": tenant, "model": "m", "cost_nano": cost_nano}
    return texts | numbers | own | quantities


def budget(id: str, limit_nano: int | None, spent_nano: int, held_nano: int = 0) -> BudgetState:
    made = Budget(id, ACME, "", "", "", Period.MONTH, limit_nano, None, "admin", 0, 0)
    return BudgetState(made, 0, spent_nano, held_nano, None)


async def test_every_gateway_says_what_is_booked_and_how_models_are(tmp_path: Path):
    async with gateway(tmp_path) as made, made.client() as client:
        rows = [
            row(1, "acme", 1_500_000_000, prompt_tokens=7, num_attempts=2),
            row(2, "acme", -500_000_000, prompt_tokens=-1, num_attempts=1, num_unpriced=1),
            row(3, "other", 4, images=2),
        ]
        async with made.services.records.write() as connection:
            await connection.execute(insert(usage_hours), rows)
        text = (await client.get("/metrics")).text
    for line in (
        'slipway_booked_units{model="m",tenant="acme",unit="prompt_tokens"} 6.0',
        'slipway_booked_cost_dollars{model="m",tenant="acme"} 1.0',
        'slipway_booked_cost_dollars{model="m",tenant="other"} 4e-09',
        'slipway_booked_attempts{model="m",tenant="acme",which="all"} 3.0',
        'slipway_booked_attempts{model="m",tenant="acme",which="unpriced"} 1.0',
        'slipway_booked_units{model="m",tenant="other",unit="images"} 2.0',
        'slipway_model_replicas{model="echo-chat",state="ready"} 1.0',
        'slipway_model_state{model="echo-chat",state="failed"} 0.0',
        "slipway_ledger_readable 1.0",
        "slipway_ledger_gaps 0.0",
        'slipway_ledger_difference_units{unit="images"} 0.0',
    ):
        assert line in text


async def test_metrics_are_answered_while_the_database_is_away(tmp_path: Path):
    async with gateway(tmp_path) as made:
        await made.services.records.close()
        (tmp_path / "data").rename(tmp_path / "moved")
        text = render(await PlatformMetrics(made.services).read()).decode()
    assert "slipway_ledger_readable 0.0" in text
    assert "slipway_model_replicas" in text
    assert "slipway_booked" not in text


def test_of_a_tenants_budgets_the_tightest_is_told():
    recorder = Recorder()
    dollars = 10**9
    tell_budgets(
        recorder,
        [
            budget("a", 100 * dollars, 10 * dollars),
            budget("b", 10 * dollars, 5 * dollars, dollars),
            budget("c", None, 7),
        ],
    )
    found = [
        recorder.level(one, "acme", "month").value
        for one in (series.BUDGET_LIMIT, series.BUDGET_SPENT, series.BUDGET_HELD)
    ]
    assert found == [10, 5, 1]


@pytest.mark.parametrize("status", [UsageStatus.SUCCEEDED, UsageStatus.CANCELED, UsageStatus.FAILED])
def test_a_replica_counts_what_it_computed_however_the_call_ended(status: UsageStatus):
    metrics = ReplicaMetrics("m")
    for _ in range(2):
        metrics.ended(ACME, status, Quantities(5, 2, 3, images=1, pixels=64, pixel_steps=640, gpu_ms=1500), 0.5)
    count = metrics.recorder.count
    assert [count(series.TOKENS, "acme", "m", kind).value for kind in ("prompt", "cached", "completion")] == [10, 4, 6]
    assert [count(one, "acme", "m").value for one in (series.IMAGES, series.PIXELS, series.PIXEL_STEPS)] == [
        2,
        128,
        1280,
    ]
    assert count(series.GPU_SECONDS, "acme", "m").value == 3
    assert count(series.CALLS, "m", status.value).value == 2


def test_what_an_engine_counts_is_taken_over_once():
    metrics = ReplicaMetrics("m")
    for steps, seconds in ((10, 1.0), (10, 1.0), (25, 2.5)):
        metrics.sample_engine({"batches_total": steps, "step_seconds_total": seconds})
    assert metrics.recorder.count(series.BATCHES, "m").value == 25
    assert metrics.recorder.count(series.STEP_SECONDS, "m").value == 2.5
    cache = {"adapter_bytes": 8.0, "adapter_resident_host": 2.0, "adapter_evictions_disk": 1.0}
    for loads, seconds in ((2, 1.0), (2, 1.0), (4, 4.0)):
        metrics.adapters.sample(cache, {"mixture_loads_total": loads, "mixture_load_seconds_total": seconds})
    loaded = metrics.recorder.spread(series.ADAPTER_SECONDS, "m", AdapterTier.GPU.value)
    assert (sum(loaded.counts), loaded.sum) == (4, 4.0)
    assert metrics.recorder.count(series.ADAPTER_EVICTIONS, "m", AdapterTier.DISK.value).value == 1
