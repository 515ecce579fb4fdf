"""From an adapter's files to what the engine applies: tensors are views into the bytes that were checked."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from deployments.engines.adapter_files import contents_in, verified_files
from deployments.engines.diffusion.deltas import Conv, Delta, Dora, Factors, Full, ImageAdapter, LoHa, LoKr, LowRank
from deployments.engines.engine import AdapterFolder
from serve.catalog.adapters.fit import misfit
from serve.catalog.adapters.modules import WEIGHTS_FILE, AdapterModule
from serve.catalog.layouts import Layout
from serve.catalog.safetensors import Header
from serve.domain.adapters import AdapterFormat
from serve.domain.errors import Unprocessable

_DTYPES: Final = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I32": torch.int32,
    "I64": torch.int64,
}


def read_image_adapter(folder: AdapterFolder, layout: Layout, dtype: torch.dtype) -> ImageAdapter:
    """The adapter in `folder`, checked against `layout`; low-rank terms are in `dtype`, all else as it was stored.

    Raises:
        InvalidRequest: `adapter_changed`, or what `read_adapter` raises.
        Unprocessable: `wrong_base`.
    """
    files = verified_files(folder)
    header, contents = contents_in(files)
    weights = _WeightsFile(header, torch.frombuffer(files[WEIGHTS_FILE], dtype=torch.uint8))
    if why := misfit(contents.modules, layout):
        raise Unprocessable(f"The adapter {folder.id} does not fit this model: {why}.", "wrong_base", "adapters")
    is_kohya = contents.facts.format is AdapterFormat.KOHYA
    components: dict[str, dict[str, Delta]] = {}
    for module in contents.modules:
        components.setdefault(module.component, {})[module.module] = _Parts(module, weights, dtype, is_kohya).delta()
    return ImageAdapter(folder.id, components, _num_bytes(components))


@dataclass(frozen=True, slots=True)
class _WeightsFile:
    """A safetensors file in memory: `data` is all of its bytes, which are ours to write to."""

    header: Header
    data: Tensor

    def tensor(self, name: str) -> Tensor:
        """A view, where the tensor lies as its dtype must."""
        entry = self.header.tensors[name]
        dtype, data = _DTYPES[entry.dtype], self.data[entry.begin : entry.end]
        if data.storage_offset() % dtype.itemsize:
            data = data.clone()
        return data.view(dtype).view(entry.shape)


@dataclass(frozen=True, slots=True)
class _Parts:
    """One module's tensors, and what they come to."""

    module: AdapterModule
    weights: _WeightsFile
    dtype: torch.dtype
    is_kohya: bool

    def delta(self) -> Delta:
        """The module's change, whatever kind it is."""
        parts = self.module.tensors
        inner = self._inner("magnitude" in parts)
        if "magnitude" not in parts:
            return inner
        magnitude = self._tensor("magnitude")
        # LyCORIS tells the two apart by where the size of one is; PEFT's is always by output.
        is_by_input = self.is_kohya and magnitude.ndim > 1 and magnitude.shape[0] != self.module.out_features
        return Dora(inner, magnitude.flatten(), is_by_input)

    def _inner(self, is_stretched: bool) -> Delta:
        parts = self.module.tensors
        if "hada_w1_a" in parts:
            first = Factors(self._tensor("hada_w1_a"), self._tensor("hada_w1_b"), self._any("hada_t1"))
            second = Factors(self._tensor("hada_w2_a"), self._tensor("hada_w2_b"), self._any("hada_t2"))
            return LoHa(first, second, self._scale())
        if "lokr_w1" in parts or "lokr_w1_a" in parts:
            return LoKr(self._kron_factor("lokr_w1"), self._kron_factor("lokr_w2", "lokr_t2"), self._scale())
        if "down" not in parts:
            return Full(self._any("weight_diff"), self._any("bias_diff"))
        if self.module.kernel is not None or "mid" in parts:
            return Conv(self._kernel(), self._scale())
        return self._low_rank(None if is_stretched else self.dtype)

    def _low_rank(self, dtype: torch.dtype | None) -> LowRank:
        """In `dtype`, or as it was stored. The scale goes into `up` where it cannot vanish, as in float16 it could."""
        down, up, scale = self._tensor("down").flatten(1), self._tensor("up").flatten(1), self._scale()
        if scale != 1.0:
            up = up.float().mul_(scale) if up.dtype == torch.float16 else up.mul_(scale)
        return LowRank(down.to(dtype or down.dtype), up.to(dtype or up.dtype))

    def _kernel(self) -> Factors:
        down, up, mid = self._tensor("down"), self._tensor("up"), self._any("mid")
        return (
            Factors(up.flatten(1), down.flatten(1)) if mid is None else Factors(up.flatten(1).T, down.flatten(1), mid)
        )

    def _kron_factor(self, name: str, core: str = "") -> Factors:
        if name in self.module.tensors:
            return Factors(self._tensor(name))
        return Factors(self._tensor(f"{name}_a"), self._tensor(f"{name}_b"), self._any(core))

    def _scale(self) -> float:
        """Alpha over rank. Two whole Kronecker factors have no rank to divide by, and LyCORIS ignores alpha then."""
        module = self.module
        has_rank = not {"lokr_w1", "lokr_w2"} <= module.tensors.keys()
        if module.scale is not None:
            return module.scale
        alpha = self._any("alpha") if has_rank else None
        return 1.0 if alpha is None else float(alpha) / module.rank

    def _tensor(self, part: str) -> Tensor:
        return self.weights.tensor(self.module.tensors[part])

    def _any(self, part: str) -> Tensor | None:
        return self._tensor(part) if part in self.module.tensors else None


def _num_bytes(components: dict[str, dict[str, Delta]]) -> int:
    """Of the memory that is held: a view holds all that it looks into."""
    deltas = (delta for modules in components.values() for delta in modules.values())
    storages = (tensor.untyped_storage() for delta in deltas for tensor in delta.tensors())
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
