"""One transaction for all that a runner's attempts have to say.

Lines are written about every 100 ms, for all attempts together; an ending goes at once and takes along what others
have ready. A database that is away loses nothing: lines wait, endings try again.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from serve.domain.run import Run
from serve.runs import lifecycle
from serve.runs.attempt import Attempt, Stop
from serve.runs.claims import Claims, Write
from serve.runs.lifecycle import Decision
from serve.runs.rows import Result

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.1
"""How long text gathers. Shorter costs transactions, longer is seen."""
_SLOW_INTERVAL_SECONDS = 1.0
"""The same for a run that has used half of its events: a long answer stays within a bound it may not be cut at."""
_RETRY_SECONDS = 0.5
_MAX_FAILED_WRITES = 3
"""Times that a write fails alone, while the database answers, before its run is given up."""


@dataclass(eq=False, slots=True)
class _Ending:
    decision: Decision
    result: Result | None
    done: "asyncio.Future[Run | None]"


class Writer:
    """The only hand that writes a runner's attempts, so that lines never follow an ending."""

    def __init__(self, claims: Claims, max_events: int) -> None:
        self._claims = claims
        self._max_events = max_events
        self._many_events = max_events // 2
        self._urgent = asyncio.Event()
        self._attempts: dict[Attempt, _Ending | None] = {}
        self._last_written: dict[Attempt, float] = {}

    def open(self, attempt: Attempt) -> None:
        """Write what `attempt` says from now on."""
        self._attempts[attempt] = None

    def drop(self, attempt: Attempt) -> None:
        """Write no more of it."""
        self._attempts.pop(attempt, None)
        self._last_written.pop(attempt, None)

    async def end(self, attempt: Attempt, decision: Decision, result: Result | None = None) -> Run | None:
        """Write its last lines and its end together; the run afterwards, or None if the lease was lost."""
        ending = _Ending(decision, result, asyncio.get_running_loop().create_future())
        self._attempts[attempt] = ending
        self._urgent.set()
        try:
            return await ending.done
        finally:
            self.drop(attempt)

    async def work(self) -> None:
        """Write until canceled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), INTERVAL_SECONDS)
            self._urgent.clear()
            due = [attempt for attempt, ending in self._attempts.items() if ending or self._is_due(attempt)]
            if due and not await self._write(due):
                await asyncio.sleep(_RETRY_SECONDS)
                self._urgent.set()

    def _is_due(self, attempt: Attempt) -> bool:
        if attempt.stopped.done() or not attempt.has_news(self._max_events):
            return False
        if attempt.run.num_events < self._many_events:
            return True
        now = asyncio.get_running_loop().time()
        return now - self._last_written.get(attempt, 0.0) >= _SLOW_INTERVAL_SECONDS

    async def _write(self, due: Collection[Attempt]) -> bool:
        try:
            await self._write_together(due)
        except Exception as error:
            if len(due) == 1:
                return await self._failed(next(iter(due)), error)
            return all([await self._write([attempt]) for attempt in due])
        return True

    async def _write_together(self, due: Collection[Attempt]) -> None:
        endings = {attempt: self._attempts.get(attempt) for attempt in due}
        writes = [self._write_of(attempt, ending) for attempt, ending in endings.items()]
        written = await self._claims.write(writes)
        for (attempt, ending), write, run in zip(endings.items(), writes, written, strict=True):
            self._settle(attempt, ending, write, run)

    def _write_of(self, attempt: Attempt, ending: _Ending | None) -> Write:
        lines = attempt.seal(self._max_events, everything=ending is not None)
        decision, result = (ending.decision, ending.result) if ending else (None, None)
        return Write(attempt.run, lines, decision, result, tuple(attempt.steps))

    def _settle(self, attempt: Attempt, ending: _Ending | None, write: Write, run: Run | None) -> None:
        if run is None:
            attempt.stop(Stop.LEASE_LOST)
        else:
            attempt.written(len(write.lines), len(write.steps), run)
            self._last_written[attempt] = asyncio.get_running_loop().time()
        if ending and not ending.done.done():
            ending.done.set_result(run)

    async def _failed(self, attempt: Attempt, error: Exception) -> bool:
        """Whether the trouble is over: the row that no database takes is replaced by a plain failure."""
        if not await self._claims.is_reachable():
            _log.warning("the database is away; run %s waits with its news", attempt.run.id)
            return False
        attempt.num_failed_writes += 1
        if attempt.num_failed_writes < _MAX_FAILED_WRITES:
            return False
        _log.error("run %s cannot be written and is given up", attempt.run.id, exc_info=error)
        attempt.forget_news()
        ending = self._attempts.get(attempt)
        if ending is None:
            attempt.stop(Stop.UNWRITABLE)
        else:
            ending.decision, ending.result = lifecycle.crashed(), None
        return False
