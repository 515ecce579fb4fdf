"""How many replicas a model gets, and the reason that is given."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.serving.scaling import (
    Bounds,
    Observation,
    ScalingPolicy,
    WorkRate,
    backlog_at_start,
    needed_replicas,
)

BOUNDS = Bounds(minimum=0, maximum=10, target_wait_seconds=2, idle_seconds=600)


def seen(replicas: int = 1, now: float = 0.0, **values: float) -> Observation:
    return Observation(now=now, replicas=replicas, wanted=replicas, **values)


@pytest.mark.parametrize(
    ("observation", "needed"),
    [
        pytest.param(seen(), 0, id="nothing to do"),
        pytest.param(seen(load=0.1), 1, id="a little work"),
        pytest.param(seen(load=0.8, inflow=0.7), 1, id="work that one replica keeps up with"),
        pytest.param(seen(load=0.9, inflow=0.9), 2, id="work that fills one to the brim, before anybody waits"),
        pytest.param(seen(load=0.8, backlog_seconds=1.9), 1, id="a wait within the target"),
        pytest.param(seen(load=0.8, backlog_seconds=6.0), 4, id="three targets of waiting want three more"),
        pytest.param(seen(3, load=2.4, backlog_seconds=6.0), 3, id="two seconds' waiting in front of each of three"),
        pytest.param(seen(load=0.5, backlog_seconds=6.0, start_seconds=10), 1, id="gone before a new one is ready"),
    ],
)
def test_the_replicas_that_work_needs(observation: Observation, needed: int) -> None:
    assert needed_replicas(observation, growth=0.0, target_wait_seconds=2) == needed


def test_work_that_grows_has_its_replicas_when_it_is_there() -> None:
    policy = ScalingPolicy(BOUNDS)
    steady = ScalingPolicy(BOUNDS)
    for now in range(0, 21, 5):
        growing = policy.decide(seen(3, now=now, load=2.0, inflow=1.0 + now * 0.05, start_seconds=20))
        level = steady.decide(seen(3, now=now, load=2.0, inflow=2.0, start_seconds=20))
    assert (level.replicas, growing.replicas) == (3, 4)
    assert "0.95 more is coming" in growing.reason


def test_replicas_that_start_already_are_not_asked_for_again() -> None:
    starting = Observation(now=0, replicas=1, wanted=4, load=1.0, backlog_seconds=6.0, inflow=1.0, start_seconds=10)
    assert backlog_at_start(starting) == 0.0


def test_a_lull_between_bursts_costs_no_start() -> None:
    policy = ScalingPolicy(BOUNDS)
    assert policy.decide(seen(2, now=0, load=2.0, inflow=3.0)).replicas == 4
    assert policy.decide(seen(4, now=40, load=0.2, inflow=0.1)).replicas == 4
    assert policy.decide(seen(4, now=46, load=0.2, inflow=0.1)).replicas == 1


def test_a_model_that_starts_slowly_is_kept_for_longer() -> None:
    policy = ScalingPolicy(BOUNDS)
    policy.decide(seen(2, now=0, load=2.0, inflow=3.0, start_seconds=60))
    assert policy.decide(seen(4, now=50, load=0.2, start_seconds=60)).replicas == 4
    assert policy.decide(seen(4, now=61, load=0.2, start_seconds=60)).replicas == 1


def test_the_last_replica_goes_when_there_has_been_no_work_for_the_idle_time() -> None:
    policy = ScalingPolicy(BOUNDS)
    policy.decide(seen(now=0, load=0.1))
    assert policy.decide(seen(now=599)).replicas == 1
    decision = policy.decide(seen(now=600))
    assert (decision.replicas, decision.reason) == (0, "no work for 600 s")


def test_a_first_call_that_is_over_before_its_load_is_told_keeps_its_replica_for_the_idle_time() -> None:
    policy = ScalingPolicy(BOUNDS)
    assert policy.decide(Observation(now=0, replicas=0, wanted=0)).replicas == 0
    assert policy.decide(Observation(now=1, replicas=0, wanted=1)).replicas == 1, "it starts"
    assert policy.decide(seen(now=5)).replicas == 1
    assert policy.decide(seen(now=600)).replicas == 1
    assert policy.decide(seen(now=602)).replicas == 0
    assert policy.decide(seen(now=603)).replicas == 0, "it is on its way down: nobody has called"
    assert policy.decide(Observation(now=604, replicas=0, wanted=1)).replicas == 1, "called again, at once"


def test_calls_that_are_too_short_to_be_seen_running_keep_their_replica():
    policy, rate, asked = ScalingPolicy(replace(BOUNDS, idle_seconds=20)), WorkRate(), []
    for now in range(1, 100):
        if now % 10 == 0 and now <= 50:
            rate.add(0.01, now)
        asked.append(policy.decide(seen(now=now, inflow=rate.per_second(now))).replicas)
    assert asked[:69] == [1] * 69
    assert asked[69:] == [0] * 30


def test_a_policy_made_anew_beside_a_running_replica_keeps_it_for_the_idle_time() -> None:
    policy = ScalingPolicy(BOUNDS)
    assert policy.decide(seen(now=0)).replicas == 1
    assert policy.decide(seen(now=600)).replicas == 0


def test_a_minimum_is_kept_and_named() -> None:
    policy = ScalingPolicy(replace(BOUNDS, minimum=2))
    decision = policy.decide(seen(2))
    assert (decision.replicas, decision.reason) == (2, "no work yet; the minimum is 2")


def test_a_maximum_is_kept_and_named() -> None:
    decision = ScalingPolicy(replace(BOUNDS, maximum=3)).decide(seen(3, load=3.0, backlog_seconds=60, inflow=4.0))
    assert decision.replicas == 3
    assert decision.reason.endswith("20.0 s of waiting (target 2 s); the maximum is 3")


def test_a_buffer_is_kept_while_there_is_work_and_no_longer() -> None:
    policy = ScalingPolicy(replace(BOUNDS, buffer=2))
    assert policy.decide(seen(now=0, load=0.5, inflow=0.4)).replicas == 3
    assert policy.decide(seen(now=700)).replicas == 0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.integers(0, 12),
            st.floats(0, 20),
            st.floats(0, 1000),
            st.floats(0, 20),
            st.floats(0, 90),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_no_history_leads_beyond_the_bounds(
    steps: list[tuple[float, int, float, float, float, float]], minimum: int, buffer: int
) -> None:
    bounds = replace(BOUNDS, minimum=minimum, buffer=buffer)
    policy, now = ScalingPolicy(bounds), 0.0
    for seconds, replicas, load, backlog, inflow, start in steps:
        now += seconds
        decision = policy.decide(Observation(now, replicas, replicas, load, backlog, inflow, start))
        assert bounds.minimum <= decision.replicas <= bounds.maximum
        assert decision.reason
        assert decision.replicas >= 1 or not (load or backlog)


@given(st.integers(1, 8), st.floats(0, 8), st.floats(0, 100), st.floats(0, 8), st.floats(0, 500))
def test_more_waiting_never_asks_for_fewer(
    replicas: int, load: float, backlog: float, inflow: float, more: float
) -> None:
    less = Observation(0, replicas, replicas, load, backlog, inflow)
    assert needed_replicas(replace(less, backlog_seconds=backlog + more), 0.0, 2) >= needed_replicas(less, 0.0, 2)


def test_a_rate_forgets() -> None:
    rate = WorkRate()
    for second in range(100):
        rate.add(3.0, float(second))
    assert rate.per_second(99.0) == pytest.approx(3.15, abs=0.01)
    assert rate.per_second(160.0) < 0.01
