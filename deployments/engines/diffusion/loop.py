"""The engine's one thread: admits, steps, decodes, and tells what happened.

Everything that touches the model happens here, so nothing needs a lock but the inbox. One turn of the loop: take in
what has come and begin some of it, step the images that the plan chooses, decode a picture.
"""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto

import torch

from deployments.engines.diffusion import memory
from deployments.engines.diffusion.admission import Admission
from deployments.engines.diffusion.arena import Arena
from deployments.engines.diffusion.batch import Batch, Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.decoding import Decoder, InlineDecoder, StreamDecoder
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.latents import PreviewMap
from deployments.engines.diffusion.request import Failed, ImageRequest, Outcome, Painted, Pixels, Stepped
from deployments.engines.diffusion.slot import LaneKey, Slot
from deployments.engines.diffusion.ticket import Account, Tell, Ticket
from serve.domain.errors import EngineFailed, SlipwayError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = "The model ran out of memory on this call. Ask for fewer or smaller images, or try again later."
PATIENCE_SECONDS = 120.0
PATIENCE_STEPS = 20
"""A part of a turn that takes longer than so many steps of its kind, and PATIENCE_SECONDS, is stuck."""


class _Word(Enum):
    """What the thread is told beside tickets."""

    CLOSE = auto()
    LOOK = auto()
    """What tickets waited for may have come."""


@dataclass(frozen=True, slots=True)
class _Left:
    """Its caller has left, with whatever it got."""

    ticket: Ticket


@dataclass(slots=True)
class Totals:
    """What the loop has done since it started."""

    num_steps: int = 0
    """Model evaluations of images: a step of a batch of three counts three."""
    num_pixel_steps: int = 0
    num_prompt_tokens: int = 0
    num_batches: int = 0
    num_rows: int = 0
    step_seconds: float = 0.0
    num_images: int = 0
    num_shed: int = 0
    """Lanes emptied because memory ran out."""


