"""What gateways and runners saw, kept until the replica's own count of the same attempt is there."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.usage import UsageEvent
from serve.metering.journal.wire import from_plain, to_plain
from serve.metering.ledger.booking import Case
from serve.metering.ledger.postings import plain
from serve.metering.ledger.statements import insert_rows, rows_among
from serve.storage.metering_tables import usage_witnesses

NEVER_MS = 2**62
"""When a word is due that is booked already, and kept in case the replica speaks after all."""
_CONFLICT = "ON CONFLICT (id) DO UPDATE SET due_ms = excluded.due_ms"


async def load(connection: AsyncConnection, ids: Collection[str]) -> dict[str, UsageEvent]:
    """The witnesses' words on these attempts, by id."""
    columns = ("id", "CAST(event AS TEXT) AS event")
    rows = await rows_among(connection, usage_witnesses, columns, ids, ("id",))
    return {row.id: from_plain(plain(row.event)) for row in rows}


async def due(connection: AsyncConnection, now_ms: int, limit: int) -> list[UsageEvent]:
    """The words whose replicas have been silent for too long, the longest first."""
    waiting = select(usage_witnesses.c.event).where(usage_witnesses.c.due_ms <= now_ms)
    rows = await connection.execute(waiting.order_by(usage_witnesses.c.due_ms).limit(limit))
    return [from_plain(event) for (event,) in rows]


async def save(connection: AsyncConnection, cases: Iterable[tuple[str, Case]], now_ms: int, due_ms: int) -> None:
    """Write down what became of the words on these attempts; a new one is due at `due_ms`."""
    kept: list[tuple[Any, ...]] = []
    done = []
    for id, case in cases:
        if case.witness is None:
            done.append(id)
        else:
            event = to_text(to_plain(case.witness))
            kept.append((id, event, now_ms, due_ms if case.target is None else NEVER_MS))
    await insert_rows(connection, usage_witnesses, sorted(kept), _CONFLICT)
    for part in _parts(sorted(done)):
        await connection.execute(delete(usage_witnesses).where(usage_witnesses.c.id.in_(part)))


def to_text(value: Mapping[str, Any]) -> str:
    """JSON for a column that is written through the driver."""
    return json.dumps(value, ensure_ascii=True)


def _parts(ids: list[str], size: int = 500) -> Iterable[list[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
