"""What the adapter benchmark asks for: pictures of one kind, and for each an adapter, evenly or by Zipf's law."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.picture_calls import GUIDANCE, PictureCall

UNIFORM, ZIPF = "uniform", "zipf"
STEPS: Final = 25
"""Of every call: static batches need equal numbers, and shall not lose for the want of them."""
_COLOURS = ("red", "green", "blue", "yellow", "orange", "purple")
_SHAPES = ("circle", "square", "triangle", "star", "cross")


@dataclass(frozen=True, slots=True)
class AdapterCall(PictureCall):
    """A call, and the number of its adapter; None for the base model."""

    adapter: int | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """How many adapters are asked for, and how evenly."""

    num_adapters: int
    popularity: str

    @property
    def name(self) -> str:
        return f"{self.num_adapters}/{self.popularity}"

    def shares(self) -> NDArray[np.float64]:
        """Of the calls, by adapter. Zipf's law with exponent 1: the second is asked for half as often as the first."""
        weights = np.ones(self.num_adapters)
        if self.popularity == ZIPF:
            weights = 1 / np.arange(1, self.num_adapters + 1)
        return weights / weights.sum()


def demands(nums_adapters: Sequence[int]) -> list[Demand]:
    """Every number of adapters both ways; one alone has only one."""
    return [Demand(num, kind) for num in nums_adapters for kind in (UNIFORM, ZIPF) if num > 1 or kind == UNIFORM]


def adapter_calls(seed: str, num_calls: int, demand: Demand | None, steps: int = STEPS) -> list[AdapterCall]:
    """`num_calls` calls with guidance, all there at once; without `demand` the same for the base model.

    The first calls are the same for any number of calls, so systems that are slow can be given fewer.
    """
    return [
        _call(np.random.default_rng([*seed.encode(), number]), number, demand, steps) for number in range(num_calls)
    ]


def _call(rng: np.random.Generator, number: int, demand: Demand | None, steps: int) -> AdapterCall:
    shape, colour, ground = rng.choice(_SHAPES), *rng.choice(_COLOURS, 2, replace=False)
    prompt, picture_seed = f"a {colour} {shape} on a {ground} background", int(rng.integers(2**31))
    adapter = None if demand is None else int(rng.choice(demand.num_adapters, p=demand.shares()))
    return AdapterCall(number, 0.0, prompt, steps, GUIDANCE, picture_seed, adapter)
