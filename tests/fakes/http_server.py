"""An ASGI application behind a real socket, in a thread with an event loop of its own."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fakes.gateway import Gateway, gateway
from starlette.types import ASGIApp

from serve.serving.in_memory import SupportsStream
from serve.settings import Settings

_START_SECONDS = 20.0
_STOP_SECONDS = 20.0
Build = Callable[[], AbstractAsyncContextManager[ASGIApp]]


class _Server:
    """One server: made in its thread, looked at from the test's."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.is_up = threading.Event()
        self.server: uvicorn.Server | None = None
        self.error: BaseException | None = None

    def work(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self._listener.close()
            self.is_up.set()

    async def _serve(self) -> None:
        async with self._build() as app:
            config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=2)
            self.server = uvicorn.Server(config)
            self.is_up.set()
            await self.server.serve([self._listener])


@contextmanager
def serving(build: Build) -> Iterator[str]:
    """The URL at which the application of `build` answers, until the block ends."""
    served = _Server(build)
    thread = threading.Thread(target=served.work)
    thread.start()
    try:
        assert served.is_up.wait(_START_SECONDS)
        if served.error is None:
            yield served.url
    finally:
        if served.server is not None:
            served.server.should_exit = True
        thread.join(_STOP_SECONDS)
    if served.error is not None:
        raise served.error


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
    """A gateway on a free port of loopback."""
    made: list[Gateway] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with gateway(folder, engines, settings) as it:
            made.append(it)
            yield it.app

    with serving(build) as url:
        yield Served(url, made[0])
