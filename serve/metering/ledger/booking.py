"""What the ledger does with what it is told about an attempt, decided without a database.

An attempt stands as the sum of its postings: the row it was first booked by, and signed corrections, which change
what stood to what is now known. So the order in which the two witnesses speak does not matter, nor how often.

    replica measured       its own count; billed unless either witness says that the platform is at fault
    replica's checkpoint   at most one checkpoint too low, as is what the witness saw: the larger counts. Whoever
                           settled a dead replica's journal cannot know how the call ended: the witness says that
    witness alone          booked when it is due, marked estimated, and replaced by anything from the replica
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import sub
from typing import NamedTuple

from serve.domain.usage import REFUSED, Basis, PriceId, Quantities, UsageEvent, UsageId, UsageStatus
from serve.metering.journal.wire import payload_sha256

COUNTS = (
    "num_attempts",
    "num_canceled",
    "num_failed",
    "num_lost",
    "num_unbilled",
    "num_estimated",
    "num_unpriced",
)
"""What roll-ups count besides units and money, in their order."""
NOTHING = Quantities()
_NO_COUNTS = (0,) * len(COUNTS)
_RANK = {Basis.WITNESS: 0, Basis.CHECKPOINT: 1, Basis.MEASURED: 2}
_SUFFIX = {Basis.CHECKPOINT: "c", Basis.MEASURED: "m"}

Rate = Callable[[UsageEvent, PriceId | None], int | None]
"""List price in nano-dollars of an event under a price version; None where there is no such version."""


class Kind(StrEnum):
    """What a row of the ledger is."""

    ATTEMPT = "attempt"
    CORRECTION = "correction"
    """Better knowledge of an attempt: signed differences."""
    RERATING = "rerating"
    """Another price for an attempt: a difference of money alone."""


class Heard(StrEnum):
    """What became of an event."""

    INSERTED = "inserted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Booked(NamedTuple):
    """One posting, as a row of `usage_events`. A tuple, as there is one for every attempt, and it is quickly made.

    `event` has the posted quantities, signed, and the judgement that holds from here on. `cost_nano` is the posted
    list price, None for unpriced; `free_nano` and `credit_nano` are the parts of it that a free tier and credit pay.
    `billed` is by how much the quantities that are charged change: what a free tier draws from. `counts` are changes of
    COUNTS.
    """

    event: UsageEvent
    kind: str
    cost_nano: int | None
    free_nano: int = 0
    credit_nano: int = 0
    billed: Quantities = NOTHING
    counts: tuple[int, ...] = _NO_COUNTS
    id: str = ""
    corrects: UsageId | None = None
    price: PriceId | None = None
    payload_sha256: str = ""
    booked_ms: int = 0
    before: "Standing | None" = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What an attempt's postings come to. `hashes` are (payload hash, basis) of what was heard."""

    event: UsageEvent
    cost_nano: int | None
    free_nano: int
    credit_nano: int
    price: PriceId | None
    booked_ms: int
    ids: frozenset[str]
    hashes: frozenset[tuple[str, str]]

    @property
    def billed(self) -> Quantities:
        """The quantities that are charged."""
        return self.event.quantities if self.event.billable else NOTHING


def standing(postings: Iterable[Booked]) -> Standing | None:
    """The sum of one attempt's postings, in the order they were booked; None without any."""
    total: Standing | None = None
    for posting in postings:
        total = _after(total, posting)
    return total


def _after(total: Standing | None, posting: Booked) -> Standing:
    heard = (posting.payload_sha256, posting.event.basis.value)
    if total is None:
        money = (posting.cost_nano, posting.free_nano, posting.credit_nano)
        ids, hashes = frozenset((posting.id,)), frozenset((heard,))
        return Standing(posting.event, *money, posting.price, posting.booked_ms, ids, hashes)
    unpriced = posting.cost_nano is None
    return Standing(
        event=replace(posting.event, quantities=total.event.quantities + posting.event.quantities),
        cost_nano=None if unpriced else (total.cost_nano or 0) + (posting.cost_nano or 0),
        free_nano=total.free_nano + posting.free_nano,
        credit_nano=total.credit_nano + posting.credit_nano,
        price=posting.price,
        booked_ms=posting.booked_ms,
        ids=total.ids | {posting.id},
        hashes=total.hashes | {heard},
    )


