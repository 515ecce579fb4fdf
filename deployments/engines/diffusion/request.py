"""What the engine is asked, in its own words: plain numbers and decoded pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deployments.engines.diffusion.mixtures import Mixture

Pixels = NDArray[np.uint8]
"""A picture [height, width, 3], or a mask [height, width] (255 is painted anew)."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What an image-to-image call starts from, already in the size of the result (multiples of 8).

    `strength` is the share of the steps that run. With a `mask` only its white part changes. `is_outpainted` says that
    the picture was extended: its margins hold nothing to keep.
    """

    image: Pixels
    strength: float
    mask: Pixels | None = None
    is_outpainted: bool = False


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One call: `num_images` pictures of one size from one prompt. Image i is made from `seed + i`, and is the same
    whatever runs beside it. Guidance of 1 or less takes one row per image, more takes two.

    `deadline_at` is on the engine's own monotonic clock, in seconds; None has the engine choose one by the work.
    """

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    negative_prompt: str = ""
    guidance_scale: float = 7.5
    sampler: str = "euler"
    num_images: int = 1
    source: Source | None = None
    num_previews: int = 0
    deadline_at: float | None = None
    original_size: tuple[int, int] | None = None
    """(height, width) that an SDXL model is told; None for the size that is made."""

    mixture: Mixture | None = None
    """The adapters that it is made with."""

    @property
    def is_guided(self) -> bool:
        return self.guidance_scale > 1.0


@dataclass(frozen=True, slots=True)
class Stepped:
    """An image has made a step: `done` of `total`; `preview` is a small RGB picture when one is due."""

    index: int
    done: int
    total: int
    preview: Pixels | None = None


@dataclass(frozen=True, slots=True)
class Painted:
    """An image is finished."""

    index: int
    pixels: Pixels
    num_steps: int
    timing: dict[str, float]
    """Seconds: waited (before the first step), denoise, decode."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended with an error; nothing follows."""

    error: Exception


Outcome = Stepped | Painted | Failed
