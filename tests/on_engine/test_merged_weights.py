"""Weights that are merged beside the steps: who waits for them, who does not, and how many there are at a time."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fakes.diffusion_models import tiny_sd
from torch import Tensor, nn

from deployments.engines.diffusion.assembly import assemble
from deployments.engines.diffusion.deltas import Delta
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.merged_weights import MergedWeights, Want
from deployments.engines.diffusion.mixtures import Mixture
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
BYTES = 4 * 4 * 4
"""Of the small networks' one layer."""


class Held(Delta):
    """A difference that is as slow to compute as the test wants it, and fails if it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.num_computed, self.error = 0, error

    def weight(self, base: Tensor, scale: float) -> Tensor:
        self.begun.set()
        assert self.may_end.wait(30)
        self.num_computed += 1
        if self.error is not None:
            raise self.error
        return torch.full_like(base, scale)


class Call:
    """A picture that is being made, and what was told of it."""

    def __init__(self, loop: StepLoop, mixture: Mixture | None = None, num_images: int = 1) -> None:
        self.outcomes: list[Outcome] = []
        self.ended, self._num_open = threading.Event(), num_images
        self.request = ImageRequest("a star", 64, 64, 3, seed=1, num_images=num_images, mixture=mixture)
        self.ticket = loop.submit(self.request, self._tell)

    def _tell(self, told: list[Outcome]) -> None:
        self.outcomes += told
        self._num_open -= sum(isinstance(outcome, Painted) for outcome in told)
        if self._num_open == 0 or any(isinstance(outcome, Failed) for outcome in told):
            self.ended.set()

    @property
    def error(self) -> Exception | None:
        return next((outcome.error for outcome in self.outcomes if isinstance(outcome, Failed)), None)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StepLoop]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder: Path = tiny_sd(tmp_path_factory.mktemp("model"))
    _, made = assemble(folder, device="cpu", dtype=torch.float32, max_rows=8, max_resident=2)
    yield made
    made.close()
    torch.set_num_threads(threads)


def mixture(delta: Delta, key: str) -> Mixture:
    return Mixture(key, (), merged={LAYER: [(delta, 0.01)]})


def test_others_are_painted_while_weights_are_merged(loop: StepLoop) -> None:
    slow = Held()
    waiting = Call(loop, mixture(slow, "slow"), num_images=2)
    others = [Call(loop), Call(loop)]
    assert all(other.ended.wait(60) for other in others)
    assert not waiting.outcomes
    slow.may_end.set()
    assert waiting.ended.wait(60)
    assert (waiting.error, slow.num_computed) == (None, 1)


def test_an_idle_loop_sleeps_until_they_are_there(loop: StepLoop) -> None:
    slow = Held()
    waiting = Call(loop, mixture(slow, "alone"))
    assert slow.begun.wait(60)
    assert _soon(lambda: loop._beat_at == 0.0), "it looks for them over and over"
    assert loop.stuck_seconds() == 0.0
    slow.may_end.set()
    assert waiting.ended.wait(60)
    assert waiting.error is None


def test_who_left_while_they_were_merged_is_not_painted(loop: StepLoop) -> None:
    slow, before = Held(), loop.totals.num_images
    waiting = Call(loop, mixture(slow, "left"))
    waiting.ticket.cancel()
    slow.may_end.set()
    other = Call(loop)
    assert other.ended.wait(60)
    assert not waiting.outcomes
    assert loop.totals.num_images == before + 1


def test_a_failure_is_told_to_its_call_and_the_next_may_try_again(loop: StepLoop) -> None:
    bad = Held(ValueError("no"))
    bad.may_end.set()
    failed = Call(loop, mixture(bad, "bad"))
    assert failed.ended.wait(60)
    assert failed.error is not None
    bad.error = None
    again = Call(loop, mixture(bad, "bad"))
    assert again.ended.wait(60)
    assert again.error is None


class Kept:
    """Weights of a small network with room for two mixtures, computed at once."""

    def __init__(self, num_bytes: int = 2 * BYTES) -> None:
        self.network = nn.Sequential(nn.Linear(4, 4, bias=False))
        self.told = threading.Semaphore(0)
        self.weights = MergedWeights(self.network, num_bytes, self.told.release)
        self.deltas: dict[str, Held] = {}

    def want(self, key: str) -> Want:
        delta = self.deltas.setdefault(key, Held())
        delta.may_end.set()
        return key, {"0": [(delta, 1.0)]}

    def prepare(self, *keys: str, in_use: tuple[str, ...] = ()) -> list[bool]:
        """Whether each is there, once nothing is on its way any more."""
        wanted = [self.want(key) for key in keys]
        self.weights.prepare(wanted, in_use)
        while self.weights.is_busy:
            assert self.told.acquire(timeout=60)
            self.weights.prepare(wanted, in_use)
        return [self.weights.get(key) is not None for key in keys]


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.weights.close()


def test_what_is_in_use_stays_and_who_finds_no_room_waits_for_it(kept: Kept) -> None:
    assert kept.prepare("a", "b") == [True, True]
    assert kept.prepare("c", in_use=("a", "b")) == [False]
    assert kept.weights.num_bytes == 2 * BYTES
    assert kept.prepare("c", in_use=("a",)) == [True]
    assert kept.weights.num_bytes == 2 * BYTES
    kept.prepare("a")
    assert kept.deltas["a"].num_computed == 1


def test_what_is_always_in_use_keeps_nobody_out_for_ever(kept: Kept) -> None:
    kept.prepare("a", "b")
    assert kept.prepare("c", "a", in_use=("a", "b")) == [False, False], "who came later would keep it in use"
    assert kept.prepare("c", "a", in_use=("b",)) == [True, False]
    assert kept.prepare("a", in_use=("b", "c")) == [False]


def test_who_waits_with_weights_at_hand_does_not_lose_them_to_who_came_later(kept: Kept) -> None:
    assert kept.prepare("a", "b", "c") == [True, True, False]
    assert kept.prepare("a", "b", "c") == [True, True, False]
    assert kept.deltas["a"].num_computed == 1


def test_what_is_larger_than_all_room_comes_alone() -> None:
    kept = Kept(num_bytes=BYTES - 1)
    assert kept.prepare("a", "b") == [True, False]
    assert kept.prepare("b", in_use=("a",)) == [False]
    assert kept.prepare("b") == [True]
    kept.weights.forget(())
    assert kept.weights.num_bytes == 0
    kept.weights.close()


def _soon(is_so: Callable[[], bool]) -> bool:
    for _ in range(2000):
        if is_so():
            return True
        threading.Event().wait(0.005)
    return False
