"""Forgetting: finished runs over their retention, with their events, deliveries and assets; and assets of no run.

Blobs go first, rows after: a sweep that dies in between is done again, and no blob is left that no row names. Several
sweepers do no harm; they only find less to do.

A gateway stores a run's pictures before the run's row; one that dies in between leaves pictures of a run that never
was. Assets are looked through for them in the order of their ids, which is that of time, each one once in a sweeper's
life and an hour after it was made: no gateway takes longer from a picture to its row.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import select

from serve.domain.ports import Clock
from serve.domain.run import RunStatus
from serve.runs.loops import cancel, detached, every, forever
from serve.runs.store import RunAssets, forget
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import runs

_log = logging.getLogger(__name__)

_BATCH = 100
"""Runs per transaction: a sweep of millions never holds the database for long."""
_PAUSE_SECONDS = 0.05
"""Between batches, for those who wait for the database."""
_DAY_MS = 86_400_000
_ORPHAN_MS = 3_600_000


class SweptAssets(RunAssets, Protocol):
    """The blobs that runs made, and what is left of deletions that failed."""

    async def sweep(self) -> object:
        """Finish those deletions."""
        ...

    async def sweep_orphans(self, before_ms: int, after: str) -> str:
        """Remove, of a batch made before `before_ms`, what belongs to runs that do not exist; the last id seen."""
        ...


class Swept(Protocol):
    """What is kept for runs and goes by rules of its own: deleted adapters, kept results, documents of workflows."""

    async def sweep(self) -> object:
        """Remove what nothing needs any more."""
        ...


class Sweeper:
    """Removes what is over its retention, every `sweep_seconds`."""

    def __init__(
        self,
        records: Records,
        clock: Clock,
        settings: RunsSettings,
        assets: SweptAssets,
        others: Sequence[Swept] = (),
    ) -> None:
        self._records = records
        self._clock = clock
        self._settings = settings
        self._assets = assets
        self._others = others
        self._seen_asset_id = ""
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to sweep."""
        self._loop = detached(forever("sweeping", self.sweep, every(self._settings.sweep_seconds)))

    async def stop(self) -> None:
        """Sweep no more."""
        if self._loop is not None:
            await cancel([self._loop])

    async def sweep(self) -> int:
        """Remove all that is due now, and the blobs whose deletion was cut short before; how many runs."""
        num_removed = 0
        while run_ids := await self._due():
            await self._assets.delete_for_runs(run_ids)
            async with self._records.write() as connection:
                await forget(connection, run_ids)
            num_removed += len(run_ids)
            await asyncio.sleep(_PAUSE_SECONDS)
        if num_removed:
            _log.info("%d runs were over their retention and are removed", num_removed)
        await self._assets.sweep()
        await self._sweep_orphans()
        for other in self._others:
            await other.sweep()
        return num_removed

    async def _sweep_orphans(self) -> None:
        before_ms = self._clock.now_ms() - _ORPHAN_MS
        while (last := await self._assets.sweep_orphans(before_ms, self._seen_asset_id)) != self._seen_asset_id:
            self._seen_asset_id = last
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _due(self) -> list[str]:
        oldest_ms = self._clock.now_ms() - round(self._settings.retention_days * _DAY_MS)
        found: list[str] = []
        async with self._records.read() as connection:
            for status in RunStatus:
                if status.is_terminal and len(found) < _BATCH:
                    over = (runs.c.status == status, runs.c.finished_ms < oldest_ms)
                    found += await connection.scalars(
                        select(runs.c.id).where(*over).order_by(runs.c.finished_ms).limit(_BATCH - len(found))
                    )
        return found
