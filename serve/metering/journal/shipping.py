"""The shipper: takes the journals of this process to the books, and those of dead processes beside it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from serve.domain.ports import Clock
from serve.domain.usage import Receipt, UsageBatch
from serve.metering.journal.folder import orphans
from serve.metering.journal.journal import Journal
from serve.metering.journal.outbox import MAX_BATCH_EVENTS, AdoptedOutbox, Outbox, OwnOutbox
from serve.metering.meter import Meter

logger = logging.getLogger(__name__)

BOOK_SECONDS = 30.0
"""After which a batch that the books did not answer is sent again."""
MAX_BACKOFF_SECONDS = 5.0
STOP_SECONDS = 5.0
"""For what is closed to be booked when the process ends; the rest is another's to adopt."""
LAST_TRY_SECONDS = 1.5
"""After which a batch of a process that ends is not waited for: its books have ended before it."""
ADOPTION_PERIODS = 8
"""Shipping periods between two looks for journals of dead processes."""
MAX_ADOPTED = 8
"""At a time, so that several processes share what many left."""


class Books(Protocol):
    """Where usage is booked."""

    async def book(self, batch: UsageBatch) -> Receipt:
        """Book it, once, however often it is sent. Raises anything: then it is sent again."""
        ...


@dataclass(frozen=True, slots=True)
class JournalState:
    """How a process's journals are doing. `lag_seconds` since everything was booked, 0 while it is."""

    lag_seconds: float
    num_bytes: int
    num_unshipped: int


class Shipper:
    """One task per process."""

    def __init__(
        self,
        journals: Path,
        meters: Sequence[Meter],
        books: Books,
        clock: Clock,
        ship_seconds: float,
        counters: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        """`counters` are the engine's, for the epochs that are no witnesses."""
        self._journals, self._meters, self._books, self._clock = journals, meters, books, clock
        self._ship_seconds = self._delay = ship_seconds
        self._counters = counters
        self._own: dict[Journal, OwnOutbox] = {}
        self._adopted: list[AdoptedOutbox] = []
        self._unreadable: set[Path] = set()
        self._stopping = asyncio.Event()
        self._try: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ship."""
        self._task = asyncio.create_task(self._run(), name="usage-shipper")

    async def stop(self) -> None:
        """Ship what is closed, for STOP_SECONDS at most or until the books refuse, and leave the rest to whoever adopts
        it. A call that begins all the same has an epoch of its own, which is left too."""
        self._stopping.set()
        if self._try is not None:
            self._try.reschedule(asyncio.get_running_loop().time() + LAST_TRY_SECONDS)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for journal, outbox in list(self._own.items()):
            await asyncio.to_thread(outbox.leave)
            await self._release(journal, remove=False)
        for adopted in self._adopted:
            adopted.folder.close()
        self._adopted = []

    def state(self) -> JournalState:
        """Of the journals of this process. From any thread."""
        now, outboxes = self._clock.monotonic(), dict(self._own)
        journals = [journal for meter in self._meters for journal in tuple(meter.journals)]
        booked = sum([outboxes[journal].booked_seq for journal in journals if journal in outboxes])
        return JournalState(
            lag_seconds=max([outbox.lag(now) for outbox in outboxes.values()], default=0.0),
            num_bytes=sum([journal.num_bytes for journal in journals]),
            num_unshipped=sum([journal.last_seq for journal in journals]) - booked,
        )

    async def _run(self) -> None:
        num_rounds = 0
        while True:
            is_ending = self._stopping.is_set()
            is_well = await self._round(is_ending, num_rounds % ADOPTION_PERIODS == 0)
            num_rounds += 1
            if is_ending and not (self._own and is_well):
                return
            self._delay = self._ship_seconds if is_well else min(2 * self._delay, MAX_BACKOFF_SECONDS)
            await self._pause()

    async def _round(self, is_ending: bool, is_adopting: bool) -> bool:
        """Whether the books took everything that there is. A process that ends begins nothing for the dead."""
        try:
            self._look_at_own(is_ending)
            if is_adopting and not is_ending:
                self._adopt()
            return await self._ship_all([] if is_ending else self._adopted)
        except Exception:
            logger.exception("the shipper of usage failed; it goes on")
            return False

    async def _pause(self) -> None:
        if self._stopping.is_set():
            await asyncio.sleep(self._ship_seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._delay)

    def _look_at_own(self, is_ending: bool) -> None:
        for meter in self._meters:
            if is_ending:
                meter.leave()
            else:
                meter.look_after_journal()
        self._take_up_own()
        for outbox in self._own.values():
            outbox.is_stopping = is_ending

    def _take_up_own(self) -> None:
        for meter in self._meters:
            for journal in meter.journals:
                if journal not in self._own:
                    self._own[journal] = OwnOutbox(journal, self._counters_of(journal, meter))

    def _counters_of(self, journal: Journal, meter: Meter) -> Callable[[], Mapping[str, float]] | None:
        return None if journal.source.is_witness or meter.num_epochs > 1 else self._counters

    def _adopt(self) -> None:
        try:
            found = orphans(self._journals, MAX_ADOPTED - len(self._adopted))
        except OSError as error:
            logger.error("no journals of dead processes are looked for: %s", error)
            return
        for folder in found:
            try:
                self._adopted.append(AdoptedOutbox(folder))
                logger.info("settling the journal of a process that is dead: %s", folder.path)
            except (OSError, ValueError, TypeError) as error:
                if folder.path not in self._unreadable:
                    logger.error("%s does not say whose usage it holds (%s); it stays as it is", folder.path, error)
                self._unreadable.add(folder.path)
                folder.close()

    async def _ship_all(self, adopted: Sequence[AdoptedOutbox]) -> bool:
        is_well = True
        for outbox in (*self._own.values(), *adopted):
            try:
                await self._ship(outbox)
            except Exception as error:
                is_well = False
                logger.warning("usage of %s waits: %s: %s", outbox.source.source, type(error).__name__, error)
        await self._forget()
        return is_well

    async def _ship(self, outbox: Outbox) -> None:
        """Batch after batch while they are full. What came while the last one was booked waits for the next round:
        under load the books would else be asked for every few events."""
        while not outbox.is_over:
            batch = await outbox.batch(self._clock.monotonic(), self._clock.now_ms())
            if batch is None:
                return
            await self._book(batch)
            await outbox.booked(batch, self._clock.monotonic())
            if len(batch.events) < MAX_BATCH_EVENTS:
                return

    async def _book(self, batch: UsageBatch) -> None:
        try:
            async with asyncio.timeout(LAST_TRY_SECONDS if self._stopping.is_set() else BOOK_SECONDS) as self._try:
                await self._books.book(batch)
        finally:
            self._try = None

    async def _forget(self) -> None:
        for journal in [journal for journal, outbox in self._own.items() if outbox.is_over]:
            await self._release(journal, remove=True)
        for adopted in [adopted for adopted in self._adopted if adopted.is_over]:
            self._adopted.remove(adopted)
            await asyncio.to_thread(adopted.folder.remove)

    async def _release(self, journal: Journal, *, remove: bool) -> None:
        del self._own[journal]
        for meter in self._meters:
            meter.forget(journal)
        await asyncio.to_thread(partial(journal.release, remove=remove))
