"""How much work something is: the same figure on a fast machine, a slow one, and one that others keep busy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

_REFERENCE_SECONDS = 0.001
"""What `_reference` takes on the core that the tests' bounds were found on, with nothing else to do."""


@dataclass
class Effort:
    """Set when the block has ended."""

    seconds: float = 0.0


@contextmanager
def effort() -> Iterator[Effort]:
    """Seconds that this process's work in the block would take on the reference core. Time spent waiting is none.

    The processor's time for one piece of work depends on the machine and on what else it does, so a piece of work
    whose cost is known is timed before and after. A faster machine is not held to more.
    """
    measured, before = Effort(), _pace()
    began = time.process_time()
    yield measured
    seconds = time.process_time() - began
    measured.seconds = seconds / max(1.0, before, _pace())


def _pace() -> float:
    """How many times longer than on the reference core work takes now."""
    return median(_reference() for _ in range(3)) / _REFERENCE_SECONDS


def _reference() -> float:
    began = time.process_time()
    table: dict[int, str] = {}
    for number in range(16_000):
        table[number % 512] = str(number)
    return time.process_time() - began
