"""What it takes to have an adapter in a batch: milliseconds from its file to the rows that use it, stage by stage.

And what a step costs with adapters in its rows, by the same step without.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn

from benchmarks.adapter_files import FILE, attention_shapes, in_memory, layout_of_network, random_adapter
from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.arena import Arena, Binding
from deployments.engines.diffusion.assembly import blank_rows, native_shape
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.deltas import ImageAdapter
from deployments.engines.diffusion.mixtures import Floorplan, Mixer, Mixture
from deployments.engines.diffusion.predictors import EagerPredictor
from deployments.engines.engine import AdapterFolder

ROWS_THAT_STAY: Final = 2
_MAX_RANK: Final = 128


def bind_ms(unet: nn.Module, folder: Path, rank: int, dtype: torch.dtype, num_adapters: int = 5) -> dict[str, Any]:
    """Medians over some adapters of the stages from the file on; the first pays for what is made once, and is left out.

    `unet` is wrapped by it. Its first parameter says where the arena lies; the others may be on the meta device.
    """
    shapes, layout = attention_shapes(unet), layout_of_network(unet)
    device = next(unet.parameters()).device.type
    files = [_file(folder / str(number), random_adapter(shapes, rank, number, dtype)) for number in range(num_adapters)]
    arena = Arena(unet, Floorplan(unet), max_resident=num_adapters)
    mixer = Mixer(arena.floorplan, _MAX_RANK, dtype, is_pinned=device == "cuda")
    found: dict[str, list[float]] = {}

    def timed(stage: str, run: Callable[[], Any]) -> Any:
        _wait(device)
        began = time.perf_counter()
        result = run()
        _wait(device)
        found.setdefault(stage, []).append(1000 * (time.perf_counter() - began))
        return result

    before: Binding | None = None
    for file in files:
        adapter = timed("read", lambda file=file: read_image_adapter(file, layout, dtype))
        mixture = timed("pack", lambda adapter=adapter: mixer.mix([(adapter, 1.0)]))
        packed = timed("hold", lambda mixture=mixture: arena.hold(mixture, lambda: ()))
        stays = [packed if before is None else before.rows[-1]] * ROWS_THAT_STAY
        before = arena.plan([*stays, packed, packed])
        timed("lay", lambda before=before: arena.bind(before, ROWS_THAT_STAY + 2))
    arena.bind(None)
    return {
        "layers": len(shapes),
        "rank": rank,
        "file_mb": round((files[0].path / FILE).stat().st_size / 1e6, 1),
        **{stage: round(statistics.median(times[1:]), 2) for stage, times in found.items()},
        "bind": round(statistics.median(a + b for a, b in zip(found["hold"][1:], found["lay"][1:], strict=True)), 2),
    }


def shapes_only(config: Mapping[str, Any], dtype: torch.dtype) -> nn.Module:
    """A UNet of which nothing is real but its first layer: enough to lay adapters out for it, at any size."""
    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel(**config).to(dtype)
    first = next(module for module in unet.modules() if list(module.parameters(recurse=False)))
    first.to_empty(device="cpu")
    return unet


@torch.inference_mode()
def step_costs(plain: Bundle, wrapped: Bundle, rank: int, row_counts: Sequence[int], repeats: int) -> dict[str, Any]:
    """Milliseconds of a forward pass by rows: without an arena, and with one that holds nothing, the same adapter for
    all rows, another for each call. Medians, measured in turns. `lay` is what the change of all rows costs, once.
    """
    arena = Arena(wrapped.unet, Floorplan(wrapped.unet), max_resident=64)
    mixtures = _mixtures(wrapped, arena, rank, max(row_counts))
    return {str(rows): _step_cost(plain, wrapped, arena, mixtures, rows, repeats) for rows in row_counts}


def _step_cost(
    plain: Bundle, wrapped: Bundle, arena: Arena, mixtures: Sequence[Mixture], rows: int, repeats: int
) -> dict[str, Any]:
    packed = [arena.hold(mixture, lambda: ()) for mixture in mixtures]
    calls = max(1, rows // 2)
    distinct = [arena.plan([*packed[at : at + calls], *packed[at : at + calls]][:rows]) for at in (0, calls)]
    bindings = {"unbound": None, "shared": arena.plan([packed[0]] * rows), "distinct": distinct[0]}
    inputs = blank_rows(plain, rows, native_shape(plain))
    predictors = EagerPredictor(plain), EagerPredictor(wrapped)
    found: dict[str, list[float]] = {}
    for _ in range(repeats + 1):
        found.setdefault("plain", []).append(_ms(lambda: predictors[0](inputs)))
        for name, binding in bindings.items():
            arena.bind(binding, rows)
            found.setdefault(name, []).append(_ms(lambda: predictors[1](inputs)))
        found.setdefault("lay", []).append(_ms(lambda: arena.bind(distinct[1], rows)))
    ms = {name: statistics.median(times[1:]) for name, times in found.items()}
    kept = statistics.median(a / b for a, b in zip(found["plain"][1:], found["distinct"][1:], strict=True))
    return {name: round(value, 2) for name, value in ms.items()} | {
        "arena": round(ms["distinct"] - ms["plain"], 2),
        "kept": round(kept, 3),
    }


def _mixtures(wrapped: Bundle, arena: Arena, rank: int, num: int) -> list[Mixture]:
    mixer, shapes = Mixer(arena.floorplan, _MAX_RANK, wrapped.dtype), _base_shapes(arena)
    adapters: list[ImageAdapter] = [
        in_memory(f"random-{seed}", random_adapter(shapes, rank, seed, wrapped.dtype)) for seed in range(num)
    ]
    return [mixture for adapter in adapters if (mixture := mixer.mix([(adapter, 1.0)])) is not None]


def _base_shapes(arena: Arena) -> dict[str, tuple[int, int]]:
    """Attention alone."""
    return {place.name: (place.inputs, place.outputs) for place in arena.floorplan.upto(1)}


def _file(folder: Path, tensors: Mapping[str, torch.Tensor]) -> AdapterFolder:
    folder.mkdir(parents=True)
    save_file(dict(tensors), folder / FILE)
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    return AdapterFolder(f"benchmark/{folder.name}@sha256:{digest}", folder, {FILE: digest})


def _ms(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
