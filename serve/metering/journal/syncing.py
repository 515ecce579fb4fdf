"""A thread that takes journals to the disk: many calls share each sync, and no call's thread waits for one."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread

from serve.domain.errors import MeteringUnavailable
from serve.metering.journal.journal import Journal

logger = logging.getLogger(__name__)

Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class JournalSync:
    """Syncs what is written every so often, or at once when somebody waits for it."""

    def __init__(self, journals: Callable[[], Sequence[Journal]], seconds: float) -> None:
        self._journals, self._seconds = journals, seconds
        self._dirty, self._wake, self._lock = Event(), Event(), Lock()
        self._waiters: list[Waiter] = []
        self._is_stopping = self._has_ended = False
        self._has_failed = False
        self._thread = Thread(target=self._run, name="journal-sync", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> None:
        """Something was written. Until somebody says so the thread sleeps."""
        self._dirty.set()

    def stop(self) -> None:
        """Sync once more, and end. Waits for the disk."""
        self._is_stopping = True
        self._wake.set()
        self._dirty.set()
        self._thread.join()

    async def synced(self) -> None:
        """Return when everything that is written now is on the disk.

        Raises:
            MeteringUnavailable: the disk fails, or the process ends.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._has_ended:
                raise MeteringUnavailable("The process that wrote this usage down is ending.", retry_after_seconds=1)
            self._waiters.append((loop, future))
        self._wake.set()
        self._dirty.set()
        await future

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._dirty.wait()
            self._dirty.clear()
            self._wake.wait(self._seconds)
            self._wake.clear()
            is_last = self._is_stopping
            with self._lock:
                self._has_ended = is_last
                waiters, self._waiters = self._waiters, []
            failure = self._sync()
            if failure is not None:
                self._dirty.set()
            for loop, future in waiters:
                loop.call_soon_threadsafe(_tell, future, failure)

    def _sync(self) -> Exception | None:
        failure: Exception | None = None
        for journal in self._journals():
            try:
                if journal.is_dirty:
                    journal.sync()
            except OSError as error:
                failure = error
        if failure is not None and not self._has_failed:
            logger.error("usage does not reach the disk: %s", failure)
        self._has_failed = failure is not None
        return failure


def _tell(future: asyncio.Future[None], failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(MeteringUnavailable(f"Usage does not reach the disk: {failure}", retry_after_seconds=1))
