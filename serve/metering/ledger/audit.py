"""The books of all sources, judged: what `slipway usage reconcile` shows."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select

from serve.domain.ports import Clock
from serve.domain.usage import Basis, Quantities
from serve.metering.ledger.reconcile import Verdict, verdict_on
from serve.metering.ledger.sources import book_of
from serve.settings import MeteringSettings
from serve.storage.metering_tables import usage_conflicts, usage_events, usage_sources, usage_witnesses
from serve.storage.records import Records

_LATE_MS = 60_000
_ANY = 2**62
"""Where a unit has no bound: a prompt is counted by the engine as a whole, and an image's size is not known here."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Verdicts on every source that reported since then, and what concerns no single one."""

    verdicts: tuple[Verdict, ...]
    num_late_witnesses: int
    """Calls that should have been booked as their witnesses saw them, and are not: no ledger is running."""

    @property
    def adds_up(self) -> bool:
        return not self.num_late_witnesses and all(verdict.adds_up for verdict in self.verdicts)


async def audit(records: Records, clock: Clock, settings: MeteringSettings, since_ms: int) -> Audit:
    """Judge the sources that reported at `since_ms` or later, the oldest first."""
    now_ms = clock.now_ms()
    table, counted = usage_sources.c, usage_conflicts.c
    is_checkpoint = (usage_events.c.basis == Basis.CHECKPOINT.value) & usage_events.c.source.in_(
        select(table.source).where(table.killed == 1, table.reported_ms >= since_ms)
    )
    conflicts = select(counted.source, func.count().label("num")).where(counted.resolved_ms.is_(None))
    cut_short = select(usage_events.c.source, func.count().label("num")).where(is_checkpoint)
    late = select(func.count()).select_from(usage_witnesses).where(usage_witnesses.c.due_ms < now_ms - _LATE_MS)
    concerned = or_(table.reported_ms >= since_ms, table.source.in_(select(counted.source)))
    async with records.read() as connection:
        rows = (await connection.execute(select(usage_sources).where(concerned).order_by(table.started_ms))).all()
        num_conflicts = _by_source((await connection.execute(conflicts.group_by(counted.source))).all())
        num_cut = _by_source((await connection.execute(cut_short.group_by(usage_events.c.source))).all())
        num_late = int((await connection.execute(late)).scalar_one())
    return Audit(
        verdicts=tuple(
            verdict_on(
                book_of(row), now_ms, num_conflicts.get(row.source, 0), _unchecked(num_cut.get(row.source, 0), settings)
            )
            for row in rows
        ),
        num_late_witnesses=num_late,
    )


def _by_source(rows: list[Row[Any]] | Any) -> dict[str, int]:
    return {row.source: int(row.num) for row in rows}


def _unchecked(num_cut: int, settings: MeteringSettings) -> Quantities:
    """What so many calls that were cut short may have done after their last checkpoints."""
    if not num_cut:
        return Quantities()
    tokens = num_cut * settings.checkpoint_tokens
    return Quantities(_ANY, _ANY, tokens, images=num_cut, pixels=_ANY, steps=_ANY, pixel_steps=_ANY)
