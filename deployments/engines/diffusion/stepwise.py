"""One image's own scheduler of diffusers, for what no table can say: two evaluations a step, long memory, clipping."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deployments.engines.diffusion.tables import Floats


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a schedule turns out to be when it is run once on a few numbers; the fields are StepTable's."""

    timesteps: Floats
    initial_noise_sigma: float
    start_clean: float
    start_noise: float
    blend_clean: Floats
    blend_noise: Floats


class Stepwise:
    """The steps of one image, in order and once each: the scheduler remembers.

    One step here is one model evaluation; samplers such as Heun's make two of them for each step the caller asked for.
    """

    def __init__(self, scheduler: Any, first: int, rehearsal: Rehearsal) -> None:
        """`scheduler` has had `set_timesteps` and is this image's alone; it starts at its timestep number `first`."""
        self._scheduler = scheduler
        self._timesteps = begin(scheduler, first)
        accepted = inspect.signature(scheduler.step).parameters
        self._takes_generator = "generator" in accepted
        # What the pipelines pass by default; DDIM and TCD take it.
        self._options = {"eta": 0.0} if "eta" in accepted else {}
        self.timesteps = rehearsal.timesteps
        self.initial_noise_sigma = rehearsal.initial_noise_sigma
        self.start_clean = rehearsal.start_clean
        self.start_noise = rehearsal.start_noise
        self.blend_clean = rehearsal.blend_clean
        self.blend_noise = rehearsal.blend_noise

    @property
    def num_steps(self) -> int:
        """Model evaluations."""
        return len(self.timesteps)

    def scale_input(self, x: torch.Tensor, index: int) -> torch.Tensor:
        """What the model is fed of `x` at step `index`."""
        scaled: torch.Tensor = self._scheduler.scale_model_input(x, self._timesteps[index])
        return scaled

    def step(
        self, out: torch.Tensor, index: int, x: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """The latents after step `index`, in x's dtype; `scale_input` of that step came before.

        `out` is the model's (guided) output, both are [1, C, h, w] or [C, h, w]. Noise is drawn on the generator's
        device, as diffusers does. Schedulers keep what they are given, so they are given copies.
        """
        is_single = x.dim() == 3
        sample, output = x.clone(), out.to(x.dtype, copy=True)
        if is_single:
            sample, output = sample.unsqueeze(0), output.unsqueeze(0)
        options = self._options | ({"generator": generator} if self._takes_generator else {})
        made: torch.Tensor = self._scheduler.step(output, self._timesteps[index], sample, **options, return_dict=False)[
            0
        ]
        made = made.to(x.dtype)
        return made.squeeze(0) if is_single else made


def begin(scheduler: Any, first: int) -> torch.Tensor:
    """Point `scheduler` at its timestep number `first`, and return those that are left."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    timesteps: torch.Tensor = scheduler.timesteps[first:]
    return timesteps


def rehearse(scheduler: Any, first: int) -> Rehearsal | None:
    """Run the whole schedule on a few numbers; `scheduler` is spent afterwards. None if it ends in no number.

    Noise levels are read with `add_noise`, which answers by the step it is at: so the blends are what the inpainting
    pipelines get, in the two-evaluation samplers too.

    Raises:
        Exception: whatever diffusers refuses the combination with.
    """
    steps = Stepwise(scheduler, first, _UNKNOWN)
    timesteps = begin(scheduler, first)
    levels = [_level(scheduler, timesteps[0])]
    generator = torch.Generator().manual_seed(0)
    x = torch.full((1, 4, 2, 2), 0.5)
    for index in range(len(timesteps)):
        x = steps.step(torch.tanh(steps.scale_input(x, index)), index, x, generator)
        if index + 1 < len(timesteps):
            levels.append(_level(scheduler, timesteps[index + 1]))
    if not bool(torch.isfinite(x).all()):
        return None
    clean, noise = np.array([*levels, (1.0, 0.0)], dtype=np.float64).T
    return Rehearsal(
        timesteps=timesteps.numpy().astype(np.float64),
        initial_noise_sigma=float(scheduler.init_noise_sigma),
        start_clean=float(clean[0]),
        start_noise=float(noise[0]),
        blend_clean=clean[1:].copy(),
        blend_noise=noise[1:].copy(),
    )


def _level(scheduler: Any, timestep: torch.Tensor) -> tuple[float, float]:
    """How much clean latent and how much noise `add_noise` mixes at this point of the schedule."""
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    at = timestep.reshape(1)
    return scheduler.add_noise(one, zero, at).item(), scheduler.add_noise(zero, one, at).item()


_NOTHING: Floats = np.zeros(0)
_UNKNOWN = Rehearsal(_NOTHING, 1.0, 1.0, 0.0, _NOTHING, _NOTHING)
