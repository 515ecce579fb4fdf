"""How runs, events and deliveries are written: together, in the transaction of whoever decides.

Every change of a run's status goes through `transition`, so that the row, its event and the webhook deliveries due
for it are seen together or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Row, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.money import cost_shown
from serve.domain.names import RunId
from serve.domain.run import DeliveryStatus, Run, RunEventKind, RunKind, RunStatus
from serve.domain.steps import Step, StepStatus
from serve.runs import payloads
from serve.runs import steps as step_rows
from serve.runs.lifecycle import Decision, may
from serve.storage.tables import run_events, runs, webhook_deliveries

_DELIVERY_NAMESPACE = UUID("6f2c1f1e-64a5-4b0e-8f1c-5a0f7a6f3d11")
"""Delivery ids are derived from the run, the claim and the news, so that nothing can write the same news twice."""
_NOT_IN_RUN = frozenset({"lease_owner", "lease_expires_ms", "not_before_ms"})
RUN_COLUMNS = [column for column in runs.c if column.name not in _NOT_IN_RUN]

_ALWAYS_KEPT = frozenset({RunEventKind.OUTPUT, RunEventKind.SUCCEEDED, RunEventKind.FAILED, RunEventKind.CANCELED})
_UNFINISHED = frozenset({StepStatus.QUEUED, StepStatus.RUNNING})

WEBHOOK_EVENTS = {
    RunStatus.RUNNING: RunEventKind.STARTED,
    RunStatus.SUCCEEDED: RunEventKind.SUCCEEDED,
    RunStatus.FAILED: RunEventKind.FAILED,
    RunStatus.CANCELED: RunEventKind.CANCELED,
}
"""What a webhook can be told, by the status that brings it."""

Guards = Sequence[ColumnElement[bool]]
"""What must still hold of the row for a write to happen."""


@dataclass(frozen=True, slots=True)
class Line:
    """An event before it has a number."""

    kind: RunEventKind
    data: dict[str, Any]

    @property
    def is_always_kept(self) -> bool:
        """Outputs and endings, of a run and of a workflow's steps. What such a step puts out in parts is not one: it is
        whole in what is stored of the step."""
        if self.kind is RunEventKind.STEP:
            return self.data["status"] not in _UNFINISHED
        return self.kind in _ALWAYS_KEPT and "step" not in self.data


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished run leaves: its outputs, what it consumed, and what that costs, in nano-dollars."""

    outputs: dict[str, Any] | None = None
    usage: dict[str, int] | None = None
    cost_nano: int | None = None


def to_run(row: Row[Any]) -> Run:
    """The run in a row of RUN_COLUMNS.

    While versions change, a newer one may have written it: what is not known here is left out, as a new column is, and
    keeps nobody from the rows beside it.
    """
    own = {"cancel_requested": bool(row.cancel_requested), "adapters": row.adapters or (), "tags": row.tags or {}}
    own["task"] = row.task or None
    return Run.model_validate({**row._mapping, **own}, extra="ignore")


def kept(lines: Sequence[Line], num_events: int, max_events: int) -> list[Line]:
    """Those of `lines` that the run has room for. Outputs and endings always have it."""
    found: list[Line] = []
    for line in lines:
        if line.is_always_kept or num_events + len(found) < max_events:
            found.append(line)
    return found


async def append(
    connection: AsyncConnection,
    run_id: RunId,
    lines: Sequence[Line],
    now_ms: int,
    guards: Guards = (),
    values: Mapping[str, Any] | None = None,
) -> int | None:
    """Change the row by `values` and add `lines`; the seq of the last. None, and nothing written, if a guard fails."""
    statement = (
        update(runs)
        .where(runs.c.id == run_id, *guards)
        .values(num_events=runs.c.num_events + len(lines), **(values or {}))
        .returning(runs.c.num_events)
    )
    last: int | None = (await connection.execute(statement)).scalar()
    if last is not None and lines:
        first = last - len(lines) + 1
        rows = [
            {"run_id": run_id, "seq": first + i, "kind": line.kind, "data": line.data, "created_ms": now_ms}
            for i, line in enumerate(lines)
        ]
        await connection.execute(insert(run_events), rows)
    return last


