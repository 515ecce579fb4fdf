"""The image benchmarks' own arithmetic: what is asked and when, and what answers add up to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import picture_report
from benchmarks.gpu.record import DeviceBroken, Record
from benchmarks.picture_calls import (
    GUIDED_SHARE,
    SIZES,
    STEPS,
    Answer,
    PictureCall,
    alike,
    calls_per_second,
    kinds,
    poisson_calls,
    size_of,
)
from benchmarks.picture_report import OURS, SERIAL, STATIC
from deployments.engines.diffusion.capacity import StepTimes


def call(number: int = 0, steps: int = 10, guidance: float = 7.5, arrives_at: float = 0.0) -> PictureCall:
    return PictureCall(number, arrives_at, "a red circle", steps, guidance, seed=number)


def answer(arrived: float, finished: float, steps: int = 10, **more: Any) -> Answer:
    return Answer(call(steps=steps), arrived, started_at=arrived, finished_at=finished, **more)


def test_calls_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert poisson_calls("0/1/0.7", 5, 20) == poisson_calls("0/1/0.7", 5, 20)
    assert poisson_calls("0/1/0.7", 5, 20) != poisson_calls("0/2/0.7", 5, 20)


def test_arrivals_are_a_poisson_process_of_the_rate_asked_for() -> None:
    arrivals = [call.arrives_at for call in poisson_calls("a", 20, 500)]
    gaps = np.diff(arrivals)
    assert arrivals == sorted(arrivals)
    assert arrivals[0] == 0
    assert arrivals[-1] < 500
    assert np.mean(gaps) == pytest.approx(1 / 20, rel=0.05)
    # The mark of an exponential: as wide as it is long.
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.05)


def test_a_block_has_a_call_however_low_the_rate() -> None:
    assert len(poisson_calls("a", 0.001, 1)) == 1


def test_the_mix_that_is_drawn_is_the_mix_that_is_said() -> None:
    calls = poisson_calls("a", 100, 100)
    assert np.mean([call.is_guided for call in calls]) == pytest.approx(GUIDED_SHARE, abs=0.02)
    for steps, share in STEPS.items():
        assert np.mean([call.steps == steps for call in calls]) == pytest.approx(share, abs=0.02)
    assert sum(STEPS.values()) == pytest.approx(1)
    assert sum(kinds().values()) == pytest.approx(1)


def test_every_number_of_steps_has_one_class() -> None:
    assert [size_of(steps) for steps in (1, 10, 11, 25, 26, 50)] == [name for name in SIZES for _ in range(2)]


def test_capacity_is_the_inverse_of_the_mean_cost() -> None:
    assert calls_per_second(dict.fromkeys(kinds(), 0.5)) == pytest.approx(2)
    by_steps = {kind: float(kind[0]) for kind in kinds()}
    assert 1 / calls_per_second(by_steps) == pytest.approx(sum(steps * share for steps, share in STEPS.items()))


@pytest.mark.parametrize(
    ("batch_sizes", "expected"),
    [((1,), [0]), (range(1, 9), [0, 2, 4]), ((1, 2, 4), [0, 2])],
    ids=["one at a time", "any size", "compiled sizes"],
)
def test_a_static_batch_is_the_oldest_call_and_those_of_its_kind(batch_sizes: Any, expected: list[int]) -> None:
    waiting = [call(0, 10), call(1, 20), call(2, 10), call(3, 10, guidance=1.0), call(4, 10)]
    assert alike(waiting, batch_sizes) == expected


def test_throughput_counts_from_the_first_arrival_to_the_last_answer() -> None:
    assert picture_report.pictures_per_second([answer(10, 11), answer(12, 14)]) == 0.5
    assert picture_report.pictures_per_second([]) == 0


def test_joins_are_told_apart_by_whether_a_row_was_free() -> None:
    answers = [
        answer(0, 1, joined_after=0, had_room=True),
        answer(0, 1, joined_after=1, had_room=True),
        answer(0, 1, joined_after=9),
        answer(0, 1),
    ]
    found = picture_report.joining([answers])
    assert found["with_a_row_free"]["calls"] == 2
    assert found["with_a_row_free"]["steps"]["max"] == 1
    assert found["with_a_row_free"]["share_within_one_step"] == 1
    assert found["all"]["calls"] == 3
    assert found["all"]["steps"]["max"] == 9


def blocks(ours: float, serial: float, static: float) -> picture_report.Blocks:
    """One block at 0.7 of capacity, in which every call takes so many seconds, by system."""
    seconds = {OURS: ours, SERIAL: serial, STATIC: static}
    pixels = np.zeros((2, 2, 3), np.uint8)
    return {
        0.7: {
            name: [[answer(0, taken, joined_after=1, had_room=True, pixels=pixels) for _ in range(3)]]
            for name, taken in seconds.items()
        }
    }


def reported(found: picture_report.Blocks) -> dict[str, Any]:
    alone: Mapping[str, Mapping[str, float]] = {OURS: {"10": 1.1}, SERIAL: {"10": 1.0}}
    result = picture_report.report(found, alone, StepTimes({1: 10.0, 2: 20.0, 8: 60.0}))
    json.dumps(result, allow_nan=False)
    return result


def test_the_aims_are_met_by_a_system_that_is_ahead() -> None:
    aims = reported(blocks(ours=1.0, serial=2.0, static=1.5))["aims"]
    assert [aim["met"] for aim in aims.values()] == [True, True, True]
    assert aims["throughput_by_better_rival"]["found"] == {"0.7": 1.5}


def test_where_a_rival_is_ahead_is_said_with_the_reasons() -> None:
    result = reported(blocks(ours=2.0, serial=1.0, static=4.0))
    assert result["aims"]["throughput_by_better_rival"]["met"] is False
    assert result["aims"]["p95_of_calls_of_ten_steps_or_fewer"]["met"] is False
    cases = result["where_rivals_win"]["cases"]
    assert {case["rival"] for case in cases} == {SERIAL}
    assert {case["ratio"] for case in cases} == {2.0}
    why = " ".join(result["where_rivals_win"]["why"])
    assert "1.33 times the rows a second" in why
    assert "1.10 times the pipeline's at 10 steps" in why


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    aims = picture_report.aims({})
    assert [aim["met"] for aim in aims.values()] == [None, None, None]


def test_pictures_are_compared_call_by_call() -> None:
    found = blocks(1, 1, 1)
    found[0.7][OURS][0][0].pixels = np.full((2, 2, 3), 7, np.uint8)
    assert picture_report.same_pictures(found) == {"compared": 3, "same": 2, "most_levels_apart": 7}


def test_a_call_that_failed_is_told_and_not_timed() -> None:
    found = blocks(1, 1, 1)
    found[0.7][OURS][0][0].error = "out of memory"
    result = reported(found)
    assert result["errors"][OURS] == ["out of memory"]
    assert result["loads"]["0.7"]["join"]["all"]["calls"] == 2


class Stages:
    """One stage's record, opened anew for each process that there would be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ran: list[str] = []

    def open(self, budget_seconds: float = 100) -> Record:
        return Record(self.path, budget_seconds, {})

    def measure(self, record: Record, name: str, needed_seconds: float = 1, error: Exception | None = None) -> Any:
        def run() -> str:
            self.ran.append(name)
            if error is not None:
                raise error
            return f"{name} found"

        return record.measure(name, run, needed_seconds)

    @property
    def content(self) -> dict[str, Any]:
        return dict(json.loads(self.path.read_text()))


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(tmp_path / "stage.json")


