"""One journal on its way to the books: its next batch, and what is deleted once that is booked."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from serve.domain.usage import SourceReport, UsageBatch, UsageEvent
from serve.metering.journal import Journal
from serve.metering.journal_folder import JournalFolder, JournalSource, Position
from serve.metering.journal_reading import DeadSegments, JournalReader, SegmentFiles
from serve.metering.settlement import Settlement

logger = logging.getLogger(__name__)

MAX_BATCH_EVENTS = 500
HEARTBEAT_SECONDS = 10.0
"""Between two reports of a source at most, so that one that is alive can be told from one that is not."""


class Outbox:
    """Reads a journal, and keeps what it read until it is booked."""

    def __init__(self, folder: JournalFolder, source: JournalSource, files: SegmentFiles, position: Position) -> None:
        self.folder, self.source = folder, source
        self.reader = JournalReader(files, position.line, position.gaps)
        self.settlement = Settlement(source, position.seq, position.cumulative)
        self.events: list[UsageEvent] = []
        self.is_over = False

    async def batch(self, now: float, now_ms: int) -> UsageBatch | None:
        """What is to be said now (seconds, monotonic, and Unix milliseconds), if anything: the same until it is booked.

        Raises OSError if the journal cannot be read.
        """
        raise NotImplementedError

    async def booked(self, batch: UsageBatch, now: float) -> None:
        """`batch` is in the books for ever."""
        raise NotImplementedError

    async def _read(self) -> bool:
        """Read until there are events enough for a batch; whether there may be more."""
        while len(self.events) < MAX_BATCH_EVENTS:
            records = self.reader.read()
            if not records:
                return False
            self.events += self.settlement.take(records, self.reader.segment)
            await asyncio.sleep(0)
        return True


class OwnOutbox(Outbox):
    """Of a journal of this process, while it grows."""

    def __init__(self, journal: Journal, counters: Callable[[], Mapping[str, float]] | None) -> None:
        super().__init__(journal.folder, journal.source, journal, Position())
        self.journal = journal
        self.is_stopping = False
        self.booked_seq = 0
        self._counters = counters
        self._reported_at: float | None = None
        self._behind_since: float | None = None
        self._oldest = 1

    @property
    def num_unshipped(self) -> int:
        return self.journal.last_seq - self.booked_seq

    def lag(self, now: float) -> float:
        """Seconds since everything was booked."""
        return 0.0 if self._behind_since is None or not self.num_unshipped else now - self._behind_since

    async def batch(self, now: float, now_ms: int) -> UsageBatch | None:
        self._note_lag(now)
        if not self.events and self.reader.line < self.journal.num_lines:
            await self._read()
        is_due = self._reported_at is None or now - self._reported_at >= HEARTBEAT_SECONDS
        if not (self.events or is_due or self._is_whole()):
            return None
        return UsageBatch(self._report(now_ms), tuple(self.events))

    def _is_whole(self) -> bool:
        """Whether nothing will follow what was read."""
        ending = self.is_stopping or self.journal.is_retired
        return ending and self.journal.num_open == 0 and self.settlement.last_seq == self.journal.last_seq

    def _report(self, now_ms: int) -> SourceReport:
        """Calls that are closed beyond this batch count as open: so with none open, the counters belong to it."""
        return SourceReport(
            **self._identity(),
            reported_ms=now_ms,
            last_seq=self.settlement.last_seq,
            cumulative=self.settlement.cumulative,
            counters=self._counters() if self._counters is not None else {},
            num_open=self.journal.num_opened - self.settlement.last_seq,
            oldest_open_ms=self.journal.oldest_open_ms,
            gaps=tuple(self.reader.gaps),
            closed=self._is_whole(),
        )
