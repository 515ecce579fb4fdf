"""What the image benchmarks ask for, when, and what they keep of the answers: one mix of calls, arriving as a Poisson
process, from a seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

GUIDANCE: Final = 7.5
GUIDED_SHARE: Final = 0.75
"""Of the calls. The others run without guidance, as distilled models do, and cost half a step's work."""
STEPS: Final[Mapping[int, float]] = {4: 0.15, 8: 0.2, 10: 0.15, 20: 0.15, 25: 0.2, 30: 0.1, 50: 0.05}
"""How often each number of steps is asked for: the numbers that people leave in the field, half of them ten or fewer.

Few distinct numbers are kind to batches that need equal ones.
"""
SIZES: Final[Mapping[str, tuple[int, int]]] = {"up_to_10": (1, 10), "11_to_25": (11, 25), "over_25": (26, 1000)}
"""Classes of calls, by their steps."""
SHORT: Final = "up_to_10"
Pixels = NDArray[np.uint8]
Kind = tuple[int, bool]
"""(steps, guided): what a call costs."""
_COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "white", "black")
_SHAPES = ("circle", "square", "triangle", "star", "cross")


@dataclass(frozen=True, slots=True)
class PictureCall:
    """One call for one picture, `arrives_at` seconds after the block began."""

    number: int
    arrives_at: float
    prompt: str
    steps: int
    guidance_scale: float
    seed: int

    @property
    def is_guided(self) -> bool:
        return self.guidance_scale > 1.0

    @property
    def num_rows(self) -> int:
        return 2 if self.is_guided else 1

    @property
    def size(self) -> str:
        return size_of(self.steps)


@dataclass(slots=True)
class Answer:
    """What became of a call; seconds are on the clock of `time.monotonic`."""

    call: PictureCall
    arrived_at: float
    started_at: float = 0.0
    """Its first step began, or the pipeline call that it is part of."""
    finished_at: float = 0.0
    pixels: Pixels | None = None
    error: str = ""
    joined_after: int | None = None
    """Ours alone: steps of the batch that ended between its arrival and its own first step."""
    had_room: bool = False
    """Ours alone: at its arrival the batch had rows free for it."""
    batch_size: int = 1
    """Calls that ran in the same pipeline call."""

    @property
    def seconds(self) -> float:
        return self.finished_at - self.arrived_at

    @property
    def waited(self) -> float:
        return self.started_at - self.arrived_at


def size_of(steps: int) -> str:
    """The class of a call with so many steps."""
    return next(name for name, (least, most) in SIZES.items() if least <= steps <= most)


def poisson_calls(seed: str, calls_per_second: float, seconds: float) -> list[PictureCall]:
    """The calls of one block: a Poisson process of this rate, cut off after `seconds`. Never empty."""
    rng = np.random.default_rng([*seed.encode()])
    gaps = rng.exponential(1 / calls_per_second, size=int(4 * calls_per_second * seconds) + 20)
    arrivals = np.cumsum(gaps) - gaps[0]
    return [_call(rng, number, at) for number, at in enumerate(arrivals[arrivals < seconds])]


def _call(rng: np.random.Generator, number: int, arrives_at: float) -> PictureCall:
    steps = int(rng.choice(list(STEPS), p=list(STEPS.values())))
    guidance = GUIDANCE if rng.random() < GUIDED_SHARE else 1.0
    shape, colour, ground = rng.choice(_SHAPES), *rng.choice(_COLOURS, 2, replace=False)
    prompt = f"a {colour} {shape} on a {ground} background"
    return PictureCall(number, float(arrives_at), prompt, steps, guidance, int(rng.integers(2**31)))


def kinds() -> dict[Kind, float]:
    """Every kind of call in the mix, and its share."""
    shares = {True: GUIDED_SHARE, False: 1 - GUIDED_SHARE}
    return {(steps, guided): share * shares[guided] for steps, share in STEPS.items() for guided in shares}


def calls_per_second(seconds_by_kind: Mapping[Kind, float]) -> float:
    """What a server that takes one call at a time does of this mix when it never idles."""
    return 1 / sum(share * seconds_by_kind[kind] for kind, share in kinds().items())


def alike(calls: Sequence[PictureCall], batch_sizes: Sequence[int]) -> list[int]:
    """Which of `calls`, the oldest first, run next: indices of the first and those of its kind, to an allowed size."""
    kind = (calls[0].steps, calls[0].guidance_scale)
    same = [index for index, call in enumerate(calls) if (call.steps, call.guidance_scale) == kind]
    return same[: max(size for size in batch_sizes if size <= len(same))]
