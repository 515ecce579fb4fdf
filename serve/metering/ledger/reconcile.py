"""Does it add up? Decided without a database, per source epoch.

    gap         events are missing between booked ones, or records in the journal
    sum         the booked events differ from what the source says they add up to
    counters    the events differ from the engine's own counters: exactly, while no call is open. Those of a process
                that was killed were read before its last calls ended, so they may say less, and more by what its calls
                had done since their last checkpoint
    conflict    records in quarantine say something else about attempts that are booked
    late        closed events are not booked after a while
    silent      a process with open calls has not reported for long, and not all of them are booked as their witnesses
                saw them

What can be explained is told, and is no difference: a process that is gone for good, a dead engine that counted what
came after its calls' last checkpoints, and what somebody has looked at and accepted.

Prometheus is compared beside it. It is a monitor, not a meter: it estimates between scrapes, and knows nothing of what
happened while it was away, or between the last scrape of a process and its end. So there is a tolerance, and where it
was not watching all the time, there is no verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from serve.domain.usage import NO_USAGE, UNITS, JournalGap, Quantities
from serve.metering.journal.reading import TORN
from serve.metering.ledger.sources import SourceBook

COUNTER_UNITS = {
    "prompt_tokens_total": "prompt_tokens",
    "generation_tokens_total": "completion_tokens",
    "images_total": "images",
    "steps_total": "steps",
    "pixel_steps_total": "pixel_steps",
}
"""Engines' counters and the units that they count."""
LATE_MS = 60_000
SILENT_MS = 600_000
LOST_MS = 86_400_000
"""After a day nobody will hear of a silent process again: what its calls did is booked as their witnesses saw it."""
TOLERANCE = 0.02
"""Of Prometheus: `increase()` is extrapolated to the borders of its window."""
_MIN_COVERAGE = 0.98
"""Share of the scrapes of the window that must be there for a verdict."""


class Kind(StrEnum):
    """What does not add up."""

    GAP = "gap"
    SUM = "sum"
    COUNTERS = "counters"
    CONFLICT = "conflict"
    LATE = "late"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not add up; `num_missing` records are known to be missing. Whoever accepts it accepts
    `known_as`, which stays the same while the difference does."""

    kind: Kind
    message: str
    num_missing: int = 0
    figures: str = ""

    @property
    def known_as(self) -> str:
        return f"{self.kind.value}: {self.figures or self.message}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an epoch beside its own books.

    `unchecked` is what a killed one's calls may have done after their last checkpoints. `num_witnessed` calls that were
    open at its last report are booked as their witnesses saw them. `accepted` differences are those that somebody has
    looked at.
    """

    num_conflicts: int = 0
    unchecked: Quantities = NO_USAGE
    num_witnessed: int = 0
    accepted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What there is to say of one source epoch; without differences, everything adds up."""

    source: str
    model: str
    is_witness: bool
    state: str
    num_booked: int
    num_open: int
    is_compared: bool
    """Whether the engine's counters were compared: no call was open, and it told them."""
    differences: tuple[Difference, ...]
    explained: tuple[str, ...] = ()
    """Sentences: what would be a difference, were it not known why."""

    @property
    def adds_up(self) -> bool:
        return not self.differences


NO_EVIDENCE = Evidence()


def verdict_on(book: SourceBook, now_ms: int, known: Evidence = NO_EVIDENCE) -> Verdict:
    """Judge one epoch."""
    report = book.report
    found = [*_gaps(book), *_sum(book), *_counters(book, known.unchecked), *_timing(book, now_ms, known)]
    accepted = [one for one in found if one.known_as in known.accepted]
    differences = [one for one in found if one not in accepted]
    if number := known.num_conflicts:
        differences.append(
            Difference(Kind.CONFLICT, f"{number} records are in quarantine (`slipway usage conflicts`).")
        )
    return Verdict(
        source=report.source,
        model=report.model,
        is_witness=report.is_witness,
        state=_state(book, now_ms),
        num_booked=book.booked_seq + sum(last - first + 1 for first, last in book.ahead),
        num_open=report.num_open,
        is_compared=_is_comparable(book),
        differences=tuple(differences),
        explained=(*_explained(book, now_ms, known), *(f"Accepted: {one.message}" for one in accepted)),
    )


def _state(book: SourceBook, now_ms: int) -> str:
    if book.report.closed:
        return "killed" if book.report.killed else "closed"
    return "lost" if now_ms - book.report.reported_ms > LOST_MS else "open"


def _gaps(book: SourceBook) -> list[Difference]:
    missing = [*book.missing]
    if book.report.closed and not missing and book.booked_seq < book.report.last_seq:
        missing = [(book.booked_seq + 1, book.report.last_seq)]
    found = [
        Difference(Kind.GAP, f"Events {first} to {last} are missing.", last - first + 1) for first, last in missing
    ]
    return found + [
        Difference(Kind.GAP, f"Journal records {gap.first} to {gap.last}: {gap.reason}.", gap.last - gap.first + 1)
        for gap in book.report.gaps
        if not _is_torn(book, gap)
    ]


def _is_torn(book: SourceBook, gap: JournalGap) -> bool:
    """Whether the gap is what a power cut leaves: the record that was being written."""
    return book.report.killed and gap.reason == TORN


def _sum(book: SourceBook) -> list[Difference]:
    if not book.is_complete or book.report.cumulative == book.booked:
        return []
    said, booked = book.report.cumulative, book.booked
    words = _words(said, booked, "the source says", "booked are")
    return [Difference(Kind.SUM, f"The events do not add up: {words}.", figures=_figures((said - booked).nonzero()))]


