"""`Range: bytes=...` (RFC 9110, section 14): one range, or the whole."""

import re
from dataclasses import dataclass

from serve.gateway.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`num_bytes` from `first` on."""

    first: int
    num_bytes: int
    is_part: bool = False


def byte_range(header: str, total: int) -> ByteRange:
    """What `header` asks of `total` bytes. What is no single range of bytes is ignored, as the RFC allows.

    Raises:
        RangeNotSatisfiable: it begins past the end.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return ByteRange(0, total)
    begin, end = found.groups()
    first = int(begin) if begin else max(0, total - int(end))
    last = min(int(end), total - 1) if begin and end else total - 1
    if begin and end and int(end) < first:
        return ByteRange(0, total)
    if first >= total:
        raise RangeNotSatisfiable(f"The range begins past the end: there are {total} bytes.", "", "Range")
    return ByteRange(first, last - first + 1, is_part=True)
