"""One image being made: everything that is its own, so that no image knows what runs beside it."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from deployments.engines.diffusion.canvas import Canvas
from deployments.engines.diffusion.merging import Merged
from deployments.engines.diffusion.mixtures import Packed
from deployments.engines.diffusion.prompts import Conditioning, Encoded
from deployments.engines.diffusion.request import ImageRequest
from deployments.engines.diffusion.samplers import Denoise
from deployments.engines.diffusion.tables import StepTable
from serve.domain.usage import Tally


class LaneKey(NamedTuple):
    """What one forward pass must have in common: size of the latents, tokens of context, and weights."""

    height: int
    width: int
    num_tokens: int
    merged: str = ""
    """Of images whose adapters are merged into the weights: which adapters."""


@dataclass(slots=True)
class Timing:
    """Seconds and milliseconds of one image."""

    arrived_at: float
    first_step_at: float | None = None
    denoised_at: float | None = None


@dataclass(eq=False, slots=True)
class Slot:
    """The state of one image. `latents` and the histories are float32 [C, h, w] on the model's device; `position`
    counts model evaluations done. `deadline` and `order` are what the plan reads.
    """

    request: ImageRequest
    index: int
    denoise: Denoise
    encoded: Encoded
    canvas: Canvas
    deadline: float
    order: int
    timing: Timing
    packed: Packed | None = None
    """Its adapters, for the arena."""
    merged: Merged | None = None
    """The UNet's weights under its adapters, where an arena does not hold them."""
    tally: Tally = field(default_factory=Tally)
    """Of its call."""
    latents: torch.Tensor = field(init=False)
    last: torch.Tensor = field(init=False)
    second_last: torch.Tensor = field(init=False)
    position: int = 0
    is_gone: bool = False
    """Canceled or failed: it leaves at the next step."""

    def __post_init__(self) -> None:
        """The start: pure noise, or the source's latents with the noise of the first timestep."""
        canvas, denoise = self.canvas, self.denoise
        noise = canvas.noise.float()
        if canvas.clean is None or _is_painted_from_nothing(self.request):
            self.latents = noise * denoise.initial_noise_sigma
        else:
            self.latents = denoise.start_clean * canvas.clean.float() + denoise.start_noise * noise
        self.last = torch.zeros_like(self.latents)
        self.second_last = torch.zeros_like(self.latents)

    @property
    def num_rows(self) -> int:
        return 1 if self.encoded.negative is None else 2

    @property
    def is_finished(self) -> bool:
        return self.position >= self.denoise.num_steps

    @property
    def lane(self) -> LaneKey:
        height, width = self.latents.shape[-2:]
        mixture = self.request.mixture
        merged = "" if mixture is None or mixture.merged is None else mixture.key
        return LaneKey(height, width, self.encoded.positive.context.shape[0], merged)

    @property
    def table(self) -> StepTable | None:
        """The coefficients, where the sampler is one that a table can express."""
        return self.denoise if isinstance(self.denoise, StepTable) else None

    @property
    def conditionings(self) -> list[Conditioning]:
        """One per row."""
        negative = self.encoded.negative
        return [self.encoded.positive] if negative is None else [self.encoded.positive, negative]


def _is_painted_from_nothing(request: ImageRequest) -> bool:
    """An inpainting at full strength keeps nothing of what was under the mask, as the stock pipelines have it."""
    source = request.source
    return source is not None and source.mask is not None and source.strength == 1.0
