"""Who begins: requests wait here, shortest first, until their images are begun one by one.

To begin an image is to encode its prompt, its starting picture and its noise. That is work on the same device as the
steps of others, so only a share of a step's time goes into it between two steps.
"""

import time
from collections.abc import Callable

from deployments.engines.counts import check_most
from deployments.engines.diffusion import canvas
from deployments.engines.diffusion.arena import Arena
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.canvas import Encodings
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.merged_weights import MergedWeights
from deployments.engines.diffusion.mixtures import Packed
from deployments.engines.diffusion.planning import due_at
from deployments.engines.diffusion.prompts import Encoded, PromptEncoder, SizeCondition
from deployments.engines.diffusion.request import ImageRequest
from deployments.engines.diffusion.samplers import prepare
from deployments.engines.diffusion.slot import Slot, Timing
from deployments.engines.diffusion.ticket import Ticket

SHARE = 0.25
"""Of a step's time, that beginning images may add to it while others wait for that step."""
MAX_MERGED_BYTES = 6 * 2**30
"""Of device memory, for weights that are the UNet's under adapters which an arena does not hold: those of the largest
model once, of smaller ones many times.
"""


class Admission:
    """Tickets whose images are not all begun. Used by the loop's thread alone."""

    def __init__(
        self,
        bundle: Bundle,
        lanes: Lanes,
        num_cached_prompts: int,
        arena: Arena | None = None,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        """`told` is called, in another thread, when what tickets wait for may have come: `begin` looks."""
        self._bundle, self._lanes, self._arena = bundle, lanes, arena
        self._merged = MergedWeights(bundle.unet, MAX_MERGED_BYTES, told)
        self._prompts = PromptEncoder(bundle, num_cached_prompts)
        self._waiting: list[Ticket] = []
        self._encodings: dict[Ticket, Encodings] = {}
        self._num_begun = 0
        self._num_stalled = 0

    @property
    def has_work(self) -> bool:
        """Whether `begin` may have something to do; else all wait for weights, of which will be told."""
        return len(self._waiting) > (self._num_stalled if self._merged.is_busy else 0)

    def add(self, ticket: Ticket) -> None:
        """Let `ticket` wait."""
        self._waiting.append(ticket)
        self._waiting.sort(key=_shortest_first)

    def clear(self) -> list[Ticket]:
        """Forget all that wait; they are the caller's to answer."""
        waiting, self._waiting = self._waiting, []
        self._encodings.clear()
        self._num_stalled = 0
        return waiting

    def close(self) -> None:
        """The loop ends."""
        self._merged.close()

    def forget(self) -> None:
        """Memory is short: give back what can be made again."""
        self._merged.forget(self._merged_in_use())
        self._prompts.forget()
        if self._arena is not None:
            self._arena.forget(self._in_use())

    def begin(
        self,
        step_seconds: float,
        begun: Callable[[Ticket, Slot], None],
        failed: Callable[[Ticket, Exception], None],
    ) -> None:
        """Begin images: one, and more while that takes less than its share of a step."""
        started = time.monotonic()
        self._prepare_merged()
        self._num_stalled = 0
        while self._num_stalled < len(self._waiting):
            ticket = self._waiting[self._num_stalled]
            if ticket.is_over:
                self._drop(ticket)
                continue
            try:
                slot = self._begin_next(ticket)
            except Exception as error:
                self._drop(ticket)
                failed(ticket, error)
                continue
            if slot is None:
                self._num_stalled += 1
                continue
            if len(ticket.slots) == ticket.request.num_images:
                self._drop(ticket)
            begun(ticket, slot)
            if time.monotonic() - started >= SHARE * step_seconds:
                self._num_stalled = 0
                return

    def _drop(self, ticket: Ticket) -> None:
        self._waiting.remove(ticket)
        self._encodings.pop(ticket, None)

    def _begin_next(self, ticket: Ticket) -> Slot | None:
        """Its next image; None while it waits for its weights."""
        request, merged = ticket.request, None
        if request.mixture is not None and request.mixture.merged is not None:
            merged = self._merged.get(request.mixture.key)
            if merged is None:
                return None
        index = len(ticket.slots)
        strength = None if request.source is None else request.source.strength
        denoise = prepare(request.sampler, self._bundle.scheduler_config, request.steps, strength)
        encoded = self._encoded(ticket)
        encodings = self._encodings.setdefault(ticket, Encodings(self._bundle))
        start = canvas.prepare(
            self._bundle, request.source, request.width, request.height, request.seed + index, encodings
        )
        self._num_begun += 1
        slot = Slot(
            request,
            index,
            denoise,
            encoded,
            start,
            deadline=0.0,
            order=self._num_begun,
            timing=Timing(ticket.arrived_at),
            packed=self._packed(request),
            merged=merged,
            tally=ticket.account.tally,
        )
        alone = self._lanes.alone_seconds(slot.lane, slot.num_rows, denoise.num_steps) * request.num_images
        slot.deadline = due_at(ticket.arrived_at, request.deadline_at, alone)
        ticket.slots.append(slot)
        # Canceled meanwhile, from another thread, perhaps before it could see this slot.
        slot.is_gone = slot.is_gone or ticket.is_over
        return slot

    def _packed(self, request: ImageRequest) -> Packed | None:
        mixture = request.mixture
        return None if mixture is None or self._arena is None else self._arena.hold(mixture, self._in_use)

    def _in_use(self) -> set[str]:
        """Mixtures that images in the lanes have: asked of the images, so that no count of them can go astray."""
        return {slot.packed.key for slot in self._lanes if slot.packed is not None}

    def _prepare_merged(self) -> None:
        """Have what the tickets need computed, for who came first before all others."""
        by_arrival = sorted(self._waiting, key=lambda ticket: ticket.arrived_at)
        mixtures = [ticket.request.mixture for ticket in by_arrival if not ticket.is_over]
        wanted = [(each.key, each.merged) for each in mixtures if each is not None and each.merged is not None]
        self._merged.prepare(wanted, self._merged_in_use() if wanted else ())

    def _merged_in_use(self) -> set[str]:
        return {slot.lane.merged for slot in self._lanes if slot.merged is not None}

    def _encoded(self, ticket: Ticket) -> Encoded:
        """The prompt's embeddings: once for all images of a call, and usually remembered from an earlier one."""
        if ticket.slots:
            return ticket.slots[0].encoded
        request = ticket.request
        encoded = self._prompts.encode(
            request.prompt,
            request.negative_prompt,
            guided=request.is_guided,
            size=_size(request),
            adapters=() if request.mixture is None else request.mixture.adapters,
        )
        check_most(encoded.num_tokens, ticket.account.max_prompt_tokens, "prompt")
        return encoded


def _shortest_first(ticket: Ticket) -> tuple[float, float]:
    request = ticket.request
    return request.steps * request.num_images * request.width * request.height, ticket.arrived_at


def _size(request: ImageRequest) -> SizeCondition:
    return SizeCondition(request.original_size or (request.height, request.width), (request.height, request.width))
