"""Is it right, and does it survive: pictures of a mixed batch against stock diffusers alone, and memory running out."""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.speed import COMPILE_SECONDS, paint
from benchmarks.painters import stock_pipeline
from deployments.engines.diffusion.assembly import native_shape
from deployments.engines.diffusion.batch import Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Pixels
from deployments.engines.diffusion.rows import Rows

AIM_DB: Final = 40.0
_MIX: Final = (
    ("euler", 12, 8.0),
    ("dpmpp_2m_karras", 9, 1.0),
    ("ddim", 14, 5.0),
    ("unipc", 7, 8.0),
    ("euler_ancestral", 10, 1.0),
    ("heun", 5, 3.0),
)
"""(sampler, steps, guidance) of the calls that run together."""
_SPARE_BYTES = 8 * 2**30
"""Enough for one picture at the native size, too little for sixteen of four times the pixels."""
_WAIT_SECONDS = 200.0


def run(record: Record, setting: Setting, name: str) -> None:
    """The stage. The references come first, from networks that nothing has compiled."""
    bundle = setting.make(name)
    requests = [_request(bundle, number, *mix) for number, mix in enumerate(_MIX)]
    alone: list[Pixels] = []
    if record.lacks("equality"):
        alone = [_alone(bundle, request) for request in requests]
    predictor = setting.graphs(bundle)
    record.measure("equality", lambda: _equality(bundle, predictor, requests, alone), 2 * COMPILE_SECONDS)
    record.measure("rounding_db", lambda: _rounding(setting, name, requests[0]), 40)
    record.measure("out_of_memory", lambda: _out_of_memory(bundle, predictor, setting), 60)


def _request(bundle: Bundle, number: int, sampler: str, steps: int, guidance: float) -> ImageRequest:
    side, prompt = bundle.native_size, f"a red circle number {number}"
    return ImageRequest(prompt, side, side, steps, seed=number, guidance_scale=guidance, sampler=sampler)


@torch.inference_mode()
def _alone(bundle: Bundle, request: ImageRequest, latents: torch.Tensor | None = None) -> Pixels:
    image = stock_pipeline(bundle, request.sampler)(
        request.prompt,
        width=request.width,
        height=request.height,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(request.seed),
        latents=latents,
        output_type="np",
    ).images[0]
    return (image * 255).round().astype(np.uint8)


def _equality(
    bundle: Bundle, predictor: Predictor, requests: Sequence[ImageRequest], alone: Sequence[Pixels]
) -> dict[str, Any]:
    """Decibels of each picture that was painted in company. `contrast` is the picture's own deviation: with little of
    it any two pictures would be near.
    """
    loop = StepLoop(bundle, predictor, Lanes(StepTimes(), native_shape(bundle), 8, predictor.buckets))
    try:
        painted = [_painted(loop, request) for request in requests]
        pictures = [_wait(*one) for one in painted]
    finally:
        loop.close()
    found = {
        f"{request.sampler}/{request.steps}/{request.guidance_scale}": {
            "db": decibels(ours, theirs),
            "contrast": round(float(theirs.std()), 1),
        }
        for request, ours, theirs in zip(requests, pictures, alone, strict=True)
    }
    worst = min(one["db"] for one in found.values())
    return {"aim_db": AIM_DB, "worst_db": worst, "met": worst >= AIM_DB, "pictures": found}


def decibels(ours: Pixels, theirs: Pixels) -> float:
    """Peak signal to noise of two pictures of bytes; 99 for equal ones."""
    error = float(np.mean((ours.astype(np.float64) - theirs.astype(np.float64)) ** 2))
    return 99.0 if error == 0 else round(10 * float(np.log10(255**2 / error)), 2)


def _painted(loop: StepLoop, request: ImageRequest) -> tuple[threading.Event, list[Outcome]]:
    ended, outcomes = threading.Event(), list[Outcome]()

    def tell(told: list[Outcome]) -> None:
        outcomes.extend(outcome for outcome in told if isinstance(outcome, Painted | Failed))
        if outcomes:
            ended.set()

    loop.submit(request, tell)
    return ended, outcomes


def _wait(ended: threading.Event, outcomes: list[Outcome]) -> Pixels:
    if not ended.wait(_WAIT_SECONDS):
        raise TimeoutError(f"no picture for {_WAIT_SECONDS:.0f} s")
    [outcome] = outcomes
    if isinstance(outcome, Painted):
        return outcome.pixels
    raise outcome.error if isinstance(outcome, Failed) else TypeError(outcome)


def _rounding(setting: Setting, name: str, request: ImageRequest) -> float:
    """How far stock diffusers is from itself in float32: what this precision costs by itself. The noise is given,
    since generators draw other numbers in another precision.
    """
    bundle = setting.make(name)
    side = bundle.native_size // bundle.latent_scale
    noise = torch.randn(1, bundle.latent_channels, side, side, device=bundle.device, dtype=bundle.dtype)
    rounded = _alone(bundle, request, noise)
    for network in (bundle.unet, bundle.vae, *bundle.text_encoders):
        network.to(dtype=torch.float32)
    return decibels(rounded, _alone(bundle, request, noise.float()))


class _Bounded:
    """A forward pass that has memory for so many rows; for machines whose memory cannot be bounded."""

    def __init__(self, predictor: Predictor, most: int) -> None:
        self._predictor, self._most, self.buckets = predictor, most, predictor.buckets

    def __call__(self, rows: Rows) -> torch.Tensor:
        """See Predictor."""
        if len(rows.sample) > self._most:
            raise MemoryError(f"{len(rows.sample)} rows")
        return self._predictor(rows)

    def settle(self, max_rows: int) -> None:
        """See Predictor."""

    def forget(self) -> None:
        """See Predictor."""


def _out_of_memory(bundle: Bundle, predictor: Predictor, setting: Setting) -> dict[str, Any]:
    """A call that cannot fit beside a small memory, then one that can: the first is answered, the second painted."""
    predictor.settle(8)
    if setting.is_cuda:
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + _SPARE_BYTES) / total)
    else:
        predictor = _Bounded(predictor, 4)
    loop = StepLoop(bundle, predictor, Lanes(StepTimes(), native_shape(bundle), 32, predictor.buckets))
    side = bundle.native_size
    large = ImageRequest("a red circle", 2 * side, 2 * side, 4, seed=0, num_images=16)
    small = ImageRequest("a red circle", side, side, 4, seed=0)
    try:
        told = ""
        try:
            paint(loop, [large])
        except Exception as error:
            told = f"{type(error).__name__}: {getattr(error, 'code', '')}"
        after = paint(loop, [small])
        return {
            "large_call": told or "painted: the memory was not small enough to say",
            "lanes_shed": loop.totals.num_shed,
            "serves_on": len(after) == 1,
            "is_simulated": not setting.is_cuda,
        }
    finally:
        loop.close()
        if setting.is_cuda:
            torch.cuda.set_per_process_memory_fraction(1.0)
