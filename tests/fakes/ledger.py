"""Usage events, batches and sums, for tests of the ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Table, func, select

from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.usage import (
    PLATFORM_RETRY,
    UNITS,
    Basis,
    PriceId,
    Quantities,
    SourceReport,
    UsageBatch,
    UsageEvent,
    UsageId,
    UsageStatus,
    UsageSubject,
)
from serve.metering.ledger.rollups import MONEY, SUMS
from serve.storage.metering_tables import usage_events, usage_hours
from serve.storage.records import Records

REPLICA = "local/replica/1"
GATEWAY = "local/gateway/1"
ADMITTED_MS = 1_767_225_600_000


def event(number: int = 1, **changes: Any) -> UsageEvent:
    """The replica's own record of call `number`: 100 prompt and 10 completion tokens of acme's, unless changed."""
    names = ("tenant", "model", "price", "admitted_ms", "project", "key_id", "adapters", "tags", "workflow", "node")
    subject = UsageSubject(
        id=UsageId(f"r{number}:1"),
        request_id=RequestId(f"r{number}"),
        tenant=TenantName("acme"),
        project=ProjectName("default"),
        key_id=KeyId("k1"),
        model="echo",
        task="chat",
        admitted_ms=ADMITTED_MS,
    )
    subject = replace(subject, **{name: changes.pop(name) for name in names if name in changes})
    made = UsageEvent(
        subject,
        source=REPLICA,
        seq=number,
        status=UsageStatus.SUCCEEDED,
        basis=Basis.MEASURED,
        billable=True,
        quantities=Quantities(prompt_tokens=100, completion_tokens=10),
        started_ms=subject.admitted_ms + 5,
        duration_ms=100,
    )
    return replace(made, **changes)


def witnessed(number: int = 1, **changes: Any) -> UsageEvent:
    """What the gateway saw of call `number`: half of it."""
    seen = {"source": GATEWAY, "basis": Basis.WITNESS, "quantities": Quantities(completion_tokens=5)}
    return event(number, **(seen | changes))


def unbilled(made: UsageEvent) -> UsageEvent:
    """The same, taken back by the platform."""
    return replace(made, status=UsageStatus.LOST, billable=False, reason=PLATFORM_RETRY)


def batch(*events: UsageEvent, cumulative: Quantities | None = None, **changes: Any) -> UsageBatch:
    """What a shipper sends of one source; it reports what these events say, unless changed."""
    first = events[0] if events else event()
    total = sum((one.quantities for one in events), Quantities()) if cumulative is None else cumulative
    report = SourceReport(
        source=first.source,
        is_witness=first.basis is Basis.WITNESS,
        model=first.subject.model,
        started_ms=ADMITTED_MS,
        reported_ms=ADMITTED_MS,
        last_seq=max((one.seq for one in events), default=0),
        cumulative=total,
    )
    return UsageBatch(replace(report, **changes), tuple(events))


def priced(events: Iterable[UsageEvent], price: PriceId) -> list[UsageEvent]:
    """The same under a price."""
    return [replace(one, subject=replace(one.subject, price=price)) for one in events]


async def totals_of(records: Records, which: Sequence[str] = SUMS) -> dict[str, int]:
    """The roll-up's sums, those that are not zero; checked against the sum over the rows, which is the truth."""
    names = [name for name in (*UNITS, *MONEY) if name in which]
    rolled = await _summed(records, usage_hours, which)
    summed = await _summed(records, usage_events, names)
    assert {name: rolled[name] for name in names} == summed
    return {name: value for name, value in rolled.items() if value}


async def _summed(records: Records, table: Table, names: Sequence[str]) -> dict[str, int]:
    async with records.read() as connection:
        sums = [func.coalesce(func.sum(table.c[name]), 0) for name in names]
        row = (await connection.execute(select(*sums))).one()
    return {name: int(value) for name, value in zip(names, row, strict=True)}
