"""The steps of workflows' runs as rows: written in the transaction of the claim that works on the run, and read again
by the one that comes after it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.names import RunId
from serve.domain.run import RunError
from serve.domain.steps import Step, StepStatus
from serve.domain.storable import clean, storable
from serve.storage.workflow_tables import run_steps

_UNFINISHED = run_steps.c.status.in_((StepStatus.QUEUED.value, StepStatus.RUNNING.value))
_KEY = ("run_id", "label")
_VALUES = tuple(column.name for column in run_steps.c if column.name not in _KEY)
_MAX_REASON = 400


async def load(connection: AsyncConnection, run_id: RunId, *, after: str = "", limit: int | None = None) -> list[Step]:
    """The steps of a run by label; with `limit` a page of them, from the label `after` on."""
    query = select(run_steps).where(run_steps.c.run_id == run_id, run_steps.c.label > after)
    rows = await connection.execute(query.order_by(run_steps.c.label).limit(limit))
    return [_step_of(row) for row in rows]


async def save(connection: AsyncConnection, run_id: RunId, steps: Sequence[Step]) -> None:
    """Write these down as they are now, whatever was known of them before. The caller has seen to the fence."""
    if not steps:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(run_steps)
    newer = {name: statement.excluded[name] for name in _VALUES}
    upsert = statement.on_conflict_do_update(index_elements=_KEY, set_=newer)
    last = {step.label: step for step in steps}
    await connection.execute(upsert, [_row_of(run_id, step) for step in last.values()])


async def end(connection: AsyncConnection, run_id: RunId, now_ms: int) -> None:
    """The run has ended: what was still under way is canceled."""
    ended = {"status": StepStatus.CANCELED.value, "finished_ms": now_ms}
    await connection.execute(update(run_steps).where(run_steps.c.run_id == run_id, _UNFINISHED).values(ended))


async def forget(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """Remove the steps of these runs."""
    await connection.execute(delete(run_steps).where(run_steps.c.run_id.in_(run_ids)))


def _row_of(run_id: RunId, step: Step) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "label": step.label,
        "type": step.type,
        "status": step.status.value,
        "key": step.key,
        "outputs": storable(step.outputs)[0],
        "error": storable(step.error.model_dump())[0] if step.error else None,
        "reason": clean(step.reason)[:_MAX_REASON] if step.reason else None,
        "tries": step.tries,
        "started_ms": step.started_ms,
        "finished_ms": step.finished_ms,
        "usage": None if step.usage is None else dict(step.usage),
        "cost_nano": step.cost_nano,
    }


def _step_of(row: Row[Any]) -> Step:
    values = dict(row._mapping)
    del values["run_id"]
    error = values["error"]
    values |= {
        "status": StepStatus(row.status),
        "error": RunError.model_validate(error, extra="ignore") if error else None,
    }
    return Step(**values)
