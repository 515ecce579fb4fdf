"""Adapter files of a few bytes, made from names and shapes without a model library."""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from fakes.weights import safetensors_bytes, tensor

Shapes = Mapping[str, tuple[int, ...]]
WIDTHS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "F8_E4M3": 1, "I64": 8}


def adapter_bytes(shapes: Shapes, metadata: Mapping[str, str] | None = None, dtype: str = "F16") -> bytes:
    """A safetensors file of zeros with tensors of these names and shapes."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at = 0
    for name, shape in shapes.items():
        end = at + prod(shape) * WIDTHS[dtype]
        header[name] = tensor(dtype, list(shape), at, end)
        at = end
    return safetensors_bytes(header, bytes(at))


def adapter_folder(
    folder: Path,
    shapes: Shapes,
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    dtype: str = "F16",
) -> Path:
    """The canonical folder of an adapter; `config` is that of PEFT."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(adapter_bytes(shapes, metadata, dtype))
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def lora(stem: str, rank: int = 4, reads: int = 64, gives: int = 64) -> dict[str, tuple[int, ...]]:
    """The two tensors of one linear module, as PEFT names them."""
    return {f"{stem}.lora_A.weight": (rank, reads), f"{stem}.lora_B.weight": (gives, rank)}


def kohya(stem: str, rank: int = 4, reads: int = 64, gives: int = 64) -> dict[str, tuple[int, ...]]:
    """The three tensors of one linear module, as kohya's scripts name them."""
    return {f"{stem}.lora_down.weight": (rank, reads), f"{stem}.lora_up.weight": (gives, rank), f"{stem}.alpha": ()}
