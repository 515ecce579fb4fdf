"""How much waits and runs, of everybody: what whoever operates the platform looks at."""

from dataclasses import dataclass

from sqlalchemy import case, func, select

from serve.domain.run import RunKind, RunStatus
from serve.storage.records import Records
from serve.storage.tables import runs


@dataclass(frozen=True, slots=True)
class Queue:
    """The runs of one model, or of all workflows together: `model` is None for those, whose names are their tenants'.

    `oldest_ms` is when the first of the waiting ones was accepted.
    """

    model: str | None
    num_waiting: int
    num_running: int
    oldest_ms: int | None


async def queues(records: Records) -> list[Queue]:
    """Those that are not empty, models by name and the workflows last."""
    is_waiting = runs.c.status == RunStatus.QUEUED
    alive = (
        select(
            case((runs.c.kind == RunKind.MODEL, runs.c.target)).label("model"),
            case((is_waiting, 1), else_=0).label("waiting"),
            case((is_waiting, runs.c.created_ms)).label("waiting_since"),
        )
        .where(runs.c.status.in_((RunStatus.QUEUED, RunStatus.RUNNING)))
        .subquery()
    )
    columns = (func.count(), func.sum(alive.c.waiting), func.min(alive.c.waiting_since))
    async with records.read() as connection:
        rows = (await connection.execute(select(alive.c.model, *columns).group_by(alive.c.model))).all()
    found = [Queue(model, int(waiting), total - int(waiting), oldest) for model, total, waiting, oldest in rows]
    return sorted(found, key=lambda queue: (queue.model is None, queue.model or ""))
