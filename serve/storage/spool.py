"""Content held while it is hashed: in memory while it is small, in a temporary file beyond."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile

from serve.domain.errors import StorageUnavailable
from serve.storage.grammar import CHUNK_BYTES

_MEMORY_BYTES = 2 * 2**20


class Spool:
    """Bytes that can be read again and again, with their size and their sha256 in hexadecimal."""

    def __init__(self) -> None:
        self.num_bytes = 0
        self._hash = hashlib.sha256()
        self._file = SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 - closed by `spooled`

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Add `chunk` at the end."""
        await asyncio.to_thread(self._write, chunk)

    def _write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        try:
            self.num_bytes += self._file.write(chunk)
        except OSError as error:
            raise StorageUnavailable(f"the temporary folder takes no more: {error.strerror}") from error

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Everything, from the start, in chunks of at most 1 MiB."""
        self._file.seek(0)
        while chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """Forget the content."""
        self._file.close()


@asynccontextmanager
async def spooled(data: bytes | AsyncIterator[bytes]) -> AsyncGenerator[Spool, None]:
    """All of `data`, until the block ends."""
    spool = Spool()
    try:
        if isinstance(data, bytes):
            await spool.write(data)
        else:
            async for chunk in data:
                await spool.write(chunk)
        yield spool
    finally:
        spool.close()
