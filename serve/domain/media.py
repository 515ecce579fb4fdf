"""Assets: stored blobs with what must be known about them without opening them."""

from dataclasses import dataclass

from serve.domain.names import AssetId

INLINE_LIMIT_BYTES = 64 * 1024
"""An output up to this size is a value in the answer; a larger one becomes an asset."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A tenant's blob. `sha256` is bare hexadecimal; width and height are pixels, seconds are of play time."""

    id: AssetId
    sha256: str
    media_type: str
    num_bytes: int
    created_ms: int
    name: str | None = None
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
