"""Usage events as plain values, for JSON: how they lie in journals, in the ledger and in exports."""

import hashlib
from collections.abc import Mapping
from typing import Any

from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.usage import (
    UNITS,
    Basis,
    HoldId,
    PriceId,
    Quantities,
    UsageEvent,
    UsageId,
    UsageStatus,
    UsageSubject,
)

_UNITS = ",".join(UNITS)


def to_plain(event: UsageEvent) -> dict[str, Any]:
    """One flat object, with the units that are not zero under `quantities`."""
    return {
        **subject_to_plain(event.subject),
        "source": event.source,
        "seq": event.seq,
        "status": event.status.value,
        "basis": event.basis.value,
        "billable": event.billable,
        "reason": event.reason,
        "quantities": event.quantities.nonzero(),
        "started_ms": event.started_ms,
        "duration_ms": event.duration_ms,
    }


def from_plain(plain: Mapping[str, Any]) -> UsageEvent:
    """The event that `to_plain` was given. Raises KeyError, TypeError or ValueError for anything else."""
    return UsageEvent(
        subject=subject_from_plain(plain),
        source=plain["source"],
        seq=plain["seq"],
        status=UsageStatus(plain["status"]),
        basis=Basis(plain["basis"]),
        billable=plain["billable"],
        quantities=quantities_from_plain(plain["quantities"]),
        started_ms=plain["started_ms"],
        duration_ms=plain["duration_ms"],
        reason=plain["reason"],
    )


def subject_to_plain(subject: UsageSubject) -> dict[str, Any]:
    """All fields by name; tags as an object."""
    return {
        "id": subject.id,
        "request_id": subject.request_id,
        "tenant": subject.tenant,
        "project": subject.project,
        "key_id": subject.key_id,
        "model": subject.model,
        "task": subject.task,
        "admitted_ms": subject.admitted_ms,
        "adapters": list(subject.adapters),
        "run_id": subject.run_id,
        "workflow": subject.workflow,
        "node": subject.node,
        "tags": dict(subject.tags),
        "price": subject.price,
        "hold": subject.hold,
        "reserved_nano": subject.reserved_nano,
    }


def subject_from_plain(plain: Mapping[str, Any]) -> UsageSubject:
    """The subject that `subject_to_plain` was given; other keys do not matter."""
    run_id, price, hold = plain["run_id"], plain["price"], plain["hold"]
    return UsageSubject(
        id=UsageId(plain["id"]),
        request_id=RequestId(plain["request_id"]),
        tenant=TenantName(plain["tenant"]),
        project=ProjectName(plain["project"]),
        key_id=KeyId(plain["key_id"]),
        model=plain["model"],
        task=plain["task"],
        admitted_ms=plain["admitted_ms"],
        adapters=tuple(plain["adapters"]),
        run_id=None if run_id is None else RunId(run_id),
        workflow=plain["workflow"],
        node=plain["node"],
        tags=tuple(plain["tags"].items()),
        price=None if price is None else PriceId(price),
        hold=None if hold is None else HoldId(hold),
        reserved_nano=plain["reserved_nano"],
    )


def quantities_from_plain(plain: Mapping[str, int]) -> Quantities:
    """From units by name. Raises TypeError for a unit that does not exist."""
    return Quantities(**plain)


def payload_sha256(event: UsageEvent) -> str:
    """Of what is charged for and how it was judged: two events with one id agree exactly if this does."""
    values = ",".join(map(str, event.quantities.values()))
    judged = f"{event.status.value}\n{int(event.billable)}\n{event.reason or ''}"
    return hashlib.sha256(f"{event.id}\n{_UNITS}\n{values}\n{judged}".encode()).hexdigest()
