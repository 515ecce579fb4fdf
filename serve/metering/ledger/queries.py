"""Questions to the ledger: usage by what it is grouped by, single postings, and totals for `/metrics`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select

from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.moments import at
from serve.domain.usage import UNITS, Quantities
from serve.metering.ledger.booking import COUNTS
from serve.metering.ledger.rollups import HOUR_MS, SUMS
from serve.storage.metering_tables import usage_events, usage_hours
from serve.storage.records import Records

DAY_MS = 24 * HOUR_MS
MAX_MONTHS = 120
"""Of one question by months."""
_TAG = "tag:"
_DIMENSIONS = {
    "tenant": "tenant",
    "project": "project",
    "key": "key_id",
    "model": "model",
    "adapter": "adapters",
    "workflow": "workflow",
    "node": "node",
}
DIMENSIONS = (*_DIMENSIONS, f"{_TAG}<key>")
"""What usage is grouped by, in the words of the API. A call with several adapters is a group of its own."""


class Granularity(StrEnum):
    """How long the periods are that usage is summed over; days and months are UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Which:
    """Whose usage, and of when: admitted from `since_ms` to before `until_ms`. None means any, or all."""

    since_ms: int
    until_ms: int
    tenant: str | None = None
    project: str | None = None
    key_id: str | None = None
    model: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Used:
    """One group in one period; `period_ms` is its first moment, None for the whole time that was asked about.

    `cost_nano` is the list price; `free_nano` and `credit_nano` are the parts that a free tier and credit pay, and what
    is left is due. Attempts without a price (`num_unpriced` of COUNTS) are in the quantities, and not in the cost.
    """

    period_ms: int | None
    group: Mapping[str, str]
    quantities: Quantities
    cost_nano: int
    free_nano: int
    credit_nano: int
    counts: Mapping[str, int]


async def usage(
    records: Records,
    which: Which,
    group_by: Sequence[str],
    granularity: Granularity,
    tags: Sequence[str],
    limit: int,
    offset: int = 0,
) -> list[Used]:
    """At most `limit` groups from the `offset`th, in the order of time and names. `tags` are the declared keys.

    Raises:
        InvalidRequest: an unknown dimension or tag key, or too many months.
    """
    columns: list[ColumnElement[Any]] = [_period(granularity, which), *(_dimension(name, tags) for name in group_by)]
    keys = ["period_ms", *(f"group{index}" for index in range(len(group_by)))]
    sums = [func.sum(usage_hours.c[name]).label(name) for name in SUMS]
    labeled = [column.label(key) for column, key in zip(columns, keys, strict=True)]
    query = select(*labeled, *sums)
    query = query.where(*_hours(which, tags)).group_by(*keys).order_by(*keys).limit(limit).offset(offset)
    async with records.read() as connection:
        rows = (await connection.execute(query)).all()
    is_total = granularity is Granularity.TOTAL
    return [_used(row, group_by, is_total) for row in rows]


def _used(row: Any, group_by: Sequence[str], is_total: bool) -> Used:
    return Used(
        period_ms=None if is_total else int(row.period_ms),
        group={name: getattr(row, f"group{index}") for index, name in enumerate(group_by)},
        quantities=Quantities(*[int(getattr(row, unit)) for unit in UNITS]),
        cost_nano=int(row.cost_nano),
        free_nano=int(row.free_nano),
        credit_nano=int(row.credit_nano),
        counts={name: int(getattr(row, name)) for name in COUNTS},
    )


def _dimension(name: str, tags: Sequence[str]) -> ColumnElement[str]:
    if name.startswith(_TAG):
        return _tag(name.removeprefix(_TAG), tags)
    if name not in _DIMENSIONS:
        raise InvalidRequest(
            f"Usage is grouped by {', '.join(DIMENSIONS)}; not by {name[:80]!r}. For several, repeat group_by.",
            "invalid_value",
            "group_by",
        )
    return usage_hours.c[_DIMENSIONS[name]]


def _tag(key: str, tags: Sequence[str]) -> ColumnElement[str]:
    if key not in tags:
        declared = ", ".join(tags) or "none"
        raise InvalidRequest(
            f"{key[:80]!r} is not a declared tag key (declared: {declared}). SLIPWAY_METERING_TAG_KEYS declares them.",
            "invalid_value",
            "tag",
        )
    return usage_hours.c[f"tag{tags.index(key) + 1}"]