async def transition(
    connection: AsyncConnection,
    run: Run,
    decision: Decision,
    now_ms: int,
    *,
    max_events: int,
    guards: Guards = (),
    values: Mapping[str, Any] | None = None,
    lines: Sequence[Line] = (),
    steps: Sequence[Step] = (),
    result: Result | None = None,
) -> Run | None:
    """Carry out `decision`, after `lines` and `steps`; the run as it is then. None, and nothing written, if it is not
    ours to make.

    Beyond `guards`, the row must still have the status and the fence of `run`.
    """
    if not may(run.status, decision.status):
        raise ValueError(f"no transition from {run.status} to {decision.status}")
    after = _after(run, decision, now_ms, result or Result())
    written = kept([*lines, _ending(after, decision)], run.num_events, max_events)
    mine = (runs.c.status == run.status, runs.c.fence == run.fence, *guards)
    changed = {**_columns(after, decision, now_ms), **(values or {})}
    last = await append(connection, run.id, written, now_ms, mine, changed)
    if last is None:
        return None
    await step_rows.save(connection, run.id, steps)
    if run.kind is RunKind.WORKFLOW and after.status.is_terminal:
        await step_rows.end(connection, run.id, now_ms)
    after = after.model_copy(update={"num_events": last})
    await _announce(connection, after, now_ms)
    return after


async def _announce(connection: AsyncConnection, run: Run, now_ms: int) -> None:
    kind = WEBHOOK_EVENTS.get(run.status)
    if kind is None or run.webhook is None or kind not in run.webhook.events:
        return
    delivery = {
        "id": str(uuid5(_DELIVERY_NAMESPACE, f"{run.id}:{run.fence}:{kind}")),
        "run_id": run.id,
        "tenant": run.tenant,
        "event": kind,
        "url": run.webhook.url,
        "body": payloads.notification(run, kind, now_ms),
        "status": DeliveryStatus.PENDING,
        "attempt": 0,
        "next_ms": now_ms,
        "created_ms": now_ms,
    }
    await connection.execute(insert(webhook_deliveries), delivery)


def _after(run: Run, decision: Decision, now_ms: int, result: Result) -> Run:
    changed: dict[str, Any] = {"status": decision.status}
    match decision.status:
        case RunStatus.RUNNING:
            changed |= {"attempt": run.attempt + 1, "fence": run.fence + 1, "started_ms": run.started_ms or now_ms}
        case RunStatus.QUEUED:
            changed |= {"attempt": run.attempt if decision.spends_attempt else run.attempt - 1}
        case _:
            changed |= {"finished_ms": now_ms, "error": decision.error}
            changed |= {"outputs": result.outputs, "usage": result.usage, "cost_nano": result.cost_nano}
    return run.model_copy(update=changed)


def _columns(after: Run, decision: Decision, now_ms: int) -> dict[str, Any]:
    changed: dict[str, Any] = {
        "status": after.status,
        "attempt": after.attempt,
        "fence": after.fence,
        "started_ms": after.started_ms,
        "lease_owner": None,
        "lease_expires_ms": None,
    }
    if after.status == RunStatus.QUEUED:
        delay_ms = round(decision.delay_seconds * 1000)
        changed["not_before_ms"] = now_ms + delay_ms if delay_ms else 0
    if after.status.is_terminal:
        error = after.error.model_dump() if after.error else None
        changed |= {"finished_ms": now_ms, "outputs": after.outputs, "error": error}
        changed |= {"usage": after.usage, "cost_nano": after.cost_nano}
    return changed


def _ending(after: Run, decision: Decision) -> Line:
    match after.status:
        case RunStatus.RUNNING:
            return Line(RunEventKind.STARTED, {"attempt": after.attempt})
        case RunStatus.QUEUED:
            return Line(RunEventKind.QUEUED, {"attempt": after.attempt, "reason": decision.reason})
        case RunStatus.SUCCEEDED:
            cost = cost_shown(after.cost_nano)
            return Line(RunEventKind.SUCCEEDED, {"output": after.outputs, "usage": after.usage, "cost": cost})
        case RunStatus.FAILED:
            failed: dict[str, Any] = {"error": after.error.model_dump() if after.error else {}}
            if after.outputs is not None:
                failed |= {"output": after.outputs, "usage": after.usage, "cost": cost_shown(after.cost_nano)}
            return Line(RunEventKind.FAILED, failed)
        case RunStatus.CANCELED:
            return Line(RunEventKind.CANCELED, {"reason": decision.reason})
