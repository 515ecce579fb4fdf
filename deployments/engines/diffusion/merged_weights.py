"""A UNet's weights under mixtures that no arena holds: computed beside the steps, and kept while there is room.

Computing them takes seconds of a large model, so a thread of its own does it, and whose images want them wait while
others are stepped. What images in the lanes have stays; who finds no room for more waits until some of them are done.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import nn

from deployments.engines.diffusion.merging import Deltas, Merged, num_bytes_of

Want = tuple[str, Deltas]
"""A mixture's key, and what it is made of."""


class MergedWeights:
    """See the module. Used by the engine's thread; `max_bytes` of device memory are for all of them together."""

    def __init__(self, network: nn.Module, max_bytes: int, told: Callable[[], None]) -> None:
        """`told` is called, in another thread, whenever some have been computed, or could not be."""
        self._network, self._max_bytes, self._told = network, max_bytes, told
        self._kept: OrderedDict[str, Merged] = OrderedDict()
        self._coming: dict[str, tuple[int, Future[Merged]]] = {}
        self._failed: dict[str, Exception] = {}
        self._open: set[str] = set()
        self._thread = ThreadPoolExecutor(1, "slipway-merge")
        device = next(network.parameters()).device
        # Steps have the higher priority, as over decoding.
        self._stream = torch.cuda.Stream(device, priority=0) if device.type == "cuda" else None  # type: ignore[no-untyped-call]  # torch's

    @property
    def is_busy(self) -> bool:
        """Whether some are on their way: `told` will be called."""
        return bool(self._coming)

    @property
    def num_bytes(self) -> int:
        """Of device memory, what is on its way included."""
        return sum(merged.num_bytes for merged in self._kept.values()) + sum(size for size, _ in self._coming.values())

    def prepare(self, wanted: Sequence[Want], in_use: Collection[str]) -> None:
        """Have these computed as far as there is room beside those `in_use`; who comes first is served first.

        From the first on for which there is none, all wait, even for what is here: else a mixture that is always in
        use would keep a rare one out for ever.
        """
        self._collect({key for key, _ in wanted})
        self._open = set()
        held = set(in_use)
        for key, deltas in wanted:
            held.add(key)
            if not self._is_underway(key) and not self._begin(key, deltas, held):
                return
            self._open.add(key)

    def get(self, key: str) -> Merged | None:
        """The weights of a mixture that was wanted; None while they are waited for. Raises what computing them did."""
        if (error := self._failed.pop(key, None)) is not None:
            raise error
        if key not in self._open or key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def forget(self, in_use: Collection[str]) -> None:
        """Memory is short: keep what is in use."""
        for key in [key for key in self._kept if key not in in_use]:
            del self._kept[key]

    def close(self) -> None:
        """Compute no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _is_underway(self, key: str) -> bool:
        return key in self._kept or key in self._coming or key in self._failed

    def _begin(self, key: str, deltas: Deltas, held: Collection[str]) -> bool:
        num_bytes = num_bytes_of(self._network, deltas)
        if not self._make_room(num_bytes, held):
            return False
        future = self._thread.submit(self._computed, deltas)
        self._coming[key] = num_bytes, future
        future.add_done_callback(lambda _: self._told())
        return True

    def _make_room(self, num_bytes: int, held: Collection[str]) -> bool:
        """Let go of idle ones, least recently used first. What is over the bound all alone has to come alone."""
        while self.num_bytes + num_bytes > self._max_bytes:
            idle = next((key for key in self._kept if key not in held), None)
            if idle is None:
                return not self._kept and not self._coming
            del self._kept[idle]
        return True

    def _computed(self, deltas: Deltas) -> Merged:
        if self._stream is None:
            return Merged.of(self._network, deltas)
        with torch.cuda.stream(self._stream):
            merged = Merged.of(self._network, deltas)
            self._stream.synchronize()
        return merged

    def _collect(self, wanted: Collection[str]) -> None:
        """Take in what has been computed. A failure is for those who want it now, and for none that comes later."""
        self._failed = {key: error for key, error in self._failed.items() if key in wanted}
        for key, (_, future) in [(key, pair) for key, pair in self._coming.items() if pair[1].done()]:
            del self._coming[key]
            try:
                self._kept[key] = future.result()
            except Exception as error:
                if key in wanted:
                    self._failed[key] = error