def judged(event: UsageEvent, witness: UsageEvent | None) -> UsageEvent:
    """What a replica's event and the witness say together."""
    if witness is None:
        return event
    if event.basis is Basis.CHECKPOINT:
        return replace(
            event,
            quantities=_larger(event.quantities, witness.quantities),
            status=witness.status,
            billable=witness.billable,
            reason=witness.reason,
        )
    if event.basis is Basis.MEASURED and event.billable and not witness.billable:
        return replace(event, billable=False, reason=witness.reason)
    return event


def _larger(one: Quantities, other: Quantities) -> Quantities:
    return Quantities(*map(max, one.values(), other.values()))


def posting(
    before: Standing | None, target: UsageEvent, sha256: str, suffix: str, rate: Rate, now_ms: int
) -> Booked | None:
    """What turns `before` into `target`; None where nothing changes. `suffix` ends a correction's id.

    Postings of one attempt have an order: two of the same millisecond would have none.
    """
    price = target.subject.price if before is None else before.price
    cost = _cost(target, price, rate)
    billed = target.quantities if target.billable else NOTHING
    if before is None:
        counts = _counts(target, cost)
        return Booked(target, Kind.ATTEMPT, cost, 0, 0, billed, counts, target.id, None, price, sha256, now_ms)
    counts = tuple(map(sub, _counts(target, cost), _counts(before.event, before.cost_nano)))
    quantities = target.quantities - before.event.quantities
    if (quantities, counts, cost) == (NOTHING, _NO_COUNTS, before.cost_nano):
        return None
    return Booked(
        event=replace(target, quantities=quantities),
        kind=Kind.CORRECTION,
        cost_nano=None if cost is None else cost - (before.cost_nano or 0),
        billed=billed - before.billed,
        counts=counts,
        id=_free_id(f"{target.id}/{suffix}", before.ids),
        corrects=target.id,
        price=price,
        payload_sha256=sha256,
        booked_ms=max(now_ms, before.booked_ms + 1),
        before=before,
    )


def rerating(before: Standing, price: PriceId, rate: Rate, now_ms: int) -> Booked | None:
    """What turns `before` into the same under the version `price`; None where it already stands so."""
    cost = _cost(before.event, price, rate)
    if not before.event.billable or cost is None or (before.price == price and before.cost_nano is not None):
        return None
    counts = tuple(map(sub, _counts(before.event, cost), _counts(before.event, before.cost_nano)))
    return Booked(
        event=replace(before.event, quantities=NOTHING),
        kind=Kind.RERATING,
        cost_nano=cost - (before.cost_nano or 0),
        counts=counts,
        id=_free_id(f"{before.event.id}/r:{price.removeprefix('sha256:')[:12]}", before.ids),
        corrects=before.event.id,
        price=price,
        booked_ms=max(now_ms, before.booked_ms + 1),
        before=before,
    )


def _free_id(wanted: str, taken: frozenset[str]) -> str:
    number, found = 1, wanted
    while found in taken:
        number += 1
        found = f"{wanted}.{number}"
    return found


def _cost(event: UsageEvent, price: PriceId | None, rate: Rate) -> int | None:
    return rate(event, price) if event.billable else 0


def _counts(event: UsageEvent, cost: int | None) -> tuple[int, ...]:
    status = event.status
    return (
        1,
        int(status is UsageStatus.CANCELED),
        int(status is UsageStatus.FAILED),
        int(status is UsageStatus.LOST),
        int(not event.billable),
        int(event.basis is not Basis.MEASURED),
        int(cost is None),
    )


