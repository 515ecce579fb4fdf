"""The size and the orientation that a PNG, JPEG or WebP file declares, read without decompressing.

Written out here because a decoder must not see a file before its declared size is known: decoders allocate by it. Nor
one of more parts than a picture needs: decoders spend time on each, whatever it holds, so that a megabyte of them costs
minutes (of JPEG's scans each goes over the whole picture again).
Sources: PNG (W3C, third edition) section 11; ITU T.81 annex B; RFC 9649 (WebP); Exif 2.32 section 4.6.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
"""Orientations whose width is the stored height."""
_MAX_PARTS = 4096
"""Segments or chunks that are walked; an honest header has a few dozen."""
_MAX_DATA_CHUNKS = 65_536
"""Of a PNG: 32 MB in pieces of 512 bytes."""
_MAX_SCANS = 64
"""Of a JPEG: encoders make a dozen."""
_MAX_FILLING = 16
"""Bytes that pad a JPEG's marker."""


class Malformed(Exception):
    """What is wrong with a header, in words that go on from "the file"."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file declares. `width` and `height` are as stored; `orientation` is Exif's, 1 to 8."""

    format: str
    width: int
    height: int
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) of the picture as it is meant to be looked at."""
        return (self.height, self.width) if self.orientation in _TURNED else (self.width, self.height)


def read_header(data: bytes) -> Header | None:
    """The header of `data`; None for what is no PNG, JPEG or WebP. Raises Malformed."""
    for signature, offset, read in _FORMATS:
        if data[offset : offset + len(signature)] == signature:
            try:
                return read(data)
            except (struct.error, IndexError):
                raise Malformed("ends within its header") from None
    return None


def _png(data: bytes) -> Header:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise Malformed("does not begin with an IHDR chunk")
    at, orientation, num_data, num_others = 8 + 12 + length, 1, 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            break
        num_data += kind in _DATA_CHUNKS
        num_others += kind not in _DATA_CHUNKS
        if num_data > _MAX_DATA_CHUNKS or num_others > _MAX_PARTS:
            raise Malformed("has too many chunks")
        if kind == b"eXIf":
            orientation = _orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    return Header("PNG", width, height, orientation)


_DATA_CHUNKS = frozenset({b"IDAT", b"fdAT"})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1


_ONE_PASS_FRAMES = frozenset({0xC0, 0xC1})
_SCANNED_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")


def _jpeg(data: bytes) -> Header:
    """Markers up to the first scan. Two frames would let two readers see two sizes."""
    at, frame, orientation = 2, None, 1
    for _ in range(_MAX_PARTS):
        marker, at = _marker(data, at)
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if marker in _STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _FRAMES:
            if frame is not None:
                raise Malformed("declares its size twice")
            frame = marker, *struct.unpack_from(">HHB", data, at + 3)
        elif marker == _APP1 and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = _orientation(data[at + 8 : at + length])
        at += max(length, 2)
    else:
        raise Malformed("has too many segments")
    if frame is None:
        raise Malformed("declares no size before its first scan")
    kind, height, width, num_components = frame
    if marker == _START_OF_SCAN and (kind not in _ONE_PASS_FRAMES or data[at + 2] < num_components):
        _check_scans(data, at - 2)
    return Header("JPEG", width, height, orientation)


def _check_scans(data: bytes, at: int) -> None:
    """Count the scans from the first one, at `at`, to the end of the picture; what lies behind it is not looked at."""
    num_scans = 0
    for _ in range(_MAX_PARTS):
        found = _SCANNED_MARKER.search(data, at)
        if found is None or data[found.start() + 1] == _END_OF_IMAGE:
            return
        num_scans += data[found.start() + 1] == _START_OF_SCAN
        if num_scans > _MAX_SCANS:
            break
        (length,) = struct.unpack_from(">H", data, found.end())
        at = found.end() + max(length, 2)
    raise Malformed("goes over its picture too often")


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The next marker and the position after it; markers may be padded with 0xFF."""
    if data[at] != 0xFF:
        raise Malformed("has no marker where one must be")
    for place in range(at + 1, at + 2 + _MAX_FILLING):
        if data[place] != 0xFF:
            return data[place], place + 1
    raise Malformed("is padded without end")


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    read = _WEBP_SIZES.get(kind)
    if read is None:
        raise Malformed("does not begin with a VP8, VP8L or VP8X chunk")
    width, height = read(data)
    return Header("WEBP", width, height, _webp_orientation(data) if kind == b"VP8X" else 1)


def _vp8(data: bytes) -> tuple[int, int]:
    if data[23:26] != b"\x9d\x01\x2a":
        raise Malformed("has no key frame")
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l(data: bytes) -> tuple[int, int]:
    if data[20] != 0x2F:
        raise Malformed("has no lossless signature")
    (bits,) = struct.unpack_from("<I", data, 21)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _vp8x(data: bytes) -> tuple[int, int]:
    width, height = data[24:27], data[27:30]
    if len(height) < 3:
        raise IndexError
    return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1


_WEBP_SIZES: dict[bytes, Callable[[bytes], tuple[int, int]]] = {b"VP8 ": _vp8, b"VP8L": _vp8l, b"VP8X": _vp8x}


def _webp_orientation(data: bytes) -> int:
    at = 12
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return _orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return 1


def _orientation(exif: bytes) -> int:
    """The orientation in a block of Exif (a TIFF header and its first directory); 1 where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (num_entries,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(num_entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, at + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


_FORMATS: tuple[tuple[bytes, int, Callable[[bytes], Header]], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"WEBP", 8, _webp),
)
