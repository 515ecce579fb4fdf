"""What runs took of the limits of tokens and images, and gives back when they end.

A run takes by its ceiling when it is accepted, ends anywhere, and counts for a minute only: so its gateway keeps what
it took in memory for that long, and asks the database for those that have ended. What a gateway forgets when it dies
counts as used.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select

from serve.domain.names import RunId
from serve.domain.ports import Clock
from serve.domain.run import RunStatus
from serve.domain.usage import Quantities
from serve.metering.rates.limits import MINUTE
from serve.storage.records import Records
from serve.storage.tables import runs

_log = logging.getLogger("slipway.gateway")
_TURN_SECONDS = 1.0
_MAX_FOLLOWED = 10_000
_BATCH = 500
_COLUMNS = (runs.c.id, runs.c.status, runs.c.attempt, runs.c.usage)


class Settles(Protocol):
    """What a run was let in with."""

    def settle(self, quantities: Quantities | None) -> None:
        """The run consumed this."""
        ...


@dataclass(frozen=True, slots=True)
class _Followed:
    terms: Settles
    until_ms: int


class RunLimits:
    """The runs of one gateway that may still give something back. `start` and `stop` run what looks for them."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._followed: dict[RunId, _Followed] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look for runs that have ended from now on."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """No longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def follow(self, run_id: RunId, terms: Settles) -> None:
        """Settle `terms` when the run ends, if that is soon enough to matter."""
        if len(self._followed) < _MAX_FOLLOWED:
            self._followed[run_id] = _Followed(terms, self._clock.now_ms() + MINUTE.reach_ms)

    async def turn(self) -> None:
        """Settle those that have ended, forget those whose minute is over."""
        now_ms = self._clock.now_ms()
        for run_id in [run_id for run_id, one in self._followed.items() if now_ms >= one.until_ms]:
            del self._followed[run_id]
        wanted = list(self._followed)
        for start in range(0, len(wanted), _BATCH):
            await self._settle(wanted[start : start + _BATCH])

    async def _settle(self, run_ids: list[RunId]) -> None:
        ended = runs.c.id.in_(run_ids) & runs.c.finished_ms.is_not(None)
        async with self._records.read() as connection:
            rows = (await connection.execute(select(*_COLUMNS).where(ended))).all()
        for row in rows:
            if (followed := self._followed.pop(RunId(row.id), None)) is not None:
                followed.terms.settle(_consumed(row))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_TURN_SECONDS)
            try:
                await self.turn()
            except Exception:
                _log.warning("what runs took of limits and did not need could not be given back", exc_info=True)


def _consumed(row: Any) -> Quantities | None:
    """None where it is not known in full: of a run that was canceled or failed once it had begun."""
    if row.status == RunStatus.SUCCEEDED:
        return Quantities(**(row.usage or {}))
    return None if row.attempt else Quantities()
