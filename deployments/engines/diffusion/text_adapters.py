"""Adapters of text encoders, in place while a text is encoded.

Low-rank terms are bound to the encoders' linear layers, and cost little more than they weigh; a module that one of the
adapters changes in another way gets merged weights for all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from deployments.engines.diffusion.deltas import Delta, ImageAdapter, LowRank
from deployments.engines.diffusion.layers import AdaptedLinear, LowRankRows, adapt, can_adapt
from deployments.engines.diffusion.merging import Merged, Recent, deltas_of, module_name

Applied = Sequence[tuple[ImageAdapter, float]]
"""Adapters in the order of the call, each with its scale."""
TextKey = tuple[tuple[str, float], ...]
"""Which adapters change what a text means, by id and scale."""
COMPONENTS: Final = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True, slots=True, eq=False)
class _Changes:
    """What one mixture does to the text encoders, on their device."""

    rows: Sequence[tuple[AdaptedLinear, LowRankRows]]
    merged: Sequence[Merged]

    @property
    def num_bytes(self) -> int:
        """Of device memory."""
        low_rank = sum(rows.down.nbytes + rows.up.nbytes for _, rows in self.rows)
        return low_rank + sum(merged.num_bytes for merged in self.merged)


def text_key(adapters: Applied) -> TextKey:
    """Of those that have a part in a text encoder; empty when none has."""
    return tuple((a.id, scale) for a, scale in adapters if any(a.components.get(name) for name in COMPONENTS))


class TextAdapters:
    """The text encoders of a model, and what was applied to them of late: `max_bytes` of it. Used by one thread."""

    def __init__(self, encoders: Sequence[Any], max_bytes: int) -> None:
        self._encoders: Mapping[str, nn.Module] = dict(zip(COMPONENTS, encoders, strict=False))
        self._recent: Recent[_Changes] = Recent(max_bytes)

    @contextmanager
    def applied(self, adapters: Applied) -> Iterator[None]:
        """The encoders with `adapters`; on leaving, whatever happened, as they were."""
        changes = self._changes(adapters)
        with ExitStack() as stack:
            for merged in changes.merged:
                stack.enter_context(merged.applied())
            try:
                for layer, rows in changes.rows:
                    layer.bound = rows
                yield
            finally:
                for layer, _ in changes.rows:
                    layer.bound = None

    def forget(self) -> None:
        """Memory is short: what was applied of late is computed anew."""
        self._recent.clear()

    def _changes(self, adapters: Applied) -> _Changes:
        key = text_key(adapters)
        return self._recent.get(key) or self._recent.keep(key, self._computed(adapters))

    def _computed(self, adapters: Applied) -> _Changes:
        rows: list[tuple[AdaptedLinear, LowRankRows]] = []
        merged: list[Merged] = []
        for component, encoder in self._encoders.items():
            deltas = deltas_of(adapters, component)
            low_rank = {name: pairs for name, changes in deltas.items() if (pairs := _low_rank(encoder, name, changes))}
            rows += _bound(encoder, low_rank)
            if rest := {name: changes for name, changes in deltas.items() if name not in low_rank}:
                merged.append(Merged.of(encoder, rest))
        return _Changes(rows, merged)


_Pairs = Sequence[tuple[LowRank, float]]


def _low_rank(encoder: nn.Module, name: str, changes: Sequence[tuple[Delta, float]]) -> _Pairs | None:
    """`changes`, if they are low-rank terms, and `name` is a module that takes them as such."""
    pairs = [(delta, scale) for delta, scale in changes if isinstance(delta, LowRank)]
    fits = len(pairs) == len(changes) and can_adapt(encoder.get_submodule(module_name(encoder, name)))
    return pairs if fits else None


def _bound(encoder: nn.Module, low_rank: Mapping[str, _Pairs]) -> Iterator[tuple[AdaptedLinear, LowRankRows]]:
    layers = adapt(encoder, [module_name(encoder, name) for name in low_rank])
    for layer, pairs in zip(layers.values(), low_rank.values(), strict=True):
        yield layer, _rows(pairs, layer.weight)


def _rows(pairs: _Pairs, like: Tensor) -> LowRankRows:
    """Several terms as one: their ranks end to end."""
    down = torch.cat([delta.down for delta, _ in pairs])
    up = torch.cat([delta.up * scale for delta, scale in pairs], dim=1)
    return LowRankRows(down.to(like.device, like.dtype)[None], up.to(like.device, like.dtype)[None])
