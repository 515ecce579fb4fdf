"""What an adapter consists of: the modules that it changes, and the tensors that change each.

Module names are those of the base's published checkpoints, which are also its `named_modules()`: `unet` as diffusers
names it, text encoders with `text_model.` in front (libraries that flattened CLIP's class drop that prefix), language
models as transformers names them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from serve.catalog.sources.source import WEIGHTS_FIELD
from serve.domain.adapters import AdapterFacts, ModuleKind
from serve.domain.errors import InvalidRequest

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
"""The names that an adapter's files are stored under, whatever they were called."""

MAX_RANK = 1024
"""Ranks in use end at 256, and extracted differences at 1024."""

Component = Literal["unet", "text_encoder", "text_encoder_2", "language_model"]


@dataclass(frozen=True, slots=True)
class AdapterModule:
    """One changed module of the base.

    `tensors` and `shapes` are by part: down [rank, in, ...], up [out, rank, ...], mid [rank, rank, h, w] (a Tucker
    core), magnitude, alpha, hada_*, lokr_* (as LyCORIS and PEFT have them), weight_diff, bias_diff.
    `scale` is alpha over rank (or its square root) where configuration or metadata say it; None: read the tensor
    `alpha` and divide by `rank`, or 1.0 where there is no such part, or no rank (two whole Kronecker factors).
    `in_features` of a convolution counts its input channels, or, for the kinds that see its weight as one matrix,
    channels x kernel (`kernel` is None then); 0 where a module has one dimension only. `rank` is 1 without factors.
    """

    component: Component
    module: str
    kind: ModuleKind
    rank: int
    tensors: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    scale: float | None
    in_features: int
    out_features: int
    kernel: tuple[int, int] | None

    @property
    def name(self) -> str:
        """The key of a base's layout: `unet.down_blocks.0...`."""
        return f"{self.component}.{self.module}"


@dataclass(frozen=True, slots=True)
class AdapterContents:
    """An adapter by its headers. `metadata` is the file's own, as it is: told, never trusted."""

    facts: AdapterFacts
    modules: tuple[AdapterModule, ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TensorName:
    """What a tensor's key says. `written` is the module as the file's own configuration calls it."""

    component: Component
    module: str
    part: str
    written: str


def refused(code: str, why: str) -> InvalidRequest:
    """An adapter that is not taken, and why."""
    return InvalidRequest(why, code, WEIGHTS_FIELD)
