"""The rows of rate limits: what was granted to gateways, by slot of time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Delete, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.metering.rates.limits import DAY, MINUTE, Limit, Row, Window
from serve.storage.metering_tables import rate_buckets

_SLICE_SHARE = 4
"""Beyond what is needed now, a slice takes one part in so many of what is left: other gateways ask, too."""
_SCARCE_SHARE = 10
"""When less than one part in so many of a limit is left, nobody takes more than is needed now."""
_INSERT: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}

Slots = Mapping[int, int]
"""Units by slot: the number of a slot is its beginning, over its length."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What a transaction found in a row, and took from it. `free` is left, the newest slot ends at `newest_ms`, and
    there is room for what was asked for at `room_ms`."""

    units: int
    slot: int
    free: int
    newest_ms: int
    room_ms: int


async def take_slice(
    connection: AsyncConnection, limit: Limit, units: int, wish: int, owed: Slots, now_ms: int
) -> Slice:
    """A slice of at least `units`, more of what is wished for if there is plenty; of none where there are not so many.
    `owed` is given back."""
    window, slots = limit.window, await _locked(connection, limit.row, now_ms)
    # A gateway whose clock is ahead has written already into slots that are to come here: time goes on from them.
    now_ms = max(now_ms, max(slots, default=0) * window.slot_ms)
    slots = _counted(slots, owed, window, now_ms)
    free, slot = limit.most - sum(slots.values()), now_ms // window.slot_ms
    taken = _slice_of(free, units, wish, limit.most)
    room_ms = _room_ms(slots, units - free, window, now_ms)
    newest_ms = (max(slots) + 1) * window.slot_ms if slots else 0
    if taken:
        slots[slot] = slots.get(slot, 0) + taken
    await _store(connection, limit.row, slots)
    return Slice(taken, slot, free - taken, newest_ms, room_ms)


async def free_of(connection: AsyncConnection, limit: Limit, now_ms: int) -> tuple[int, int]:
    """What is left of a limit, and when its newest slot ends (0 where there is none). Nothing is taken or locked."""
    scope, unit = limit.row
    mine = (rate_buckets.c.scope == scope, rate_buckets.c.unit == unit)
    stored = await connection.scalar(select(rate_buckets.c.slots).where(*mine)) or {}
    slots = _counted({int(slot): units for slot, units in stored.items()}, {}, limit.window, now_ms)
    return limit.most - sum(slots.values()), (max(slots) + 1) * limit.window.slot_ms if slots else 0


async def give_back(connection: AsyncConnection, row: Row, window: Window, owed: Slots, now_ms: int) -> None:
    """Units of these slots were not used."""
    slots = await _locked(connection, row, now_ms)
    await _store(connection, row, _counted(slots, owed, window, now_ms))


def forgotten(now_ms: int) -> Delete:
    """Remove the rows that nothing counts of any more."""
    unit, updated_ms = rate_buckets.c.unit, rate_buckets.c.updated_ms
    is_daily = unit.endswith(DAY.suffix)
    old_minute = and_(~is_daily, updated_ms < now_ms - 2 * MINUTE.reach_ms)
    old_day = and_(is_daily, updated_ms < now_ms - 2 * DAY.reach_ms)
    return delete(rate_buckets).where(or_(old_minute, old_day))


async def _locked(connection: AsyncConnection, row: Row, now_ms: int) -> dict[int, int]:
    """The row's slots; it is made where it lacks, and is this transaction's alone until its end."""
    scope, unit = row
    insert = _INSERT[connection.dialect.name](rate_buckets).values(scope=scope, unit=unit, slots={}, updated_ms=now_ms)
    insert = insert.on_conflict_do_update(index_elements=["scope", "unit"], set_={"updated_ms": now_ms})
    slots = (await connection.execute(insert.returning(rate_buckets.c.slots))).scalar_one()
    return {int(slot): units for slot, units in slots.items()}


async def _store(connection: AsyncConnection, row: Row, slots: Mapping[int, int]) -> None:
    mine = (rate_buckets.c.scope == row[0], rate_buckets.c.unit == row[1])
    values = {str(slot): units for slot, units in slots.items()}
    await connection.execute(update(rate_buckets).where(*mine).values(slots=values))


def _counted(slots: Mapping[int, int], owed: Mapping[int, int], window: Window, now_ms: int) -> dict[int, int]:
    """What counts of `slots`, less what is given back."""
    first = (now_ms - window.reach_ms) // window.slot_ms
    left = {slot: units - owed.get(slot, 0) for slot, units in slots.items() if slot >= first}
    return {slot: units for slot, units in left.items() if units > 0}


def _slice_of(free: int, units: int, wish: int, most: int) -> int:
    """How much to take where `free` are left: `units` surely, more of what is wished for if there is plenty."""
    if free < units:
        return 0
    spare = max(0, free - units - most // _SCARCE_SHARE) // _SLICE_SHARE
    return units + min(spare, max(0, wish - units))


def _room_ms(slots: Mapping[int, int], missing: int, window: Window, now_ms: int) -> int:
    """When `missing` units more will be free, if nobody asks for any in between."""
    for slot in sorted(slots):
        if missing <= 0:
            break
        missing -= slots[slot]
        now_ms = (slot + 1) * window.slot_ms + window.reach_ms
    return now_ms
