"""A picture with adapters is the same whatever is painted beside it: mixed batches against diffusers, run alone."""

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from fakes.adapters import (
    ATTENTION,
    Maker,
    dora,
    load_in_diffusers,
    lora,
    random_weights,
    shapes_of,
    write_diffusers,
    write_kohya,
)
from fakes.diffusion_models import tiny_sd, tiny_sdxl
from fakes.stock_pictures import painted_alone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.assembly import assemble
from deployments.engines.diffusion.deltas import ImageAdapter
from deployments.engines.diffusion.mixtures import Mixer
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Source
from deployments.engines.diffusion.samplers import stock_scheduler
from deployments.engines.diffusion.ticket import Ticket
from deployments.engines.engine import AdapterFolder
from serve.catalog.layouts import layout_of

MAX_RELATIVE_ERROR = 1e-4
MAX_LEVELS = 1
MAX_RANK = 32
TEXT = ("q_proj", "v_proj", "fc1")
COVERED = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
Uses = tuple[tuple[str, float], ...]
MIXTURES: dict[str, Uses] = {
    "none": (),
    "one": (("attention", 1.0),),
    "all layers and texts": (("everything", 0.6),),
    "two": (("attention", 0.5), ("everything", 0.9)),
    "negative": (("narrow", -0.7),),
    "texts alone": (("words", 1.0),),
    "three": (("everything", 0.3), ("attention", 0.4), ("narrow", -0.5)),
    "merged": (("stretched", 0.8), ("attention", 0.5)),
    "convolutions": (("convolutions", 0.7), ("everything", 0.4)),
    "a high rank": (("wide", 0.5),),
}


@dataclass(frozen=True)
class Wish:
    """A picture: what is asked, less the adapters, and the name of their mixture."""

    mixture: str
    request: ImageRequest


class Watched:
    """A ticket in the loop that gathers what it is told, and knows when it ended."""

    def __init__(self, submit: Callable[..., Ticket], request: ImageRequest) -> None:
        self.outcomes: list[Outcome] = []
        self.ended = threading.Event()
        self._num_open = request.num_images
        self.ticket = submit(request, self._tell)

    def _tell(self, told: list[Outcome]) -> None:
        self.outcomes.extend(told)
        self._num_open -= sum(isinstance(outcome, Painted) for outcome in told)
        if self._num_open == 0 or any(isinstance(outcome, Failed) for outcome in told):
            self.ended.set()


class Studio:
    """A model with adapters behind the loop, and diffusers' own pipelines over networks of their own."""

    def __init__(self, folder: Path, adapters: Path) -> None:
        self.folder = folder
        self.bundle, self.loop = assemble(folder, device="cpu", dtype=torch.float32, max_rows=8, max_resident=3)
        assert self.loop.arena is not None
        self.arena = self.loop.arena
        self.mixer = Mixer(self.arena.floorplan, MAX_RANK, torch.float32)
        self.files = dict(self._written(adapters))
        layout = layout_of(folder)
        self.adapters: dict[str, ImageAdapter] = {
            name: read_image_adapter(stored, layout, torch.float32) for name, stored in self.files.items()
        }
        self.alone = functools.lru_cache(maxsize=None)(
            lambda wish, index: painted_alone(self._pipeline(wish), wish.request, index)
        )

    def _written(self, folder: Path) -> Iterator[tuple[str, AdapterFolder]]:
        kinds: dict[str, tuple[tuple[str, ...], tuple[str, ...], Maker]] = {
            "attention": (ATTENTION, (), lora(rank=4, alpha=2)),
            "everything": (COVERED, TEXT, lora(rank=10, alpha=4)),
            "narrow": (("to_q", "ff.net.2"), (), lora(rank=3)),
            "words": ((), TEXT, lora(rank=4)),
            "stretched": (ATTENTION, (), dora(rank=4)),
            "wide": (("to_k", "to_v"), (), lora(rank=40, alpha=10)),
        }
        unet, encoders = self.bundle.unet, self.bundle.text_encoders
        for seed, (name, (layers, words, make)) in enumerate(kinds.items()):
            networks = {"unet": unet} if layers else {}
            if words:
                networks |= dict(zip(("text_encoder", "text_encoder_2"), encoders, strict=False))
            shapes = shapes_of(networks, layers + words)
            yield name, write_diffusers(folder / name, random_weights(shapes, make, seed))
        shapes = shapes_of({"unet": unet}, ("conv1", "to_q"))
        yield "convolutions", write_kohya(folder / "convolutions", random_weights(shapes, lora(rank=4), seed=9))

    def submit(self, wish: Wish) -> Watched:
        uses = [(self.adapters[name], scale) for name, scale in MIXTURES[wish.mixture]]
        mixture = self.mixer.mix(uses)
        request = ImageRequest(**{**_fields(wish.request), "mixture": mixture})
        return Watched(self.loop.submit, request)

    def paint(self, wishes: list[tuple[int, Wish, int | None]]) -> list[Watched]:
        """Submit each wish once the loop has made so many steps, cancel some after so many more, and wait for all."""
        watched: list[Watched] = []
        leaving: list[tuple[int, Watched]] = []
        for num_steps, wish, stay in wishes:
            self._let_pass(num_steps, watched)
            watched.append(self.submit(wish))
            if stay is not None:
                leaving.append((self.loop.totals.num_batches + stay, watched[-1]))
            for at, one in leaving:
                if self.loop.totals.num_batches >= at:
                    one.ticket.cancel()
        for at, one in leaving:
            self._let_pass(at - self.loop.totals.num_batches, watched)
            one.ticket.cancel()
        gone = {one for _, one in leaving}
        for one in watched:
            assert one in gone or one.ended.wait(60), "the loop did not finish"
        return [one for one in watched if one not in gone]

    def _let_pass(self, num_steps: int, watched: list[Watched]) -> None:
        target = self.loop.totals.num_batches + num_steps
        while any(not one.ticket.is_over for one in watched) and self.loop.totals.num_batches < target:
            threading.Event().wait(0.001)

    def _pipeline(self, wish: Wish) -> Any:
        """Networks afresh: what an adapter leaves behind in them is not met by the next."""
        source = wish.request.source
        kind = "" if source is None else "Img2Img" if source.mask is None else "Inpaint"
        name = f"StableDiffusion{'XL' if self.bundle.architecture == 'sdxl' else ''}{kind}Pipeline"
        pipeline = getattr(diffusers, name).from_pretrained(self.folder)
        pipeline.scheduler = stock_scheduler(wish.request.sampler, self.bundle.scheduler_config)
        pipeline.set_progress_bar_config(disable=True)
        if uses := MIXTURES[wish.mixture]:
            load_in_diffusers(pipeline, [(self.files[name], scale) for name, scale in uses])
        return pipeline

    def check(self, wish: Wish, watched: Watched) -> None:
        """Every image of the ticket is what the stock pipeline paints alone."""
        assert not [outcome.error for outcome in watched.outcomes if isinstance(outcome, Failed)]
        painted = {outcome.index: outcome.pixels for outcome in watched.outcomes if isinstance(outcome, Painted)}
        assert set(painted) == set(range(wish.request.num_images))
        for slot in watched.ticket.slots:
            latents, pixels = self.alone(wish, slot.index)
            error = (slot.latents - latents).norm() / latents.norm()
            assert error <= MAX_RELATIVE_ERROR, (wish.mixture, float(error))
            worst = np.abs(painted[slot.index].astype(int) - pixels.astype(int)).max()
            assert worst <= MAX_LEVELS, (wish.mixture, worst)

    def check_all(self, wishes: list[tuple[int, Wish, int | None]]) -> None:
        painted = self.paint(wishes)
        for wish, watched in zip([wish for _, wish, stay in wishes if stay is None], painted, strict=True):
            self.check(wish, watched)


