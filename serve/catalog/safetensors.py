"""Whether a safetensors file is what it says, by its header alone: before anything maps it.

Format: 8 bytes little-endian header length, the header (JSON), the tensors' bytes without holes. The format's own
implementations allow headers of 100 MB; the largest honest ones are a few megabytes, so ours is 16.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from serve.catalog.sources.source import refusal

MAX_HEADER_BYTES = 16 * 2**20
MAX_DIMENSIONS = 16
MAX_SIZE = 2**48
"""Elements of one dimension or tensor. More is no tensor that fits a machine."""

_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a header. `begin` and `end` count from the first byte of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself, after it was checked."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


class _Malformed(Exception):
    """What is wrong with the header, as (code, sentence)."""


def check_safetensors(path: Path, name: str) -> None:
    """Read the header of `path` and believe nothing. `name` is what the file is called in sentences.

    Raises:
        InvalidRequest: safetensors_header_too_large, safetensors_truncated, safetensors_invalid_header,
            safetensors_duplicate_key, safetensors_invalid_shape, safetensors_invalid_size, safetensors_overlap,
            safetensors_hole.
    """
    read_header(path, name)


def read_header(path: Path, name: str) -> Header:
    """The header of `path`, checked. Raises what `check_safetensors` does."""
    with path.open("rb") as stream:
        return header_of(stream, path.stat().st_size, name)


def header_of(stream: BinaryIO, num_bytes: int, name: str) -> Header:
    """The header of a file of `num_bytes` that begins where `stream` is. Raises what `check_safetensors` does."""
    try:
        header, data_at = _header(stream, num_bytes)
        metadata = _metadata(header)
        _check_layout(header, num_bytes - data_at)
    except _Malformed as error:
        code, why = error.args
        raise refusal(f"safetensors_{code}", f"{name} is not loaded: {why}") from None
    return Header({key: _tensor(entry, data_at) for key, entry in header.items()}, metadata)


def _tensor(entry: dict[str, Any], data_at: int) -> Tensor:
    begin, end = entry["data_offsets"]
    return Tensor(entry["dtype"], tuple(entry["shape"]), data_at + begin, data_at + end)


def _header(stream: BinaryIO, num_bytes: int) -> tuple[dict[str, Any], int]:
    prefix = stream.read(8)
    if len(prefix) < 8:
        raise _Malformed("truncated", "it is shorter than the 8 bytes that every safetensors file begins with")
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER_BYTES:
        raise _Malformed("header_too_large", f"its header says {length} bytes; {MAX_HEADER_BYTES} are read")
    if 8 + length > num_bytes:
        raise _Malformed("truncated", f"its header says {length} bytes, and the file has {num_bytes}")
    return _parse(stream.read(length)), 8 + length


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise _Malformed("invalid_header", "its header is not JSON in UTF-8") from None
    if not text.startswith(b"{") or not isinstance(header, dict):
        raise _Malformed("invalid_header", "its header is not a JSON object")
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Malformed("duplicate_key", "its header has a key twice, so that two readers see two files")
    return made


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Malformed("invalid_header", "its __metadata__ is not text by name")
    return metadata


def _check_layout(header: dict[str, Any], num_data_bytes: int) -> None:
    """Tensors lie end to end from the first data byte to the last."""
    spans = sorted(_span(name, entry) for name, entry in header.items())
    at = 0
    for begin, end, name in spans:
        if begin < at:
            raise _Malformed("overlap", f"the bytes of {name!r} overlap those of another tensor")
        if begin > at:
            raise _Malformed("hole", f"{begin - at} bytes before {name!r} belong to no tensor")
        at = end
    if at > num_data_bytes:
        raise _Malformed("truncated", f"its tensors take {at} bytes, and the file has {num_data_bytes}")
    if at < num_data_bytes:
        raise _Malformed("hole", f"{num_data_bytes - at} bytes after the last tensor belong to none")


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    shown = name[:120]
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Malformed("invalid_header", f"{shown!r} is not described by dtype, shape and data_offsets")
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _Malformed("invalid_header", f"{shown!r} has a dtype that safetensors has not: {str(dtype)[:40]}")
    num_elements = _num_elements(shown, entry["shape"])
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(o) for o in offsets):
        raise _Malformed("invalid_size", f"the offsets of {shown!r} are not two counts of bytes")
    begin, end = offsets
    if (end - begin) * 8 != num_elements * _BITS[dtype]:
        raise _Malformed("invalid_size", f"{shown!r} has {end - begin} bytes for {num_elements} elements of {dtype}")
    return begin, end, shown


def _num_elements(name: str, shape: Any) -> int:
    is_list = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
    if not is_list or not all(_is_count(n) and n <= MAX_SIZE for n in shape):
        raise _Malformed("invalid_shape", f"the shape of {name!r} is none that a tensor has")
    num_elements: int = prod(shape)
    if num_elements > MAX_SIZE:
        raise _Malformed("invalid_shape", f"the shape of {name!r} is of {num_elements} elements")
    return num_elements


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
