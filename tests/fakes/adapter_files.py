"""Tiny adapter files made from bytes alone, and bases that they fit."""

import json
import struct
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

WIDTH = 8
MODULE = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
LANGUAGE_MODULE = "model.layers.0.self_attn.q_proj"


def safetensors(tensors: Mapping[str, tuple[int, ...]], fill: float = 0.5, **metadata: str) -> bytes:
    """A file of F32 tensors, all of whose numbers are `fill`."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, shape in tensors.items():
        num = 1
        for size in shape:
            num *= size
        begin = len(data)
        data += struct.pack("<f", fill) * num
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def image_adapter(fill: float = 0.5, width: int = WIDTH, rank: int = 2, **metadata: str) -> bytes:
    """A diffusers file for an SD 1.5 whose attention is `width` wide."""
    shapes = {f"{MODULE}.lora_A.weight": (rank, width), f"{MODULE}.lora_B.weight": (width, rank)}
    return safetensors(shapes, fill, **metadata)


def sd15_adapter(fill: float = 0.5) -> bytes:
    """A file that tells by the width of its cross-attention that it is for the published SD 1.5."""
    at = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    return safetensors({f"{at}.lora_A.weight": (2, 768), f"{at}.lora_B.weight": (320, 2)}, fill)


def language_adapter(fill: float = 0.5, width: int = WIDTH, rank: int = 2) -> dict[str, bytes]:
    """A PEFT directory for a language model."""
    at = f"base_model.model.{LANGUAGE_MODULE}"
    shapes = {f"{at}.lora_A.weight": (rank, width), f"{at}.lora_B.weight": (width, rank)}
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": ["q_proj"]}
    return {
        "adapter_model.safetensors": safetensors(shapes, fill),
        "adapter_config.json": json.dumps(config).encode(),
    }


def written(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """The files on disk, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


def sha256_of(data: bytes) -> str:
    """Bare hexadecimal."""
    return sha256(data).hexdigest()
