"""Where adapters lie on the device, and how a batch's rows come to have each its own.

Mixtures that are or were lately in use lie whole (the resident). For a step they are laid side by side, a row of the
batch each, in a buffer that the layers look into; this is done when rows change and not at every step, and rows that
stay are left alone. A buffer keeps its place, so that a recorded pass finds there what has been put in since.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn

from deployments.engines.diffusion.layers import LowRankRows, adapt
from deployments.engines.diffusion.mixtures import Floorplan, Mixture, Packed, Place
from deployments.engines.diffusion.rows import Bound

MAX_BUFFERS = 6
"""Shapes of rank and depth that are laid out at the same time; a batch uses one."""
MAX_BUFFER_BYTES = 8 * 2**30
"""Of all of them; the one that a batch uses may be larger. At rank 64 an SDXL model's row takes a third of a GiB."""


@dataclass(slots=True)
class Totals:
    """What was done with mixtures on the device, since the start."""

    num_hits: int = 0
    """A new image's mixture was there already."""
    num_loads: int = 0
    load_seconds: float = 0.0
    num_evicted: int = 0
    num_rows_laid: int = 0
    """Copies of a mixture into a batch's row."""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """What the rows of one batch have: the mixture of each, or None. `is_shared` if they have one and the same."""

    rows: tuple[Packed | None, ...]
    rank: int
    depth: int
    is_shared: bool


class Arena:
    """The adapters of one UNet, whose layers it wraps. Used by the engine's thread alone."""

    def __init__(
        self,
        unet: nn.Module,
        floorplan: Floorplan,
        max_resident: int,
        *,
        can_share: bool = True,
        max_buffer_bytes: int = MAX_BUFFER_BYTES,
    ) -> None:
        """`can_share`: rows that all have one mixture read it from one place. That is another shape of pass, so not
        where passes are compiled and recorded beforehand.
        """
        self.totals = Totals()
        self.floorplan, self._max_resident = floorplan, max_resident
        self._can_share, self._max_buffer_bytes = can_share, max_buffer_bytes
        self._layers = adapt(unet, floorplan.places)
        self._resident: OrderedDict[str, Packed] = OrderedDict()
        self._buffers: OrderedDict[tuple[int, int, bool], _Buffer] = OrderedDict()
        self._num_buffers = 0
        self._binding: Binding | None = None
        self._bound: Bound | None = None
        self._num_bound = 0
        weight = next(unet.parameters())
        self._device, self._dtype = weight.device, weight.dtype

    def __len__(self) -> int:
        return len(self._resident)

    def hold(self, mixture: Mixture, in_use: Callable[[], Collection[str]]) -> Packed | None:
        """The mixture on the device, for as long as its key is among those `in_use`; None if no row is to have it.

        Whose key is not may have to make room for it.
        """
        if mixture.packed is None:
            return None
        found = self._resident.get(mixture.key)
        if found is not None:
            self._resident.move_to_end(mixture.key)
            self.totals.num_hits += 1
            return found
        began = time.perf_counter()
        loaded = self._resident[mixture.key] = self._loaded(mixture.packed)
        self.totals.num_loads += 1
        self.totals.load_seconds += time.perf_counter() - began
        if len(self._resident) > self._max_resident:
            self._evict({mixture.key, *in_use()}, self._max_resident)
        return loaded

    def _loaded(self, packed: Packed) -> Packed:
        """On the stream of the steps, where nothing runs now: waiting for it costs nothing that is not paid anyway."""
        flat = packed.flat.to(self._device, non_blocking=True)
        if flat.is_cuda:
            torch.cuda.current_stream(self._device).synchronize()
        return Packed(packed.key, packed.rank, packed.depth, flat)

    def _evict(self, in_use: Collection[str], most: int) -> None:
        """Let go of idle mixtures, least recently used first, while there are more than `most`."""
        idle = [key for key in self._resident if key not in in_use]
        for key in idle[: max(0, len(self._resident) - most)]:
            del self._resident[key]
            self.totals.num_evicted += 1

    def counters(self) -> dict[str, float]:
        """Of mixtures on the device: there now, found there, brought there, and in how long; let go; laid into rows."""
        totals = self.totals
        return {
            "mixtures_loaded": len(self._resident),
            "mixture_hits_total": totals.num_hits,
            "mixture_loads_total": totals.num_loads,
            "mixture_load_seconds_total": totals.load_seconds,
            "mixtures_evicted_total": totals.num_evicted,
            "mixture_rows_laid_total": totals.num_rows_laid,
        }

    def forget(self, in_use: Collection[str]) -> None:
        """Memory is short: keep what is in use."""
        self._evict(in_use, 0)
        self.bind(None)
        self._buffers.clear()

    def plan(self, mixtures: Sequence[Packed | None]) -> Binding | None:
        """What a batch of these rows will need; None if no row has any."""
        present = [packed for packed in mixtures if packed is not None]
        if not present:
            return None
        are_equal = len(present) == len(mixtures) and len({packed.key for packed in present}) == 1
        rank, depth = max(packed.rank for packed in present), max(packed.depth for packed in present)
        return Binding(tuple(mixtures), rank, depth, are_equal and self._can_share)

    def blank(self, num_rows: int, rank: int, depth: int) -> Binding:
        """What a batch of `num_rows` without adapters would need for room: for rehearsals."""
        return Binding((None,) * num_rows, rank, depth, is_shared=False)

    def bind(self, binding: Binding | None, num_rows: int = 0) -> Bound | None:
        """Have the layers see `binding` from now on, in passes of `num_rows`. What is added to rows beyond its own is
        of no matter.
        """
        if binding is not self._binding or num_rows != self._num_bound:
            self._num_bound = _UNSURE
            bound = None if binding is None else self._laid(binding, num_rows)
            if bound is None and self._bound is not None:
                self._show({})
            # Last of all: after a failure halfway every row is in doubt, those of the binding before too.
            self._bound, self._binding, self._num_bound = bound, binding, num_rows
        return self._bound

    def _laid(self, binding: Binding, num_rows: int) -> Bound:
        buffer = self._buffer(binding, num_rows)
        for row, packed in enumerate(binding.rows[:1] if binding.is_shared else binding.rows):
            self.totals.num_rows_laid += buffer.put(row, packed)
        self._show(buffer.views(1 if binding.is_shared else num_rows))
        return binding.rank, binding.is_shared, binding.depth, buffer.number

    def _buffer(self, binding: Binding, num_rows: int) -> "_Buffer":
        key = binding.rank, binding.depth, binding.is_shared
        buffer = self._buffers.get(key)
        needed = 1 if binding.is_shared else num_rows
        if buffer is None or len(buffer.held) < needed:
            num_rows, width = 1 << (needed - 1).bit_length(), binding.rank * self.floorplan.width(binding.depth)
            self._make_room(key, num_rows * width * self._dtype.itemsize)
            flat = torch.zeros(num_rows, width, dtype=self._dtype, device=self._device)
            self._num_buffers += 1
            buffer = self._buffers[key] = _Buffer(
                self._num_buffers, binding.rank, self.floorplan.upto(binding.depth), flat
            )
        self._buffers.move_to_end(key)
        return buffer

    def _make_room(self, key: tuple[int, int, bool], num_bytes: int) -> None:
        """For another buffer: that of its shape, which is too small, goes, and then the least recently used."""
        self._show({})  # what the layers see stays in memory
        self._buffers.pop(key, None)
        while self._buffers and (
            len(self._buffers) >= MAX_BUFFERS
            or num_bytes + sum(each.flat.nbytes for each in self._buffers.values()) > self._max_buffer_bytes
        ):
            self._buffers.popitem(last=False)

    def _show(self, views: "Views") -> None:
        for name, layer in self._layers.items():
            layer.bound = views.get(name)


