"""What a run that was canceled or failed has cost: only its replicas' own records say, and those come a little later.

Nothing is told before all of its attempts are booked, so that no number is told that changes by itself. Of a workflow's
run that is asked of each step that called a model: what its row says it cost must be what is booked for it, and where
the row says nothing, its last call must have been heard of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.names import RequestId, RunId
from serve.domain.steps import StepStatus, try_number
from serve.domain.usage import PLATFORM_RETRY, Basis, Quantities
from serve.domain.workflow import NodePrefix
from serve.metering.ledger import postings
from serve.metering.ledger.booking import Standing
from serve.storage.records import Records
from serve.storage.workflow_tables import run_steps

_GRACES = 10
"""Periods of grace after a run's end, in which witnesses have long been heard."""
_CALLED = [one.value for one in (StepStatus.RUNNING, StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELED)]


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended after `num_attempts` that a model has taken. Of a workflow's run also its id, and the claim
    that ended it."""

    request_id: RequestId
    num_attempts: int
    finished_ms: int
    is_priced: bool
    workflow_run_id: RunId | None = None
    fence: int = 0


@dataclass(frozen=True, slots=True)
class CallingStep:
    """What the row of a step says that has called a model."""

    label: str
    cost_nano: int | None


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
    late = {run.request_id for run in taken if now_ms - run.finished_ms > _GRACES * grace_ms}
    async with records.read() as connection:
        standing = await postings.standings(connection, [run.request_id for run in taken], by=("request_id",))
        steps = await _steps(connection, [run for run in taken if run.request_id not in late])
    attempts: dict[str, list[Standing]] = {}
    for one in standing.values():
        attempts.setdefault(one.event.subject.request_id, []).append(one)
    for run in taken:
        mine = attempts.get(run.request_id, [])
        is_late = run.request_id in late
        if run.workflow_run_id is None:
            is_whole = _is_whole(run, mine, is_late)
        else:
            is_whole = is_late or _is_booked(run, steps.get(run.workflow_run_id, ()), mine)
        if is_whole and (charged := _charged(mine)) is not None:
            found[run.request_id] = charged
    return found


async def _steps(connection: AsyncConnection, ended: Sequence[EndedRun]) -> Mapping[str, Sequence[CallingStep]]:
    """The steps that called a model, by run."""
    run_ids = [run.workflow_run_id for run in ended if run.workflow_run_id is not None]
    found: dict[str, list[CallingStep]] = {}
    if run_ids:
        columns = run_steps.c
        calls = or_(*(columns.type.startswith(f"{prefix}:") for prefix in (NodePrefix.MODEL, NodePrefix.TASK)))
        wanted = columns.run_id.in_(run_ids) & calls & columns.status.in_(_CALLED)
        query = select(columns.run_id, columns.label, columns.cost_nano).where(wanted)
        for row in await connection.execute(query):
            found.setdefault(row.run_id, []).append(CallingStep(row.label, row.cost_nano))
    return found


def _is_booked(run: EndedRun, steps: Sequence[CallingStep], attempts: Sequence[Standing]) -> bool:
    """Whether nothing can change what a workflow's run is charged for. A call of which no row tells was lost with its
    runner, and will not be charged for, whatever is booked of it until that is known."""
    by_label: dict[str | None, list[Standing]] = {}
    for one in attempts:
        by_label.setdefault(one.event.subject.node, []).append(one)
    are_settled = [_is_settled(step, by_label.pop(step.label, []), run.fence) for step in steps]
    return all(are_settled) and not any(one.event.billable for left in by_label.values() for one in left)


def _is_settled(step: CallingStep, tries: Sequence[Standing], fence: int) -> bool:
    if step.cost_nano is not None:
        return sum(one.cost_nano or 0 for one in tries) == step.cost_nano
    newest = max((_number(one) for one in tries), default=0)
    last = [one.event for one in tries if _number(one) == newest]
    has_spoken = any(event.basis is Basis.MEASURED and event.reason != PLATFORM_RETRY for event in last)
    is_of_last_claim = newest >= try_number(max(1, fence), 1)
    others = [one.event for one in tries if _number(one) != newest]
    return has_spoken and is_of_last_claim and not any(event.billable for event in others)


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
