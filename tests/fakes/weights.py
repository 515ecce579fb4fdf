"""Small weights: honest ones, and the parts that dishonest ones are made of."""

import json
import struct
from typing import Any


def safetensors_bytes(header: dict[str, Any] | bytes | None = None, data: bytes = b"\0" * 16) -> bytes:
    """A safetensors file; by default one tensor of 2x2 float32."""
    if header is None:
        header = {"w": tensor("F32", [2, 2], 0, 16)}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[Any], begin: int, end: int) -> dict[str, Any]:
    """One entry of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def model_files(num_bytes: int = 200_000) -> dict[str, bytes]:
    """An honest model: configuration, tokenizer and weights of about this size."""
    size = num_bytes // 4 * 4
    header = {"w": tensor("F32", [size // 4], 0, size)}
    pattern = bytes(range(251)) * (size // 251 + 1)
    return {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b"{}",
        "model.safetensors": safetensors_bytes(header, pattern[:size]),
    }