Views = dict[str, LowRankRows]
_UNSURE = -1
"""No count of rows: whatever is asked for next is laid anew."""
_BROKEN = "?"
"""What a row holds whose writing failed halfway."""


@dataclass(slots=True, eq=False)
class _Buffer:
    """Rows of one rank and depth, side by side."""

    number: int
    rank: int
    places: Sequence[Place]
    flat: Tensor
    """[rows, rank * width]"""
    held: list[str | None] = field(init=False)
    """By row, which mixture is there."""
    _views: dict[int, Views] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.held = [None] * len(self.flat)

    def views(self, num_rows: int) -> Views:
        """What each layer is to see in passes of `num_rows`."""
        if num_rows not in self._views:
            sizes = [self.rank * place.width for place in self.places]
            pieces = torch.split_with_sizes(self.flat[:num_rows], sizes, dim=1)
            self._views[num_rows] = {
                place.name: _view(piece.view(num_rows, self.rank, place.width), place)
                for place, piece in zip(self.places, pieces, strict=True)
            }
        return self._views[num_rows]

    def put(self, row: int, packed: Packed | None) -> bool:
        """Have `row` hold `packed`, or nothing; False if it does already."""
        key = None if packed is None else packed.key
        if self.held[row] == key:
            return False
        target, self.held[row] = self.flat[row], _BROKEN
        if packed is not None and packed.rank == self.rank:
            target[: len(packed.flat)] = packed.flat
            target[len(packed.flat) :].zero_()
        else:
            target.zero_()
        if packed is not None and packed.rank < self.rank:
            self._widen(target, packed)
        self.held[row] = key
        return True

    def _widen(self, target: Tensor, packed: Packed) -> None:
        """Each layer's lines into the first of its lines here."""
        widths = [place.width for place in self.places if place.depth <= packed.depth]
        rest = self.rank - packed.rank
        both = chain.from_iterable((packed.rank * width, rest * width) for width in widths)
        lines = torch.split_with_sizes(target[: self.rank * sum(widths)], list(both))[::2]
        given = torch.split_with_sizes(packed.flat, [packed.rank * width for width in widths])
        torch._foreach_copy_(lines, given)


def _view(lines: Tensor, place: Place) -> LowRankRows:
    """lines [n, r, in + out] as a layer looks at them."""
    return LowRankRows(lines[:, :, : place.inputs], lines[:, :, place.inputs :].transpose(1, 2))
