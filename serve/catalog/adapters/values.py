"""Whether an adapter's numbers are numbers: one NaN in a weight makes every picture of a batch black."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from serve.catalog.adapters.modules import refused
from serve.catalog.safetensors import Tensor, read_header

_CHUNK_BYTES = 4 * 2**20
_EXPONENTS: dict[str, tuple[type[np.unsignedinteger], int]] = {
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F32": (np.uint32, 0x7F80_0000),
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
}
"""A float whose exponent is all ones is an infinity or no number, in every one of these."""


def check_finite(path: Path) -> None:
    """Read every number of the safetensors file at `path`; the header is checked before. About a second per gigabyte.

    Raises:
        InvalidRequest: adapter_not_finite, or a code of `check_safetensors`.
    """
    header = read_header(path, path.name)
    with path.open("rb") as stream:
        for name, tensor in header.tensors.items():
            if tensor.dtype in _EXPONENTS and not _is_finite(stream, tensor):
                raise refused(
                    "adapter_not_finite", f"{name[:120]!r} has numbers that are infinite or none (NaN): train it anew"
                )


def _is_finite(stream: BinaryIO, tensor: Tensor) -> bool:
    kind, exponent = _EXPONENTS[tensor.dtype]
    stream.seek(tensor.begin)
    num_left = tensor.end - tensor.begin
    while num_left:
        chunk = stream.read(min(_CHUNK_BYTES, num_left))
        if not chunk:
            raise refused("safetensors_truncated", "the file became shorter while it was read")
        numbers = np.frombuffer(chunk, np.dtype(kind).newbyteorder("<"))
        if ((numbers & kind(exponent)) == kind(exponent)).any():
            return False
        num_left -= len(chunk)
    return True
