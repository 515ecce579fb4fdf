"""The hourly roll-up: what postings add to, in the transaction that books them. Days and months are sums of hours.

A posting counts in the hour in which its call was admitted, however late it is booked.
"""

import hashlib
from collections.abc import Iterable, Sequence
from operator import add

from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.usage import UNITS
from serve.metering.ledger.booking import COUNTS, Booked
from serve.metering.ledger.statements import Values, insert_rows
from serve.storage.metering_tables import NUM_TAGS, usage_hours

HOUR_MS = 3_600_000
MONEY = ("cost_nano", "free_nano", "credit_nano")
SUMS = (*UNITS, *MONEY, *COUNTS)
"""Everything that is summed, in the order of the columns."""
_MAX_ADAPTERS = 400
_CONFLICT = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{name} = {usage_hours.name}.{name} + excluded.{name}" for name in SUMS
)


def tag_names(declared: str) -> tuple[str, ...]:
    """The declared tag keys (comma-separated); each has the roll-up's column of its place, so a place is for ever."""
    return tuple(declared.split(",")) if declared else ()


def added(postings: Iterable[Booked], tags: Sequence[str]) -> list[Values]:
    """The roll-up's rows, one per combination of hour and what is grouped by, in the order of their ids."""
    sums: dict[Values, list[int]] = {}
    for posting in postings:
        key = _key(posting, tags)
        value = [
            *posting.event.quantities.values(),
            posting.cost_nano or 0,
            posting.free_nano,
            posting.credit_nano,
            *posting.counts,
        ]
        so_far = sums.get(key)
        sums[key] = value if so_far is None else list(map(add, so_far, value))
    return sorted((_id(key), *key, *value) for key, value in sums.items())


async def add_up(connection: AsyncConnection, postings: Sequence[Booked], tags: Sequence[str]) -> None:
    """Add `postings` to their hours."""
    await insert_rows(connection, usage_hours, added(postings, tags), _CONFLICT)


def _key(posting: Booked, tags: Sequence[str]) -> Values:
    subject = posting.event.subject
    return (
        subject.admitted_ms - subject.admitted_ms % HOUR_MS,
        subject.tenant,
        subject.project,
        subject.key_id,
        subject.model,
        adapter_names(subject.adapters) if subject.adapters else "",
        subject.workflow or "",
        subject.node or "",
        *(_tag_values(subject.tags, tags) if subject.tags else _NO_TAGS),
    )


_NO_TAGS = ("",) * NUM_TAGS


def _tag_values(found: Sequence[tuple[str, str]], tags: Sequence[str]) -> Values:
    values = dict(found)
    return tuple([*(values.get(name, "")[:64] for name in tags), *_NO_TAGS][:NUM_TAGS])


def adapter_names(adapters: Sequence[str]) -> str:
    """What usage by adapter is grouped by: `tenant/name` without versions, a mixture as one, so that sums add up."""
    names = ",".join(sorted(adapter.partition("@")[0] for adapter in adapters))
    return names if len(names) <= _MAX_ADAPTERS else names[: _MAX_ADAPTERS - 1] + "…"


def _id(key: Values) -> str:
    return hashlib.sha256("\n".join(map(str, key)).encode()).hexdigest()
