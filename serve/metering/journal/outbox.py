"""One journal on its way to the books: its next batch, and what is deleted once that is booked."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace

from serve.domain.usage import SourceReport, UsageBatch, UsageEvent
from serve.metering.journal.folder import JournalFolder, JournalSource, Position
from serve.metering.journal.journal import Journal
from serve.metering.journal.reading import DeadSegments, JournalReader, SegmentFiles
from serve.metering.journal.settlement import Settlement

logger = logging.getLogger(__name__)

MAX_BATCH_EVENTS = 500
MAX_SEGMENTS_HELD = 2
"""By calls that are open for long; then their opening records are repeated."""
CARRIED_AT_ONCE = 64
"""Some milliseconds of the event loop's time at most."""
HEARTBEAT_SECONDS = 10.0
"""Between two reports of a source at most, so that one that is alive can be told from one that is not."""


class Outbox(ABC):
    """Reads a journal, and keeps what it read until it is booked."""

    def __init__(self, folder: JournalFolder, source: JournalSource, files: SegmentFiles, position: Position) -> None:
        self.folder, self.source = folder, source
        self.reader = JournalReader(files, position.line, position.gaps)
        self.settlement = Settlement(source, position.seq, position.cumulative)
        self.events: list[UsageEvent] = []
        self.is_over = False

    @abstractmethod
    async def batch(self, now: float, now_ms: int) -> UsageBatch | None:
        """What is to be said now (seconds, monotonic, and Unix milliseconds), if anything: the same until it is booked.

        Raises OSError if the journal cannot be read.
        """

    @abstractmethod
    async def booked(self, batch: UsageBatch, now: float) -> None:
        """`batch` is in the books for ever."""

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
        self._num_lines_read = 0
        self._position = Position()
        self._oldest_segment = 1
        self._carried_to = self._carried_segments = 0
        self._reported_at: float | None = None
        self._behind_since: float | None = None

    @property
    def num_unshipped(self) -> int:
        return self.journal.last_seq - self.booked_seq

    def lag(self, now: float) -> float:
        """Seconds since everything was booked. From any thread."""
        since = self._behind_since if self.num_unshipped else None
        if since is None and self.num_unshipped:
            since = now
        self._behind_since = since
        return 0.0 if since is None else now - since

    async def batch(self, now: float, now_ms: int) -> UsageBatch | None:
        self.lag(now)
        num_lines = self.journal.num_lines
        if not self.events and self._num_lines_read < num_lines and not await self._read():
            self._num_lines_read = num_lines
            self.reader.finish(num_lines)
            self._give_up_unreadable()
        is_whole = self._is_whole()
        is_due = self._reported_at is None or now - self._reported_at >= HEARTBEAT_SECONDS
        if not (self.events or is_due or is_whole):
            return None
        return UsageBatch(self._report(now_ms, is_whole), tuple(self.events))

    def _give_up_unreadable(self) -> None:
        """A call whose closing record is in a gap would be waited for, and its segment kept, for ever."""
        open_calls, num_lines = self.journal.open_calls()
        if not self.reader.gaps or num_lines != self._num_lines_read:
            return
        for number in self.settlement.open.keys() - open_calls:
            call = self.settlement.open.pop(number)
            logger.error(
                "the end of %s is not in %s any more; its witness stands for it", call.subject.id, self.folder.path
            )

    def _is_whole(self) -> bool:
        """Whether nothing will follow what was read."""
        ending = self.is_stopping or self.journal.is_retired
        return ending and self.journal.num_open == 0 and self._num_lines_read == self.journal.num_lines

    def _report(self, now_ms: int, closed: bool) -> SourceReport:
        """Calls that are closed beyond this batch count as open: so with none open, the counters belong to it."""
        return SourceReport(
            source=self.source.source,
            is_witness=self.source.is_witness,
            model=self.source.model,
            started_ms=self.source.started_ms,
            reported_ms=now_ms,
            last_seq=self.settlement.last_seq,
            cumulative=self.settlement.cumulative,
            num_open=self.journal.num_opened - self.settlement.last_seq,
            oldest_open_ms=self.journal.oldest_open_ms,
            counters=self._own_counters(),
            gaps=tuple(self.reader.gaps),
            closed=closed,
        )

    def _own_counters(self) -> Mapping[str, float]:
        """None once another epoch counts in them too."""
        return {} if self._counters is None or self.journal.is_retired else self._counters()

    async def booked(self, batch: UsageBatch, now: float) -> None:
        self._reported_at = now
        self.booked_seq, self.events = batch.report.last_seq, []
        self.is_over = batch.report.closed
        if self.is_over or not batch.events or self.journal.is_retired:
            return
        try:
            await self._note(batch.report)
        except OSError as error:
            logger.warning("what is booked of %s could not be noted: %s", self.folder.path, error)

    async def _note(self, report: SourceReport) -> None:
        self._position = replace(
            self._position,
            seq=report.last_seq,
            cumulative=report.cumulative,
            gaps=report.gaps,
            counters=report.counters,
        )
        oldest = min([call.segment for call in self.settlement.open.values()], default=self.reader.segment)
        if oldest > self._oldest_segment:
            self._position = replace(self._position, line=self.journal.line_before(oldest))
            await asyncio.to_thread(self.folder.save, self._position, durable=True)
            await asyncio.to_thread(self.journal.delete_before, oldest)
            self._oldest_segment = oldest
        else:
            self.folder.save(self._position, durable=False)
        is_held = self.reader.segment - oldest >= MAX_SEGMENTS_HELD + self._carried_segments
        if is_held and self.reader.line >= self._carried_to:
            await self._carry()

    async def _carry(self) -> None:
        """Not again before what was carried is read, which takes long where the books were away; and, where thousands
        of calls take segments to carry, not before as many more are full: it would be carried for ever."""
        began_in = self.journal.ordinals()[-1]
        long = [(number, call) for number, call in self.settlement.open.items() if call.segment < self.reader.segment]
        for position, (number, call) in enumerate(long, 1):
            self.journal.carry(number, call.subject)
            if position % CARRIED_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._carried_to = self.journal.num_lines
        self._carried_segments = self.journal.ordinals()[-1] - began_in

    def leave(self) -> None:
        """The process ends before all is booked: say how far it is, for whoever adopts it. Waits for the disk."""
        position = replace(self._position, counters=self._own_counters(), ended=self.journal.num_open == 0)
        try:
            self.journal.sync()
            self.folder.save(position, durable=True)
        except OSError as error:
            logger.warning("what is booked of %s could not be noted: %s", self.folder.path, error)


