"""What the adapters of an image come to: one low-rank term for each of the UNet's layers that an arena covers.

Several adapters are one: their ranks end to end, each with its scale folded in. A mixture is packed into one piece of
memory, so that it goes to the device, and from there into a batch, in one copy. What cannot be packed is a mixture
whose weights are merged into the base's (see merging.py).
"""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from deployments.engines.diffusion.deltas import Dora, ImageAdapter, LowRank
from deployments.engines.diffusion.layers import base_of, can_adapt
from deployments.engines.diffusion.merging import Deltas, Recent, deltas_of

_BLOCK: Final = r".*attentions\.\d+"
COVERED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_BLOCK}\.transformer_blocks\.\d+\.attn[12]\.(to_q|to_k|to_v|to_out\.0)",
        rf"{_BLOCK}\.transformer_blocks\.\d+\.ff\.net\.(0\.proj|2)",
        rf"{_BLOCK}\.(proj_in|proj_out)",
    )
)
"""Layers by depth: most adapters change attention alone, some feed-forward layers too, some also projections. What is
of one depth has room for all layers of the lesser ones, so that there are three shapes of memory and not many.
"""
SMALLEST_RANK: Final = 8
"""Ranks are rounded up to a power of two, from here on: batches of like ranks have the same shape."""
MAX_HOST_BYTES: Final = 2**30
"""Of packed mixtures that are kept for later calls. Packing one again takes some milliseconds of a thread."""


@dataclass(frozen=True, slots=True)
class Place:
    """One layer. Packed at rank r it takes r * width numbers from r * start on: r lines, in each a row of `down` and a
    column of `up`.
    """

    name: str
    start: int
    inputs: int
    outputs: int
    depth: int

    @property
    def width(self) -> int:
        return self.inputs + self.outputs


class Floorplan:
    """Where a UNet's layers lie in packed memory: those of depth 1 first."""

    def __init__(self, unet: nn.Module) -> None:
        places: dict[str, Place] = {}
        self._ends = [0]
        for depth, pattern in enumerate(COVERED, 1):
            start = self._ends[-1]
            for name, module in unet.named_modules():
                if pattern.fullmatch(name) and can_adapt(module):
                    outputs, inputs = _weight(module).shape[:2]
                    places[name] = Place(name, start, inputs, outputs, depth)
                    start += inputs + outputs
            self._ends.append(start)
        self.places: Mapping[str, Place] = places

    def upto(self, depth: int) -> list[Place]:
        """The layers of a depth and the lesser ones, in the order in which they lie."""
        return [place for place in self.places.values() if place.depth <= depth]

    def width(self, depth: int) -> int:
        """Numbers that one rank of them takes."""
        return self._ends[depth]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A mixture's low-rank terms: `flat` holds rank * width numbers, on the host or on the device."""

    key: str
    rank: int
    depth: int
    flat: Tensor

    @property
    def num_bytes(self) -> int:
        return self.flat.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """The adapters of one call, by id, and each one's scale. With neither `packed` nor `merged` they change what the
    text encoders say, and no more.
    """

    key: str
    adapters: tuple[tuple[ImageAdapter, float], ...]
    packed: Packed | None = None
    merged: Deltas | None = None
    """By module of the UNet, if its weights must be merged."""


class Mixer:
    """Makes mixtures; from any thread. Those packed lately are remembered."""

    def __init__(
        self,
        floorplan: Floorplan,
        max_rank: int,
        dtype: torch.dtype,
        *,
        smallest_rank: int = SMALLEST_RANK,
        is_pinned: bool = False,
        max_host_bytes: int = MAX_HOST_BYTES,
    ) -> None:
        """`max_rank` is of all adapters of a mixture together. `is_pinned` has the device fetch from memory that never
        moves, which is fastest.
        """
        self._floorplan, self._max_rank, self._smallest_rank = floorplan, max_rank, smallest_rank
        self._dtype, self._is_pinned = dtype, is_pinned
        self._lock = threading.Lock()
        self._recent: Recent[Packed] = Recent(max_host_bytes)

    def mix(self, adapters: Sequence[tuple[ImageAdapter, float]]) -> Mixture | None:
        """What `adapters` come to; None for nothing.

        A scale of 0 is off, whatever the kind; diffusers would still stretch by a DoRA's magnitudes, which nobody
        means who writes 0.
        """
        applied = [(adapter, scale) for adapter, scale in adapters if scale != 0.0]
        if not applied:
            return None
        if not any(_depends_on_order(adapter) for adapter, _ in applied):
            applied.sort(key=lambda pair: (pair[0].id, pair[1]))
        key = ",".join(f"{adapter.id}*{scale!r}" for adapter, scale in applied)
        changes = deltas_of(applied, "unet")
        if not changes:
            return Mixture(key, tuple(applied))
        terms = self._terms(changes)
        if terms is None:
            return Mixture(key, tuple(applied), merged=changes)
        return Mixture(key, tuple(applied), packed=self._packed(key, terms))

    def _terms(self, changes: Deltas) -> "_Terms | None":
        """The changes, if the arena holds all of them."""
        terms = {
            name: [(delta, scale) for delta, scale in pairs if isinstance(delta, LowRank)]
            for name, pairs in changes.items()
        }
        are_low_rank = all(len(terms[name]) == len(pairs) for name, pairs in changes.items())
        are_covered = all(name in self._floorplan.places for name in changes)
        return terms if are_low_rank and are_covered and _rank(terms) <= self._max_rank else None

    def _packed(self, key: str, terms: "_Terms") -> Packed:
        with self._lock:
            found = self._recent.get(key)
        if found is None:
            found = self._pack(key, terms)
            with self._lock:
                self._recent.keep(key, found)
        return found

    @torch.inference_mode()
    def _pack(self, key: str, terms: "_Terms") -> Packed:
        places = [self._floorplan.places[name] for name in terms]
        rank, depth = rounded_rank(_rank(terms), self._smallest_rank), max(place.depth for place in places)
        flat = torch.zeros(rank * self._floorplan.width(depth), dtype=self._dtype, pin_memory=self._is_pinned)
        for place, pairs in zip(places, terms.values(), strict=True):
            lines = flat.narrow(0, rank * place.start, rank * place.width).view(rank, place.width)
            first = 0
            for delta, scale in pairs:
                mine = lines[first : first + delta.rank]
                mine[:, : place.inputs] = delta.down
                mine[:, place.inputs :] = delta.up.T * scale
                first += delta.rank
        return Packed(key, rank, depth, flat)


_Terms = Mapping[str, Sequence[tuple[LowRank, float]]]


def rounded_rank(rank: int, smallest: int = SMALLEST_RANK) -> int:
    """The rank that memory is laid out for and `rank` fits in: a power of two, if `smallest` is one."""
    return max(smallest, 1 << (rank - 1).bit_length())


def _rank(terms: _Terms) -> int:
    return max(sum(delta.rank for delta, _ in pairs) for pairs in terms.values())


def _depends_on_order(adapter: ImageAdapter) -> bool:
    """Whether it matters what was applied before it."""
    return any(isinstance(delta, Dora) for part in adapter.components.values() for delta in part.values())


def _weight(module: nn.Module) -> Tensor:
    weight = base_of(module).weight
    assert isinstance(weight, Tensor)
    return weight
