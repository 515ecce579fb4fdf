"""The texts in a file's Exif block, whatever their tags: where tools keep what the picture was made with.

Read by offset, without a decoder. What is damaged has no texts.
Sources: Exif 2.32 section 4.6 (a TIFF header, directories of entries); RFC 9649 (WebP); ITU T.81 annex B (JPEG).
"""

import struct
from collections.abc import Iterator

_ASCII, _UNDEFINED = 2, 7
_EXIF_DIRECTORY, _USER_COMMENT = 0x8769, 0x9286
_MAX_ENTRIES = 256
_MAX_PARTS = 4096
_CHARSETS = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16-be", b"\0" * 8: "utf-8"}


def read_exif_texts(data: bytes) -> list[str]:
    """The texts of a JPEG or WebP file; empty for any other, and for what cannot be read."""
    try:
        blocks = _of_webp(data) if data[8:12] == b"WEBP" else _of_jpeg(data)
        return [text for block in blocks for text in _texts(block)]
    except (struct.error, IndexError):
        return []


def _of_webp(data: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            yield data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
            return
        at += 8 + length + length % 2


def _of_jpeg(data: bytes) -> Iterator[bytes]:
    at = 2
    for _ in range(_MAX_PARTS):
        if data[at] != 0xFF or data[at + 1] in (0xDA, 0xD9):
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            yield data[at + 10 : at + 2 + length]
            return
        at += 2 + max(length, 2)


def _texts(block: bytes) -> Iterator[str]:
    """Of the first directory, and of the one for pictures that it may name."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return
    (at,) = struct.unpack_from(order + "I", block, 4)
    for tag, kind, value in _entries(block, order, at):
        if kind == _ASCII:
            yield value.partition(b"\0")[0].decode("utf-8", "replace")
        elif tag == _EXIF_DIRECTORY and len(value) >= 4:
            (inner,) = struct.unpack(order + "I", value[:4])
            yield from _comments(block, order, inner)


def _comments(block: bytes, order: str, at: int) -> Iterator[str]:
    for tag, kind, value in _entries(block, order, at):
        charset = _CHARSETS.get(value[:8])
        if tag == _USER_COMMENT and kind == _UNDEFINED and charset is not None:
            yield value[8:].decode(charset, "replace").rstrip("\0")


def _entries(block: bytes, order: str, at: int) -> Iterator[tuple[int, int, bytes]]:
    """(tag, type, bytes) of a directory: bytes that are not there are left out."""
    (count,) = struct.unpack_from(order + "H", block, at)
    for index in range(min(count, _MAX_ENTRIES)):
        place = at + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", block, place)
        if kind not in (_ASCII, _UNDEFINED):
            yield tag, kind, block[place + 8 : place + 12]
        elif length <= 4:
            yield tag, kind, block[place + 8 : place + 8 + length]
        else:
            (start,) = struct.unpack_from(order + "I", block, place + 8)
            yield tag, kind, block[start : start + length]
