"""The engine as the platform sees it: calls in, events out, on an event loop that nothing here blocks.

Pictures are decoded and encoded in threads; the model runs in the loop's own. Closing a stream takes its images out of
the batch at the next step.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from deployments.engines.adapter_files import takes_none
from deployments.engines.counts import Counts
from deployments.engines.diffusion import canvas
from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.assembly import RECORDED_RANK, assemble, device_of, dtype_of
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.deltas import ImageAdapter
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.mixtures import SMALLEST_RANK, Mixer, Mixture
from deployments.engines.diffusion.parameters import parameters_of
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Pixels, Source, Stepped
from deployments.engines.diffusion.samplers import prepare
from deployments.engines.diffusion.ticket import Account
from deployments.engines.engine import AdapterFolder, AppliedAdapter, EngineBatch, PreparedAdapter, Produced
from deployments.engines.generation_plan import read_inputs
from serve.catalog.layouts import Layout, layout_of
from serve.domain.documents import AdapterPolicy
from serve.domain.documents import DiffusionEngine as DiffusionSpec
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import Completed, ModelCall, Preview, Progress
from serve.domain.images import Denoising, ImageFormat, ImageToImageInput, TextToImageInput
from serve.domain.task import Task
from serve.domain.usage import Tally
from serve.media import images

NUM_CODEC_THREADS = 2
PROGRESS_SECONDS = 0.1
"""Progress goes out this often at the most: people see no more, and every message costs."""


@dataclass(slots=True)
class _Work:
    """A call that runs."""

    inputs: Denoising
    request: ImageRequest
    finish: canvas.Finish | None
    num_input_images: int
    done: dict[int, int] = field(default_factory=dict)
    num_painted: int = 0
    timing: dict[str, float] = field(default_factory=dict)
    told_at: float = 0.0


class DiffusionEngine:
    """One loaded model. See `Engine` for what the methods promise."""

    def __init__(
        self, spec: DiffusionSpec, weights: Path, name: str, num_gpus: float, adapters: AdapterPolicy | None = None
    ) -> None:
        self._spec, self._weights, self._name = spec, weights, name
        self._policy = adapters or AdapterPolicy()
        self._device = device_of(num_gpus)
        self._counts = Counts()
        self._codecs = ThreadPoolExecutor(NUM_CODEC_THREADS, "slipway-codec")
        self._bundle: Bundle | None = None
        self._loop: StepLoop | None = None
        self._mixer: Mixer | None = None
        self._layout: Layout = {}
        self._num_prepared = 0

    async def start(self) -> None:
        """Load, and measure how many rows a step should have."""
        bundle, loop = await asyncio.to_thread(
            assemble,
            self._weights,
            device=self._device,
            dtype=dtype_of(self._spec.dtype, self._device),
            variant=self._spec.variant,
            compile=self._spec.compile,
            max_rows=self._spec.max_rows,
            num_cached_prompts=self._spec.prompt_cache,
            max_resident=self._policy.max_resident if self._policy.enabled else None,
        )
        self._bundle, self._loop = bundle, loop
        if loop.arena is not None:
            self._layout = await asyncio.to_thread(layout_of, self._weights)
            self._mixer = Mixer(
                loop.arena.floorplan,
                self._policy.max_rank,
                bundle.dtype,
                smallest_rank=RECORDED_RANK if self._device == "cuda" else SMALLEST_RANK,
                is_pinned=self._device == "cuda",
            )

    async def close(self) -> None:
        """End the thread; what runs fails."""
        if self._loop is not None:
            await asyncio.to_thread(self._loop.close)
        self._codecs.shutdown(wait=False, cancel_futures=True)

    async def check_health(self) -> None:
        """Raises EngineFailed when the thread has died, or is stuck in a step."""
        if self._loop is None:
            return
        if not self._loop.is_alive:
            raise EngineFailed("The diffusion engine's thread has ended.", "engine_dead")
        if stuck := self._loop.stuck_seconds():
            raise EngineFailed(f"The diffusion engine has not made a step for {stuck:.0f} s.", "engine_stuck")

    def counters(self) -> Mapping[str, float]:
        """As the Protocol has them, the images and steps that were made, and what became of mixtures of adapters."""
        counts = self._counts.snapshot() | {"adapters_prepared_total": self._num_prepared}
        if self._loop is not None:
            totals = self._loop.totals
            if self._loop.arena is not None:
                counts |= self._loop.arena.counters()
            counts |= {
                "prompt_tokens_total": totals.num_prompt_tokens,
                "images_total": totals.num_images,
                "steps_total": totals.num_steps,
                "pixel_steps_total": totals.num_pixel_steps,
                "batches_total": totals.num_batches,
                "batch_rows_total": totals.num_rows,
                "step_seconds_total": totals.step_seconds,
                "shed_total": totals.num_shed,
            }
        return counts

    async def prepare_adapter(self, folder: AdapterFolder) -> ImageAdapter:
        """See the Protocol."""
        if self._mixer is None:
            raise takes_none()
        prepared = await asyncio.to_thread(read_image_adapter, folder, self._layout, self._loaded().dtype)
        self._num_prepared += 1
        return prepared

    async def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[EngineBatch, None]:
        """See the Protocol. Progress is of all images' steps together."""
        with self._counts.call(tally) as open_call:
            work = await self._read(call, adapters)
            outcomes: asyncio.Queue[list[Outcome]] = asyncio.Queue()
            post = asyncio.get_running_loop().call_soon_threadsafe
            account, loop = _account(work, call, open_call.tally), self._running()
            ticket = loop.submit(work.request, lambda told: _post(post, outcomes, told), account)
            try:
                while work.num_painted < work.request.num_images:
                    yield await self._batch(work, await outcomes.get(), call.stream)
                open_call.done()
                yield [Completed(open_call.tally.quantities(), work.timing)]
            finally:
                loop.leave(ticket)

    async def _batch(self, work: _Work, outcomes: list[Outcome], is_streamed: bool) -> EngineBatch:
        """What a list of outcomes tells the caller; nothing, if it is only progress and some was told just now. Called
        at every step, so that what was counted can be written down."""
        batch: EngineBatch = []
        for outcome in outcomes:
            match outcome:
                case Failed():
                    raise outcome.error
                case Stepped():
                    work.done[outcome.index] = outcome.done
                    if outcome.preview is not None and is_streamed:
                        batch.append(await self._preview(outcome.index, outcome.preview))
                case Painted():
                    batch.append(await self._produced(work, outcome))
        now = time.monotonic()
        if is_streamed and (batch or now - work.told_at >= PROGRESS_SECONDS):
            work.told_at = now
            batch.insert(0, _progress(work, outcomes))
        return batch

    async def _preview(self, index: int, pixels: Pixels) -> Preview:
        run = asyncio.get_running_loop().run_in_executor
        return Preview(index, "image/jpeg", await run(self._codecs, images.encode_preview, pixels))

    async def _produced(self, work: _Work, painted: Painted) -> Produced:
        produced = await asyncio.get_running_loop().run_in_executor(self._codecs, self._file, work, painted)
        work.num_painted += 1
        work.timing = {phase: max(work.timing.get(phase, 0.0), s) for phase, s in painted.timing.items()}
        return produced

    def _file(self, work: _Work, painted: Painted) -> Produced:
        """In a codec thread: a large picture takes a tenth of a second."""
        inputs = work.inputs
        pixels = painted.pixels if work.finish is None else work.finish.apply(painted.pixels)
        height, width = pixels.shape[:2]
        metadata = parameters_of(work.request, painted.index, self._name) if inputs.metadata else None
        data = images.encode(pixels, inputs.output_format, inputs.quality, metadata)
        suffix = "jpg" if inputs.output_format is ImageFormat.JPEG else inputs.output_format.value
        name, media_type = f"image-{painted.index}.{suffix}", f"image/{inputs.output_format.value}"
        return Produced(name, media_type, data, painted.index, width, height)

    def _running(self) -> StepLoop:
        if self._loop is None:
            raise EngineFailed(f"The model {self._name} has not started.")
        return self._loop

    def _loaded(self) -> Bundle:
        if self._bundle is None:
            raise EngineFailed(f"The model {self._name} has not started.")
        return self._bundle

    # --- from a call to a request

    async def _read(self, call: ModelCall, adapters: Sequence[AppliedAdapter]) -> _Work:
        if call.task is Task.TEXT_TO_IMAGE:
            inputs = read_inputs(TextToImageInput, call.inputs)
            self._check_size(inputs.width, inputs.height)
            work = _Work(inputs, self._request(call, inputs, inputs.width, inputs.height, None), None, 0)
        else:
            work = await self._read_source(call)
        run = asyncio.get_running_loop().run_in_executor
        await run(self._codecs, self._rehearse, work.request)
        if adapters:
            work.request = replace(work.request, mixture=await run(self._codecs, self._mixed, adapters))
        return work

    def _mixed(self, adapters: Sequence[AppliedAdapter]) -> Mixture | None:
        """In a codec thread: packing takes milliseconds, and for a large model tens of them."""
        if self._mixer is None:
            raise takes_none()
        return self._mixer.mix([(_own(applied.prepared), applied.scale) for applied in adapters])

    def _rehearse(self, request: ImageRequest) -> None:
        """Refuse what the sampler cannot do, and have its table ready: a new one may take longer than a step."""
        strength = None if request.source is None else request.source.strength
        prepare(request.sampler, self._loaded().scheduler_config, request.steps, strength)

    async def _read_source(self, call: ModelCall) -> _Work:
        image, mask = call.inputs["image"], call.inputs.get("mask")
        named = dict(call.inputs) | {"image": "asset:input"} | ({} if mask is None else {"mask": "asset:mask"})
        inputs = read_inputs(ImageToImageInput, named)
        source, finish = await asyncio.get_running_loop().run_in_executor(
            self._codecs, self._source_of, inputs, image, mask
        )
        height, width = source.image.shape[:2]
        return _Work(inputs, self._request(call, inputs, width, height, source), finish, 1 + (mask is not None))

    def _source_of(self, inputs: ImageToImageInput, image: bytes, mask: bytes | None) -> tuple[Source, canvas.Finish]:
        most = images.MAX_PIXELS  # the result is what this model bounds; the gateway bounds what it takes
        pixels = np.asarray(images.decode(image, max_pixels=most, param="image"))
        covered = None if mask is None else np.asarray(images.decode_mask(mask, max_pixels=most, param="mask"))
        source, finish = canvas.source_of(
            pixels,
            covered,
            width=inputs.width,
            height=inputs.height,
            strength=inputs.strength,
            margins=(inputs.outpaint_left, inputs.outpaint_right, inputs.outpaint_top, inputs.outpaint_bottom),
        )
        height, width = source.image.shape[:2]
        self._check_size(width, height)
        return source, finish

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._spec.max_pixels:
            raise InvalidRequest(
                f"{width} x {height} pixels are more than this model's {self._spec.max_pixels}. Ask for a smaller one.",
                "image_too_large",
                "width",
            )

    def _request(
        self, call: ModelCall, inputs: Denoising, width: int, height: int, source: Source | None
    ) -> ImageRequest:
        return ImageRequest(
            prompt=inputs.prompt,
            negative_prompt=inputs.negative_prompt,
            width=width,
            height=height,
            steps=inputs.steps,
            seed=inputs.seed or 0,
            guidance_scale=inputs.guidance_scale,
            sampler=inputs.sampler.value,
            num_images=inputs.num_images,
            source=source,
            num_previews=inputs.previews if call.stream else 0,
            deadline_at=_monotonic(call.context.deadline_at),
        )


def _account(work: _Work, call: ModelCall, tally: Tally) -> Account:
    result = work.finish or work.request
    return Account(tally, result.width * result.height, work.num_input_images, call.context.max_prompt_tokens)


def _own(prepared: PreparedAdapter) -> ImageAdapter:
    if not isinstance(prepared, ImageAdapter):
        raise EngineFailed(f"{type(prepared).__name__} is not what this engine prepares adapters as.")
    return prepared


def _post(post: Callable[..., object], outcomes: "asyncio.Queue[list[Outcome]]", told: list[Outcome]) -> None:
    """From the engine's thread to the event loop, which may have closed meanwhile: then nobody listens any more."""
    try:
        post(outcomes.put_nowait, told)
    except RuntimeError:
        return


def _monotonic(unix_seconds: float | None) -> float | None:
    return None if unix_seconds is None else time.monotonic() + unix_seconds - time.time()


def _progress(work: _Work, outcomes: list[Outcome]) -> Progress:
    """Steps of all images together."""
    totals = [outcome.total for outcome in outcomes if isinstance(outcome, Stepped)]
    total = (totals[0] if totals else max(work.done.values(), default=1)) * work.request.num_images
    return Progress(min(sum(work.done.values()), total), total, "denoising")
