"""What every blob store here asks of keys, media types and offsets, whatever it could take itself."""

import re

from serve.domain.errors import InvalidRequest

CHUNK_BYTES = 2**20
"""Largest chunk that a store yields; see `ports.ObjectStore.get`."""
MAX_KEY_LENGTH = 512
"""Characters. S3 allows 1024 bytes; what a store adds must fit as well."""
MAX_SEGMENT_LENGTH = 200
"""Characters. File systems allow 255 bytes."""

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[\x20-\x7e]*)?")


def check_key(key: str) -> str:
    """`key`, if it is `/`-separated segments of [A-Za-z0-9._-], none of them `.` or `..`.

    Raises:
        InvalidRequest: otherwise.
    """
    if len(key) > MAX_KEY_LENGTH or not all(_is_segment(segment) for segment in key.split("/")):
        raise InvalidRequest(
            f"a key is segments of letters, digits, '.', '_' and '-' between slashes, at most {MAX_KEY_LENGTH} "
            f"characters and {MAX_SEGMENT_LENGTH} in a segment: {key[:80]!r}",
            "invalid_key",
        )
    return key


def _is_segment(segment: str) -> bool:
    return segment not in (".", "..") and len(segment) <= MAX_SEGMENT_LENGTH and _SEGMENT.fullmatch(segment) is not None


def check_media_type(media_type: str) -> str:
    """`media_type`, if it reads `type/subtype`, with parameters or without, in at most 120 printable characters.

    Raises:
        InvalidRequest: otherwise.
    """
    if len(media_type) > 120 or not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidRequest(f"a media type reads type/subtype: {media_type[:80]!r}", "invalid_media_type")
    return media_type


def check_offset(offset: int) -> int:
    """`offset`, if it is not negative.

    Raises:
        InvalidRequest: otherwise.
    """
    if offset < 0:
        raise InvalidRequest(f"an offset counts bytes from the start of a blob: {offset}", "invalid_offset")
    return offset