@dataclass(slots=True)
class Case:
    """One attempt while a transaction deals with it: what stands, what is heard, and what is to be written.

    However much is heard in one transaction, it is one posting.
    """

    before: Standing | None = None
    witness: UsageEvent | None = None
    """Its word so far, kept until the replica's own count is there."""
    target: UsageEvent | None = None
    is_witness_changed: bool = False
    _hashes: set[tuple[str, str]] = field(default_factory=set)
    _sha256: str = ""
    _suffix: str = ""

    def __post_init__(self) -> None:
        if self.before is not None:
            self.target = self.before.event
            self._hashes |= self.before.hashes

    def hear(self, event: UsageEvent, sha256: str) -> Heard:
        """Take in what a replica or a witness says; `sha256` is the hash of its payload."""
        if event.basis is Basis.WITNESS:
            return self._hear_witness(event, sha256)
        if self.target is not None:
            if (sha256, event.basis.value) in self._hashes:
                return Heard.DUPLICATE
            known = self.target.basis
            if _RANK[event.basis] <= _RANK[known]:
                return Heard.CONFLICT if event.basis is known else Heard.DUPLICATE
        self._aim(judged(event, self.witness), sha256, _SUFFIX[event.basis])
        if event.basis is Basis.MEASURED:
            self._keep(None)
        return Heard.INSERTED

    def _hear_witness(self, event: UsageEvent, sha256: str) -> Heard:
        if self.witness is not None:
            return Heard.DUPLICATE if payload_sha256(self.witness) == sha256 else Heard.CONFLICT
        if self.target is None:
            self._keep(event)
            return Heard.INSERTED
        if self.target.basis is Basis.CHECKPOINT:
            self._keep(event)
        together = judged(self.target, event)
        if together == self.target:
            return Heard.DUPLICATE
        self._aim(together, sha256, "w")
        return Heard.INSERTED

    def settle(self) -> None:
        """The replica has been silent for too long: book what its witness saw. The word is kept, in case it speaks."""
        if self.witness is None or self.target is not None:
            return
        if self.witness.reason == REFUSED and self.witness.quantities == NOTHING:
            self._keep(None)
            return
        self._aim(self.witness, payload_sha256(self.witness), "w")

    def decide(self, event: UsageEvent, sha256: str) -> None:
        """Somebody says that `event` is right, whatever else was heard. Whose call it was stays as it is."""
        known = event.subject if self.target is None else self.target.subject
        self._aim(replace(event, subject=known), sha256, "q")
        self._keep(None)

    def posting(self, rate: Rate, now_ms: int) -> Booked | None:
        """What is to be written, all in all; None for nothing."""
        if self.target is None or not self._sha256:
            return None
        return posting(self.before, self.target, self._sha256, self._suffix, rate, now_ms)

    def _aim(self, target: UsageEvent, sha256: str, suffix: str) -> None:
        self.target, self._sha256, self._suffix = target, sha256, suffix
        self._hashes.add((sha256, target.basis.value))

    def _keep(self, witness: UsageEvent | None) -> None:
        if self.witness is not witness:
            self.witness, self.is_witness_changed = witness, True


_MOST = 2**53
"""Of one unit of one event: beyond it a sum of many could leave 64 bits, and JSON's numbers are not exact."""


def flaw(event: UsageEvent) -> str | None:
    """Why an event cannot be booked whoever sends it; None for a sound one."""
    subject = event.subject
    if any(not 0 <= value <= _MOST for value in event.quantities.values()):
        return "a quantity is negative, or impossibly large"
    texts: tuple[str | None, ...] = (subject.id, event.source, subject.request_id, subject.tenant, subject.project)
    texts += (subject.key_id, subject.model, subject.task, subject.run_id, subject.workflow, subject.node, event.reason)
    lengths = (160, 200, 36, 40, 40, 24, 40, 40, 36, 90, 80, 40)
    if any(text is not None and len(text) > most for text, most in zip(texts, lengths, strict=True)):
        return "a name or an id is too long"
    if any("\0" in text for text in (*texts, *subject.adapters, *sum(subject.tags, ())) if text):
        return "a name or an id holds a NUL"
    if min(event.seq, event.duration_ms + 1, subject.admitted_ms + 1) < 1:
        return "a number is negative"
    return None
