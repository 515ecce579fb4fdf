"""Three ways to serve one diffusion model: ours, one call after the other, and batches that run to their end.

All take the same calls in the same order, in one process, on the same device; only one is up at a time. The last two
are what one would write around a stock pipeline of diffusers.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import diffusers
import numpy as np
import torch

from benchmarks.picture_calls import Answer, PictureCall, Pixels, alike
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Stepped
from deployments.engines.diffusion.samplers import stock_scheduler

BATCH_WAIT_SECONDS = 0.01
"""How long a static batch waits to fill up: the default of Ray Serve's decorator."""
_PATIENCE_SECONDS = 600.0


class Painter(Protocol):
    """A server of pictures in this process."""

    def submit(self, call: PictureCall, done: Callable[[Answer], None]) -> None:
        """Take a call; `done` is called once, from any thread."""
        ...

    def close(self) -> None:
        """End its thread."""
        ...


def play(painter: Painter, calls: Sequence[PictureCall]) -> list[Answer]:
    """Submit every call at its time and wait for all; in the order of the calls.

    Raises:
        TimeoutError: an answer did not come.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    began = time.monotonic()
    for call in calls:
        time.sleep(max(0.0, began + call.arrives_at - time.monotonic()))
        painter.submit(call, answers.put)
    try:
        found = [answers.get(timeout=_PATIENCE_SECONDS) for _ in calls]
    except queue.Empty:
        raise TimeoutError(f"no picture for {_PATIENCE_SECONDS:.0f} s") from None
    return sorted(found, key=lambda answer: answer.call.number)


class StepBatches:
    """Ours: the engine's own loop, as a replica drives it. `max_rows` is only to tell whether a row was free."""

    def __init__(self, loop: StepLoop, width: int, height: int, max_rows: int, sampler: str = "euler") -> None:
        self._loop, self._width, self._height, self._sampler = loop, width, height, sampler
        self._max_rows, self._num_rows = max_rows, 0
        self._lock = threading.Lock()

    def submit(self, call: PictureCall, done: Callable[[Answer], None]) -> None:
        """See Painter."""
        answer = Answer(call, time.monotonic())
        with self._lock:
            self._num_rows += call.num_rows
            answer.had_room = self._num_rows <= self._max_rows
        before = self._loop.totals.num_batches

        def tell(outcomes: list[Outcome]) -> None:
            for outcome in outcomes:
                if isinstance(outcome, Stepped) and outcome.done == 1:
                    # This step is counted already; it is not one that the call waited for.
                    answer.joined_after = self._loop.totals.num_batches - before - 1
                if isinstance(outcome, Failed) or (isinstance(outcome, Stepped) and outcome.done == outcome.total):
                    self._leave(call)
                if isinstance(outcome, Painted | Failed):
                    done(_ended(answer, outcome))

        self._loop.submit(self._request(call), tell)

    def _leave(self, call: PictureCall) -> None:
        with self._lock:
            self._num_rows -= call.num_rows

    def _request(self, call: PictureCall) -> ImageRequest:
        return ImageRequest(
            prompt=call.prompt,
            width=self._width,
            height=self._height,
            steps=call.steps,
            seed=call.seed,
            guidance_scale=call.guidance_scale,
            sampler=self._sampler,
        )

    def close(self) -> None:
        """See Painter."""
        self._loop.close()


def _ended(answer: Answer, outcome: Painted | Failed) -> Answer:
    answer.finished_at = time.monotonic()
    if isinstance(outcome, Failed):
        answer.error = str(outcome.error)
    else:
        answer.pixels = outcome.pixels
        answer.started_at = answer.arrived_at + outcome.timing["wait"]
    return answer


Waiting = tuple[Answer, Callable[[Answer], None]]


