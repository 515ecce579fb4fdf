"""Answers that are sent while they are made, and work that stops when nobody waits for it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment of SSE: proxies see traffic, clients see nothing."""

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}


class CancelOnDisconnect:
    """`async with CancelOnDisconnect(receive):` cancels its body when the client leaves, as asyncio.timeout does.

    The request's body must have been read. Raises ClientDisconnect out of the block when it did.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_gone = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("CancelOnDisconnect needs a task to cancel")
        self._task = task
        self._num_cancels_before = task.cancelling()
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.cancel()
        if self._is_gone and self._task.uncancel() <= self._num_cancels_before and kind is asyncio.CancelledError:
            raise ClientDisconnect from None


class EventStream(Response):
    """Server-sent events from a generator of bytes; each item is one write.

    The head is sent with the first item, so that an error before it is answered with a status of its own. The
    generator is closed as soon as the client leaves.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str] | None = None) -> None:
        """`headers` are sent beside those of any stream."""
        super().__init__(headers={**_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async with CancelOnDisconnect(receive):
                await self._send(chunks, send)
            await send({"type": "http.response.body", "body": b""})

    async def _send(self, chunks: AsyncGenerator[bytes, None], send: Send) -> None:
        first = await anext(chunks, b"")
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


def sse(data: Any) -> bytes:
    """A `data:` line of JSON."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def sse_event(seq: int, kind: str, data: Mapping[str, Any]) -> bytes:
    """A whole event with `id:` and `event:`."""
    return b"id: %d\nevent: %s\n" % (seq, kind.encode()) + sse(data)


async def with_keep_alive(chunks: AsyncIterator[bytes], seconds: float) -> AsyncGenerator[bytes, None]:
    """`chunks`, and a comment whenever none came for `seconds`."""
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(_next(chunks))
            done, _ = await asyncio.wait({upcoming}, timeout=seconds)
            if not done:
                yield KEEP_ALIVE
                continue
            chunk, upcoming = upcoming.result(), None
            if not chunk:
                return
            yield chunk
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.wait({upcoming})  # whoever closes `chunks` next must not find them running


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks, b"")
