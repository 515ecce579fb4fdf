"""A request in the loop's hands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from deployments.engines.diffusion.request import ImageRequest, Outcome
from deployments.engines.diffusion.slot import Slot

Tell = Callable[[list[Outcome]], None]


@dataclass(eq=False, slots=True)
class Ticket:
    """`tell` is called in the engine's threads. After `Failed`, or the last `Painted`, nothing that follows matters."""

    request: ImageRequest
    tell: Tell
    arrived_at: float
    num_open: int
    """Images that are not finished."""
    slots: list[Slot] = field(default_factory=list)
    """Of the images that were begun."""
    num_prompt_tokens: int = 0
    is_over: bool = False

    def cancel(self) -> None:
        """Leave at the next step. From any thread, any number of times."""
        self.is_over = True
        for slot in list(self.slots):
            slot.is_gone = True
