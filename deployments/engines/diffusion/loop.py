"""The engine's one thread: admits, steps, decodes, and tells what happened.

Everything that touches the model happens here, so nothing needs a lock but the inbox. One turn of the loop: take in
what has come (one request while others wait for their next step, so that encoding a prompt delays them by one only),
step the images that the plan chooses, decode a picture.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from deployments.engines.diffusion import canvas, memory
from deployments.engines.diffusion.batch import Batch, Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.decoding import Decoder, InlineDecoder, StreamDecoder
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.latents import PreviewMap
from deployments.engines.diffusion.planning import due_at
from deployments.engines.diffusion.prompts import PromptEncoder, SizeCondition
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Pixels, Stepped
from deployments.engines.diffusion.samplers import prepare
from deployments.engines.diffusion.slot import LaneKey, Slot, Timing
from serve.domain.errors import EngineFailed, SlipwayError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = "The model ran out of memory on this call. Ask for fewer or smaller images, or try again later."


@dataclass(eq=False, slots=True)
class Ticket:
    """A request in the loop's hands. `tell` is called in the loop's thread; after `Failed`, or the last `Painted`,
    nothing follows.
    """

    request: ImageRequest
    tell: "Callable[[list[Outcome]], None]"
    arrived_at: float
    slots: list[Slot] = field(default_factory=list)
    num_prompt_tokens: int = 0
    num_open: int = 0
    """Images that are not finished."""
    is_over: bool = False

    def cancel(self) -> None:
        """Leave at the next step. From any thread, any number of times."""
        self.is_over = True
        for slot in self.slots:
            slot.is_gone = True


@dataclass(slots=True)
class Totals:
    """What the loop has done since it started."""

    num_steps: int = 0
    """Model evaluations of images: a step of a batch of three counts three."""
    num_batches: int = 0
    num_images: int = 0
    num_shed: int = 0
    """Lanes emptied because memory ran out."""


class StepLoop:
    """See the module. `max_rows` None takes the knee of `lanes`."""

    def __init__(self, bundle: Bundle, predictor: Predictor, lanes: Lanes, num_cached_prompts: int = 256) -> None:
        self.totals = Totals()
        self._bundle, self._predictor, self._lanes = bundle, predictor, lanes
        self._prompts = PromptEncoder(bundle, num_cached_prompts)
        self._previews = PreviewMap(bundle)
        self._prediction_type = str(bundle.scheduler_config.get("prediction_type", "epsilon"))
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._owners: dict[Slot, Ticket] = {}
        self._waiting: list[Ticket] = []
        self._batch: Batch | None = None
        self._num_arrived = 0
        self._is_closed = False
        self._is_short_of_memory = False
        self._beat_at = time.monotonic()
        is_cuda = bundle.device.startswith("cuda")
        self._decoder: Decoder = (StreamDecoder if is_cuda else InlineDecoder)(bundle, self._decoded)
        self._thread = threading.Thread(target=self._run, name="slipway-denoise", daemon=True)
        self._thread.start()

    def submit(self, request: ImageRequest, tell: Callable[[list[Outcome]], None]) -> Ticket:
        """Hand over a request; from any thread."""
        ticket = Ticket(request, tell, time.monotonic())
        self._inbox.put(ticket)
        return ticket

    def silent_seconds(self) -> float:
        """How long the thread has been in one turn; 0 when it has nothing to do."""
        return 0.0 if self._beat_at == 0.0 else time.monotonic() - self._beat_at

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and self._decoder.is_alive

    def close(self) -> None:
        """End the thread; requests that still run fail."""
        self._inbox.put(None)
        self._thread.join(timeout=60)
        self._decoder.close()

    # --- the thread

    @torch.inference_mode()
    def _run(self) -> None:
        while not self._is_closed:
            self._beat_at = time.monotonic()
            try:
                self._turn()
            except Exception as error:
                logger.exception("a turn of the diffusion loop failed")
                self._fail_all(error)
        self._fail_all(EngineFailed("The model is being stopped.", "engine_stopped"))

    def _turn(self) -> None:
        self._admit()
        self._forget_gone()
        chosen = self._lanes.choose()
        if chosen is not None:
            self._step(*chosen)
        if self._is_short_of_memory:  # only now: until here the error's traceback held every tensor of the failed step
            self._is_short_of_memory = False
            memory.release()
        self._decoder.work()

    def _has_work(self) -> bool:
        return bool(self._waiting or len(self._lanes) or self._decoder.num_waiting)

    def _admit(self) -> None:
        """Empty the inbox; start one request, or all of them when no image waits for its next step."""
        if not self._has_work():
            self._beat_at = 0.0
            self._take(self._inbox.get())
            self._beat_at = time.monotonic()
        while not self._inbox.empty():
            self._take(self._inbox.get())
        self._waiting.sort(key=_shortest_first)
        while self._waiting and not self._is_closed:
            self._start(self._waiting.pop(0))
            if len(self._lanes):
                return

    def _take(self, ticket: Ticket | None) -> None:
        if ticket is None:
            self._is_closed = True
        else:
            self._waiting.append(ticket)

    def _start(self, ticket: Ticket) -> None:
        if ticket.is_over:
            return
        try:
            self._make_slots(ticket)
        except Exception as error:
            self._is_short_of_memory |= memory.is_out_of_memory(error)
            self._fail(ticket, error)

    def _make_slots(self, ticket: Ticket) -> None:
        """Encode the prompt once, and a start for every image."""
        request, began = ticket.request, time.monotonic()
        strength = None if request.source is None else request.source.strength
        encoded = self._prompts.encode(
            request.prompt, request.negative_prompt, guided=request.is_guided, size=_size(request)
        )
        ticket.num_prompt_tokens = sum(c.num_tokens for c in (encoded.positive, encoded.negative) if c is not None)
        for index in range(request.num_images):
            if ticket.is_over:
                return
            start = canvas.prepare(self._bundle, request.source, request.width, request.height, request.seed + index)
            denoise = prepare(request.sampler, self._bundle.scheduler_config, request.steps, strength)
            self._num_arrived += 1
            slot = Slot(request, index, denoise, encoded, start, 0.0, self._num_arrived, Timing(ticket.arrived_at))
            alone = self._lanes.alone_seconds(slot.lane, slot.num_rows, denoise.num_steps) * request.num_images
            slot.deadline = due_at(ticket.arrived_at, request.deadline_at, alone)
            ticket.slots.append(slot)
        spent_ms = (time.monotonic() - began) * 1000 / request.num_images
        ticket.num_open = len(ticket.slots)
        for slot in ticket.slots:
            slot.timing.device_ms += spent_ms
            self._owners[slot] = ticket
            self._lanes.add(slot)
        if ticket.is_over:  # canceled meanwhile, from another thread, perhaps before it could see these slots
            ticket.cancel()

    def _forget_gone(self) -> None:
        self._lanes.remove_gone()
        # A copy first: a decoder's thread takes its slots out at any moment.
        for slot in [slot for slot in list(self._owners) if slot.is_gone]:
            self._owners.pop(slot, None)

    def _step(self, key: LaneKey, slots: Sequence[Slot]) -> None:
        try:
            batch = self._batch_of(slots)
            began = time.monotonic()
            batch.step()
            self._synchronise()
        except Exception as error:
            self._batch = None
            self._shed(key, slots, error)
            return
        milliseconds = (time.monotonic() - began) * 1000
        self._lanes.took(key, batch.num_rows, milliseconds)
        self._account(batch, began, milliseconds)

    def _batch_of(self, slots: Sequence[Slot]) -> Batch:
        """The batch of before if its members are the same; else every slot takes its tensors with it to the next."""
        if self._batch is not None and set(self._batch.slots) == set(slots):
            return self._batch
        if self._batch is not None:
            self._batch.release()
        self._batch = Batch(slots, self._predictor)
        return self._batch

    def _synchronise(self) -> None:
        """Wait for the step: what is told, measured and canceled must be true. Not for the whole device, where a
        picture may be decoding on another stream.
        """
        if self._bundle.device.startswith("cuda"):
            torch.cuda.current_stream(self._bundle.device).synchronize()

    def _account(self, batch: Batch, began: float, milliseconds: float) -> None:
        self.totals.num_batches += 1
        self.totals.num_steps += len(batch.slots)
        told: dict[Ticket, list[Outcome]] = {}
        for slot in batch.slots:
            timing = slot.timing
            timing.first_step_at = timing.first_step_at or began
            timing.device_ms += milliseconds * slot.num_rows / batch.num_rows
            ticket = self._owners.get(slot)
            if ticket is None or slot.is_gone:
                continue
            stepped = Stepped(slot.index, slot.position, slot.denoise.num_steps, self._preview(batch, slot))
            told.setdefault(ticket, []).append(stepped)
        if any(slot.is_finished for slot in batch.slots):
            self._finish(batch)
        for ticket, outcomes in told.items():
            ticket.tell(outcomes)

    def _finish(self, batch: Batch) -> None:
        """Slots that made their last step go to the decoder, and the others take their tensors along."""
        batch.release()
        self._batch = None
        for slot in batch.slots:
            if slot.is_finished and not slot.is_gone:
                slot.timing.denoised_at = time.monotonic()
                self._decoder.put(slot)
        self._lanes.remove_gone()

    def _preview(self, batch: Batch, slot: Slot) -> Pixels | None:
        if not is_preview_due(slot.position, slot.denoise.num_steps, slot.request.num_previews):
            return None
        try:
            return self._previews.render(batch.clean_estimate(slot, self._prediction_type))
        except Exception:
            logger.warning("no preview of an image: it goes on without", exc_info=True)
            return None

    def _decoded(self, slot: Slot, pixels: Pixels | Exception) -> None:
        """A picture is there, or an error in its place. On a GPU this is the decoder's thread."""
        ticket = self._owners.pop(slot, None)
        if ticket is None or ticket.is_over:
            return
        if isinstance(pixels, Exception):
            self._fail(ticket, pixels)
            return
        self.totals.num_images += 1
        ticket.num_open -= 1
        ticket.is_over = ticket.num_open == 0
        ticket.tell([Painted(slot.index, pixels, slot.position, _timing(slot))])

    def _shed(self, key: LaneKey, slots: Sequence[Slot], error: Exception) -> None:
        """A step failed: its images are lost. Out of memory empties the lane, and makes its batches smaller."""
        lost = list(slots)
        if memory.is_out_of_memory(error):
            self.totals.num_shed += 1
            self._is_short_of_memory = True
            lost = self._lanes.shed(key)
        for ticket in {self._owners[slot]: None for slot in lost if slot in self._owners}:
            self._fail(ticket, error)

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        if ticket.is_over:
            return
        ticket.cancel()
        ticket.tell([Failed(_told(error))])

    def _fail_all(self, error: Exception) -> None:
        self._batch = None
        tickets = {*self._owners.values(), *self._waiting}
        while not self._inbox.empty():
            ticket = self._inbox.get()
            tickets |= {ticket} if ticket else set()
            self._is_closed |= ticket is None
        self._waiting.clear()
        for ticket in tickets:
            self._fail(ticket, error)
        self._forget_gone()


