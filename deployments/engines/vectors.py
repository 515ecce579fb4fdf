"""What embedding engines share: the spellings of an input, and the form of a vector. Pure."""

import math
import struct
from collections.abc import Sequence

from serve.domain.chat import EmbeddingInput
from serve.domain.errors import InvalidRequest


def embedding_inputs(inputs: EmbeddingInput) -> list[str | list[int]]:
    """The texts, or token ids, one entry each; OpenAI's four spellings made one."""
    given = inputs.input
    if isinstance(given, str):
        return [given]
    if isinstance(given[0], int):
        return [[token for token in given if isinstance(token, int)]]
    return [item for item in given if not isinstance(item, int)]


def embedding_param(inputs: EmbeddingInput, index: int) -> str:
    """The path of input `index`, as the caller wrote it."""
    is_one = isinstance(inputs.input, str) or isinstance(inputs.input[0], int)
    return "input" if is_one else f"input.{index}"


def check_dimensions(wanted: int | None, available: int) -> None:
    """Raises InvalidRequest if more dimensions are asked for than the model has."""
    if wanted is not None and wanted > available:
        raise InvalidRequest(
            f"This model's vectors have {available} dimensions; {wanted} were asked for.",
            "invalid_request",
            "dimensions",
        )


def float32_vector(values: Sequence[float], dimensions: int | None) -> bytes:
    """The first `dimensions` of `values` at unit length, as little-endian float32."""
    kept = values[: dimensions or len(values)]
    norm = math.sqrt(sum(value * value for value in kept)) or 1.0
    return struct.pack(f"<{len(kept)}f", *(value / norm for value in kept))
