"""What one would write around diffusers to serve adapters: three systems, over stock pipelines.

All leave the text encoder out, since PEFT's mixed batches know nothing of it.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any, Final, Protocol

from peft.tuners.lora import LoraLayer
from torch import nn

from benchmarks.adapter_calls import AdapterCall
from benchmarks.adapter_files import FILE, Stored
from benchmarks.painters import stock_pictures
from benchmarks.picture_calls import Pixels

MAX_MODELS: Final = 3
"""`max_num_models_per_replica` of Ray Serve's `multiplexed`, unless it is set."""


class System(Protocol):
    """A server of pictures with adapters, in this process."""

    def paint(self, calls: Sequence[AdapterCall]) -> list[Pixels]:
        """All of `calls`, in their order."""
        ...


class Plain:
    """A stock pipeline that knows no adapters, so many calls at a time: what the others are measured by."""

    def __init__(self, pipeline: Any, side: int, batch_size: int = 1) -> None:
        self._pipeline, self._side, self._batch_size = pipeline, side, batch_size

    def paint(self, calls: Sequence[AdapterCall]) -> list[Pixels]:
        """See System."""
        return [pixels for batch in _batches(calls, self._batch_size) for pixels in self._paint(batch)]

    def _paint(self, batch: Sequence[AdapterCall]) -> list[Pixels]:
        return stock_pictures(self._pipeline, batch, self._side, self._side)


class LoadedByCall(Plain):
    """One call after the other; where the adapter is another one, the last is unloaded and the next loaded. That is
    what diffusers' documentation has for adapters by request.
    """

    def __init__(self, pipeline: Any, side: int, stored: Sequence[Stored]) -> None:
        super().__init__(pipeline, side)
        self._stored = stored
        self._loaded: int | None = None
        self.change_seconds: list[float] = []

    def _paint(self, batch: Sequence[AdapterCall]) -> list[Pixels]:
        [call] = batch
        if call.adapter != self._loaded:
            began = perf_counter()
            self.change(call.adapter)
            self.change_seconds.append(perf_counter() - began)
        return super()._paint(batch)

    def change(self, adapter: int | None) -> None:
        """From whatever is loaded to `adapter`."""
        if self._loaded is not None:
            self._pipeline.unload_lora_weights()
        if adapter is not None:
            load(self._pipeline, self._stored[adapter])
        self._loaded = adapter


class Multiplexed(Plain):
    """The policy of Ray Serve's `multiplexed`: the last few models are kept, the least recently used goes, used or not;
    one is loaded at a time, and calls go one after the other. A model is the one pipeline with an adapter loaded beside
    the others: a pipeline each would load the base anew. It is that policy and not Ray, whose own cost would only
    slow it.
    """

    def __init__(self, pipeline: Any, side: int, stored: Sequence[Stored], max_models: int = MAX_MODELS) -> None:
        super().__init__(pipeline, side)
        self._stored, self._max_models = stored, max_models
        self._kept: OrderedDict[int, str] = OrderedDict()

    def _paint(self, batch: Sequence[AdapterCall]) -> list[Pixels]:
        [call] = batch
        if call.adapter is not None:
            self._pipeline.set_adapters(self._model(call.adapter))
        return super()._paint(batch)

    def _model(self, adapter: int) -> str:
        if adapter not in self._kept:
            if len(self._kept) >= self._max_models:
                self._pipeline.delete_adapters(self._kept.popitem(last=False)[1])
            self._kept[adapter] = f"adapter_{adapter}"
            load(self._pipeline, self._stored[adapter], self._kept[adapter])
        self._kept.move_to_end(adapter)
        return self._kept[adapter]


class MixedBatches(Plain):
    """PEFT's mixed batches: all adapters lie in the UNet, and each row of a static batch names its own. diffusers does
    not offer it; PEFT's models do it with these very hooks.
    """

    def __init__(self, pipeline: Any, side: int, stored: Sequence[Stored], batch_size: int) -> None:
        super().__init__(pipeline, side, batch_size)
        began = perf_counter()
        for number, each in enumerate(stored):
            load(pipeline, each, _name(number))
        self.load_seconds = perf_counter() - began

    def _paint(self, batch: Sequence[AdapterCall]) -> list[Pixels]:
        names = ["__base__" if call.adapter is None else _name(call.adapter) for call in batch]
        # With guidance a pipeline has all rows without the prompt first, then those with it.
        with naming_rows(self._pipeline.unet, names * (2 if batch[0].is_guided else 1)):
            return super()._paint(batch)


def load(pipeline: Any, stored: Stored, name: str | None = None) -> None:
    """diffusers' own way."""
    pipeline.load_lora_weights(stored.path.parent, weight_name=FILE, adapter_name=name)


@contextmanager
def naming_rows(network: nn.Module, names: list[str]) -> Iterator[None]:
    """Passes whose rows have these adapters, as PEFT's models do it for `adapter_names`; without names, any."""
    handles = [
        module.register_forward_pre_hook(partial(_name_rows, names), with_kwargs=True)
        for module in network.modules()
        if names and isinstance(module, LoraLayer)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _name_rows(names: list[str], module: nn.Module, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return given, named | {"adapter_names": names}


def _name(number: int) -> str:
    return f"adapter_{number}"


def _batches(calls: Sequence[AdapterCall], size: int) -> Iterator[Sequence[AdapterCall]]:
    for begin in range(0, len(calls), size):
        yield calls[begin : begin + size]
