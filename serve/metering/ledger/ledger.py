"""The ledger: every attempt is booked once, whatever order records come in, and however often.

Ledgers take turns, on PostgreSQL by a lock that ends with the transaction, and on SQLite because it has one writer. So
what a transaction reads of an attempt is what is true of it, and it decides before it writes
(`serve.metering.ledger.booking`).
What it writes is one transaction: rows, roll-ups, free units, budgets, credit, and the books of the sources. Batches
that wait while one is written go together in the next, and share its commit.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from serve.domain.errors import StorageUnavailable
from serve.domain.ports import Clock
from serve.domain.usage import PriceId, Receipt, UsageBatch
from serve.metering.ledger import rerating, witnesses
from serve.metering.ledger.booking import flaw
from serve.metering.ledger.rollups import tag_names
from serve.metering.ledger.session import opened
from serve.metering.prices.price_book import PriceBook
from serve.settings import MeteringSettings
from serve.storage.records import Records

logger = logging.getLogger(__name__)

MAX_EVENTS = 4000
"""Of one transaction, unless one batch has more: enough to share a commit's cost, few enough to be done in a moment."""
_DUE_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: UsageBatch
    receipt: "asyncio.Future[Receipt]"


class Ledger:
    """Books over the database. Several may work at the same time, in one process or many."""

    def __init__(self, records: Records, clock: Clock, settings: MeteringSettings, prices: PriceBook) -> None:
        self.records = records
        self.clock = clock
        self.prices = prices
        self.grace_ms = round(settings.witness_grace_seconds * 1000)
        self.tags = tag_names(settings.tag_keys)
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def book(self, batch: UsageBatch) -> Receipt:
        """Book `batch`; when this returns, it is committed, and may be sent again or forgotten.

        Raises:
            StorageUnavailable: nothing is booked; send it again.
        """
        waiting = _Waiting(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        return await waiting.receipt

    async def settle_witnesses(self) -> int:
        """Book what witnesses saw of attempts whose replicas have been silent for too long; how many attempts."""
        now_ms = self.clock.now_ms()
        async with self.records.read() as connection:
            if not await witnesses.due(connection, now_ms, 1):
                return 0
        async with opened(self, ()) as session:
            return await session.settle(_DUE_AT_ONCE)

    async def rerate(
        self, model: str, since_ms: int, until_ms: int, version: PriceId, wrong: PriceId | None = None
    ) -> rerating.Rerated:
        """Charge the attempts of `model` admitted from `since_ms` to before `until_ms` by the price `version`: those
        without a price, or those charged by the version `wrong`. Again changes nothing.

        Raises:
            NotFound: there is no such version of this model.
        """
        return await rerating.rerate(self, model, since_ms, until_ms, version, wrong)

    async def _write_all(self) -> None:
        while self._waiting:
            group = self._next_group()
            try:
                await self._write(group)
            except Exception as error:
                for waiting in group:
                    if not waiting.receipt.done():
                        waiting.receipt.set_exception(error)

    def _next_group(self) -> list[_Waiting]:
        num_events, end = 0, 0
        while end < len(self._waiting) and (not end or num_events + len(self._waiting[end].batch.events) <= MAX_EVENTS):
            num_events += len(self._waiting[end].batch.events)
            end += 1
        group, self._waiting = self._waiting[:end], self._waiting[end:]
        return group

    async def _write(self, group: Sequence[_Waiting]) -> None:
        """Together if that works; what cannot be booked holds up nobody else's."""
        try:
            _answer(group, await self._book([waiting.batch for waiting in group]))
        except StorageUnavailable:
            raise
        except Exception:
            for waiting in group:
                await self._write_alone(waiting)

    async def _write_alone(self, waiting: _Waiting) -> None:
        batch = waiting.batch
        try:
            try:
                receipts = await self._book([batch])
            except StorageUnavailable:
                raise
            except Exception:
                if not any(flaw(event) for event in batch.events):
                    raise
                logger.exception("records that make no sense go to quarantine", extra={"source": batch.report.source})
                receipts = await self._book([batch], sifting=True)
            _answer([waiting], receipts)
        except Exception as error:
            waiting.receipt.set_exception(error)

    async def _book(self, batches: Sequence[UsageBatch], sifting: bool = False) -> list[Receipt]:
        prices = {event.subject.price for batch in batches for event in batch.events}
        async with opened(self, prices) as session:
            return await session.book(batches, sifting)


def _answer(group: Sequence[_Waiting], receipts: Sequence[Receipt]) -> None:
    for waiting, receipt in zip(group, receipts, strict=True):
        if not waiting.receipt.done():
            waiting.receipt.set_result(receipt)
