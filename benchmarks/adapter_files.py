"""Random adapters: what adapters for pictures look like, of any size, for any network.

Low rank over the attention layers alone, in diffusers' form, which stock pipelines read as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from deployments.engines.diffusion.deltas import ImageAdapter, LowRank
from serve.catalog.layouts import Layout

FILE: Final = "adapter_model.safetensors"
STRENGTH: Final = 0.25
"""Of what a layer adds, by its input: pictures are others then, and still pictures."""
_PROJECTIONS: Final = ("to_q", "to_k", "to_v", "to_out.0")
Shapes = Mapping[str, tuple[int, int]]
"""(numbers in, numbers out) by layer."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An adapter: its immutable id, and its file for those who read files."""

    id: str
    path: Path


def attention_shapes(unet: nn.Module) -> dict[str, tuple[int, int]]:
    """The attention layers of a UNet; one on the meta device will do."""
    return {
        name: (module.in_features, module.out_features)
        for name, module in unet.named_modules()
        if isinstance(module, nn.Linear) and name.endswith(_PROJECTIONS) and ".transformer_blocks." in name
    }


def layout_of_network(unet: nn.Module) -> Layout:
    """What `layout_of` finds in a model's files, of a network that has none."""
    weights = [(name, value) for name, value in unet.named_parameters() if name.endswith(".weight")]
    return {f"unet.{name.removesuffix('.weight')}": tuple(value.shape) for name, value in weights}


def random_adapter(shapes: Shapes, rank: int, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors of a file: for each layer `down` [r, in] and `up` [out, r]."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, (num_in, num_out) in shapes.items():
        down = torch.randn(rank, num_in, generator=generator) * num_in**-0.5
        up = torch.randn(num_out, rank, generator=generator) * STRENGTH * rank**-0.5
        tensors[f"unet.{name}.lora_A.weight"], tensors[f"unet.{name}.lora_B.weight"] = down.to(dtype), up.to(dtype)
    return tensors


def in_memory(adapter_id: str, tensors: Mapping[str, Tensor]) -> ImageAdapter:
    """The same without a file: what an engine prepares from it."""
    names = [name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")]
    terms = {
        name.removeprefix("unet."): LowRank(tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"])
        for name in names
    }
    return ImageAdapter(adapter_id, {"unet": terms}, sum(tensor.nbytes for tensor in tensors.values()))
