"""A picture is the same whatever is painted beside it: mixed batches against diffusers' own pipelines, run alone."""

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from fakes.diffusion_models import tiny_sd, tiny_sd_inpaint, tiny_sdxl, tiny_sdxl_inpaint
from fakes.stock_pictures import painted_alone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deployments.engines.diffusion.assembly import assemble
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Pixels, Source
from deployments.engines.diffusion.samplers import TABLE_SAMPLERS, stock_scheduler
from deployments.engines.diffusion.ticket import Ticket

MAX_RELATIVE_ERROR = 1e-4
MAX_LEVELS = 1
"""Of 255, per channel."""
MAKERS: dict[str, Callable[[Path], Path]] = {
    "sd": tiny_sd,
    "sdxl": tiny_sdxl,
    "sd-inpaint": tiny_sd_inpaint,
    "sdxl-inpaint": tiny_sdxl_inpaint,
}
SOME_STEPWISE = ("heun", "dpm2_ancestral", "pndm", "deis", "ddpm")
PROMPTS = ("a large red circle", "two small squares, left and right, on grey", "")


class Studio:
    """A model behind the loop, and the stock pipelines over the same networks."""

    def __init__(self, folder: Path, max_rows: int) -> None:
        self.bundle, self.loop = assemble(folder, device="cpu", dtype=torch.float32, max_rows=max_rows)
        self.alone = functools.lru_cache(maxsize=None)(
            lambda request, index: painted_alone(self._pipeline(request), request, index)
        )

    def source(self, seed: int, strength: float, masked: bool, size: int = 64) -> Source:
        rng = np.random.default_rng(seed)
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture: Pixels = np.asarray(Image.fromarray(blocks).resize((size, size), Image.Resampling.BILINEAR))
        mask: Pixels | None = None
        if masked:
            mask = np.zeros((size, size), dtype=np.uint8)
            mask[16:48, 8:40] = 255
        return Source(picture, strength, mask)

    def paint(self, requests: list[tuple[int, ImageRequest]]) -> list[Ticket]:
        """Submit each request once the loop has made so many steps, and wait for all."""
        tickets = []
        for num_steps, request in requests:
            target = self.loop.totals.num_batches + num_steps
            while any(not ticket.is_over for ticket in tickets) and self.loop.totals.num_batches < target:
                threading.Event().wait(0.001)
            tickets.append(submitted(self.loop, request))
        for ticket in tickets:
            assert ticket.ended.wait(60), "the loop did not finish"
        return tickets

    def _pipeline(self, request: ImageRequest) -> Any:
        is_xl = self.bundle.architecture == "sdxl"
        source = request.source
        kind = "" if source is None else "Img2Img" if source.mask is None else "Inpaint"
        cls = getattr(diffusers, f"StableDiffusion{'XL' if is_xl else ''}{kind}Pipeline")
        parts: dict[str, Any] = {
            "unet": self.bundle.unet,
            "vae": self.bundle.vae,
            "text_encoder": self.bundle.text_encoders[0],
            "tokenizer": self.bundle.tokenizers[0],
            "scheduler": stock_scheduler(request.sampler, self.bundle.scheduler_config),
        }
        if is_xl:
            parts |= {"text_encoder_2": self.bundle.text_encoders[1], "tokenizer_2": self.bundle.tokenizers[1]}
            parts |= {} if kind == "" else {"requires_aesthetics_score": False}
            pipeline = cls(**parts, add_watermarker=False)
        else:
            pipeline = cls(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def check(self, ticket: Ticket) -> None:
        """Every image of the ticket is what the stock pipeline paints alone."""
        outcomes: list[Outcome] = ticket.outcomes
        assert not [outcome.error for outcome in outcomes if isinstance(outcome, Failed)]
        painted = {outcome.index: outcome.pixels for outcome in outcomes if isinstance(outcome, Painted)}
        assert set(painted) == set(range(ticket.request.num_images))
        for slot in ticket.slots:
            latents, pixels = self.alone(ticket.request, slot.index)
            error = (slot.latents - latents).norm() / latents.norm()
            assert error <= MAX_RELATIVE_ERROR, (ticket.request.sampler, float(error))
            worst = np.abs(painted[slot.index].astype(int) - pixels.astype(int)).max()
            assert worst <= MAX_LEVELS, (ticket.request.sampler, worst)


def submitted(loop: StepLoop, request: ImageRequest) -> Ticket:
    """A ticket that gathers what it is told, and knows when it ended."""
    ended, outcomes = threading.Event(), []
    num_open = [request.num_images]

    def tell(told: list[Outcome]) -> None:
        outcomes.extend(told)
        num_open[0] -= sum(isinstance(outcome, Painted) for outcome in told)
        if num_open[0] == 0 or any(isinstance(outcome, Failed) for outcome in told):
            ended.set()

    ticket = loop.submit(request, tell)
    return _Watched(ticket, ended, outcomes)


class _Watched:
    def __init__(self, ticket: Ticket, ended: threading.Event, outcomes: list[Outcome]) -> None:
        self.ticket, self.ended, self.outcomes = ticket, ended, outcomes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ticket, name)


