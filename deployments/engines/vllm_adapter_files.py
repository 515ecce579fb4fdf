"""Adapters of a language model on their way to vLLM: read, checked against the model, mixed, written.

vLLM applies one LoRA to a sequence, and takes it as a PEFT directory. A call may use several adapters, each with its
scale, and their files name tensors in several ways. So each mixture is written as one directory in one way: scales
are folded into the second matrices, and the matrices of several adapters are laid side by side, which adds their
products (sum of B_i A_i s_i = [B_1 s_1, B_2 s_2] [A_1; A_2]).
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.engines.adapter_files import contents_in, verified_files
from deployments.engines.engine import AdapterFolder
from serve.catalog.adapters.fit import misfit
from serve.catalog.adapters.modules import WEIGHTS_FILE, AdapterContents, AdapterModule
from serve.catalog.layouts import Layout
from serve.domain.adapters import ModuleKind
from serve.domain.errors import Unprocessable

if TYPE_CHECKING:
    from torch import Tensor, dtype


_READ_PARTS = {"down", "up", "alpha"}


@dataclass(frozen=True, slots=True)
class LowRank:
    """What is added to one linear module's weight: `up` [out, rank] times `down` [rank, in], scale and all."""

    down: "Tensor"
    up: "Tensor"


class LanguageAdapter:
    """A `PreparedAdapter`: its matrices by module, in the precision of its file."""

    def __init__(self, adapter_id: str, modules: Mapping[str, LowRank]) -> None:
        self.id = adapter_id
        self.modules = modules
        tensors = [tensor for module in modules.values() for tensor in (module.down, module.up)]
        self._num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @property
    def num_bytes(self) -> int:
        """See the Protocol."""
        return self._num_bytes

    def close(self) -> None:
        """See the Protocol. A mixture that is being written keeps the matrices that it was given."""
        self.modules = {}


@dataclass(frozen=True, slots=True)
class Part:
    """One adapter of a mixture."""

    id: str
    scale: float
    modules: Mapping[str, LowRank]


def mixture_key(uses: Sequence[tuple[str, float]]) -> str:
    """Names what `(id, scale)` pairs add to the model: equal keys, equal weights, whatever the order. "" for nothing.

    It is vLLM's name for the LoRA, and so a part of what its prefix cache is keyed by: ids hold whole digests, and
    scales are written to the last bit.
    """
    return " + ".join(f"{adapter_id} x {scale!r}" for adapter_id, scale in effective(uses))


def effective(uses: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Pairs in their canonical order, an id at most once, without those that add nothing."""
    scales: dict[str, float] = {}
    for adapter_id, scale in sorted(uses):
        scales[adapter_id] = scales.get(adapter_id, 0.0) + float(scale)
    return [(adapter_id, scale) for adapter_id, scale in scales.items() if scale]


def read_language_adapter(folder: AdapterFolder, layout: Layout, max_rank: int) -> LanguageAdapter:
    """The adapter in `folder`, checked against a model whose weights are laid out as `layout`. Blocks.

    Raises:
        Unprocessable: `wrong_base`, `adapter_kind_not_supported`, `adapter_rank`.
        InvalidRequest: its files are not what they are said to be.
    """
    import safetensors.torch

    files = verified_files(folder)
    _, contents = contents_in(files)
    _check(folder.id, contents, layout, max_rank)
    tensors = safetensors.torch.load(bytes(files[WEIGHTS_FILE]))
    return LanguageAdapter(folder.id, {module.module: _low_rank(module, tensors) for module in contents.modules})


def _check(adapter_id: str, contents: AdapterContents, layout: Layout, max_rank: int) -> None:
    why = misfit(contents.modules, layout)
    if why is not None:
        raise Unprocessable(f"The adapter {adapter_id} does not fit this model: {why}.", "wrong_base", "adapters")
    for module in contents.modules:
        if module.kind is not ModuleKind.LORA or not set(module.tensors) <= _READ_PARTS:
            raise Unprocessable(
                f"The adapter {adapter_id} changes {module.module} by {module.kind}; a language model takes plain "
                "LoRA alone. Convert it, or train it as LoRA.",
                "adapter_kind_not_supported",
                "adapters",
            )
    _check_rank(f"The adapter {adapter_id} has", contents.facts.rank, max_rank)


def _check_rank(whose: str, rank: int, max_rank: int) -> None:
    if rank > max_rank:
        raise Unprocessable(
            f"{whose} rank {rank}; this model takes up to {max_rank}, all adapters of a call together.",
            "adapter_rank",
            "adapters",
        )


def _low_rank(module: AdapterModule, tensors: Mapping[str, "Tensor"]) -> LowRank:
    down, up = (tensors[module.tensors[part]] for part in ("down", "up"))
    rank = down.shape[0]
    scale = module.scale
    if scale is None:
        scale = float(tensors[module.tensors["alpha"]]) / rank if "alpha" in module.tensors else 1.0
    # In float32: a scale is no power of two in general, and half precision would round every number again.
    folded = up if scale == 1 else (up.float() * scale)
    return LowRank(down.reshape(rank, -1), folded.reshape(-1, rank))


def check_mixture(parts: Sequence[Part], max_rank: int) -> None:
    """Raises Unprocessable: `adapter_rank`: some module would need more than `max_rank` together."""
    ranks: dict[str, int] = {}
    for part in parts:
        for module, low_rank in part.modules.items():
            ranks[module] = ranks.get(module, 0) + low_rank.down.shape[0]
    is_one = len(parts) == 1
    _check_rank(f"{_named(parts)} {'has' if is_one else 'together have'}", max(ranks.values()), max_rank)


def _named(parts: Sequence[Part]) -> str:
    return f"The adapter{'s' * (len(parts) > 1)} {' and '.join(part.id for part in parts)}"


def write_mixture(folder: Path, parts: Sequence[Part], dtype: "dtype") -> None:
    """The PEFT directory of a mixture: it appears whole, or not at all. Blocks.

    `dtype` is the model's: vLLM would convert to it in its engine's loop, while every stream waits.

    Raises:
        Unprocessable: `adapter_not_finite`: in the model's precision they overflow.
    """
    import safetensors.torch

    mixed = _mixed(parts)
    tensors: dict[str, Tensor] = {}
    for module, low_rank in mixed.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = low_rank.down.to(dtype).contiguous()
        tensors[f"base_model.model.{module}.lora_B.weight"] = low_rank.up.to(dtype).contiguous()
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise Unprocessable(
            f"{_named(parts)}: numbers are too large for {str(dtype).removeprefix('torch.')} at this scale. Lower it.",
            "adapter_not_finite",
            "adapters",
        )
    rank = max(low_rank.down.shape[0] for low_rank in mixed.values())
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": sorted({module.rpartition(".")[2] for module in mixed}),
    }
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as unfinished:
        Path(unfinished, "adapter_config.json").write_text(json.dumps(config))
        safetensors.torch.save_file(tensors, Path(unfinished, WEIGHTS_FILE))
        os.rename(unfinished, folder)


def _mixed(parts: Sequence[Part]) -> dict[str, LowRank]:
    import torch

    by_module: dict[str, list[LowRank]] = {}
    for part in parts:
        for module, low_rank in part.modules.items():
            scaled = LowRank(low_rank.down.float(), low_rank.up.float() * part.scale)
            by_module.setdefault(module, []).append(scaled)
    return {
        module: LowRank(torch.cat([each.down for each in found]), torch.cat([each.up for each in found], dim=1))
        for module, found in by_module.items()
    }