def _fields(request: ImageRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ImageRequest.__dataclass_fields__}


def wish(mixture: str, **more: Any) -> Wish:
    return Wish(mixture, ImageRequest(**{"prompt": "a red circle", "width": 64, "height": 64, "steps": 4, **more}))


@pytest.fixture(scope="module")
def studios(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Studio]]:
    opened: dict[str, Studio] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def studio(name: str) -> Studio:
        if name not in opened:
            make = {"sd": tiny_sd, "sdxl": tiny_sdxl}[name]
            folder = tmp_path_factory.mktemp(name)
            opened[name] = Studio(make(folder / "model"), folder / "adapters")
        return opened[name]

    yield studio
    for each in opened.values():
        each.loop.close()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", ["sd", "sdxl"])
def test_rows_of_many_mixtures_paint_what_each_paints_alone(studios: Callable[[str], Studio], model: str) -> None:
    studio = studios(model)
    laid = studio.arena.totals.num_rows_laid
    wishes: list[tuple[int, Wish, int | None]] = [(0, wish(mixture, seed=1), None) for mixture in MIXTURES]
    wishes += [(1, wish("one", seed=2, steps=6, guidance_scale=1.0), None), (1, wish("two", seed=2, steps=3), None)]
    studio.check_all(wishes)
    assert studio.arena.totals.num_rows_laid > laid, "nothing went through the arena"


@pytest.mark.parametrize("model", ["sd", "sdxl"])
def test_adapters_change_the_picture(studios: Callable[[str], Studio], model: str) -> None:
    """Else the others prove nothing."""
    studio = studios(model)
    plain, _ = studio.alone(wish("none", seed=1), 0)
    for mixture in MIXTURES:
        if mixture != "none":
            other, _ = studio.alone(wish(mixture, seed=1), 0)
            assert (other - plain).norm() / plain.norm() > 100 * MAX_RELATIVE_ERROR, mixture


@pytest.mark.parametrize("masked", [False, True], ids=["image", "mask"])
@pytest.mark.parametrize("model", ["sd", "sdxl"])
def test_a_picture_from_a_picture_has_adapters_too(studios: Callable[[str], Studio], model: str, masked: bool) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[16:48, 8:40] = 255
    source = Source(picture, 0.6, mask if masked else None)
    mixtures = ("two", "none", "merged")
    studios(model).check_all([(1, wish(name, seed=2, steps=5, source=source), None) for name in mixtures])


def test_images_of_one_mixture_share_what_is_on_the_device(studios: Callable[[str], Studio]) -> None:
    studio = studios("sd")
    before = (studio.arena.totals.num_loads, studio.arena.totals.num_hits)
    studio.check_all([(0, wish("two", seed=4, num_images=3), None)])
    totals = studio.arena.totals
    assert totals.num_loads + totals.num_hits - sum(before) == 3
    assert totals.num_loads - before[0] <= 1


plans = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.builds(
            wish,
            st.sampled_from(list(MIXTURES)),
            seed=st.integers(0, 1),
            steps=st.sampled_from([2, 5]),
            guidance_scale=st.sampled_from([1.0, 5.0]),
            sampler=st.sampled_from(["euler", "dpmpp_2m"]),
        ),
        st.none() | st.integers(0, 4),
    ),
    min_size=2,
    max_size=8,
)


@given(plan=plans)
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
def test_who_joins_and_leaves_changes_nobody_elses_picture(
    studios: Callable[[str], Studio], plan: list[tuple[int, Wish, int | None]]
) -> None:
    studios("sd").check_all(plan)
