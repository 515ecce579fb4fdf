"""Which tries of a step are made again, and when.

What the platform could not do (a model that is full or starting, a replica that was lost) is tried again for as long
as the run may wait, and is no failure of the node. What the node did itself (its engine failed, it took too long) is
tried again as often as its policy says. What can never succeed is not.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from serve.domain.errors import (
    Canceled,
    DeadlineExceeded,
    EngineFailed,
    MeteringUnavailable,
    ModelUnavailable,
    Overloaded,
    ReplicaLost,
    SlipwayError,
    StorageUnavailable,
)
from serve.domain.steps import TRIES_PER_CLAIM

T = TypeVar("T")
TIMEOUT = "step_timeout"
_FIRST_DELAY_SECONDS = 0.25
_MAX_DELAY_SECONDS = 15.0
_SPREAD_OVER = TRIES_PER_CLAIM - 16
"""Tries that fit into the longest wait, with some to spare: after `TRIES_PER_CLAIM` there are no numbers left."""


class Fault(Enum):
    """Whose a try's end was."""

    REFUSED = "refused"
    """No work was begun."""
    LOST = "lost"
    """The platform lost it."""
    OWN = "own"
    """The node's."""
    FINAL = "final"
    """It can never succeed."""


def fault_of(error: BaseException) -> Fault:
    """Whose it is."""
    match error:
        case ModelUnavailable(code="model_failed"):
            return Fault.FINAL  # nothing but a new document mends it
        case Overloaded() | ModelUnavailable() | StorageUnavailable() | MeteringUnavailable():
            return Fault.REFUSED
        case ReplicaLost() | Canceled():
            return Fault.LOST
        case EngineFailed() | DeadlineExceeded(code="step_timeout"):
            return Fault.OWN
        case SlipwayError():
            return Fault.FINAL
        case _:
            return Fault.OWN


@dataclass(frozen=True, slots=True)
class Patience:
    """How much a step may try. `wait_seconds` is from its first try on; None: as long as there are numbers."""

    retries: int = 0
    max_lost: int = 3
    wait_seconds: float = 900.0


@dataclass(slots=True)
class Tries:
    """What a step has tried, and what it does next."""

    patience: Patience
    num: int = 0
    num_own: int = 0
    num_lost: int = 0

    def after(self, error: BaseException, elapsed_seconds: float, jitter: float) -> float | None:
        """Seconds until the next try; None: this was the last. `jitter` is drawn from [0, 1)."""
        fault = fault_of(error)
        self.num_own += fault is Fault.OWN
        self.num_lost += fault is Fault.LOST
        if self._is_over(fault):
            return None
        delay = min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(self.num - 1, 16)) * (0.5 + jitter / 2)
        if fault is Fault.REFUSED:
            asked = getattr(error, "retry_after_seconds", None) or 0.0
            delay = max(delay, min(asked, _MAX_DELAY_SECONDS) * (1 + jitter / 4))
            if self.num > _SPREAD_OVER // 2:
                delay = max(delay, self.patience.wait_seconds / _SPREAD_OVER)
            if elapsed_seconds + delay > self.patience.wait_seconds:
                return None
        return delay

    def _is_over(self, fault: Fault) -> bool:
        return (
            fault is Fault.FINAL
            or self.num >= TRIES_PER_CLAIM
            or self.num_own > self.patience.retries
            or self.num_lost >= self.patience.max_lost
        )


async def persist(
    attempt: Callable[[int], Awaitable[T]],
    patience: Patience,
    *,
    now: Callable[[], float],
    pause: Callable[[float], Awaitable[None]],
    told: Callable[[str], None],
    failed: Callable[[int, bool], None],
    num_own: int = 0,
) -> T:
    """What `attempt` gives; it is handed the number of the try, from 1. `told` hears why one is made again.

    `num_own` tries have failed by the node's own fault before. `failed` hears how many have with each that does so now,
    and whether another one follows.

    Raises:
        whatever the last try raised.
    """
    tries, began = Tries(patience, num_own=num_own), now()
    while True:
        tries.num += 1
        try:
            return await attempt(tries.num)
        except Exception as error:
            num_before = tries.num_own
            delay = tries.after(error, now() - began, random.random())
            if tries.num_own > num_before:
                failed(tries.num_own, delay is not None)
            if delay is None:
                raise
            told(f"Try {tries.num}: {_words(error)} It is tried again in {delay:.1f} s.")
        await pause(delay)


def _words(error: Exception) -> str:
    message = error.message if isinstance(error, SlipwayError) else "It broke."
    return message if message.endswith(".") else f"{message}."
