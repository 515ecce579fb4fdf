"""Free tiers: units that a tenant has free in a calendar month, taken before anything is charged.

What an attempt took is written down beside the month's sum, so that a correction gives back exactly what it no longer
needs, and a re-rating values the same units anew. It happens in the transaction that books: the month's rows are
locked in one order, so attempts that are booked at the same time on several ledgers never share a unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.moments import at
from serve.domain.usage import PriceId, Quantities
from serve.metering.ledger.booking import Booked
from serve.metering.prices.prices import PriceVersion, cost_of
from serve.storage.metering_tables import free_draws, free_usage
from serve.storage.records import insert_if_absent

Pot = tuple[str, str, int, str]
"""(tenant, model, first moment of the month, unit): what is used up together."""


def month_of(unix_ms: int) -> int:
    """The first moment of the calendar month (UTC) that `unix_ms` is in."""
    moment: datetime = at(unix_ms)
    return round(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


@dataclass(slots=True)
class _Pots:
    """Units used this month, and by each attempt, while one transaction books."""

    used: dict[Pot, int]
    drawn: dict[str, dict[str, int]]
    touched: set[Pot] = field(default_factory=set)

    def draw(self, posting: Booked, billed: Quantities, version: PriceVersion) -> Mapping[str, int]:
        """The free units of the attempt from now on: what it has and still needs, and more while there is some."""
        mine = self.drawn.setdefault(_attempt(posting), {})
        amounts = {str(unit): amount for unit, amount in version.prices.free_per_month.items()}
        for unit in {*amounts, *mine}:
            pot = _pot(posting, unit)
            needed = getattr(billed, unit)
            kept = min(mine.get(unit, 0), needed)
            left = amounts.get(unit, 0) - self.used[pot] + mine.get(unit, 0) - kept
            after = kept + max(0, min(needed - kept, left))
            self.used[pot] += after - mine.get(unit, 0)
            mine[unit] = after
            self.touched.add(pot)
        return mine


async def draw_free(
    connection: AsyncConnection, booked: Sequence[Booked], versions: Mapping[PriceId, PriceVersion]
) -> list[int]:
    """By how much each posting changes the part of its attempt's price that is free, in nano-dollars.

    `booked` are in the order of booking, and in one transaction; postings whose version is not in `versions` have
    nothing free.
    """
    if not any(_may_draw(posting, versions) for posting in booked):
        return [0] * len(booked)
    drawing = [posting for posting in booked if posting.price in versions]
    pots = await _opened(connection, drawing, versions)
    free_now: dict[str, int] = {}
    changes = []
    for posting in booked:
        version = versions.get(posting.price) if posting.price else None
        changes.append(0 if version is None else _change(pots, free_now, posting, version))
    await _close(connection, pots)
    return changes


def _change(pots: _Pots, free_now: dict[str, int], posting: Booked, version: PriceVersion) -> int:
    before = posting.before
    billed = posting.billed if before is None else before.billed + posting.billed
    units = pots.draw(posting, billed, version)
    adapters = posting.event.subject.adapters
    free = cost_of(billed, version, adapters) - cost_of(billed, version, adapters, units) if any(units.values()) else 0
    attempt = _attempt(posting)
    was = free_now.get(attempt, 0 if before is None else before.free_nano)
    free_now[attempt] = free
    return free - was


def _may_draw(posting: Booked, versions: Mapping[PriceId, PriceVersion]) -> bool:
    version = versions.get(posting.price) if posting.price else None
    had = posting.before is not None and posting.before.free_nano
    return version is not None and bool(version.prices.free_per_month or had)


def _attempt(posting: Booked) -> str:
    return str(posting.corrects or posting.event.id)


def _pot(posting: Booked, unit: str) -> Pot:
    subject = posting.event.subject
    return subject.tenant, subject.model, month_of(subject.admitted_ms), unit


async def _opened(
    connection: AsyncConnection, drawing: Sequence[Booked], versions: Mapping[PriceId, PriceVersion]
) -> _Pots:
    """The pots that are concerned, locked, and what the corrected attempts hold of them."""
    drawn = await _drawn(connection, [str(posting.corrects) for posting in drawing if posting.corrects])
    wanted: set[Pot] = set()
    for posting in drawing:
        version = versions[posting.price] if posting.price else None
        units: Iterable[str] = version.prices.free_per_month if version else ()
        wanted |= {_pot(posting, unit) for unit in (*units, *drawn.get(_attempt(posting), ()))}
    return _Pots({pot: await _locked(connection, pot) for pot in sorted(wanted)}, drawn)


async def _locked(connection: AsyncConnection, pot: Pot) -> int:
    row: dict[str, Any] = dict(zip(("tenant", "model", "month_ms", "unit"), pot, strict=True))
    await insert_if_absent(connection, free_usage, row | {"used": 0})
    used = await connection.execute(select(free_usage.c.used).where(_is(pot)).with_for_update())
    return int(used.scalar_one())


async def _drawn(connection: AsyncConnection, attempts: Sequence[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    if attempts:
        rows = await connection.execute(select(free_draws).where(free_draws.c.usage_id.in_(set(attempts))))
        for row in rows:
            found.setdefault(row.usage_id, {})[row.unit] = row.amount
    return found


async def _close(connection: AsyncConnection, pots: _Pots) -> None:
    for pot in sorted(pots.touched):
        await connection.execute(update(free_usage).where(_is(pot)).values(used=pots.used[pot]))
    if not pots.drawn:
        return
    await connection.execute(delete(free_draws).where(free_draws.c.usage_id.in_(set(pots.drawn))))
    rows = [
        {"usage_id": attempt, "unit": unit, "amount": amount}
        for attempt, units in pots.drawn.items()
        for unit, amount in units.items()
        if amount
    ]
    if rows:
        await connection.execute(free_draws.insert(), rows)


def _is(pot: Pot) -> Any:
    tenant, model, month_ms, unit = pot
    columns = free_usage.c
    return and_(columns.tenant == tenant, columns.model == model, columns.month_ms == month_ms, columns.unit == unit)
