"""Work that goes on beside all requests: steps repeated until somebody says stop."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

_log = logging.getLogger(__name__)


def detached(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task in a context of its own, so that it does not write the log fields of the request that started it."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


async def forever(what: str, step: Callable[[], Awaitable[object]], pause: Callable[[], Awaitable[bool]]) -> None:
    """Repeat `step` while `pause` says so. A failure (a database that is away) is logged, and the step tried again."""
    while True:
        try:
            await step()
        except Exception:
            _log.exception("%s failed; it is tried again", what)
        if not await pause():
            return


def every(seconds: float) -> Callable[[], Awaitable[bool]]:
    """A pause of always the same length, without an end."""

    async def pause() -> bool:
        await asyncio.sleep(seconds)
        return True

    return pause


async def cancel(tasks: "list[asyncio.Task[Any]]", seconds: float = 5.0) -> None:
    """Cancel and wait, `seconds` at the most; whatever they raise is nobody's any more."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