def _period(granularity: Granularity, which: Which) -> ColumnElement[int]:
    hour = usage_hours.c.hour_ms
    if granularity is Granularity.HOUR:
        return hour
    if granularity is Granularity.DAY:
        return hour - hour % literal(DAY_MS)
    if granularity is Granularity.TOTAL:
        return hour * literal(0)
    starts = _months(which)
    return case(*[(hour >= start, start) for start in reversed(starts)], else_=starts[0])


def _months(which: Which) -> list[int]:
    """The first moment of each month that the time asked about touches."""
    month = at(which.since_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts: list[int] = []
    while (start := round(month.timestamp() * 1000)) < which.until_ms or not starts:
        starts.append(start)
        month = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        if len(starts) > MAX_MONTHS:
            raise InvalidRequest(f"At most {MAX_MONTHS} months are told at once.", "invalid_value", "from")
    return starts


def _hours(which: Which, tags: Sequence[str]) -> list[ColumnElement[bool]]:
    table = usage_hours.c
    found = [table.hour_ms >= which.since_ms - which.since_ms % HOUR_MS, table.hour_ms < which.until_ms]
    found += _same(table, which)
    return found + [_tag(key, tags) == value for key, value in which.tags.items()]


def _same(table: Any, which: Which) -> list[ColumnElement[bool]]:
    names = ("tenant", "project", "key_id", "model")
    return [table[name] == value for name in names if (value := getattr(which, name)) is not None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which single postings: those of `which`, and of one request or run."""

    which: Which
    request_id: str | None = None
    run_id: str | None = None


async def events(records: Records, asked: Asked, limit: int, after: str | None = None) -> Sequence[Any]:
    """At most `limit` rows of `usage_events`, newest admitted first, after the row with the id `after`."""
    table = usage_events.c
    async with records.read() as connection:
        conditions = _rows(asked)
        if after is not None:
            # Among those that may be seen: another tenant's id is none.
            seen = select(table.admitted_ms).where(table.id == after, *_same(table, asked.which))
            found = (await connection.execute(seen)).scalar_one_or_none()
            if found is None:
                raise InvalidRequest("`after` must be the id of an event.", "invalid_value", "after")
            conditions.append(or_(table.admitted_ms < found, and_(table.admitted_ms == found, table.id < after)))
        query = select(usage_events).where(*conditions)
        return (await connection.execute(query.order_by(table.admitted_ms.desc(), table.id.desc()).limit(limit))).all()


async def booked_after(
    records: Records, asked: Asked, booked: tuple[int, str], limit: int, before_ms: int
) -> Sequence[Any]:
    """At most `limit` rows in the order they were booked, after `booked` (its milliseconds and id), and none that was
    booked at `before_ms` or later: what is exported in parts is told once."""
    table = usage_events.c
    booked_ms, id = booked
    is_next = or_(table.booked_ms > booked_ms, and_(table.booked_ms == booked_ms, table.id > id))
    query = select(usage_events).where(*_rows(asked), is_next, table.booked_ms < before_ms)
    async with records.read() as connection:
        return (await connection.execute(query.order_by(table.booked_ms, table.id).limit(limit))).all()


def _rows(asked: Asked) -> list[ColumnElement[bool]]:
    table, which = usage_events.c, asked.which
    found = [table.admitted_ms >= which.since_ms, table.admitted_ms < which.until_ms, *_same(table, which)]
    found += [table.tags[key].as_string() == value for key, value in which.tags.items()]
    if asked.request_id is not None:
        found.append(table.request_id == asked.request_id)
    return found + ([table.run_id == asked.run_id] if asked.run_id is not None else [])


async def event(records: Records, id: str, tenant: str | None, project: str | None) -> Sequence[Any]:
    """The posting with this id and, of an attempt, what was posted on it since, in that order.

    Raises:
        NotFound: there is none, or it is another's.
    """
    table = usage_events.c
    whose = [
        column == value for column, value in ((table.tenant, tenant), (table.project, project)) if value is not None
    ]
    query = select(usage_events).where(or_(table.id == id, table.corrects == id), *whose)
    async with records.read() as connection:
        rows = (await connection.execute(query.order_by(table.booked_ms, table.id))).all()
    if not any(row.id == id for row in rows):
        raise NotFound("There is no usage event of this id.", "usage_event_not_found", "id")
    return sorted(rows, key=lambda row: row.id != id)
