"""Counting in a process, and what of it can be read."""

import asyncio
import contextlib
import random
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.metric_export import Numbers
from serve.domain.errors import DeadlineExceeded, EngineFailed, InvalidRequest, Overloaded, ReplicaLost
from serve.domain.generation import Progress, TextDelta
from serve.domain.names import TenantName
from serve.telemetry import series
from serve.telemetry.exposition import render
from serve.telemetry.metrics import Metrics, outcome_of
from serve.telemetry.recording import Recorder
from serve.telemetry.series import Kind, Place, Series

FORBIDDEN_LABELS = {"key", "key_id", "run", "run_id", "adapter", "user", "request_id", "prompt", "project", "budget"}


def values(recorder: Recorder) -> dict[str, float]:
    """Every sample, by `name{labels}`."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(render(recorder).decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("declared", series.ALL, ids=lambda declared: declared.name)
def test_a_series_is_named_by_what_it_counts_and_in_which_unit(declared: Series):
    assert re.fullmatch(r"slipway_[a-z0-9_]+", declared.name)
    assert declared.name.endswith("_total") == (declared.kind is Kind.COUNTER)
    if declared.kind is Kind.HISTOGRAM:
        assert declared.name.endswith("_seconds")
        assert list(declared.buckets) == sorted(set(declared.buckets))
    assert not FORBIDDEN_LABELS & set(declared.labels)
    assert declared.help.endswith(".")
    assert declared.places == {Place.PLATFORM} or Place.PLATFORM not in declared.places


def test_series_have_different_names():
    names = [name for declared in series.ALL for name in declared.sample_names]
    assert len(names) == len(set(names)) > 60


def test_the_text_says_what_was_counted():
    recorder = Recorder()
    recorder.count(series.TOKENS, "acme", "m", "prompt").inc(3)
    recorder.count(series.TOKENS, "acme", "m", "prompt").inc(4)
    recorder.level(series.QUEUED_CALLS, "m").set(2)
    spread = recorder.spread(series.INTER_TOKEN_SECONDS, "m")
    spread.observe(0.001, 5)
    spread.observe(0.0011)
    spread.observe(100)
    found = values(recorder)
    assert found["slipway_tokens_total[('kind', 'prompt'), ('model', 'm'), ('tenant', 'acme')]"] == 7
    assert found["slipway_queued_calls[('model', 'm')]"] == 2
    bucket = "slipway_inter_token_seconds_bucket[('le', '{}'), ('model', 'm')]"
    assert [found[bucket.format(le)] for le in ("0.001", "0.0025", "5.0", "+Inf")] == [5, 6, 6, 7]
    assert found["slipway_inter_token_seconds_sum[('model', 'm')]"] == pytest.approx(100.0061)


def test_a_label_beyond_its_cap_is_other_and_nothing_is_lost():
    recorder = Recorder()
    tenants = [f"tenant{i}" for i in range(series.LABEL_CAPS["tenant"] + 50)]
    random.Random(1).shuffle(tenants)
    for _ in range(2):
        for tenant in tenants:
            recorder.count(series.IMAGES, tenant, "m").inc()
    found = values(recorder)
    assert sum(found.values()) == 2 * len(tenants)
    assert len(found) == series.LABEL_CAPS["tenant"] + 1
    assert found["slipway_images_total[('model', 'm'), ('tenant', 'other')]"] == 100


def test_two_recorders_in_one_process_do_not_meet():
    first, second = Metrics(), Metrics()
    first.request("/r", "GET", 200).total.inc()
    assert b'route="/r"' in first.render()
    assert b'route="/r"' not in second.render()


def test_what_ray_exports_is_not_in_the_text_and_the_platform_is():
    metrics, platform = Metrics(), Recorder()
    metrics.request("/r", "GET", 200).total.inc()
    platform.level(series.LEDGER_CONFLICTS).set(0)
    metrics.is_exported = True
    text = metrics.render(platform).decode()
    assert "slipway_ledger_conflicts 0.0" in text
    assert "slipway_http" not in text


def test_what_counts_says_zero_before_it_says_its_first_number():
    recorder = Recorder()
    recorder.level(series.QUEUED_CALLS, "m").set(2)
    recorder.spread(series.CALL_SECONDS, "m").observe(0.5)
    recorder.count(series.IMAGES, "early", "m").inc(3)
    numbers = Numbers([recorder])

    def told(now: float, zero_seconds: float = 20) -> dict[tuple[str, str | None], float]:
        read = numbers.read(now, zero_seconds)
        return {(name, tags.get("tenant", tags.get("le"))): value for name, _, value, tags in read}

    sums = ("slipway_call_duration_seconds_sum", None), ("slipway_call_duration_seconds_bucket", "+Inf")
    first = told(100)
    assert first["slipway_queued_calls", None] == 2, "a level is what it is"
    assert (first["slipway_images_total", "early"], *[first[one] for one in sums]) == (0, 0, 0)
    recorder.count(series.IMAGES, "late", "m").inc(5)
    assert (told(119)["slipway_images_total", "early"], told(119)["slipway_images_total", "late"]) == (0, 0)
    later = told(120)
    assert (later["slipway_images_total", "early"], *[later[one] for one in sums]) == (3, 0.5, 1)
    assert later["slipway_images_total", "late"] == 0
    assert told(121, zero_seconds=0)["slipway_images_total", "late"] == 5, "the last word is the truth"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "succeeded"),
        (InvalidRequest("no"), "refused"),
        (Overloaded("full"), "overloaded"),
        (ReplicaLost("gone"), "unavailable"),
        (EngineFailed("broke"), "failed"),
        (ValueError("ours"), "failed"),
        (DeadlineExceeded("late"), "canceled"),
        (GeneratorExit(), "canceled"),
        (asyncio.CancelledError(), "canceled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_outcome_says_whose_fault_it_was(error: BaseException | None, outcome: str):
    assert outcome_of(error) == outcome


def test_a_watched_call_is_timed_to_its_first_events_and_then_between_its_tokens():
    moments = iter([0.0, 0.5, 0.7])
    metrics = Metrics()
    with contextlib.suppress(Overloaded), metrics.call(TenantName("acme"), "m", lambda: next(moments)) as watch:
        watch.saw([Progress(1, 2)])
        watch.saw([TextDelta("a"), TextDelta("b"), Progress(2, 2)])
        raise Overloaded("full")
    found = values(metrics.recorder)
    of_model = "[('model', 'm')]"
    assert found["slipway_time_to_first_token_seconds_sum" + of_model] == 0.5
    assert found["slipway_inter_token_seconds_count" + of_model] == 2
    assert found["slipway_inter_token_seconds_sum" + of_model] == pytest.approx(0.2)
    labels = "[('front', 'gateway'), ('model', 'm'), ('outcome', 'overloaded'), ('tenant', 'acme')]"
    assert found["slipway_requests_total" + labels] == 1
