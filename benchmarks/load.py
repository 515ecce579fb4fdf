"""The client: keep-alive connections on one event loop, which note when bytes arrive and look at them afterwards.

A client that parses while it measures slows down what it measures, most of all on a machine that it shares with the
server. So a block keeps (moment, bytes) pairs; `benchmarks.answers` reads them when the block is over. What the client
did cost is in `Block.client_cpu_seconds`.
"""

import asyncio
import gc
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httptools

EXCHANGE_SECONDS = 600.0
"""Longer than any honest answer; a benchmark that hangs is worse than one that fails."""


class LoadFailed(Exception):
    """An answer that was not the one asked for; the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and the key that lets them in."""

    host: str
    port: int
    key: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def post(self, path: str, body: Mapping[str, Any], accept: str = "*/*") -> bytes:
        """A whole HTTP/1.1 request, ready to be written."""
        content = json.dumps(body).encode()
        head = [
            f"POST {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Content-Type: application/json",
            f"Accept: {accept}",
            f"Content-Length: {len(content)}",
        ]
        if self.key:
            head.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + content


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Moments are `time.perf_counter()`; `parts` are the body as it came."""

    request: bytes
    sent: float
    status: int = 0
    parts: list[tuple[float, bytes]] = field(default_factory=list)
    ended: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(part for _, part in self.parts)


@dataclass(frozen=True, slots=True)
class Block:
    """What `run_block` measured: `seconds` from the first request sent to the last answer's end."""

    concurrency: int
    exchanges: list[Exchange]
    seconds: float
    client_cpu_seconds: float


class _Connection(asyncio.Protocol):
    """One keep-alive connection; one exchange at a time. Also the callbacks of httptools' parser."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, but do all that one does.
        self._transport = cast(asyncio.Transport, transport)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Exchange:
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._exchange = Exchange(request, time.perf_counter())
        self._transport.write(request)
        async with asyncio.timeout(EXCHANGE_SECONDS):
            await self._done
        return self._exchange

    def data_received(self, data: bytes) -> None:
        self._arrived = time.perf_counter()
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._exchange.parts.append((self._arrived, body))

    def on_message_complete(self) -> None:
        self._exchange.status = self._parser.get_status_code()
        self._exchange.ended = self._arrived
        if not self._parser.should_keep_alive():
            self.close()
        if not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if hasattr(self, "_done") and not self._done.done():
            self._done.set_exception(LoadFailed(f"the server closed the connection within an answer: {error}"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def run_block(target: Target, requests: Iterable[bytes], concurrency: int, seconds: float | None = None) -> Block:
    """Send `requests` from `concurrency` clients, each its next when it has its answer.

    The block ends when the requests do, or, of requests without an end, when `seconds` have passed.

    Raises:
        LoadFailed: an answer was not a 200.
    """
    upcoming = iter(requests)
    connections = [await _connect(target) for _ in range(concurrency)]
    gc.collect()
    gc.disable()
    cpu, began = time.process_time(), time.perf_counter()
    until = None if seconds is None else began + seconds
    try:
        lanes = await asyncio.gather(*(_lane(target, connection, upcoming, until) for connection in connections))
        cpu = time.process_time() - cpu
    finally:
        gc.enable()
        for connection in connections:
            connection.close()
    exchanges = [exchange for lane in lanes for exchange in lane]
    if not exchanges:
        raise LoadFailed("nothing was sent")
    return Block(concurrency, exchanges, max(exchange.ended for exchange in exchanges) - began, cpu)


async def _connect(target: Target) -> _Connection:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(_Connection, target.host, target.port))[1]


async def _lane(
    target: Target, connection: _Connection, upcoming: Iterator[bytes], until: float | None
) -> list[Exchange]:
    exchanges = []
    for request in upcoming:
        if not connection.is_open:
            connection = await _connect(target)
        exchange = await connection.exchange(request)
        if exchange.status != 200:
            raise LoadFailed(f"status {exchange.status}: {exchange.body[:500].decode(errors='replace')}")
        exchanges.append(exchange)
        if until is not None and exchange.ended >= until:
            break
    return exchanges