@pytest.fixture(scope="module")
def studios(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Studio]]:
    """Each model with a batch of at most six rows: fewer than the mixtures ask for, so that images take turns."""
    opened: dict[str, Studio] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def studio(name: str) -> Studio:
        if name not in opened:
            opened[name] = Studio(MAKERS[name](tmp_path_factory.mktemp(name)), max_rows=6)
        return opened[name]

    yield studio
    for each in opened.values():
        each.loop.close()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("sampler", [*sorted(TABLE_SAMPLERS), *SOME_STEPWISE])
@pytest.mark.parametrize("model", ["sd", "sdxl"])
def test_a_sampler_in_company_paints_what_it_paints_alone(
    studios: Callable[[str], Studio], model: str, sampler: str
) -> None:
    studio = studios(model)
    subject = ImageRequest(PROMPTS[0], 64, 64, steps=6, seed=11, sampler=sampler, negative_prompt="blue", num_images=2)
    company = ImageRequest(PROMPTS[1], 64, 64, steps=9, seed=5, sampler="euler", guidance_scale=1.0)
    tickets = studio.paint([(0, company), (2, subject), (1, company)])
    for ticket in tickets:
        studio.check(ticket)


@pytest.mark.parametrize("strength", [0.4, 1.0])
@pytest.mark.parametrize(
    ("model", "masked"),
    # A nine-channel model always has a mask.
    [(model, masked) for model in MAKERS for masked in (False, True) if masked or not model.endswith("inpaint")],
)
def test_a_picture_from_a_picture_in_company_is_what_it_is_alone(
    studios: Callable[[str], Studio], model: str, masked: bool, strength: float
) -> None:
    studio = studios(model)
    source = studio.source(3, strength, masked)
    other = studio.source(4, 0.8, model.endswith("inpaint"))
    requests = [
        (0, ImageRequest(PROMPTS[1], 64, 64, 8, seed=1, sampler="dpmpp_2m", source=other)),
        (1, ImageRequest(PROMPTS[0], 64, 64, 5, seed=2, sampler="ddim", source=source)),
        (0, ImageRequest(PROMPTS[0], 64, 64, 5, seed=2, sampler="unipc", guidance_scale=0.0, source=source)),
        (1, ImageRequest(PROMPTS[0], 64, 64, 5, seed=3, sampler="euler_ancestral", source=source)),
        (0, ImageRequest(PROMPTS[0], 64, 64, 5, seed=3, sampler="heun", source=source)),
    ]
    for ticket in studio.paint(requests):
        studio.check(ticket)


def requests_of(samplers: tuple[str, ...]) -> st.SearchStrategy[ImageRequest]:
    return st.builds(
        ImageRequest,
        prompt=st.sampled_from(PROMPTS),
        negative_prompt=st.sampled_from(["", "blue"]),
        width=st.sampled_from([64, 64, 72]),
        height=st.sampled_from([64, 64, 96]),
        steps=st.integers(1, 7),
        seed=st.integers(0, 2),
        guidance_scale=st.sampled_from([0.0, 1.0, 4.0, 7.5]),
        sampler=st.sampled_from(samplers),
        num_images=st.integers(1, 2),
    )


@given(
    mixture=st.lists(
        st.tuples(st.integers(0, 3), requests_of((*sorted(TABLE_SAMPLERS), *SOME_STEPWISE))), min_size=2, max_size=6
    )
)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
def test_any_mixture_paints_what_each_would_alone(
    studios: Callable[[str], Studio], mixture: list[tuple[int, ImageRequest]]
) -> None:
    studio = studios("sd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ticket in studio.paint(mixture):
            studio.check(ticket)
