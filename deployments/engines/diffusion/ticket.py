"""A request in the loop's hands."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from deployments.engines.diffusion.request import ImageRequest, Outcome
from deployments.engines.diffusion.slot import Slot
from serve.domain.usage import Tally

Tell = Callable[[list[Outcome]], None]


@dataclass(frozen=True, slots=True)
class Account:
    """What is counted for a call. `num_pixels` are a finished picture's; a prompt of more than `max_prompt_tokens` is
    refused."""

    tally: Tally = field(default_factory=Tally)
    num_pixels: int = 0
    num_input_images: int = 0
    max_prompt_tokens: int | None = None


@dataclass(eq=False, slots=True)
class Ticket:
    """`tell` is called in the engine's threads. After `Failed`, or the last `Painted`, nothing that follows matters."""

    request: ImageRequest
    tell: Tell
    arrived_at: float
    num_open: int
    """Images that are not finished."""
    account: Account
    slots: list[Slot] = field(default_factory=list)
    """Of the images that were begun."""
    is_over: bool = False
    _is_settled: bool = False
    _lock: Lock = field(default_factory=Lock)

    def cancel(self) -> None:
        """Leave at the next step. From any thread, any number of times."""
        self.is_over = True
        for slot in list(self.slots):
            slot.is_gone = True

    def painted(self) -> bool:
        """Count a finished picture; False if that comes too late, and the picture is lost. A decoder's thread may be at
        it while the loop lets go of the ticket."""
        with self._lock:
            if self._is_settled:
                return False
            self.account.tally.images += 1
            self.account.tally.pixels += self.account.num_pixels
            return True

    def settle(self) -> None:
        """Nothing is counted for it any more. In the loop's thread, between steps, or when all its work is done."""
        with self._lock:
            self._is_settled = True
        self.account.tally.settle()
