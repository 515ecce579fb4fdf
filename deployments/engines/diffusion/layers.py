"""Linear layers that add a low-rank term to their answer, another one for each row of a batch.

A layer with nothing bound to it is the layer that it wraps, at no cost. The weights stay where they are: what is bound
are views into memory that someone else owns and fills.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class LowRankRows(NamedTuple):
    """What a layer adds: `up @ down` per row, or the same for every row when n is 1."""

    down: Tensor
    """[n, r, in]"""
    up: Tensor
    """[n, out, r], with every scale folded in."""


class AdaptedLinear(nn.Module):
    """A Linear, or a Conv2d whose kernel is 1 x 1, and what is bound to it at present."""

    def __init__(self, base: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.base = base
        self.bound: LowRankRows | None = None

    @property
    def weight(self) -> Tensor:
        """The base's own: libraries look at it for dtype and device."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The base's own."""
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        """[n, ..., in] to [n, ..., out]; for a convolution [n, in, h, w] to [n, out, h, w]."""
        out: Tensor = self.base(x)
        if self.bound is None:
            return out
        if isinstance(self.base, nn.Linear):
            return _added(out, x, self.bound)
        return _added(out.movedim(1, -1), x.movedim(1, -1), self.bound).movedim(-1, 1)


def adapt(network: nn.Module, names: Iterable[str]) -> dict[str, AdaptedLinear]:
    """Wrap the modules of these dotted names where they stand; those that are wrapped already are returned as they are.

    A wrapped module keeps its own parameters, which `named_parameters` then calls `<name>.base.weight`.
    """
    return {name: _adapted(network, name) for name in names}


def base_of(module: nn.Module) -> nn.Module:
    """The module that holds the weight: `module` itself, unless it is wrapped."""
    return module.base if isinstance(module, AdaptedLinear) else module


def can_adapt(module: nn.Module) -> bool:
    """Whether `module` is one that AdaptedLinear can wrap, or has wrapped."""
    base = base_of(module)
    if isinstance(base, nn.Conv2d):
        plain = base.stride == (1, 1) and base.padding in ((0, 0), "valid") and base.groups == 1
        return plain and base.kernel_size == (1, 1)
    return isinstance(base, nn.Linear)


def _adapted(network: nn.Module, name: str) -> AdaptedLinear:
    module = network.get_submodule(name)
    if isinstance(module, AdaptedLinear):
        return module
    if not can_adapt(module):
        raise ValueError(f"{name} is a {type(module).__name__}, and only linear layers and 1 x 1 convolutions adapt")
    assert isinstance(module, nn.Linear | nn.Conv2d)
    wrapped = AdaptedLinear(module).train(module.training)
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, wrapped)
    return wrapped


def _added(out: Tensor, x: Tensor, bound: LowRankRows) -> Tensor:
    """out [n, ..., out], written over, plus the low-rank term of x [n, ..., in].

    Into the base's own answer: at these ranks the time goes into moving it, and a second copy would cost twice. The
    first product has the rank as its rows, not as its columns: on a CPU that takes half of the time at rank 8.
    """
    down, up = bound
    if len(down) == 1:
        low = x.flatten(0, -2) @ down[0].T
        return out.flatten(0, -2).addmm_(low, up[0].T).view(out.shape)
    if x.dim() == 3:
        return out.baddbmm_(torch.bmm(down, x.mT).mT, up.mT)
    return _added(out.flatten(1, -2), x.flatten(1, -2), bound).view(out.shape)
