"""Text in PNG files, written and read by chunk: pixels are neither decoded nor encoded.

Source: PNG (W3C, third edition), sections 5.3 and 11.3.3.4 (iTXt).
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 8 * 2**20
"""Of one text that is read."""
_MAX_CHUNKS = 70_000
_HEADER_END = len(SIGNATURE) + 25


class NotPng(ValueError):
    """What is wrong with a file, in words that go on from "the file"."""


def with_text(data: bytes, text: Mapping[str, str]) -> bytes:
    """The PNG file `data` with `text` by keyword, each as an iTXt chunk before the pixels; chunks of these keywords
    that were there go. Raises NotPng."""
    if data[: len(SIGNATURE)] != SIGNATURE or data[12:16] != b"IHDR":
        raise NotPng("is no PNG")
    keywords = {_keyword(name) for name in text}
    kept = [data[:_HEADER_END], *(_text_chunk(name, value) for name, value in text.items())]
    for kind, start, end in _chunks(data, _HEADER_END):
        is_replaced = kind in _TEXTS and data[start + 8 : end].partition(b"\0")[0] in keywords
        if not is_replaced:
            kept.append(data[start:end])
    return b"".join(kept)


def read_text(data: bytes, keyword: str) -> str | None:
    """The text that the PNG file `data` has under `keyword`, in whichever kind of chunk; None where it has none, is no
    PNG, or says too much."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        return None
    try:
        for kind, start, end in _chunks(data, len(SIGNATURE)):
            if kind in _TEXTS:
                name, _, rest = data[start + 8 : end - 4].partition(b"\0")
                if name == _keyword(keyword):
                    return _read(kind, rest)
    except (NotPng, ValueError, zlib.error):
        return None
    return None


_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def _keyword(name: str) -> bytes:
    word = name.encode("latin-1")
    if not 1 <= len(word) <= 79:
        raise ValueError(f"a keyword has 1 to 79 characters of Latin-1: {name[:80]!r}")
    return word


def _text_chunk(name: str, value: str) -> bytes:
    # Without compression: readers refuse what unpacks to more than a megabyte.
    body = _keyword(name) + b"\0\0\0\0\0" + value.replace("\0", "").encode("utf-8", "replace")
    return struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of every chunk from `at` on, to the last. Raises NotPng."""
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            raise NotPng("ends within a chunk")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise NotPng("ends within a chunk")
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
    raise NotPng("has too many chunks")


def _read(kind: bytes, rest: bytes) -> str | None:
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _unpacked(rest[1:]).decode("latin-1")
    is_packed, _, rest = rest[0:1], rest[1:2], rest[2:]
    _, _, rest = rest.partition(b"\0")
    _, _, rest = rest.partition(b"\0")
    return (_unpacked(rest) if is_packed == b"\1" else rest).decode("utf-8", "replace")


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(data, MAX_TEXT_BYTES)
    if unpacking.unconsumed_tail:
        raise ValueError("the text unpacks to more than is read")
    return text
