"""From the records of a journal to usage events. Pure: the same records always give the same events."""

from collections.abc import Iterable
from dataclasses import dataclass

from serve.domain.usage import NO_USAGE, PLATFORM_RETRY, Basis, Quantities, UsageEvent, UsageStatus, UsageSubject
from serve.metering.journal.folder import JournalSource
from serve.metering.journal.records import Closed, Opened, Progressed, Record


@dataclass(slots=True)
class OpenCall:
    """A call whose closing record was not read yet. `segment` holds its opening record."""

    subject: UsageSubject
    started_ms: int
    segment: int
    quantities: Quantities = NO_USAGE
    duration_ms: int = 0


class Settlement:
    """Takes records in their order and gives events in theirs.

    `last_seq` and `cumulative` are those of the last event given. `open` holds the calls without an end, by number.
    """

    def __init__(self, source: JournalSource, booked_seq: int = 0, cumulative: Quantities = NO_USAGE) -> None:
        """Closing records up to `booked_seq` are booked, add up to `cumulative`, and are not given again."""
        self._source = source
        self._booked_seq = booked_seq
        self.last_seq = booked_seq
        self.cumulative = cumulative
        self.open: dict[int, OpenCall] = {}

    def take(self, records: Iterable[Record], segment: int) -> list[UsageEvent]:
        """The events that `records`, of one segment, complete. A closing record whose call is in a gap gives none."""
        events = [self._taken(record, segment) for record in records]
        return [event for event in events if event is not None]

    def _taken(self, record: Record, segment: int) -> UsageEvent | None:
        match record:
            case Opened(call=call) if call in self.open:
                self.open[call].segment = segment
            case Opened(call=call):
                self.open[call] = OpenCall(record.subject, record.started_ms, segment)
            case Progressed(call=call) if call in self.open:
                self.open[call].quantities, self.open[call].duration_ms = record.quantities, record.duration_ms
            case Closed(call=call):
                return self._ended(record, self.open.pop(call, None))
        return None

    def _ended(self, record: Closed, call: OpenCall | None) -> UsageEvent | None:
        if record.seq <= self._booked_seq:
            return None
        self.last_seq, self.cumulative = record.seq, record.cumulative
        if call is None:
            return None
        return UsageEvent(
            subject=call.subject,
            source=self._source.source,
            seq=record.seq,
            status=record.status,
            basis=Basis.WITNESS if self._source.is_witness else Basis.MEASURED,
            billable=record.billable,
            quantities=record.quantities,
            started_ms=call.started_ms,
            duration_ms=record.duration_ms,
            reason=record.reason,
        )

    def orphans(self) -> list[UsageEvent]:
        """The process is dead: what it left open was lost at its last checkpoint, and is not billed."""
        events = [self._lost(call) for _, call in sorted(self.open.items())]
        self.open = {}
        return events

    def _lost(self, call: OpenCall) -> UsageEvent:
        self.last_seq += 1
        self.cumulative += call.quantities
        return UsageEvent(
            subject=call.subject,
            source=self._source.source,
            seq=self.last_seq,
            status=UsageStatus.LOST,
            basis=Basis.WITNESS if self._source.is_witness else Basis.CHECKPOINT,
            billable=False,
            quantities=call.quantities,
            started_ms=call.started_ms,
            duration_ms=call.duration_ms,
            reason=PLATFORM_RETRY,
        )
