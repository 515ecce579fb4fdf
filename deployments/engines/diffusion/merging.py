"""Adapters worked into a network's weights: what runs everything that no low-rank term can express.

The network then answers as one model of its own, for all rows alike. Changed weights are computed once for a mixture,
lie beside the base's, and take their place by pointer for the duration of a step: the base is never written to.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import ClassVar, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from deployments.engines.diffusion.deltas import Delta, ImageAdapter
from deployments.engines.diffusion.layers import base_of

Deltas = Mapping[str, Sequence[tuple[Delta, float]]]
"""By module, as adapters name it: the differences in the order in which they apply, each with its scale."""


class HasBytes(Protocol):
    """What can be kept for its size."""

    @property
    def num_bytes(self) -> int:
        """Of the memory that it takes."""
        ...


T = TypeVar("T", bound=HasBytes)


class Recent(Generic[T]):
    """The most recently used values, `max_bytes` of them altogether. Used by one thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._num_bytes = 0

    @property
    def num_bytes(self) -> int:
        """Of all that is kept."""
        return self._num_bytes

    def get(self, key: Hashable) -> T | None:
        """What was kept under `key`, if it still is."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def keep(self, key: Hashable, value: T) -> T:
        """Keep `value`, unless it is over the bound all alone."""
        if key in self._values:
            self._forget(key)
        while self._values and self._num_bytes + value.num_bytes > self._max_bytes:
            self._forget(next(iter(self._values)))
        if value.num_bytes <= self._max_bytes:
            self._values[key] = value
            self._num_bytes += value.num_bytes
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._num_bytes = 0

    def _forget(self, key: Hashable) -> None:
        self._num_bytes -= self._values.pop(key).num_bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Swap:
    """One parameter: what is there, and what is put in its place. `base` is None where the layer has none."""

    module: nn.Module
    name: str
    base: Tensor | None
    changed: Tensor

    def put(self) -> None:
        parameter = self.module._parameters[self.name]
        if parameter is None:
            self.module._parameters[self.name] = nn.Parameter(self.changed, requires_grad=False)
        else:
            # Its data and not the parameter: compiled code asks whether it is still the same object.
            parameter.data = self.changed

    def take_back(self) -> None:
        parameter = self.module._parameters[self.name]
        if self.base is None:
            self.module._parameters[self.name] = None
        elif parameter is not None:
            parameter.data = self.base


class Merged:
    """A network's weights under one mixture of adapters."""

    _lock: ClassVar[Lock] = Lock()
    _applied: ClassVar["WeakKeyDictionary[nn.Module, Merged]"] = WeakKeyDictionary()
    """Networks that have others' weights at this moment."""

    def __init__(self, network: nn.Module, swaps: Sequence[_Swap]) -> None:
        self._network, self._swaps = network, swaps
        self._bases = {(swap.module, swap.name): swap.base for swap in swaps}

    @property
    def num_bytes(self) -> int:
        """Of device memory, beside the base's."""
        return sum(swap.changed.nbytes for swap in self._swaps)

    @classmethod
    def of(cls, network: nn.Module, deltas: Deltas) -> "Merged":
        """Compute the weights of `network` with `deltas`, in float32 and from the base, whatever is applied to it at
        this moment; so any thread may. Modules may be wrapped.
        """
        # Weights made in inference mode could not take a parameter's place.
        with torch.inference_mode(False), torch.no_grad():
            return cls(network, [swap for name, changes in deltas.items() for swap in _swaps(network, name, changes)])

    @classmethod
    def base(cls, network: nn.Module, module: nn.Module, name: str) -> Tensor | None:
        """A parameter of a module of `network`, as it was loaded; None where there is none."""
        with cls._lock:
            applied = cls._applied.get(network)
            if applied is not None and (module, name) in applied._bases:
                return applied._bases[module, name]
            parameter = module._parameters.get(name)
            return None if parameter is None else parameter.data

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network with these weights; on leaving, whatever happened, the base's again.

        Raises:
            RuntimeError: it has other weights already.
        """
        with self._lock:
            if self._network in self._applied:
                raise RuntimeError("this network has other weights in place already")
            self._applied[self._network] = self
        try:
            with self._lock:
                for swap in self._swaps:
                    swap.put()
            yield
        finally:
            with self._lock:
                for swap in self._swaps:
                    swap.take_back()
                del self._applied[self._network]


def deltas_of(adapters: Sequence[tuple[ImageAdapter, float]], component: str) -> dict[str, list[tuple[Delta, float]]]:
    """What `adapters` (each with its scale) do to one network, by module, in their order."""
    found: dict[str, list[tuple[Delta, float]]] = {}
    for adapter, scale in adapters:
        for name, delta in adapter.components.get(component, {}).items():
            found.setdefault(name, []).append((delta, scale))
    return found


def module_name(network: nn.Module, name: str) -> str:
    """Where `network` has the module that adapters call `name`.

    Checkpoints name a text encoder's modules below `text_model`; transformers has dropped that level of some classes.
    """
    bare = name.removeprefix("text_model.")
    return bare if bare != name and not hasattr(network, "text_model") else name


def num_bytes_of(network: nn.Module, deltas: Deltas) -> int:
    """What merging `deltas` will take, biases left aside."""
    weights = (base_of(network.get_submodule(module_name(network, name))).weight for name in deltas)
    return sum(weight.nbytes for weight in weights if isinstance(weight, Tensor))


def _swaps(network: nn.Module, name: str, changes: Sequence[tuple[Delta, float]]) -> Iterator[_Swap]:
    module = base_of(network.get_submodule(module_name(network, name)))
    weight, bias = Merged.base(network, module, "weight"), Merged.base(network, module, "bias")
    assert weight is not None
    changed = weight.float()
    for delta, scale in changes:
        changed = delta.onto(changed, weight, scale)
    yield _Swap(module, "weight", weight, torch.empty_like(weight).copy_(changed))
    terms = [term for delta, scale in changes if (term := delta.bias(bias, scale)) is not None]
    if terms:
        like = weight.new_zeros(weight.shape[0]) if bias is None else bias
        total = like.float() + sum(term.to(like.device) for term in terms)
        yield _Swap(module, "bias", bias, total.to(like.dtype))
