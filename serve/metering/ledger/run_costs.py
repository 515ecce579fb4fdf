"""What a run that was canceled or failed has cost: only its replicas' own records say, and those come a little later.

Nothing is told before all of its attempts are booked, so that no number is told that changes by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve.domain.names import RequestId
from serve.domain.usage import PLATFORM_RETRY, Basis, Quantities
from serve.metering.ledger import postings
from serve.metering.ledger.booking import Standing
from serve.storage.records import Records

_GRACES = 10
"""Periods of grace after a run's end, in which witnesses have long been heard."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended after `num_attempts` that a model has taken."""

    request_id: RequestId
    num_attempts: int
    finished_ms: int
    is_priced: bool


@dataclass(frozen=True, slots=True)
class Charged:
    """What is charged for, and what it costs before free tiers and credit."""

    quantities: Quantities
    cost_nano: int


NOTHING = Charged(Quantities(), 0)


async def charges(
    records: Records, ended: Sequence[EndedRun], now_ms: int, grace_ms: int
) -> Mapping[RequestId, Charged]:
    """Of those runs of which everything is booked and has a price, by request."""
    found = {run.request_id: NOTHING for run in ended if not run.num_attempts and run.is_priced}
    taken = [run for run in ended if run.num_attempts]
    if not taken:
        return found
    async with records.read() as connection:
        standing = await postings.standings(connection, [run.request_id for run in taken], by=("request_id",))
    attempts: dict[str, list[Standing]] = {}
    for one in standing.values():
        attempts.setdefault(one.event.subject.request_id, []).append(one)
    for run in taken:
        mine = attempts.get(run.request_id, [])
        is_late = now_ms - run.finished_ms > _GRACES * grace_ms
        if _is_whole(run, mine, is_late) and (charged := _charged(mine)) is not None:
            found[run.request_id] = charged
    return found


def _is_whole(run: EndedRun, attempts: Sequence[Standing], is_late: bool) -> bool:
    """Whether nothing can change it: the replica of the last attempt has spoken, and what other attempts did is not
    charged, so that nobody is left who may take it back."""
    if {_number(one) for one in attempts} != set(range(1, run.num_attempts + 1)):
        return False
    last = [one.event for one in attempts if _number(one) == run.num_attempts]
    has_spoken = any(event.basis is Basis.MEASURED and event.reason != PLATFORM_RETRY for event in last)
    others = [one.event for one in attempts if _number(one) != run.num_attempts]
    return is_late or (has_spoken and not any(event.billable for event in others))


def _number(one: Standing) -> int:
    """Of `<request_id>[/<step>]:<attempt>[.<submission>]`, the attempt."""
    return int(one.event.id.rpartition(":")[2].partition(".")[0])


def _charged(attempts: Sequence[Standing]) -> Charged | None:
    if any(one.cost_nano is None for one in attempts):
        return None
    return Charged(sum((one.billed for one in attempts), Quantities()), sum(one.cost_nano or 0 for one in attempts))
