"""Books that keep what they are sent, and can be away."""

from collections.abc import Sequence

from serve.domain.usage import NO_USAGE, Quantities, Receipt, SourceReport, UsageBatch, UsageEvent, UsageId


class KeptBooks:
    """Every id is booked once. While `is_away`, nothing is; with `forget_answers` all is, and nobody is told."""

    def __init__(self) -> None:
        self.events: dict[UsageId, UsageEvent] = {}
        self.reports: list[SourceReport] = []
        self.num_duplicates = self.num_refused = 0
        self.is_away = self.forget_answers = False

    async def book(self, batch: UsageBatch) -> Receipt:
        if self.is_away:
            self.num_refused += 1
            raise ConnectionError("the books are away")
        new = [event for event in batch.events if event.id not in self.events]
        again = [event for event in batch.events if event.id in self.events]
        assert all(self.events[event.id] == event for event in again), "sent twice, and not the same"
        self.num_duplicates += len(again)
        self.events |= {event.id: event for event in new}
        self.reports.append(batch.report)
        if self.forget_answers:
            raise ConnectionError("the answer is lost")
        return Receipt(len(new), len(again), 0)

    def last_reports(self) -> dict[str, SourceReport]:
        """What each source said last."""
        return {report.source: report for report in self.reports}

    def total(self, source: str) -> Quantities:
        """Of all events of `source`."""
        return sum([event.quantities for event in self.events.values() if event.source == source], NO_USAGE)

    def seqs(self, source: str) -> Sequence[int]:
        """Of all events of `source`, in the order in which they came."""
        return [event.seq for event in self.events.values() if event.source == source]
