"""How adapters change weights: one class for each kind.

What all have in common is the difference that they make to one module's weight; it is computed in float32, from the
base's weight as it was loaded. A low-rank difference can also be applied without computing it (see layers.py).

    LoRA, LoCon   up @ down                                   Hu et al., 2021, arXiv:2106.09685
    LoHa          (a1 @ b1) * (a2 @ b2)                       Hyeon-Woo et al., 2021, arXiv:2108.06098
    LoKr          kron(w1, w2)                                Yeh et al., 2023, arXiv:2309.14859
    DoRA          m (W + D) / |W + D|, D any of the above     Liu et al., 2024, arXiv:2402.09353
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


class Delta(ABC):
    """What an adapter does to one module."""

    __slots__ = ()

    @abstractmethod
    def weight(self, base: Tensor, scale: float) -> Tensor:
        """What is added to `base`, the module's own weight: float32, in its shape, on its device."""

    def bias(self, base: Tensor | None, scale: float) -> Tensor | None:
        """What is added to the module's bias (`base`, if it has one); None for nothing."""
        return None

    def onto(self, changed: Tensor, base: Tensor, scale: float) -> Tensor:
        """`changed` (float32), which is `base` after other adapters, after this one also."""
        return changed + self.weight(base, scale)

    def tensors(self) -> Iterator[Tensor]:
        """All that it holds."""
        return _tensors(self)


@dataclass(frozen=True, slots=True, eq=False)
class LowRank(Delta):
    """`up @ down`, for a linear layer or a convolution of one point; the file's scale is folded into `up`."""

    down: Tensor
    """[r, in]"""
    up: Tensor
    """[out, r]"""

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def weight(self, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        return (scale * (_as(base, self.up) @ _as(base, self.down))).reshape(base.shape)

    def onto(self, changed: Tensor, base: Tensor, scale: float) -> Tensor:
        """See Delta: in one pass over what is many times larger than the two factors."""
        both = torch.addmm(changed.flatten(1), _as(base, self.up), _as(base, self.down), alpha=scale)
        return both.view(base.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """A matrix or a convolution's kernel, as a product."""

    a: Tensor
    """[out, r]; with a core [r, out]; without `b` the whole."""
    b: Tensor | None = None
    """[r, in], or [r, in * h * w]"""
    core: Tensor | None = None
    """[r, r, h, w]: the middle of a Tucker decomposition."""

    def product(self, base: Tensor) -> Tensor:
        """[out, in * h * w], with a core [out, in, h, w], in float32 on the device of `base`."""
        a = _as(base, self.a)
        if self.b is None:
            return a
        b = _as(base, self.b)
        if self.core is None:
            return a @ b
        return torch.einsum("ijhw,io,jn->onhw", _as(base, self.core), a, b)


@dataclass(frozen=True, slots=True, eq=False)
class Conv(Delta):
    """LoCon: low rank on a convolution."""

    kernel: Factors
    scale: float

    def weight(self, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        return (scale * self.scale * self.kernel.product(base)).reshape(base.shape)


@dataclass(frozen=True, slots=True, eq=False)
class LoHa(Delta):
    """The product, number by number, of two low-rank weights."""

    first: Factors
    second: Factors
    scale: float

    def weight(self, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        product = self.first.product(base) * self.second.product(base)
        return (scale * self.scale * product).reshape(base.shape)


@dataclass(frozen=True, slots=True, eq=False)
class LoKr(Delta):
    """The Kronecker product of a small matrix and a larger weight."""

    first: Factors
    second: Factors
    scale: float

    def weight(self, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        small, large = self.first.product(base), self.second.product(base)
        small = small.reshape(small.shape + (1,) * (large.ndim - small.ndim))
        return (scale * self.scale * torch.kron(small, large.contiguous())).reshape(base.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Dora(Delta):
    """Another difference, after which each output's weights have a length of their own.

    PEFT's reading, which diffusers runs: a scale weakens the inner difference and not the length, the length before is
    that of the base with the inner difference alone, and what earlier adapters changed is stretched as well, so that
    the order of adapters matters.
    """

    inner: Delta
    magnitude: Tensor
    """[out], or [in] when the length is that of each input's weights, as older files of LyCORIS have it."""
    is_by_input: bool = False

    def weight(self, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        return self.onto(base.float(), base, scale) - base.float()

    def bias(self, base: Tensor | None, scale: float) -> Tensor | None:
        """See Delta."""
        return self.inner.bias(base, scale)

    def onto(self, changed: Tensor, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        inner = self.inner.weight(base, scale)
        kept = 1 if self.is_by_input else 0
        axes = [axis for axis in range(base.ndim) if axis != kept]
        length = torch.linalg.vector_norm(base.float() + inner, dim=axes, keepdim=True)
        magnitude = _as(base, self.magnitude).reshape(length.shape)
        stretch: Tensor = magnitude / length.clamp_min(torch.finfo(torch.float32).tiny)
        return stretch * (changed + inner)


@dataclass(frozen=True, slots=True, eq=False)
class Full(Delta):
    """The differences themselves."""

    weight_diff: Tensor | None
    bias_diff: Tensor | None = None

    def weight(self, base: Tensor, scale: float) -> Tensor:
        """See Delta."""
        if self.weight_diff is None:
            return torch.zeros_like(base, dtype=torch.float32)
        return scale * _as(base, self.weight_diff).reshape(base.shape)

    def bias(self, base: Tensor | None, scale: float) -> Tensor | None:
        """See Delta."""
        if self.bias_diff is None:
            return None
        diff = self.bias_diff.float()
        return scale * (diff if base is None else diff.to(base.device))


@dataclass(frozen=True, slots=True, eq=False)
class ImageAdapter:
    """An adapter in host memory, ready for one model's networks. See PreparedAdapter."""

    id: str
    components: Mapping[str, Mapping[str, Delta]]
    """By component (`unet`, `text_encoder`, `text_encoder_2`) and dotted module; LowRank where that is enough."""
    num_bytes: int

    def close(self) -> None:
        """Nothing is held but memory, which goes with the last that reads it."""


def _tensors(holder: Any) -> Iterator[Tensor]:
    for field in fields(holder):
        value = getattr(holder, field.name)
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Delta | Factors):
            yield from _tensors(value)


def _as(base: Tensor, tensor: Tensor) -> Tensor:
    return tensor.to(base.device, torch.float32)