class StepLoop:
    """See the module. `lanes` says how many rows a step may have; without an `arena` no request has a mixture."""

    def __init__(
        self,
        bundle: Bundle,
        predictor: Predictor,
        lanes: Lanes,
        num_cached_prompts: int = 256,
        arena: Arena | None = None,
    ) -> None:
        self.totals = Totals()
        self.arena = arena
        self._bundle, self._predictor, self._lanes = bundle, predictor, lanes
        inbox = self._inbox = queue.SimpleQueue[Ticket | _Left | _Word]()
        self._admission = Admission(bundle, lanes, num_cached_prompts, arena, lambda: inbox.put(_Word.LOOK))
        self._left: list[Ticket] = []
        self._previews = PreviewMap(bundle)
        self._owners: dict[Slot, Ticket] = {}
        self._batches: dict[LaneKey, Batch] = {}
        self._step_seconds = 0.0
        self._is_closed = self._is_ended = False
        self._is_short_of_memory = False
        self._beat_at = time.monotonic()
        self._is_cuda = bundle.device.startswith("cuda")
        self._decoder: Decoder = (StreamDecoder if self._is_cuda else InlineDecoder)(bundle, self._decoded)
        self._thread = threading.Thread(target=self._run, name="slipway-denoise", daemon=True)
        self._thread.start()

    def submit(self, request: ImageRequest, tell: Tell, account: Account | None = None) -> Ticket:
        """Hand over a request; from any thread. A loop that has ended answers that it failed.

        What it consumes is counted in its `account`, until some time after `leave`: a step may be on its way.
        """
        ticket = Ticket(request, tell, time.monotonic(), request.num_images, account or Account())
        ticket.account.tally.keep_open()
        self._inbox.put(ticket)
        if not self._thread.is_alive():
            self._fail_all(_stopped())
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Whoever submitted `ticket` waits for it no longer. From any thread, once, however it ended."""
        ticket.cancel()
        self._inbox.put(_Left(ticket))
        if self._is_ended:
            ticket.settle()

    def stuck_seconds(self) -> float:
        """How long the thread has been at one thing, beyond what that may take; 0 when all is well."""
        if self._beat_at == 0.0:
            return 0.0
        silent = time.monotonic() - self._beat_at
        return silent if silent > max(PATIENCE_SECONDS, PATIENCE_STEPS * self._step_seconds) else 0.0

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and self._decoder.is_alive

    def close(self) -> None:
        """End the thread; requests that still run fail."""
        self._inbox.put(_Word.CLOSE)
        self._thread.join(timeout=60)
        self._decoder.close()

    # --- the thread

    @torch.inference_mode()
    def _run(self) -> None:
        with self._stream():
            while not self._is_closed:
                try:
                    self._turn()
                except Exception as error:
                    logger.exception("a turn of the diffusion loop failed")
                    self._fail_all(error)
            self._is_ended = True
            self._fail_all(_stopped())
            self._admission.close()

    def _stream(self) -> AbstractContextManager[object]:
        """Steps go before the decoding of what is finished: their stream has the higher priority."""
        if not self._is_cuda:
            return nullcontext()
        torch.cuda.synchronize(self._bundle.device)  # what the start left on the default stream
        device = torch.device(self._bundle.device)
        return torch.cuda.stream(torch.cuda.Stream(device, priority=-1))  # type: ignore[no-untyped-call]  # torch's

    def _turn(self) -> None:
        self._listen()
        self._beat()
        self._admission.begin(self._step_seconds, self._begun, self._could_not_begin)
        self._forget_gone()
        self._settle_left()
        self._beat()
        chosen = self._lanes.choose()
        if chosen is not None:
            self._step(*chosen)
        if self._is_short_of_memory:  # only now: until here the error's traceback held every tensor of the failed step
            self._is_short_of_memory = False
            self._predictor.forget()
            self._admission.forget()
            memory.release()
        self._beat()
        self._decoder.work()

    def _beat(self) -> None:
        self._beat_at = time.monotonic()

    def _listen(self) -> None:
        """Empty the inbox; wait for it when there is nothing to do."""
        if not (self._admission.has_work or len(self._lanes) or self._decoder.num_waiting):
            self._beat_at = 0.0
            self._take(self._inbox.get())
        while not self._inbox.empty():
            self._take(self._inbox.get())

    def _take(self, told: Ticket | _Left | _Word) -> None:
        if isinstance(told, Ticket):
            self._admission.add(told)
        elif isinstance(told, _Left):
            self._left.append(told.ticket)
        elif told is _Word.CLOSE:
            self._is_closed = True

    def _begun(self, ticket: Ticket, slot: Slot) -> None:
        if slot.index == 0:
            self._count_prompt(ticket, slot.encoded.num_tokens)
        self._owners[slot] = ticket
        self._lanes.add(slot)

    def _count_prompt(self, ticket: Ticket, num_tokens: int) -> None:
        self.totals.num_prompt_tokens += num_tokens
        ticket.account.tally.prompt_tokens += num_tokens
        ticket.account.tally.input_images += ticket.account.num_input_images

    def _settle_left(self) -> None:
        """No step is on its way, and the images of those that left are in no lane any more."""
        for ticket in self._left:
            ticket.settle()
        self._left.clear()

    def _could_not_begin(self, ticket: Ticket, error: Exception) -> None:
        self._is_short_of_memory |= memory.is_out_of_memory(error)
        self._fail(ticket, error)

    def _forget_gone(self) -> None:
        self._lanes.remove_gone()
        # Copies first: a decoder's thread takes its slots out at any moment.
        for slot in [slot for slot in list(self._owners) if slot.is_gone]:
            self._owners.pop(slot, None)
        for key in [key for key in self._batches if self._lanes.is_empty(key)]:
            del self._batches[key]

    def _step(self, key: LaneKey, slots: Sequence[Slot]) -> None:
        try:
            batch = self._batch_of(key, slots)
            self._step_seconds = self._lanes.lane(key).times.estimate(batch.num_rows) / 1000
            began = time.monotonic()
            with _weights(slots):
                batch.step()
                self._synchronise()
        except Exception as error:
            self._batches.pop(key, None)
            self._shed(key, slots, error)
            return
        self._step_seconds = time.monotonic() - began
        self._lanes.took(key, batch.num_rows, self._step_seconds * 1000)
        self._account(key, batch, began)

    def _batch_of(self, key: LaneKey, slots: Sequence[Slot]) -> Batch:
        """The lane's last batch if its members are the same; else every slot takes its tensors with it to the next."""
        last = self._batches.get(key)
        if last is not None and set(last.slots) == set(slots):
            return last
        if last is not None:
            last.release()
        self._batches[key] = Batch(slots, self._predictor, self.arena)
        return self._batches[key]

    def _synchronise(self) -> None:
        """Wait for the step: what is told, measured and canceled must be true. Not for the whole device, where a
        picture may be decoding on another stream.
        """
        if self._is_cuda:
            torch.cuda.current_stream(self._bundle.device).synchronize()

    def _account(self, key: LaneKey, batch: Batch, began: float) -> None:
        self.totals.num_batches += 1
        self.totals.num_rows += batch.num_rows
        self.totals.step_seconds += self._step_seconds
        self._count_steps(batch)
        told: dict[Ticket, list[Outcome]] = {}
        for slot in batch.slots:
            timing = slot.timing
            timing.first_step_at = timing.first_step_at or began
            ticket = self._owners.get(slot)
            if ticket is None or slot.is_gone:
                continue
            if slot in batch.failed:
                self._fail(ticket, batch.failed[slot])
                continue
            stepped = Stepped(slot.index, slot.position, slot.denoise.num_steps, self._preview(batch, slot))
            told.setdefault(ticket, []).append(stepped)
        for ticket, outcomes in told.items():
            ticket.tell(outcomes)
        if batch.failed or any(slot.is_finished for slot in batch.slots):
            self._finish(key, batch)

    def _count_steps(self, batch: Batch) -> None:
        """Also of those that left meanwhile: the step was made for them."""
        for slot in batch.slots:
            num_pixels = slot.request.width * slot.request.height
            self.totals.num_steps += 1
            self.totals.num_pixel_steps += num_pixels
            slot.tally.steps += 1
            slot.tally.pixel_steps += num_pixels

    def _finish(self, key: LaneKey, batch: Batch) -> None:
        """Slots that made their last step go to the decoder, and the others take their tensors along."""
        batch.release()
        del self._batches[key]
        for slot in batch.slots:
            if slot.is_finished and not slot.is_gone:
                slot.timing.denoised_at = time.monotonic()
                slot.merged = slot.packed = None  # their memory must not wait for the decoder
                self._decoder.put(slot)
        self._lanes.remove_gone()

    def _preview(self, batch: Batch, slot: Slot) -> Pixels | None:
        if not is_preview_due(slot.position, slot.denoise.num_steps, slot.request.num_previews):
            return None
        try:
            return self._previews.render(batch.clean_estimate(slot, self._bundle.prediction_type))
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
        if not ticket.painted():
            return
        self.totals.num_images += 1
        ticket.num_open -= 1
        if ticket.num_open == 0:
            ticket.is_over = True
            ticket.settle()
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
        self._batches.clear()
        tickets = {*self._owners.values(), *self._admission.clear()}
        while not self._inbox.empty():
            told = self._inbox.get()
            tickets |= {told} if isinstance(told, Ticket) else set()
            self._left += [told.ticket] if isinstance(told, _Left) else []
            self._is_closed |= told is _Word.CLOSE
        for ticket in tickets:
            self._fail(ticket, error)
        self._forget_gone()
        self._settle_left()


