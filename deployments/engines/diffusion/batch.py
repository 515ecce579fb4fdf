"""The images that make a step together: rows in, one forward pass, one update for all of them.

Rows are the prompts of all images first, then the negative prompts of those with guidance. Membership changes at any
step; while it does not, nothing is gathered again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch

from deployments.engines.diffusion.arena import Arena
from deployments.engines.diffusion.memory import is_out_of_memory
from deployments.engines.diffusion.planning import bucket
from deployments.engines.diffusion.rows import Rows
from deployments.engines.diffusion.slot import Slot
from deployments.engines.diffusion.stepwise import Stepwise

_COEFFICIENTS = (
    "input_scale",
    "derive_x",
    "derive_out",
    "carry",
    "direct",
    "previous",
    "before",
    "noise",
    "blend_clean",
    "blend_noise",
)


class Predictor(Protocol):
    """A forward pass of the UNet.

    ControlNet's residuals and IP-Adapter's tokens belong here: a branch of its own that sees the rows it is for, each
    with its own scale, and hands its tensors to the UNet beside `context`.
    """

    buckets: Sequence[int]
    """Row counts it was prepared for; empty where any will do."""

    def __call__(self, rows: Rows) -> torch.Tensor:
        """[R, 4, h, w], float32."""
        ...

    def settle(self, max_rows: int) -> None:
        """The start is over: keep what steps of at most `max_rows` need, and prepare nothing that takes long again."""
        ...

    def forget(self) -> None:
        """Memory is short: give back what can be made again."""
        ...


class Batch:
    """A fixed set of slots of one lane. Their tensors live here, stacked; `release` gives them back."""

    def __init__(self, slots: Sequence[Slot], predictor: Predictor, arena: Arena | None = None) -> None:
        self.slots = tuple(slots)
        self.failed: dict[Slot, Exception] = {}
        """Images whose own sampler raised at the last step. The others are not touched by it."""
        self._predictor, self._arena = predictor, arena
        self._latents = torch.stack([slot.latents for slot in slots])
        self._last = torch.stack([slot.last for slot in slots])
        self._second_last = torch.stack([slot.second_last for slot in slots])
        self._device = self._latents.device
        self._gather_rows()
        self._gather_canvas()

    @property
    def num_rows(self) -> int:
        return self._num_rows

    def _gather_rows(self) -> None:
        guided = [i for i, slot in enumerate(self.slots) if slot.num_rows == 2]
        owners = [*range(len(self.slots)), *guided]
        self._num_rows = len(owners)
        padded = owners + [0] * (bucket(len(owners), self._predictor.buckets) - len(owners))
        self._owners = torch.tensor(padded, device=self._device)
        self._owner_list = padded
        self._guided = torch.tensor(guided, device=self._device)
        scales = [self.slots[i].request.guidance_scale for i in guided]
        self._guidance = torch.tensor(scales, device=self._device, dtype=torch.float32).view(-1, 1, 1, 1)
        self._binding = None if self._arena is None else self._arena.plan([self.slots[i].packed for i in owners])
        conditionings = [slot.conditionings[0] for slot in self.slots]
        conditionings += [self.slots[i].conditionings[1] for i in guided]
        conditionings += conditionings[:1] * (len(padded) - len(owners))
        self._context = torch.stack([c.context for c in conditionings])
        self._pooled = _stacked([c.pooled for c in conditionings])
        self._time_ids = _stacked([c.time_ids for c in conditionings])

    def _gather_canvas(self) -> None:
        """Masks of the slots that have one; the others count as free everywhere."""
        canvases = [slot.canvas for slot in self.slots]
        self._extra = None
        if canvases[0].masked is not None:
            self._extra = torch.stack([torch.cat([_known(c.mask), _known(c.masked)]) for c in canvases])
            self._extra = self._extra[self._owners].float()
        self._mask = None
        if self._extra is None and any(c.mask is not None for c in canvases):
            free = torch.ones_like(self._latents[0, :1])
            self._mask = torch.stack([free if c.mask is None else c.mask.float() for c in canvases])
            self._clean = torch.stack([(c.noise if c.clean is None else c.clean).float() for c in canvases])
            self._noise = torch.stack([c.noise.float() for c in canvases])

    def step(self) -> None:
        """One denoising step of every image."""
        table = self._coefficients()
        scaled = table[0] * self._latents
        for i, slot, steps in self._stepwise():
            with self._blaming(slot):
                scaled[i] = steps.scale_input(self._latents[i], slot.position)
        out = self._predict(scaled)
        self._seen = self._latents, out
        self._update(out, table)
        for slot in self.slots:
            slot.position += 1

    def _predict(self, scaled: torch.Tensor) -> torch.Tensor:
        """The model's answer per image, guidance applied."""
        sample = scaled[self._owners]
        if self._extra is not None:
            sample = torch.cat([sample, self._extra], dim=1)
        steps = [float(slot.denoise.timesteps[slot.position]) for slot in self.slots]
        timesteps = torch.tensor([steps[i] for i in self._owner_list], dtype=torch.float32)
        timesteps = timesteps.to(self._device, non_blocking=True)
        bound = None if self._arena is None else self._arena.bind(self._binding, len(sample))
        is_merged = self.slots[0].merged is not None
        rows = self._predictor(Rows(sample, timesteps, self._context, self._pooled, self._time_ids, bound, is_merged))
        num_images = len(self.slots)
        out = rows[:num_images]
        if len(self._guided):
            without = rows[num_images : self._num_rows]
            out = out.clone()
            out[self._guided] = without + self._guidance * (out[self._guided] - without)
        return out

    def _update(self, out: torch.Tensor, table: torch.Tensor) -> None:
        x = self._latents
        _, derive_x, derive_out, carry, direct, previous, before, noise, blend_clean, blend_noise = table
        derived = derive_x * x + derive_out * out
        following = carry * x + direct * derived + previous * self._last + before * self._second_last
        drawn = self._drawn()
        if drawn is not None:
            following = following + noise * drawn
        for i, slot, steps in self._stepwise():
            with self._blaming(slot):
                following[i] = steps.step(out[i], slot.position, x[i], slot.canvas.generator)
        if self._mask is not None:
            kept = blend_clean * self._clean + blend_noise * self._noise
            following = torch.lerp(kept, following, self._mask)
        self._second_last, self._last, self._latents = self._last, derived, following

    def _stepwise(self) -> list[tuple[int, Slot, Stepwise]]:
        """Those whose sampler keeps state that no table can express, and which has not failed."""
        found = [(i, slot, slot.denoise) for i, slot in enumerate(self.slots) if slot not in self.failed]
        return [(i, slot, steps) for i, slot, steps in found if isinstance(steps, Stepwise)]

    @contextmanager
    def _blaming(self, slot: Slot) -> Iterator[None]:
        """What a slot's own scheduler raises is that slot's failure; for lack of memory nobody is to blame."""
        try:
            yield
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.failed[slot] = error

    def _coefficients(self) -> torch.Tensor:
        """[10, B, 1, 1, 1]: each slot's coefficients at its own position; copied to the device once."""
        values = np.zeros((len(_COEFFICIENTS), len(self.slots)), dtype=np.float32)
        for i, slot in enumerate(self.slots):
            for j, name in enumerate(_COEFFICIENTS):
                column = getattr(slot.denoise, name, None)
                values[j, i] = 0.0 if column is None else column[slot.position]
        return torch.from_numpy(values).to(self._device, non_blocking=True)[..., None, None, None]

    def _drawn(self) -> torch.Tensor | None:
        """Fresh noise for those whose sampler asks for it at this step, each from its own generator."""
        needs = [slot.table is not None and slot.table.noise[slot.position] != 0 for slot in self.slots]
        if not any(needs):
            return None
        shape = self._latents.shape[1:]
        drawn = [
            torch.randn(shape, generator=slot.canvas.generator) if need else torch.zeros(shape)
            for slot, need in zip(self.slots, needs, strict=True)
        ]
        return torch.stack(drawn).to(self._device)

    def clean_estimate(self, slot: Slot, prediction_type: str) -> torch.Tensor:
        """[C, h, w]: what the model believed, at the step just made, that the image will be.

        A table's history is that. Without one it follows from what the model predicts: with x = a clean + s noise,
        epsilon is the noise, sample the clean latent, and v_prediction their rotation (Salimans and Ho, 2022,
        arXiv:2202.00512).
        """
        i = self.slots.index(slot)
        if slot.table is not None or prediction_type == "sample":
            return self._last[i] if slot.table is not None else self._seen[1][i]
        x, answer = self._seen[0][i], self._seen[1][i]
        denoise, position = slot.denoise, slot.position - 1
        a = float(denoise.start_clean if position == 0 else denoise.blend_clean[position - 1])
        s = float(denoise.start_noise if position == 0 else denoise.blend_noise[position - 1])
        norm = float(np.hypot(a, s))
        if prediction_type == "v_prediction":
            return (a / norm) * (x / norm) - (s / norm) * answer
        return (x - s * answer) / max(a, 1e-4)

    def release(self) -> None:
        """Hand every slot its tensors back; the batch must not step afterwards."""
        for i, slot in enumerate(self.slots):
            slot.latents, slot.last, slot.second_last = self._latents[i], self._last[i], self._second_last[i]


def _stacked(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(present) if present else None


def _known(tensor: torch.Tensor | None) -> torch.Tensor:
    if tensor is None:
        raise ValueError("an inpainting model's canvas has a mask and masked latents")
    return tensor
