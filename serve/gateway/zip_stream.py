"""A zip file that is sent while it is made: nothing is held but the chunk at hand. Stored, not packed: weights hardly
get smaller."""

import io
import zipfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The format's first moment, so that equal files make equal archives."""


class _Sink(io.RawIOBase):
    """Takes what is written, and gives it away."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]  # typeshed wants its own Buffer
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What came since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


async def zipped(files: Iterable[tuple[str, AsyncGenerator[bytes, None]]]) -> AsyncGenerator[bytes, None]:
    """The archive of these files, in pieces."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, chunks in files:
            with archive.open(zipfile.ZipInfo(name, _EPOCH), "w", force_zip64=True) as entry:
                async with aclosing(chunks):
                    async for chunk in chunks:
                        entry.write(chunk)
                        yield sink.taken()
            yield sink.taken()
    yield sink.taken()