def is_preview_due(position: int, num_steps: int, num_previews: int) -> bool:
    """Whether one of `num_previews`, spread evenly over the steps before the last, falls on this one."""
    if num_previews == 0 or position >= num_steps:
        return False
    each = num_steps / (num_previews + 1)
    return int(position / each) > int((position - 1) / each)


def _shortest_first(ticket: Ticket) -> tuple[float, float]:
    request = ticket.request
    return request.steps * request.num_images * request.width * request.height, ticket.arrived_at


def _size(request: ImageRequest) -> SizeCondition:
    return SizeCondition(request.original_size or (request.height, request.width), (request.height, request.width))


def _timing(slot: Slot) -> dict[str, float]:
    timing, now = slot.timing, time.monotonic()
    first = timing.first_step_at or timing.arrived_at
    denoised = timing.denoised_at or now
    return {"wait": first - timing.arrived_at, "denoise": denoised - first, "decode": now - denoised}


def _told(error: Exception) -> Exception:
    """What the caller may know of `error`."""
    if isinstance(error, SlipwayError):
        return error
    if memory.is_out_of_memory(error):
        logger.warning("out of memory: %s", str(error))  # the error itself would keep its step in memory
        return EngineFailed(OUT_OF_MEMORY, "out_of_memory")
    logger.error("a diffusion step failed", exc_info=error)
    return EngineFailed("The model failed on this call.")
