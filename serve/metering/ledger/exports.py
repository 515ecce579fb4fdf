"""Usage for other programs: CSV, or CloudEvents 1.0 as newline-delimited JSON, in the order it was booked.

Rows are read and written in parts, so that an export of any length takes little memory. It ends a few seconds before
now: what is still being booked then comes with the next export, which begins where this one ended.
"""

import csv
import io
import json
import re
from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum
from typing import Any

from serve.domain.moments import at, rfc3339
from serve.domain.money import shown
from serve.domain.ports import Clock
from serve.domain.usage import UNITS
from serve.metering.ledger.queries import Asked, booked_after
from serve.storage.records import Records

_AT_ONCE = 1000
_SETTLED_MS = 5000
"""Longer than a transaction of the ledger takes: nothing is committed any more that was booked before."""
_MOMENTS = ("admitted", "started", "booked")
_TEXTS = ("id", "kind", "corrects", "request_id", "tenant", "project", "key_id", "model", "task")
_PLACES = ("run_id", "workflow", "node", "status", "basis")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
EVENT_TYPE = "dev.slipway.usage.v1"


class ExportFormat(StrEnum):
    """How postings are written."""

    CSV = "csv"
    CLOUDEVENTS = "cloudevents"

    @property
    def media_type(self) -> str:
        return "text/csv; charset=utf-8" if self is ExportFormat.CSV else "application/x-ndjson"


async def exported(
    records: Records, clock: Clock, asked: Asked, form: ExportFormat, since_booked_ms: int = 0
) -> AsyncGenerator[bytes, None]:
    """The postings that were asked for and booked at `since_booked_ms` or later, in parts."""
    until_ms = clock.now_ms() - _SETTLED_MS
    if form is ExportFormat.CSV:
        yield _csv([COLUMNS])
    last = (since_booked_ms - 1, "\U0010ffff")
    while rows := await booked_after(records, asked, last, _AT_ONCE, until_ms):
        last = (rows[-1].booked_ms, rows[-1].id)
        yield _csv([list(values_of(row).values()) for row in rows]) if form is ExportFormat.CSV else _lines(rows)


def values_of(row: Any) -> dict[str, Any]:
    """A posting as flat values, in the order of COLUMNS. Money is in whole nano-dollars and in dollars."""
    quantities = {unit: getattr(row, unit) for unit in UNITS}
    due = None if row.cost_nano is None else row.cost_nano - row.free_nano - row.credit_nano
    return {
        **{name: getattr(row, name) or "" for name in (*_TEXTS, *_PLACES)},
        "adapters": " ".join(row.adapters),
        "tags": json.dumps(row.tags, sort_keys=True) if row.tags else "",
        "billable": bool(row.billable),
        "reason": row.reason or "",
        **quantities,
        "price": row.price or "",
        "cost_nano_usd": row.cost_nano,
        "free_nano_usd": row.free_nano,
        "credit_nano_usd": row.credit_nano,
        "due_nano_usd": due,
        "due_usd": None if due is None else shown(due),
        **{f"{name}_at": rfc3339(at(getattr(row, f"{name}_ms"))) for name in _MOMENTS},
        "duration_ms": row.duration_ms,
        "source": row.source,
        "seq": row.seq,
        "payload_sha256": row.payload_sha256,
    }


COLUMNS = [
    *(*_TEXTS, *_PLACES, "adapters", "tags", "billable", "reason", *UNITS, "price"),
    *("cost_nano_usd", "free_nano_usd", "credit_nano_usd", "due_nano_usd", "due_usd"),
    *(f"{name}_at" for name in _MOMENTS),
    *("duration_ms", "source", "seq", "payload_sha256"),
]
"""Of the CSV file. New ones come at the end."""


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(value) for value in line] for line in lines])
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe, which it takes for text."""
    is_formula = isinstance(value, str) and value[:1] in _FORMULAS and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(cloud_event(row), ensure_ascii=False).encode() + b"\n" for row in rows)


def cloud_event(row: Any) -> dict[str, Any]:
    """A posting as a CloudEvent: `source` and `id` together are unique, and the same in every export."""
    data = values_of(row)
    data |= {"adapters": list(row.adapters), "tags": dict(row.tags)}
    return {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "source": f"/slipway/{row.source.partition('/')[0]}/ledger",
        "id": row.id,
        "time": rfc3339(at(row.admitted_ms)),
        "subject": row.tenant,
        "datacontenttype": "application/json",
        "data": data,
    }
