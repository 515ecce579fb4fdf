"""What a run has under way outside its loop, and what has come of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

Then = Callable[[Any, BaseException | None], None]
"""Takes a result, or an error."""


class Tasks:
    """Starts coroutines, and hands their results to the one loop that may touch the run's state."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._completed: deque[tuple[Then, Any, BaseException | None]] = deque()
        self._news = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing has come that was not taken."""
        return not self._running and not self._completed

    def start(self, work: Coroutine[Any, Any, Any], then: Then) -> None:
        """Have it done; `then` is called by `take`."""
        task = asyncio.create_task(self._see_through(work, then))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _see_through(self, work: Coroutine[Any, Any, Any], then: Then) -> None:
        task = asyncio.current_task()
        assert task is not None
        result: Any = None
        error: BaseException | None = None
        try:
            result = await work
        except asyncio.CancelledError:
            if task.cancelling():
                raise
            error = asyncio.CancelledError()  # what it awaited was canceled by somebody else
        except Exception as raised:
            error = raised
        self._running.discard(task)
        self._completed.append((then, result, error))
        self._news.set()

    def take(self) -> None:
        """Hand over what has come."""
        while self._completed:
            then, result, error = self._completed.popleft()
            then(result, error)

    async def wait(self) -> None:
        """Until something has come."""
        await self._news.wait()
        self._news.clear()

    async def cancel(self) -> None:
        """Stop what is under way, and wait until it has stopped."""
        for task in self._running:
            task.cancel()
        while self._running:
            await asyncio.wait(set(self._running))
