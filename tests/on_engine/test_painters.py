"""The three systems that the image benchmarks compare: each answers every call, with the same pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.diffusion_models import tiny_sd

from benchmarks.painters import Painter, PipelineBatches, StepBatches, play, stock_pipeline
from benchmarks.picture_calls import Answer, PictureCall
from deployments.engines.diffusion.assembly import native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.predictors import EagerPredictor

CALLS = [
    PictureCall(number, 0.0, "a red circle", steps, guidance, seed=number)
    for number, (steps, guidance) in enumerate([(3, 7.5), (5, 1.0), (3, 7.5), (3, 7.5)])
]


@pytest.fixture(scope="module")
def painters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Painter]]:
    folder: Path = tiny_sd(tmp_path_factory.mktemp("model"))
    bundle = Bundle.load(folder, device="cpu", dtype=torch.float32)
    side = bundle.native_size
    loop = StepLoop(bundle, EagerPredictor(bundle), Lanes(StepTimes(), native_shape(bundle), 8))
    made: dict[str, Painter] = {
        "ours": StepBatches(loop, side, side, max_rows=8),
        "serial": PipelineBatches(stock_pipeline(bundle), side, side),
        "static": PipelineBatches(stock_pipeline(bundle), side, side, range(1, 9), batch_wait_seconds=0.5),
    }
    yield made
    for painter in made.values():
        painter.close()


@pytest.fixture(scope="module")
def answers(painters: dict[str, Painter]) -> dict[str, list[Answer]]:
    return {name: play(painter, CALLS) for name, painter in painters.items()}


def test_every_call_is_answered_without_an_error(answers: dict[str, list[Answer]]) -> None:
    for found in answers.values():
        assert [answer.call for answer in found] == CALLS
        assert [answer.error for answer in found] == [""] * len(CALLS)


def test_all_paint_the_same_pictures(answers: dict[str, list[Answer]]) -> None:
    for name in ("serial", "static"):
        for ours, theirs in zip(answers["ours"], answers[name], strict=True):
            assert np.abs(ours.pixels.astype(int) - theirs.pixels.astype(int)).max() <= 1


def test_times_follow_one_another(answers: dict[str, list[Answer]]) -> None:
    for found in answers.values():
        assert all(answer.arrived_at <= answer.started_at < answer.finished_at for answer in found)


def test_a_static_batch_takes_those_of_its_kind_together_and_the_serial_queue_one_by_one(
    answers: dict[str, list[Answer]],
) -> None:
    assert [answer.batch_size for answer in answers["static"]] == [3, 1, 3, 3]
    assert [answer.batch_size for answer in answers["serial"]] == [1, 1, 1, 1]


def test_ours_says_how_long_a_call_waited_to_join(answers: dict[str, list[Answer]]) -> None:
    assert all(answer.joined_after is not None for answer in answers["ours"])
    assert all(answer.had_room for answer in answers["ours"])
