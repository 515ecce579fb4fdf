"""LoRA in vLLM on CPU: vLLM's worker with operations of our own, loaded by its name (`worker_cls`).

vLLM's own (0.32, lora/ops/torch_ops) copy an adapter's matrices for every token, and index the slots by -1 for a token
without an adapter, which is the last slot: in a full batch a tenant's adapter would answer another's plain request.
Here a token has to do with its own adapter alone. Measured with 135 million parameters in bfloat16, 8 streams and rank
16, tokens per second of processor time, theirs and ours: no adapter 236 and 300 (320 with LoRA switched off), one
adapter 100 and 200.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms import current_platform
from vllm.v1.worker.cpu_worker import CPUWorker

MAX_SHARED_TOKENS = 64
"""Up to so many tokens of more than two adapters go through all slots at once, and what is not theirs is dropped: for
8 rows of 8 adapters a quarter of the time of one adapter after the other. Prompts would make it wasteful."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who uses which slot in a batch: `groups` of (slot, rows; None for all), or, for few tokens of many adapters,
    `others`: [slots, tokens, 1], true where a token does not use a slot."""

    groups: Sequence[tuple[int, Tensor | None]] = ()
    others: Tensor | None = None

    @classmethod
    def of(cls, slots: Tensor, num_slots: int) -> "_Plan":
        """`slots` [tokens] are indices, -1 for none."""
        used = [slot for slot in torch.unique(slots).tolist() if slot >= 0]
        if len(used) > 2 and len(slots) <= MAX_SHARED_TOKENS:
            return cls(others=(torch.arange(num_slots)[:, None] != slots[None]).unsqueeze(2))
        if len(used) == 1 and bool((slots == used[0]).all()):
            return cls([(used[0], None)])
        return cls([(slot, (slots == slot).nonzero().squeeze(1)) for slot in used])

    def add(self, y: Tensor, x: Tensor, down: Tensor, up: Tensor, scale: float) -> None:
        """To `y` [tokens, out] what the adapters make of `x` [tokens, in]: `down` is [slots, 1, rank, in], `up`
        [slots, 1, out, rank]."""
        for slot, rows in self.groups:
            mine = x if rows is None else x.index_select(0, rows)
            _add(y, rows, (mine @ down[slot, 0].T) @ up[slot, 0].T, scale)
        if self.others is not None:
            inner = torch.bmm(x.expand(len(down), -1, -1), down[:, 0].transpose(1, 2))
            # Not by multiplication: infinity times zero would carry one tenant's overflow into all rows.
            inner.masked_fill_(self.others, 0)
            _add(y, None, torch.bmm(inner, up[:, 0].transpose(1, 2)).sum(0), scale)


class OwnSlotLora(PunicaWrapperCPU):  # type: ignore[misc]  # vLLM is not typed
    """Applies the adapters of a batch. Outputs `y` change in place."""

    _tokens = _Plan()
    _samples = _Plan()

    def update_metadata(
        self, mapping: Any, lora_index_to_id: list[int | None], max_loras: int, vocab_size: int, **kwargs: Any
    ) -> None:
        """A batch of another composition comes."""
        super().update_metadata(mapping, lora_index_to_id, max_loras, vocab_size, **kwargs)
        self._tokens = _Plan.of(self.token_lora_indices, len(lora_index_to_id))
        self._samples = _Plan.of(self.sampler_indices, len(lora_index_to_id))

    def add_lora_linear(
        self,
        y: Tensor,
        x: Tensor,
        lora_a_stacked: tuple[Tensor, ...],
        lora_b_stacked: tuple[Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **kwargs: Any,
    ) -> None:
        """Of a linear module, which may be several side by side (q, k and v)."""
        begin = 0
        for down, up, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
            self._tokens.add(y[:, begin : begin + width], x, down, up, scale)
            begin += width

    def add_lora_logits(
        self, y: Tensor, x: Tensor, lora_a_stacked: Tensor, lora_b_stacked: Tensor, scale: float, **kwargs: Any
    ) -> None:
        """Of the head, for the tokens that are sampled."""
        self._samples.add(y, x, lora_a_stacked, lora_b_stacked, scale)

    def add_lora_embedding(self, y: Tensor, x: Tensor, lora_b_stacked: Tensor, *args: Any, **kwargs: Any) -> None:
        """Of the embedding: nothing, since no adapter is taken that changes it."""


class AdapterWorker(CPUWorker):  # type: ignore[misc]  # vLLM is not typed
    """vLLM's CPU worker with `OwnSlotLora`."""

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """Load the model; what applies LoRA to it is asked for by name while it is."""
        # The platform is one object of vLLM's; there is no argument for this.
        current_platform.get_punica_wrapper = lambda: f"{OwnSlotLora.__module__}.{OwnSlotLora.__qualname__}"
        super().load_model(*args, **kwargs)


def _add(y: Tensor, rows: Tensor | None, delta: Tensor, scale: float) -> None:
    # What vLLM pads the output by is no part of an adapter, nor the other way round.
    width = min(y.shape[1], delta.shape[1])
    target, delta = y[:, :width], delta[:, :width].to(y.dtype)
    if rows is None:
        target.add_(delta, alpha=scale)
    else:
        target.index_add_(0, rows, delta, alpha=scale)
