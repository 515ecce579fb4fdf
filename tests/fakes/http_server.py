"""A gateway behind a real HTTP server, for clients that want a socket."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fakes.gateway import Gateway, gateway

from serve.serving.in_memory import SupportsStream
from serve.settings import Settings

START_SECONDS = 20


@dataclass(slots=True)
class Served:
    """A gateway at `url`. Its services belong to the server's event loop."""

    url: str
    made: Gateway

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def served(
    folder: Path, engines: Mapping[str, SupportsStream] | None = None, settings: Settings | None = None
) -> Iterator[Served]:
    """A gateway on a free port of loopback, in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready, found = threading.Event(), list[Served]()
    servers: list[uvicorn.Server] = []

    async def run() -> None:
        async with gateway(folder, engines, settings) as made:
            servers.append(uvicorn.Server(uvicorn.Config(made.app, log_config=None, timeout_graceful_shutdown=2)))
            found.append(Served(f"http://127.0.0.1:{listener.getsockname()[1]}", made))
            ready.set()
            await servers[0].serve([listener])

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(START_SECONDS)
        yield found[0]
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
