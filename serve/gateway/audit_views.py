"""The audit of usage as the API shows it: what does not add up, what is known about it, and what is in quarantine."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from serve.domain.moments import at
from serve.gateway.views import Body, Timestamp, at_or_none
from serve.metering.ledger.audit import Audit
from serve.metering.ledger.reconcile import Difference, Verdict
from serve.metering.ledger.reviews import MAX_NOTE

Note = Annotated[str, Field(max_length=MAX_NOTE)]


class VerdictView(BaseModel):
    """One process's books: `adds_up`, or the sentences that say what does not; `explained` says what would not add up,
    were it not known why."""

    source: str
    model: str
    witness: bool
    state: str
    booked: int
    open: int
    counters_compared: bool
    adds_up: bool
    differences: list["UsageDifferenceView"]
    explained: list[str]


class UsageDifferenceView(BaseModel):
    """One thing that does not add up."""

    kind: str
    message: str


class AuditView(BaseModel):
    """All sources; `late_witnesses` calls wait for a ledger to book them."""

    object: Literal["usage.audit"] = "usage.audit"
    adds_up: bool
    sources: int
    late_witnesses: int
    data: list[VerdictView]


class AcceptBody(Body):
    """Take note of what does not add up at a source now. What comes later is told again."""

    source: str = Field(max_length=200)
    note: Note = ""


class AcceptedView(BaseModel):
    """What was accepted."""

    object: Literal["usage.review"] = "usage.review"
    source: str
    accepted: list[UsageDifferenceView]


class ResolveBody(Body):
    """Decide on a record in quarantine, for ever: the `ledger` is right and stays as it is, or the `record` is, and the
    attempt is corrected to what it says."""

    id: str = Field(max_length=160)
    payload_sha256: str = Field(max_length=64)
    right: Literal["ledger", "record"]
    note: Note = ""


class ConflictView(BaseModel):
    """A record in quarantine: nothing of it is booked unless somebody decides that it is right."""

    id: str
    payload_sha256: str
    source: str
    reason: str
    received_at: Timestamp
    resolved_at: Timestamp | None
    record: dict[str, Any]


def audit_view(found: Audit, only_differences: bool) -> AuditView:
    """The verdicts, those that add up left out where nobody asks for them."""
    shown = [one for one in found.verdicts if not only_differences or one.differences or one.explained]
    return AuditView(
        adds_up=found.adds_up,
        sources=len(found.verdicts),
        late_witnesses=found.num_late_witnesses,
        data=[_verdict_view(verdict) for verdict in shown],
    )


def _verdict_view(verdict: Verdict) -> VerdictView:
    return VerdictView(
        source=verdict.source,
        model=verdict.model,
        witness=verdict.is_witness,
        state=verdict.state,
        booked=verdict.num_booked,
        open=verdict.num_open,
        counters_compared=verdict.is_compared,
        adds_up=verdict.adds_up,
        differences=[_difference_view(one) for one in verdict.differences],
        explained=list(verdict.explained),
    )


def accepted_view(source: str, accepted: tuple[Difference, ...]) -> AcceptedView:
    """What somebody has taken note of."""
    return AcceptedView(source=source, accepted=[_difference_view(one) for one in accepted])


def _difference_view(difference: Difference) -> UsageDifferenceView:
    return UsageDifferenceView(kind=difference.kind.value, message=difference.message)


def conflict_view(row: Any) -> ConflictView:
    """A row of the quarantine."""
    moments = {"received_at": at(row.received_ms), "resolved_at": at_or_none(row.resolved_ms)}
    known = {name: getattr(row, name) for name in ("id", "payload_sha256", "source", "reason")}
    return ConflictView(**known, record=row.event, **moments)
