"""LoRA in vLLM on CPU, by adapter: loaded in vLLM's worker, by name (`worker_cls`).

vLLM's own operations there (0.32, lora/ops/torch_ops) copy an adapter's matrices for every token, and index the slots
by -1 for a token without an adapter, which is the last slot: in a full batch a tenant's adapter would answer
another's plain request. Here the tokens of one adapter go through its matrices together, and those without any are
left alone. Measured with a model of 135 million parameters and 8 streams: docs of `vllm_settings.lora_worker`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms import current_platform
from vllm.v1.worker.cpu_worker import CPUWorker

Group = tuple[int, Tensor | None]
"""A slot, and the rows that use it: None for all."""


class GroupedLora(PunicaWrapperCPU):  # type: ignore[misc]
    """Applies the adapters of a batch: two matrix products for each adapter and module.

    `y` [tokens, out] changes in place; `x` is [tokens, in]; stacked matrices are [slots, 1, rank, in] and
    [slots, 1, out, rank].
    """

    _tokens: Sequence[Group] = ()
    _samples: Sequence[Group] = ()

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """A batch of another composition comes."""
        super().update_metadata(*args, **kwargs)
        self._tokens = _groups(self.token_lora_indices)
        self._samples = _groups(self.sampler_indices)

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
        for slot, rows in self._tokens:
            mine, begin = _of(x, rows), 0
            for down, up, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
                delta = (mine @ down[slot, 0].T) @ up[slot, 0].T
                _add(y[:, begin : begin + width], rows, delta, scale)
                begin += width

    def add_lora_logits(
        self, y: Tensor, x: Tensor, lora_a_stacked: Tensor, lora_b_stacked: Tensor, scale: float, **kwargs: Any
    ) -> None:
        """Of the head, for the tokens that are sampled."""
        for slot, rows in self._samples:
            _add(y, rows, (_of(x, rows) @ lora_a_stacked[slot, 0].T) @ lora_b_stacked[slot, 0].T, scale)

    def add_lora_embedding(self, y: Tensor, x: Tensor, lora_b_stacked: Tensor, *args: Any, **kwargs: Any) -> None:
        """Of the embedding, whose first product is a look-up that vLLM has made."""
        for slot, rows in self._tokens:
            _add(y, rows, _of(x, rows) @ lora_b_stacked[slot, 0].T.to(x.dtype), 1.0)


class AdapterWorker(CPUWorker):  # type: ignore[misc]
    """vLLM's CPU worker with `GroupedLora`."""

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """Load the model; what applies LoRA to it is asked for by name while it is."""
        # The platform is one object of vLLM's; there is no argument for this.
        current_platform.get_punica_wrapper = lambda: f"{GroupedLora.__module__}.{GroupedLora.__qualname__}"
        super().load_model(*args, **kwargs)


def _groups(slots: Tensor) -> list[Group]:
    """Rows by slot; -1 is none."""
    used = [slot for slot in torch.unique(slots).tolist() if slot >= 0]
    if len(used) == 1 and bool((slots == used[0]).all()):
        return [(used[0], None)]
    return [(slot, (slots == slot).nonzero().squeeze(1)) for slot in used]


def _of(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x.index_select(0, rows)


def _add(y: Tensor, rows: Tensor | None, delta: Tensor, scale: float) -> None:
    # What vLLM pads the output by is no part of an adapter, nor the other way round.
    width = min(y.shape[1], delta.shape[1])
    target, delta = y[:, :width], delta[:, :width].to(y.dtype)
    if rows is None:
        target.add_(delta, alpha=scale)
    else:
        target.index_add_(0, rows, delta, alpha=scale)
