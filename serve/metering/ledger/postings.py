"""Postings as rows of `usage_events`, and back."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.usage import UNITS, Basis, HoldId, PriceId, Quantities, UsageEvent, UsageId, UsageStatus, UsageSubject
from serve.metering.ledger.booking import Booked, Standing, standing
from serve.metering.ledger.statements import Values, rows_among
from serve.storage.metering_tables import usage_events

COLUMNS = tuple(usage_events.columns.keys())


def row_of(posting: Booked) -> Values:
    """In the order of the table's columns."""
    event, subject = posting.event, posting.event.subject
    return (
        posting.id,
        posting.kind,
        posting.corrects,
        subject.request_id,
        event.source,
        event.seq,
        subject.tenant,
        subject.project,
        subject.key_id,
        subject.model,
        subject.task,
        json.dumps(subject.adapters) if subject.adapters else "[]",
        subject.run_id,
        subject.workflow or "",
        subject.node or "",
        json.dumps(dict(subject.tags)) if subject.tags else "{}",
        event.status.value,
        event.basis.value,
        int(event.billable),
        event.reason,
        *event.quantities.values(),
        posting.price,
        posting.cost_nano,
        posting.free_nano,
        posting.credit_nano,
        subject.hold,
        subject.reserved_nano,
        subject.admitted_ms,
        event.started_ms,
        event.duration_ms,
        posting.booked_ms,
        posting.payload_sha256,
    )


def posting_of(row: Any) -> Booked:
    """The posting in a row, as far as it matters to what is posted after it."""
    return Booked(
        event=_event_of(row),
        kind=row.kind,
        cost_nano=row.cost_nano,
        free_nano=row.free_nano,
        credit_nano=row.credit_nano,
        id=row.id,
        corrects=row.corrects,
        price=row.price,
        payload_sha256=row.payload_sha256,
        booked_ms=row.booked_ms,
    )


def _event_of(row: Any) -> UsageEvent:
    return UsageEvent(
        subject=_subject_of(row),
        source=row.source,
        seq=row.seq,
        status=UsageStatus(row.status),
        basis=Basis(row.basis),
        billable=bool(row.billable),
        quantities=Quantities(*[getattr(row, unit) for unit in UNITS]),
        started_ms=row.started_ms,
        duration_ms=row.duration_ms,
        reason=row.reason,
    )


def _subject_of(row: Any) -> UsageSubject:
    return UsageSubject(
        id=UsageId(row.corrects or row.id),
        request_id=RequestId(row.request_id),
        tenant=TenantName(row.tenant),
        project=ProjectName(row.project),
        key_id=KeyId(row.key_id),
        model=row.model,
        task=row.task,
        admitted_ms=row.admitted_ms,
        adapters=tuple(plain(row.adapters)),
        run_id=None if row.run_id is None else RunId(row.run_id),
        workflow=row.workflow or None,
        node=row.node or None,
        tags=tuple(plain(row.tags).items()),
        price=None if row.price is None else PriceId(row.price),
        hold=None if row.hold is None else HoldId(row.hold),
        reserved_nano=row.reserved_nano,
    )


def plain(value: Any) -> Any:
    """A JSON column's value, which comes as text where the driver was asked directly."""
    return json.loads(value) if isinstance(value, str | bytes) else value


async def standings(
    connection: AsyncConnection, ids: Collection[str], by: Sequence[str] = ("id", "corrects")
) -> Mapping[str, Standing]:
    """What stands of the attempts with these ids, by id; those never booked are absent. `by` are the columns that may
    hold such an id."""
    columns = [name if name not in ("adapters", "tags") else f"CAST({name} AS TEXT) AS {name}" for name in COLUMNS]
    rows = await rows_among(connection, usage_events, columns, ids, by)
    chains: dict[str, list[Booked]] = {}
    for row in sorted(rows, key=lambda row: (row.corrects is not None, row.booked_ms)):
        chains.setdefault(row.corrects or row.id, []).append(posting_of(row))
    return {id: found for id, chain in chains.items() if (found := standing(chain)) is not None}
