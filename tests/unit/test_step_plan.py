"""Which images step together, and how many rows a step should have."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from fakes.clock import ManualClock
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.diffusion.capacity import StepTimes, knee, measure
from deployments.engines.diffusion.planning import SLACK, FairLanes, bucket, choose_rows, due_at


@dataclass(frozen=True)
class Image:
    num_rows: int
    deadline: float
    order: int = 0


images = st.lists(st.builds(Image, st.integers(1, 2), st.floats(0, 100), st.integers(0, 1000)), min_size=1, max_size=40)


@given(images, st.integers(2, 32))
def test_a_step_is_never_larger_than_the_cap_and_never_empty(waiting: list[Image], max_rows: int) -> None:
    chosen = choose_rows(waiting, max_rows)
    assert 1 <= sum(image.num_rows for image in chosen) <= max_rows


@given(images, st.integers(2, 32))
def test_the_earliest_deadline_is_always_in_the_step(waiting: list[Image], max_rows: int) -> None:
    first = min(waiting, key=lambda image: (image.deadline, image.order))
    assert any(image is first for image in choose_rows(waiting, max_rows))


@given(images, st.integers(2, 32))
def test_no_row_stays_empty_that_a_waiting_image_would_fit_into(waiting: list[Image], max_rows: int) -> None:
    chosen = choose_rows(waiting, max_rows)
    free = max_rows - sum(image.num_rows for image in chosen)
    left = [image for image in waiting if not any(image is other for other in chosen)]
    assert all(image.num_rows > free for image in left)


def test_short_work_is_due_before_long_work_that_came_with_it_and_long_work_does_not_wait_for_ever() -> None:
    long, short = due_at(0, None, 10), due_at(0, None, 1)
    assert short < long
    assert due_at(long, None, 1) > long


def test_a_callers_deadline_brings_an_image_forward_and_never_back() -> None:
    assert due_at(5, 7, 1) == 7
    assert due_at(5, 1e9, 1) == 5 + SLACK


def test_lanes_share_time_by_what_their_images_had() -> None:
    fair: FairLanes[str] = FairLanes()
    rounds = dict.fromkeys("ab", 0)
    for _ in range(300):
        key = fair.choose("ab")
        rounds[key] += 1
        # A step of lane a takes twice as long, for as many rows.
        fair.charge(key, 20 if key == "a" else 10, 4)
    assert rounds["b"] == pytest.approx(2 * rounds["a"], abs=2)


def test_a_lane_with_more_images_gets_more_time() -> None:
    fair: FairLanes[str] = FairLanes()
    spent = dict.fromkeys("ab", 0)
    for _ in range(300):
        key = fair.choose("ab")
        spent[key] += 10
        fair.charge(key, 10, 6 if key == "a" else 2)
    assert spent["a"] == pytest.approx(3 * spent["b"], rel=0.05)


def test_a_lane_that_was_idle_gets_no_credit_for_it() -> None:
    fair: FairLanes[str] = FairLanes()
    for _ in range(100):
        fair.charge(fair.choose("a"), 10, 1)
    turns = [fair.choose("ab") for _ in range(1)]
    for _ in range(20):
        key = fair.choose("ab")
        turns.append(key)
        fair.charge(key, 10, 1)
    assert turns.count("a") >= 9


@pytest.mark.parametrize(
    ("by_rows", "most", "expected"),
    [
        ({1: 10.0, 2: 20.0, 4: 40.0}, 32, 2),
        ({1: 10.0, 2: 10.5, 4: 11.0, 8: 12.0, 16: 24.0}, 32, 8),
        ({1: 10.0, 2: 10.5, 4: 11.0, 8: 12.0}, 4, 4),
        ({1: 10.0}, 32, 2),
        ({}, 32, 2),
    ],
    ids=["full at once", "full at eight", "capped", "one measurement", "none"],
)
def test_the_knee_is_where_more_rows_stop_paying(by_rows: dict[int, float], most: int, expected: int) -> None:
    assert knee(StepTimes(by_rows), most) == expected


def test_measuring_stops_at_the_first_counts_that_bring_nothing_and_survives_a_full_memory() -> None:
    ran: list[int] = []

    def run(num_rows: int) -> None:
        ran.append(num_rows)
        if num_rows > 2:
            raise MemoryError

    assert set(measure(run, 5).by_rows) == {1, 2}
    assert max(ran) == 4


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """What measuring takes for the machine's clock."""
    clock = ManualClock()
    told = SimpleNamespace(perf_counter=clock.monotonic, monotonic=clock.monotonic)
    monkeypatch.setattr("deployments.engines.diffusion.capacity.time", told)
    return clock


def test_what_is_paid_once_is_neither_counted_nor_charged_to_the_budget(stopwatch: ManualClock) -> None:
    prepared: set[int] = set()

    def prepare(num_rows: int) -> None:
        stopwatch.advance(0.06)
        prepared.add(num_rows)

    def run(num_rows: int) -> None:
        assert num_rows in prepared

    times = measure(run, 0.05, (1, 2), warm_up=prepare)
    assert set(times.by_rows) == {1, 2}
    assert max(times.by_rows.values()) < 50


def test_the_estimate_of_an_unmeasured_count_is_in_proportion() -> None:
    assert StepTimes({2: 10.0}).estimate(4) == 20.0
    assert StepTimes().estimate(4) == 0.0


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (3, 4), (9, 16), (40, 40)])
def test_rows_are_padded_to_the_next_bucket(rows: int, expected: int) -> None:
    assert bucket(rows, (1, 2, 4, 8, 16, 32)) == expected


def test_without_buckets_nothing_is_padded() -> None:
    assert bucket(7, ()) == 7


def test_a_measurement_that_something_disturbed_does_not_count(stopwatch: ManualClock) -> None:
    num_runs = {1: 0, 2: 0, 4: 0}

    def run(num_rows: int) -> None:
        num_runs[num_rows] += 1
        is_disturbed = num_runs[num_rows] != 3
        stopwatch.advance(0.03 if is_disturbed else 0.001 * num_rows)

    assert measure(run, 5, candidates=(1, 2, 4)).by_rows[1] < 20


def test_fewer_rows_are_never_said_to_take_longer(stopwatch: ManualClock) -> None:
    def run(num_rows: int) -> None:
        stopwatch.advance(0.05 if num_rows == 1 else 0.005)

    assert measure(run, 5, candidates=(1, 2)).by_rows[1] < 40
