"""What a webhook's receiver reads: https://github.com/standard-webhooks/standard-webhooks, `payload structure`."""

import json
from datetime import UTC, datetime
from typing import Any

from serve.domain.run import Run, RunEventKind


def rfc3339(unix_ms: int | None) -> str | None:
    """Milliseconds since 1970 as 2026-01-31T12:00:00.000Z; None stays None."""
    if unix_ms is None:
        return None
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def notification(run: Run, kind: RunEventKind, now_ms: int) -> str:
    """The body of one delivery. It is kept as it is, so that every attempt carries the same bytes."""
    body = {"type": f"run.{kind}", "timestamp": rfc3339(now_ms), "data": _small_view(run)}
    return json.dumps(body, separators=(",", ":"))


def _small_view(run: Run) -> dict[str, Any]:
    """The run without its inputs: the receiver knows what it asked."""
    return {
        "id": run.id,
        "object": "run",
        "model": run.target,
        "task": run.task,
        "status": run.status,
        "attempt": run.attempt,
        "request_id": run.request_id,
        "created_at": rfc3339(run.created_ms),
        "started_at": rfc3339(run.started_ms),
        "finished_at": rfc3339(run.finished_ms),
        "output": run.outputs,
        "usage": run.usage,
        "error": run.error.model_dump() if run.error else None,
    }
