"""The simulated fleet counts every call once, and keeps to its GPUs."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.scaling_demand import TRACES, Demand
from benchmarks.scaling_fleet import Fleet, ModelNow, waits_of


class Fixed:
    """So many replicas, always."""

    def __init__(self, number: int) -> None:
        self._number = number

    def replicas(self, model: ModelNow) -> int:
        return self._number


def demand_of(calls: list[float], **changes: float) -> Demand:
    """One model whose replica runs four calls at a time, each a quarter of a replica-second."""
    column = np.array(calls)[:, None]
    start = np.array([changes.get("start_seconds", 0.0)])
    return Demand("test", column, np.array([0.25]), np.array([4.0]), start)


def test_calls_are_served_in_the_order_in_which_they_came() -> None:
    arrived, admitted = np.array([[2.0], [2.0], [0.0], [0.0]]), np.array([[1.0], [1.0], [2.0], [0.0]])
    calls, waits = waits_of(arrived, admitted)
    assert calls.tolist() == [2.0, 2.0]
    assert waits.tolist() == [1.0, 1.0]


def test_what_is_never_admitted_waited_to_the_end() -> None:
    assert waits_of(np.array([[1.0], [0.0], [0.0]]), np.zeros((3, 1)))[1].tolist() == [3.0]


def test_a_fleet_that_is_large_enough_makes_nobody_wait() -> None:
    outcome = Fleet(demand_of([1.0] * 60), 2, lambda _: Fixed(2)).run()
    assert outcome.calls.sum() == 60
    assert outcome.over(0.0) == pytest.approx(1 / 60), "the first call came before the first decision"
    assert outcome.gpu_hours == pytest.approx(2 * 59 / 3600)


def test_no_policy_gets_more_than_the_fleet_has() -> None:
    outcome = Fleet(demand_of([8.0] * 60), 3, lambda _: Fixed(100)).run()
    assert outcome.num_starts == 3
    assert outcome.gpu_hours <= 3 * 60 / 3600


def test_a_start_is_waited_for() -> None:
    outcome = Fleet(demand_of([1.0] + [0.0] * 59, start_seconds=20), 1, lambda _: Fixed(1)).run()
    assert outcome.waits.tolist() == [20.0]


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_a_trace_brings_about_the_work_that_it_was_asked_for(trace: Callable[..., Demand]) -> None:
    found = [trace(1800, 20.0, np.random.default_rng(seed)).mean_replicas for seed in range(6)]
    assert np.mean(found) == pytest.approx(20.0, rel=0.35)
