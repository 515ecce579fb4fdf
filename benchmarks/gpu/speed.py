"""One model at its native size, rows 1 to 32: the forward pass alone, and pictures from call to pixels.

Twenty steps, Euler, guidance 8: as MLPerf has SDXL. An image with guidance is two rows; one row is an image without.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import torch

from benchmarks.gpu.clock import median_seconds, once, warm_seconds
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.painters import stock_pipeline
from deployments.engines.diffusion.assembly import blank_rows, measure_rows, native_shape
from deployments.engines.diffusion.batch import Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes, knee
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.latents import decode
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.predictors import EagerPredictor
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted

GUIDANCE: Final = 8.0
PROMPT: Final = "a large red circle on a blue background"
NEGATIVE: Final = "a small green square"
COMPILE_SECONDS: Final = 75.0
"""Allowed for a row count that may have to be compiled first."""
GENEROUS: Final = {"recompile_limit": 1024, "accumulated_recompile_limit": 4096}
"""For compiled rivals: every row count is a compilation, and PyTorch gives up at eight."""
_WAIT_SECONDS = 400.0


class Bench:
    """A model to measure, and what its figures are read against."""

    def __init__(self, record: Record, setting: Setting, name: str) -> None:
        self.record, self.setting = record, setting
        self.tflop = setting.models[name].tflop
        self.peak = setting.peak_tflops()
        self.bundle = setting.make(name)

    def share_of_peak(self, tflop: float, seconds: float) -> float | None:
        """Of the best matrix product that was measured."""
        return None if self.peak is None else round(tflop / seconds / self.peak, 4)

    @torch.inference_mode()
    def forward(self, name: str, predictor: Predictor, rows: int, needed_seconds: float = 20.0) -> None:
        """Milliseconds of one forward pass; the first of all compiles."""
        device = self.setting.device

        def run() -> dict[str, Any]:
            inputs = blank_rows(self.bundle, rows, native_shape(self.bundle))
            with torch._dynamo.config.patch(GENEROUS):
                first = once(lambda: predictor(inputs), device)
                seconds = warm_seconds(lambda: predictor(inputs), device, enough_seconds=self.setting.enough_seconds)
            return {
                "ms": round(1000 * seconds, 3),
                "tflops": round(self.tflop * rows / seconds, 2),
                "share_of_peak": self.share_of_peak(self.tflop * rows, seconds),
                "first_seconds": round(first, 2),
            }

        self.record.measure(f"forward/{name}/{rows}", run, needed_seconds)

    def ours(self, name: str, predictor: Predictor, rows: int, needed_seconds: float = 30.0) -> None:
        """Pictures of one call through the engine's loop, whose batch is exactly full."""
        self.record.measure(f"pictures/{name}/{rows}", lambda: self._ours(predictor, rows), needed_seconds)

    def _ours(self, predictor: Predictor, rows: int) -> dict[str, Any]:
        loop = StepLoop(self.bundle, predictor, Lanes(StepTimes(), native_shape(self.bundle), rows, predictor.buckets))
        denoise: list[float] = []
        try:
            paint(loop, [self._request(rows, steps=2)])
            painted: list[Painted] = []

            def run() -> None:
                painted[:] = paint(loop, [self._request(rows, self.setting.steps)])
                denoise.append(max(picture.timing["denoise"] for picture in painted))

            seconds = self._again(run)
        finally:
            loop.close()
        return self._pictures(rows, seconds, sorted(denoise)[len(denoise) // 2])

    def saturated(self, name: str, predictor: Predictor, rows: int, needed_seconds: float = 60.0) -> None:
        """Pictures a second when three times as many calls wait as fit into a batch: joining and leaving, decoding."""
        num_calls = 3 * max(1, rows // 2)

        def run() -> dict[str, Any]:
            loop = StepLoop(
                self.bundle, predictor, Lanes(StepTimes(), native_shape(self.bundle), rows, predictor.buckets)
            )
            requests = [self._request(2, self.setting.steps, seed=index) for index in range(num_calls)]
            try:
                paint(loop, requests[:1])
                seconds = once(lambda: paint(loop, requests), self.setting.device)
            finally:
                loop.close()
            work = num_calls * self.setting.steps * 2 * self.tflop
            return {
                "calls": num_calls,
                "images_per_second": round(num_calls / seconds, 3),
                "share_of_peak": self.share_of_peak(work, seconds),
            }

        self.record.measure(f"saturated/{name}/{rows}", run, needed_seconds)

    @torch.inference_mode()
    def pipeline(self, name: str, pipeline: Any, rows: int, needed_seconds: float = 30.0) -> None:
        """The same pictures from a stock pipeline; milliseconds of a step are those of a run that does not decode."""
        device = self.setting.device

        def paint_stock(output_type: str, steps: int) -> None:
            pipeline(
                PROMPT,
                negative_prompt=NEGATIVE,
                num_images_per_prompt=max(1, rows // 2),
                guidance_scale=GUIDANCE if rows > 1 else 1.0,
                num_inference_steps=steps,
                output_type=output_type,
            )

        def run() -> dict[str, Any]:
            steps = self.setting.steps
            with torch._dynamo.config.patch(GENEROUS):
                first = once(lambda: paint_stock("np", 2), device)
                denoise = self._again(lambda: paint_stock("latent", steps))
                whole = self._again(lambda: paint_stock("np", steps))
            return self._pictures(rows, whole, denoise) | {"first_seconds": round(first, 2)}

        self.record.measure(f"pictures/{name}/{rows}", run, needed_seconds)

    def _again(self, run: Callable[[], object]) -> float:
        return median_seconds(run, self.setting.device, most=3, enough_seconds=self.setting.enough_seconds)

    @torch.inference_mode()
    def decoding(self) -> None:
        """One picture from its latents, as the engine does it."""
        height, width, *_ = native_shape(self.bundle)
        latents = torch.randn(1, self.bundle.latent_channels, height, width, device=self.setting.device)
        call = {"run": lambda: decode(self.bundle, latents), "device": self.setting.device}
        self.record.measure("decode_ms", lambda: round(1000 * warm_seconds(**call), 2))

    def _request(self, rows: int, steps: int, seed: int = 0) -> ImageRequest:
        side = self.bundle.native_size
        return ImageRequest(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            width=side,
            height=side,
            steps=steps,
            seed=seed,
            guidance_scale=GUIDANCE if rows > 1 else 1.0,
            num_images=max(1, rows // 2),
        )

    def _pictures(self, rows: int, seconds: float, denoise_seconds: float) -> dict[str, Any]:
        images, steps = max(1, rows // 2), self.setting.steps
        return {
            "images": images,
            "images_per_second": round(images / seconds, 4),
            "seconds": round(seconds, 4),
            "ms_per_step": round(1000 * denoise_seconds / steps, 3),
            "share_of_peak": self.share_of_peak(steps * rows * self.tflop, denoise_seconds),
        }


def paint(loop: StepLoop, requests: list[ImageRequest]) -> list[Painted]:
    """Submit them all at once, and wait for every picture.

    Raises:
        Exception: whatever a request failed with.
        TimeoutError: a picture did not come.
    """
    outcomes: list[Painted | Failed] = []
    num_open, ended = sum(request.num_images for request in requests), threading.Event()

    def tell(told: list[Outcome]) -> None:
        outcomes.extend(outcome for outcome in told if isinstance(outcome, Painted | Failed))
        if len(outcomes) >= num_open or any(isinstance(outcome, Failed) for outcome in outcomes):
            ended.set()

    for request in requests:
        loop.submit(request, tell)
    if not ended.wait(_WAIT_SECONDS):
        raise TimeoutError(f"no picture for {_WAIT_SECONDS:.0f} s")
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            raise outcome.error
    return [outcome for outcome in outcomes if isinstance(outcome, Painted)]


def run_engine(record: Record, setting: Setting, name: str) -> None:
    """The stage: diffusers as it is, then the engine. In this order, since compiling changes the networks in place."""
    bench = Bench(record, setting, name)
    eager, pipeline = EagerPredictor(bench.bundle), stock_pipeline(bench.bundle)
    for rows in setting.rows:
        bench.forward("eager", eager, rows)
    bench.decoding()
    for rows in setting.rows:
        bench.pipeline("diffusers_eager", pipeline, rows)
    for rows in setting.few_rows:
        bench.ours("engine_eager", eager, rows)
    predictor = setting.graphs(bench.bundle)
    for rows in setting.rows:
        bench.forward("graphs", predictor, rows, COMPILE_SECONDS)
    record.measure("engine_start", lambda: _start(bench, predictor), COMPILE_SECONDS)
    for rows in setting.rows:
        bench.ours("engine", predictor, rows)
    for rows in (setting.rows[-1], setting.few_rows[-1]):
        bench.saturated("engine", predictor, rows)


def _start(bench: Bench, predictor: Predictor) -> dict[str, Any]:
    """What the engine would measure of itself when it starts, and how many rows it would choose."""
    shape = native_shape(bench.bundle)
    found: list[StepTimes] = []
    seconds = once(
        lambda: found.append(measure_rows(bench.bundle, predictor, shape, None)),
        bench.setting.device,
    )
    by_rows = {str(rows): round(ms, 2) for rows, ms in found[0].by_rows.items()}
    return {"ms_by_rows": by_rows, "max_rows": knee(found[0], 32), "seconds": round(seconds, 2)}


def run_compiled(record: Record, setting: Setting, name: str) -> None:
    """The stage: diffusers compiled, as its documentation has it. Whole with CUDA graphs, and by repeated blocks."""
    bench = Bench(record, setting, name)
    blocks, whole = ({}, {"mode": "reduce-overhead"}) if setting.is_cuda else ({"backend": "eager"},) * 2
    compiled: Bundle = setting.make(name)
    whole_pipeline = stock_pipeline(compiled)
    whole_pipeline.unet = torch.compile(whole_pipeline.unet, fullgraph=True, dynamic=False, **whole)
    bench.pipeline("diffusers_whole", whole_pipeline, 2, 2 * COMPILE_SECONDS)
    bench.bundle.unet.compile_repeated_blocks(fullgraph=True, dynamic=False, **blocks)
    pipeline, predictor = stock_pipeline(bench.bundle), EagerPredictor(bench.bundle)
    for rows in setting.rows:
        bench.pipeline("diffusers_blocks", pipeline, rows, COMPILE_SECONDS)
        bench.forward("blocks", predictor, rows, COMPILE_SECONDS)
    for rows in () if setting.is_tiny else (setting.few_rows[-1], 1):
        bench.pipeline("diffusers_whole", whole_pipeline, rows, 2 * COMPILE_SECONDS)
