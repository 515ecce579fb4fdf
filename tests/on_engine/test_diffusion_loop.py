"""The loop's promises to one image about the others: who joins when, who fails with whom."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.diffusion_models import tiny_sd, tiny_sd_inpaint

from deployments.engines.diffusion import canvas
from deployments.engines.diffusion.assembly import assemble
from deployments.engines.diffusion.capacity import StepTimes
from deployments.engines.diffusion.lanes import CALM_STEPS, Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Source, Stepped
from deployments.engines.diffusion.slot import LaneKey
from deployments.engines.diffusion.stepwise import Stepwise
from serve.domain.errors import EngineFailed

SHAPE = LaneKey(8, 8, 77)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[StepLoop]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    _, made = assemble(tiny_sd(tmp_path), device="cpu", dtype=torch.float32, max_rows=8)
    yield made
    made.close()
    torch.set_num_threads(threads)


class Listener:
    """Gathers what a ticket is told, and knows when it ended."""

    def __init__(self, num_images: int = 1) -> None:
        self.outcomes: list[Outcome] = []
        self.steps_of_others_before_the_first: int | None = None
        self._num_open = num_images
        self._ended = threading.Event()

    def tell(self, told: list[Outcome]) -> None:
        self.outcomes += told
        self._num_open -= sum(isinstance(outcome, Painted) for outcome in told)
        if self._num_open == 0 or any(isinstance(outcome, Failed) for outcome in told):
            self._ended.set()

    def wait(self) -> list[Outcome]:
        assert self._ended.wait(60)
        return self.outcomes


def asked(**more: Any) -> ImageRequest:
    return ImageRequest(**{"prompt": "a star", "width": 64, "height": 64, "steps": 4, "seed": 1, **more})


def test_a_join_waits_for_one_step_when_a_row_is_free(loop: StepLoop) -> None:
    running, joining = Listener(), Listener()
    submitted_after: list[int] = []
    began_after: list[int] = []

    def tell_running(told: list[Outcome]) -> None:
        running.tell(told)
        if not submitted_after and any(isinstance(outcome, Stepped) and outcome.done == 10 for outcome in told):
            submitted_after.append(loop.totals.num_batches)
            loop.submit(asked(seed=2, steps=3), tell_joining)

    def tell_joining(told: list[Outcome]) -> None:
        joining.tell(told)
        began_after.append(loop.totals.num_batches)

    loop.submit(asked(steps=60), tell_running)
    running.wait()
    joining.wait()
    assert began_after[0] - submitted_after[0] == 1


def test_a_sampler_that_fails_takes_its_own_image_along_and_no_other(
    loop: StepLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Stepwise.step

    def fails_late(self: Stepwise, out: torch.Tensor, index: int, x: torch.Tensor, generator: Any) -> torch.Tensor:
        if index == 3:
            raise ValueError("no")
        return step(self, out, index, x, generator)

    monkeypatch.setattr(Stepwise, "step", fails_late)
    healthy, failing = Listener(), Listener()
    loop.submit(asked(steps=20), healthy.tell)
    loop.submit(asked(steps=10, sampler="heun"), failing.tell)
    assert isinstance(failing.wait()[-1], Failed)
    assert isinstance(healthy.wait()[-1], Painted)


def test_a_source_is_encoded_once_for_all_images_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, loop = assemble(tiny_sd_inpaint(tmp_path), device="cpu", dtype=torch.float32, max_rows=8)
    asked_of: list[int] = []
    moments_of = canvas.moments_of
    monkeypatch.setattr(canvas, "moments_of", lambda *given: asked_of.append(1) or moments_of(*given))
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    source = Source(np.full((64, 64, 3), 90, np.uint8), 0.8, mask)
    listener = Listener(num_images=4)
    loop.submit(asked(num_images=4, source=source), listener.tell)
    listener.wait()
    loop.close()
    assert len(asked_of) == 2, "the picture, and the picture without what the mask covers"
    pictures = [outcome.pixels for outcome in listener.outcomes if isinstance(outcome, Painted)]
    assert not np.array_equal(pictures[0], pictures[1])


def test_a_loop_that_has_ended_says_so(loop: StepLoop) -> None:
    loop.close()
    listener = Listener()
    loop.submit(asked(), listener.tell)
    (failed,) = listener.wait()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, EngineFailed)


def test_a_cap_is_a_row_count_that_is_prepared_for() -> None:
    assert Lanes(StepTimes(), SHAPE, 6, (1, 2, 4, 8)).most_rows == 4
    assert Lanes(StepTimes(), SHAPE, 6).most_rows == 6
    assert Lanes(StepTimes({1: 10, 2: 11, 4: 12, 8: 13, 16: 26}), SHAPE, None, (1, 2, 4, 8, 16)).most_rows == 8


def test_a_lane_that_ran_out_of_memory_tries_more_rows_again_after_a_while() -> None:
    lanes = Lanes(StepTimes({1: 10.0}), SHAPE, 16)
    lanes.shed(SHAPE)
    lanes.shed(SHAPE)
    assert lanes.lane(SHAPE).max_rows == 4
    for _ in range(2 * CALM_STEPS):
        lanes.took(SHAPE, 4, 10.0)
    assert lanes.lane(SHAPE).max_rows == 16
