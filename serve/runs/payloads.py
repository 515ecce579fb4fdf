"""What a webhook's receiver reads: https://github.com/standard-webhooks/standard-webhooks, `payload structure`."""

import json
from typing import Any

from serve.domain.moments import at, rfc3339
from serve.domain.money import cost_shown
from serve.domain.run import Run, RunEventKind, RunKind


def notification(run: Run, kind: RunEventKind, now_ms: int) -> str:
    """The body of one delivery. It is kept as it is, so that every attempt carries the same bytes."""
    body = {"type": f"run.{kind}", "timestamp": rfc3339(at(now_ms)), "data": _small_view(run)}
    return json.dumps(body, separators=(",", ":"))


def _small_view(run: Run) -> dict[str, Any]:
    """The run without its inputs: the receiver knows what it asked."""
    is_workflow = run.kind is RunKind.WORKFLOW
    return {
        "id": run.id,
        "object": "run",
        "kind": run.kind,
        "model": None if is_workflow else run.target,
        "workflow": run.target if is_workflow else None,
        "task": run.task,
        "status": run.status,
        "attempt": run.attempt,
        "request_id": run.request_id,
        "created_at": rfc3339(at(run.created_ms)),
        "started_at": _time(run.started_ms),
        "finished_at": _time(run.finished_ms),
        "output": run.outputs,
        "usage": run.usage,
        "cost": cost_shown(run.cost_nano),
        "error": run.error.model_dump() if run.error else None,
    }


def _time(unix_ms: int | None) -> str | None:
    return None if unix_ms is None else rfc3339(at(unix_ms))