class PipelineBatches:
    """A stock pipeline in a thread. The oldest call that waits is next, and with it those that waited behind it, as
    many as `batch_sizes` allows, if they ask for the same steps and guidance: a pipeline call takes one of each.

    With `batch_sizes` (1,) that is a queue, first in, first out. With more it is the policy of Ray Serve's
    `@serve.batch`, one queue for each kind of call: a batch waits `batch_wait_seconds` for more, then runs to its end,
    and all its calls are answered together. It is that policy and not Ray, whose own cost would only slow it.
    """

    def __init__(
        self, pipeline: Any, width: int, height: int, batch_sizes: Sequence[int] = (1,), batch_wait_seconds: float = 0.0
    ) -> None:
        self._pipeline, self._size = pipeline, {"width": width, "height": height}
        self._batch_sizes, self._batch_wait_seconds = batch_sizes, batch_wait_seconds
        self._inbox: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="benchmark-pipeline", daemon=True)
        self._thread.start()

    def submit(self, call: PictureCall, done: Callable[[Answer], None]) -> None:
        """See Painter."""
        self._inbox.put((Answer(call, time.monotonic()), done))

    def close(self) -> None:
        """See Painter."""
        self._inbox.put(None)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        waiting: list[Waiting] = []
        while not self._is_closed:
            self._gather(waiting, timeout=0.0 if waiting else None)
            if not waiting:
                continue
            self._fill(waiting)
            chosen = alike([answer.call for answer, _ in waiting], self._batch_sizes)
            batch = [waiting[index] for index in chosen]
            waiting = [one for index, one in enumerate(waiting) if index not in set(chosen)]
            self._paint(batch)

    def _gather(self, waiting: list[Waiting], timeout: float | None) -> None:
        """What has come; with no `timeout` wait for the first."""
        try:
            found = self._inbox.get(block=timeout is None or timeout > 0, timeout=timeout)
            while True:
                if found is None:
                    self._is_closed = True
                    return
                waiting.append(found)
                found = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _fill(self, waiting: list[Waiting]) -> None:
        """Wait for a batch to fill up, no longer than allowed."""
        until = time.monotonic() + self._batch_wait_seconds
        most = max(self._batch_sizes)
        while len(alike([answer.call for answer, _ in waiting], self._batch_sizes)) < most and not self._is_closed:
            left = until - time.monotonic()
            if left <= 0:
                return
            self._gather(waiting, left)

    def _paint(self, batch: Sequence[Waiting]) -> None:
        started, error = time.monotonic(), ""
        pictures: Sequence[Pixels | None] = [None] * len(batch)
        try:
            pictures = stock_pictures(self._pipeline, [answer.call for answer, _ in batch], **self._size)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
        finished = time.monotonic()
        for (answer, done), pixels in zip(batch, pictures, strict=True):
            answer.started_at, answer.finished_at, answer.batch_size = started, finished, len(batch)
            answer.pixels, answer.error = pixels, error
            done(answer)


@torch.inference_mode()
def stock_pictures(pipeline: Any, calls: Sequence[PictureCall], width: int, height: int) -> list[Pixels]:
    """One call of a stock pipeline for `calls` of one kind; each has a generator of its own."""
    images = pipeline(
        [call.prompt for call in calls],
        width=width,
        height=height,
        num_inference_steps=calls[0].steps,
        guidance_scale=calls[0].guidance_scale,
        generator=[torch.Generator("cpu").manual_seed(call.seed) for call in calls],
        output_type="np",
    ).images
    return [(image * 255).round().astype(np.uint8) for image in images]


def stock_pipeline(bundle: Bundle, sampler: str = "euler") -> Any:
    """diffusers' own pipeline over the networks of `bundle`."""
    parts = {
        "unet": bundle.unet,
        "vae": bundle.vae,
        "text_encoder": bundle.text_encoders[0],
        "tokenizer": bundle.tokenizers[0],
        "scheduler": stock_scheduler(sampler, bundle.scheduler_config),
    }
    if bundle.architecture == "sdxl":
        parts |= {"text_encoder_2": bundle.text_encoders[1], "tokenizer_2": bundle.tokenizers[1]}
        pipeline = diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        pipeline = diffusers.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
