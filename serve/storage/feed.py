"""A blocking stream for a thread, fed by a task of the event loop: how a synchronous client uploads what is async."""

import asyncio
import contextlib
from queue import SimpleQueue


class SourceFailed(Exception):
    """The feeding task failed or was canceled: the reading thread is to give up."""


class Feed:
    """At most `limit_bytes` and one chunk wait between the task that sends and the thread that reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_bytes: int) -> None:
        self.num_bytes = 0
        """Bytes sent so far."""
        self._loop = loop
        self._limit_bytes = limit_bytes
        self._num_waiting = 0
        self._stopped = False
        self._room = asyncio.Event()
        self._chunks: SimpleQueue[bytes | SourceFailed | None] = SimpleQueue()
        self._rest = memoryview(b"")
        self._ended = False

    async def send(self, chunk: bytes) -> bool:
        """Hand over a chunk and wait for room for the next; false once the reader has stopped."""
        if chunk:
            self.num_bytes += len(chunk)
            self._num_waiting += len(chunk)
            self._chunks.put(chunk)
        while self._num_waiting > self._limit_bytes and not self._stopped:
            self._room.clear()
            await self._room.wait()
        return not self._stopped

    def finish(self) -> None:
        """Say that everything was sent."""
        self._chunks.put(None)

    def fail(self) -> None:
        """Make the reader's next read raise SourceFailed."""
        self._chunks.put(SourceFailed())

    def stop(self) -> None:
        """Say, on the loop, that nobody reads any more."""
        self._stopped = True
        self._room.set()

    def read(self, num_bytes: int) -> bytes:
        """Called in the thread: exactly `num_bytes`, or fewer at the end. Blocks.

        Whole reads, because the `minio` client joins short ones in quadratic time.
        """
        pieces: list[memoryview] = []
        while num_bytes and self._fill():
            pieces.append(self._rest[:num_bytes])
            self._rest = self._rest[num_bytes:]
            num_bytes -= len(pieces[-1])
        return b"".join(pieces)

    def _fill(self) -> bool:
        """Have something in `_rest`; false at the end."""
        if self._rest or self._ended:
            return bool(self._rest)
        chunk = self._chunks.get()
        if isinstance(chunk, SourceFailed):
            raise chunk
        if chunk is None:
            self._ended = True
            return False
        self._rest = memoryview(chunk)
        # The loop may be closed by now: then nobody waits for room either.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._taken, len(chunk))
        return True

    def _taken(self, num_bytes: int) -> None:
        self._num_waiting -= num_bytes
        self._room.set()
