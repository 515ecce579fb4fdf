"""The ledger's composition root: the application that books what all others report."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve as ray_serve

from deployments.metric_export import RayExport
from serve.clock import SystemClock
from serve.domain.errors import EngineFailed
from serve.domain.usage import Receipt, UsageBatch
from serve.metering.budgets.sweeping import HoldSweep
from serve.metering.ledger.ledger import Ledger
from serve.metering.prices.price_book import PriceBook
from serve.runs.loops import cancel, detached, every, forever
from serve.serving.serve_config import LEDGER_DEPLOYMENT
from serve.settings import Settings
from serve.storage.records import Records
from serve.telemetry import logs, series
from serve.telemetry.recording import Recorder

_SETTLE_SECONDS = 1.0
"""How often witnesses that are due are looked for: an index's first row."""
_SWEEP_SECONDS = 5.0


class LedgerArgs(BaseModel):
    """The ledger's arguments: none, everything is in the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LedgerReplica:
    """One ledger. It holds nothing that the database has not: others may do the same beside it."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Ray awaits a constructor
        settings = Settings()
        logs.configure(settings.log)
        self._clock = SystemClock()
        self._records = Records(settings.storage.url())
        self._ledger = Ledger(self._records, self._clock, settings.metering, PriceBook(self._records, self._clock))
        recorder = Recorder()
        self._export = RayExport([recorder])
        self._seconds = recorder.spread(series.BOOKING_SECONDS)
        self._results = [recorder.count(series.BOOKINGS, kind) for kind in ("inserted", "duplicate", "conflict")]
        sweep = HoldSweep(self._records, self._clock, settings.metering.witness_grace_seconds)
        self._tasks: list[asyncio.Task[Any]] = [
            detached(forever("booking what witnesses saw", self._ledger.settle_witnesses, every(_SETTLE_SECONDS))),
            detached(forever("giving back what holds hold for nobody", sweep.sweep, every(_SWEEP_SECONDS))),
        ]

    async def book(self, batch: UsageBatch) -> Receipt:
        """See `Ledger.book`."""
        began = self._clock.monotonic()
        receipt = await self._ledger.book(batch)
        self._seconds.observe(self._clock.monotonic() - began)
        for count, number in zip(self._results, (receipt.inserted, receipt.duplicates, receipt.conflicts), strict=True):
            count.inc(number)
        return receipt

    async def check_health(self) -> None:
        """The loops must be alive. A database that is away is no reason to start anew: shippers keep what they have."""
        if any(task.done() for task in self._tasks):
            raise EngineFailed("A loop of the ledger has ended.")

    async def __del__(self) -> Any:
        """Ray awaits this when it takes the replica away."""
        await cancel(self._tasks)
        self._export.stop()
        await self._records.close()


def build(args: LedgerArgs) -> ray_serve.Application:
    """The ledger's application."""
    return ray_serve.deployment(name=LEDGER_DEPLOYMENT)(LedgerReplica).bind()
