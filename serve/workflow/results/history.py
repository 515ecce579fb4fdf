"""How long steps took, and what they consumed: what a plan says of seconds and cost before anything runs.

Of each type of node there are sums in which older steps count less and less, the line through (work, seconds) among
them. Speed is a fact about the installation, and known of all tenants together; what is consumed is each tenant's own.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.ports import Clock
from serve.storage.records import Records
from serve.storage.workflow_tables import step_history

_log = logging.getLogger(__name__)
_FLUSH_SECONDS = 2.0
_KEPT_SHARE = 0.98
"""Of what was known, when one step more is: some fifty steps count."""
_EVERYBODY = ""
_MIN_SPREAD = 1e-9
_SUMS = ("num", "work", "work2", "seconds", "seconds_work")


@dataclass(slots=True)
class _Sums:
    """Decayed sums over the steps of one type."""

    num: float = 0.0
    work: float = 0.0
    work2: float = 0.0
    seconds: float = 0.0
    seconds_work: float = 0.0
    units: dict[str, float] = field(default_factory=dict)
    share: float = 1.0
    """What is left of the sums that these are added to."""

    def add(self, work: float, seconds: float, units: Mapping[str, float]) -> None:
        """One step more."""
        one = {"num": 1.0, "work": work, "work2": work * work, "seconds": seconds, "seconds_work": seconds * work}
        for name in _SUMS:
            setattr(self, name, getattr(self, name) * _KEPT_SHARE + one[name])
        for unit in self.units.keys() | units.keys():
            self.units[unit] = self.units.get(unit, 0.0) * _KEPT_SHARE + units.get(unit, 0)
        self.share *= _KEPT_SHARE

    def onto(self, before: Row[Any] | None) -> dict[str, Any]:
        """The columns of a row that had `before`."""
        if before is None:
            return {name: getattr(self, name) for name in _SUMS} | {"units": self.units}
        columns: dict[str, Any] = {name: getattr(before, name) * self.share + getattr(self, name) for name in _SUMS}
        units = {name: before.units.get(name, 0.0) * self.share for name in before.units}
        return columns | {
            "units": {name: units.get(name, 0.0) + self.units.get(name, 0.0) for name in units | self.units}
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known of a type of node. `num` is how many steps it is known from, the older counting less; `units` is
    what the tenant's own steps of it consumed on average, empty where there were none."""

    num: float
    base_seconds: float
    seconds_per_work: float
    units: Mapping[str, float]

    def seconds(self, work: float) -> float:
        """How long a step of so much work takes."""
        return max(0.0, self.base_seconds + self.seconds_per_work * work)


def _estimate(speed: Row[Any], own: Row[Any] | None) -> Estimate:
    mean_work, mean_seconds = speed.work / speed.num, speed.seconds / speed.num
    spread = speed.work2 / speed.num - mean_work * mean_work
    slope = 0.0
    if spread > _MIN_SPREAD * max(1.0, mean_work * mean_work):
        slope = max(0.0, (speed.seconds_work / speed.num - mean_work * mean_seconds) / spread)
    base = mean_seconds - slope * mean_work
    if base < 0:  # less work cannot take less than no time: the line goes through zero then
        base, slope = 0.0, mean_seconds / mean_work if mean_work else 0.0
    units = {} if own is None else {unit: total / own.num for unit, total in own.units.items()}
    return Estimate(speed.num, base, slope, units)


class StepHistory:
    """Remembers, and estimates. What is added is written every few seconds: to lose some of it harms nobody."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._pending: dict[tuple[str, str], _Sums] = {}
        self._loop: asyncio.Task[None] | None = None

    def add(self, tenant: str, type_: str, work: float, seconds: float, units: Mapping[str, float]) -> None:
        """A step has ended with outputs, after `seconds` of its own. Costs microseconds."""
        self._pending.setdefault((tenant, type_), _Sums()).add(work, seconds, units)
        self._pending.setdefault((_EVERYBODY, type_), _Sums()).add(work, seconds, {})

    async def estimates(self, tenant: str, types: Collection[str]) -> Mapping[str, Estimate]:
        """What is known of these types; of those that never ran there is nothing."""
        mine = step_history.c.tenant.in_([tenant, _EVERYBODY]) & step_history.c.type.in_(sorted(types))
        async with self._records.read() as connection:
            rows = (await connection.execute(select(step_history).where(mine))).all()
        own = {row.type: row for row in rows if row.tenant == tenant}
        return {row.type: _estimate(row, own.get(row.type)) for row in rows if row.tenant == _EVERYBODY}

    async def start(self) -> None:
        """Write from now on."""
        self._loop = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Write what there is, and no more."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        await self.flush()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was added. A database that is away loses it, and nothing else."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            async with self._records.write() as connection:
                for (tenant, type_), sums in sorted(pending.items()):
                    await self._write(connection, tenant, type_, sums)
        except Exception:
            _log.warning("how long %d kinds of steps took is not written down", len(pending), exc_info=True)

    async def _write(self, connection: AsyncConnection, tenant: str, type_: str, sums: _Sums) -> None:
        await self._records.take_turns(connection, f"step_history/{tenant}/{type_}")
        mine = (step_history.c.tenant == tenant) & (step_history.c.type == type_)
        before = (await connection.execute(select(step_history).where(mine))).first()
        await connection.execute(delete(step_history).where(mine))
        row = {"tenant": tenant, "type": type_, "updated_ms": self._clock.now_ms(), **sums.onto(before)}
        await connection.execute(insert(step_history).values(row))
