"""How fast a model has been lately, by what the ledger booked: how long a call may take.

A call's time is spoken of in the unit that it goes by: pixels times steps of a picture, tokens of an answer, tokens of
a prompt that is embedded. Queueing is no part of it: nobody knows who comes next.
"""

from sqlalchemy import select

from serve.domain.usage import Quantities, UsageStatus
from serve.metering.ledger.booking import Kind
from serve.storage.metering_tables import usage_events
from serve.storage.records import Records

NUM_CALLS = 50
"""The latest that are looked at."""
_UNITS = ("pixel_steps", "completion_tokens", "prompt_tokens")
"""The first of them that a call has is what its time goes by."""


async def seconds_of(records: Records, model: str, quantities: Quantities) -> float | None:
    """How long a call of `model` takes that consumes `quantities`; None for a model without history."""
    unit = next((unit for unit in _UNITS if getattr(quantities, unit)), None)
    if unit is None:
        return None
    table = usage_events
    is_whole = (table.c.status == UsageStatus.SUCCEEDED) & (table.c.kind == Kind.ATTEMPT) & (table.c[unit] > 0)
    latest = select(table.c.duration_ms, table.c[unit]).where(table.c.model == model, is_whole)
    async with records.read() as connection:
        rows = (await connection.execute(latest.order_by(table.c.admitted_ms.desc()).limit(NUM_CALLS))).all()
    num_ms, num_units = (sum(int(row[i]) for row in rows) for i in (0, 1))
    if not num_units:
        return None
    return num_ms / 1000 / num_units * float(getattr(quantities, unit))