class AdoptedOutbox(Outbox):
    """Of the journal of a process that is dead: read to its end, settled, and removed. Begun anew if its adopter dies
    too: the same events, which the books have or have not."""

    def __init__(self, folder: JournalFolder) -> None:
        """Raises OSError, ValueError or TypeError if the folder does not say whose it is."""
        self._position = folder.position()
        super().__init__(folder, folder.source(), DeadSegments(folder.path), self._position)
        self._has_ended = False

    async def batch(self, now: float, now_ms: int) -> UsageBatch | None:
        if not self.events and not self._has_ended and not await self._read():
            self.reader.finish()
            self.events += self.settlement.orphans()
            self._has_ended = True
        report = SourceReport(
            source=self.source.source,
            is_witness=self.source.is_witness,
            model=self.source.model,
            started_ms=self.source.started_ms,
            reported_ms=now_ms,
            last_seq=self.settlement.last_seq,
            cumulative=self.settlement.cumulative,
            num_open=len(self.settlement.open),
            counters=self._position.counters,
            gaps=tuple(self.reader.gaps),
            closed=self._has_ended,
            killed=not self._position.ended,
        )
        return UsageBatch(report, tuple(self.events))

    async def booked(self, batch: UsageBatch, now: float) -> None:
        self.events = []
        self.is_over = batch.report.closed