def _weights(slots: Sequence[Slot]) -> AbstractContextManager[object]:
    """The UNet with the weights that these images, of one lane, are made with."""
    merged = slots[0].merged
    return nullcontext() if merged is None else merged.applied()


def is_preview_due(position: int, num_steps: int, num_previews: int) -> bool:
    """Whether one of `num_previews`, spread evenly over the steps before the last, falls on this one."""
    if num_previews == 0 or position >= num_steps:
        return False
    each = num_steps / (num_previews + 1)
    return int(position / each) > int((position - 1) / each)


def _timing(slot: Slot) -> dict[str, float]:
    timing, now = slot.timing, time.monotonic()
    first = timing.first_step_at or timing.arrived_at
    denoised = timing.denoised_at or now
    return {"wait": first - timing.arrived_at, "denoise": denoised - first, "decode": now - denoised}


def _stopped() -> EngineFailed:
    return EngineFailed("The model is being stopped.", "engine_stopped")


def _told(error: Exception) -> Exception:
    """What the caller may know of `error`."""
    if isinstance(error, SlipwayError):
        return error
    if memory.is_out_of_memory(error):
        logger.warning("out of memory: %s", str(error))  # the error itself would keep its step in memory
        return EngineFailed(OUT_OF_MEMORY, "out_of_memory")
    logger.error("a diffusion step failed", exc_info=error)
    return EngineFailed("The model failed on this call.")