def _counters(book: SourceBook, unchecked: Quantities) -> list[Difference]:
    counted, said = _counted(book), book.report.cumulative
    more = {unit: counter - getattr(said, unit) for unit, counter in counted.items()}
    more = {unit: number for unit, number in more.items() if not _is_well(book, number, getattr(unchecked, unit))}
    if not more:
        return []
    words = "; ".join(f"{unit}: the engine counted {counted[unit]}, its calls {getattr(said, unit)}" for unit in more)
    return [Difference(Kind.COUNTERS, f"The engine's own counters differ: {words}.", figures=_figures(more))]


def _is_well(book: SourceBook, more: int, unchecked: int) -> bool:
    return more <= unchecked if book.report.killed else more == 0


def _counted(book: SourceBook) -> dict[str, int]:
    """What the engine's counters say, by unit, where they can be compared."""
    if not _is_comparable(book):
        return {}
    told = book.report.counters
    return {unit: round(told[name]) for name, unit in COUNTER_UNITS.items() if name in told}


def _figures(more: Mapping[str, int]) -> str:
    return " ".join(f"{unit}={value:+d}" for unit, value in more.items())


def _is_comparable(book: SourceBook) -> bool:
    report = book.report
    is_still = report.killed or report.num_open == 0
    return is_still and not report.is_witness and any(name in report.counters for name in COUNTER_UNITS)


def _timing(book: SourceBook, now_ms: int, known: Evidence) -> list[Difference]:
    report, silent_ms = book.report, now_ms - book.report.reported_ms
    if report.closed:
        return []
    found = []
    if book.is_behind and not book.missing and silent_ms > LATE_MS:
        number = report.last_seq - book.booked_seq
        words = f"{number} closed events are not booked after {silent_ms // 1000} s."
        found.append(Difference(Kind.LATE, words, figures=f"{book.booked_seq + 1} to {report.last_seq}"))
    if report.num_open and SILENT_MS < silent_ms <= LOST_MS and known.num_witnessed < report.num_open:
        words = f"{report.num_open} calls were open when the process last reported, {silent_ms // 1000} s ago."
        found.append(Difference(Kind.SILENT, words, figures=f"since {report.reported_ms}"))
    return found


def _explained(book: SourceBook, now_ms: int, known: Evidence) -> list[str]:
    report, silent_ms = book.report, now_ms - book.report.reported_ms
    if not report.closed and report.num_open and silent_ms > SILENT_MS:
        witnessed = f"{known.num_witnessed} of the {report.num_open} calls that were open then"
        if silent_ms > LOST_MS or known.num_witnessed >= report.num_open:
            return [
                f"It was last heard of {silent_ms // 1000} s ago: {witnessed} are booked as their witnesses saw them."
            ]
    more = {unit: counter - getattr(report.cumulative, unit) for unit, counter in _counted(book).items()}
    beyond = [f"{number} {unit.replace('_', ' ')}" for unit, number in more.items() if number > 0]
    found = []
    if any(_is_torn(book, gap) for gap in report.gaps):
        found.append("It died while it wrote its last record; a witness stands for the call.")
    if report.killed and beyond and not _counters(book, known.unchecked):
        words = ", ".join(beyond)
        found.append(f"It was killed: its engine had counted {words} after the last checkpoints of its calls.")
    return found


def _words(one: Quantities, other: Quantities, one_says: str, other_says: str) -> str:
    pairs = zip(UNITS, one.values(), other.values(), strict=True)
    return "; ".join(f"{unit}: {one_says} {a}, {other_says} {b}" for unit, a, b in pairs if a != b)


@dataclass(frozen=True, slots=True)
class Scraped:
    """What Prometheus says of one series over a window: `increase` (which adds over counter resets), and the share of
    the scrapes that there should be."""

    increase: float
    coverage: float = 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One unit of one tenant and model, as the ledger and Prometheus have it. `result`: agrees, differs, or unknown."""

    tenant: str
    model: str
    unit: str
    booked: int
    scraped: float | None
    result: str
    message: str


Key = tuple[str, str, str]
"""(tenant, model, unit)"""


def compared(
    booked: Mapping[Key, int], scraped: Mapping[Key, Scraped], tolerance: float = TOLERANCE, slack: float = 1.0
) -> list[Comparison]:
    """The ledger's sums over a window beside Prometheus' over the same.

    They agree within `tolerance` of the larger, plus `slack` units. A process that began anew is none of its business:
    `increase` sees a reset. A Prometheus that was away is: there is no verdict on what it did not watch.
    """
    return [
        _compared(key, booked.get(key, 0), scraped.get(key), tolerance, slack) for key in sorted({*booked, *scraped})
    ]


def _compared(key: Key, booked: int, scraped: Scraped | None, tolerance: float, slack: float) -> Comparison:
    if scraped is None:
        return Comparison(*key, booked, None, "unknown", "Prometheus has no such series in this time")
    gap = abs(scraped.increase - booked)
    if gap <= tolerance * max(scraped.increase, booked) + slack:
        return Comparison(*key, booked, scraped.increase, "agrees", "")
    if scraped.coverage < _MIN_COVERAGE:
        watched = f"Prometheus was watching {scraped.coverage:.0%} of the time"
        return Comparison(*key, booked, scraped.increase, "unknown", watched)
    words = f"booked {booked}, scraped {scraped.increase:.0f}: more than {tolerance:.0%} apart"
    return Comparison(*key, booked, scraped.increase, "differs", words)
