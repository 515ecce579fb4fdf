"""Any ASGI application behind a real socket, in a thread with an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import uvicorn
from starlette.types import ASGIApp

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


class _Served:
    """One server: made in its thread, looked at from the test's."""

    def __init__(self, build: Callable[[], AbstractAsyncContextManager[ASGIApp]]) -> None:
        self._build = build
        self.is_up = threading.Event()
        self.server: uvicorn.Server | None = None
        self.error: BaseException | None = None

    def work(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self.is_up.set()

    async def _serve(self) -> None:
        async with self._build() as app:
            config = uvicorn.Config(
                app, host="127.0.0.1", port=0, lifespan="off", log_level="error", timeout_graceful_shutdown=1
            )
            self.server = uvicorn.Server(config)
            serving = asyncio.create_task(self.server.serve())
            while not self.server.started and not serving.done():
                await asyncio.sleep(0.005)
            self.is_up.set()
            await serving

    @property
    def url(self) -> str:
        assert self.server is not None
        host, port = self.server.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"


@contextmanager
def serving(build: Callable[[], AbstractAsyncContextManager[ASGIApp]]) -> Iterator[str]:
    """The URL at which the application of `build` answers, until the block ends."""
    served = _Served(build)
    thread = threading.Thread(target=served.work)
    thread.start()
    try:
        assert served.is_up.wait(_START_SECONDS)
        if served.error is not None:
            raise served.error
        yield served.url
    finally:
        if served.server is not None:
            served.server.should_exit = True
        thread.join(_STOP_SECONDS)
    if served.error is not None:
        raise served.error