def test_a_figure_is_measured_once_however_often_the_stage_runs(stages: Stages) -> None:
    for _ in range(2):
        record = stages.open()
        assert stages.measure(record, "a") == "a found"
        record.end()
    assert stages.ran == ["a"]
    assert stages.open().is_complete


def test_a_measurement_that_fails_leaves_its_error_and_the_next_one_runs(stages: Stages) -> None:
    record = stages.open()
    assert stages.measure(record, "a", error=ValueError("no")) is None
    assert stages.measure(record, "b") == "b found"
    record.end()
    assert stages.content["errors"]["a"]["error"] == "ValueError: no"
    assert stages.content["is_complete"] is True


def test_failures_are_tried_again_when_asked(stages: Stages) -> None:
    stages.measure(stages.open(), "a", error=ValueError("no"))
    record = stages.open()
    record.forget_errors()
    assert stages.measure(record, "a") == "a found"


def test_what_the_budget_has_no_room_for_waits_for_the_next_run(stages: Stages) -> None:
    record = stages.open(budget_seconds=10)
    stages.measure(record, "a")
    stages.measure(record, "b", needed_seconds=60)
    record.end()
    assert stages.content["waiting"] == ["b"]
    assert not record.is_complete
    record = stages.open()
    stages.measure(record, "b", needed_seconds=60)
    record.end()
    assert record.is_complete


def test_a_measurement_that_ended_its_process_is_passed_over(stages: Stages) -> None:
    with pytest.raises(KeyboardInterrupt):
        stages.open().measure("a", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    # A process that is killed leaves the name behind: an exception does not, so it is put back.
    stages.path.write_text(json.dumps(stages.content | {"now": "a"}))
    record = stages.open()
    stages.measure(record, "a")
    stages.measure(record, "b")
    assert stages.ran == ["b"]
    assert "ended" in stages.content["errors"]["a"]


def test_a_broken_device_ends_the_process_and_not_the_stage(stages: Stages) -> None:
    record = stages.open()
    with pytest.raises(DeviceBroken):
        stages.measure(record, "a", error=RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert stages.content["is_complete"] is False
    assert stages.measure(stages.open(), "b") == "b found"
