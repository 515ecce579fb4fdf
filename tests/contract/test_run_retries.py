"""Which run a client's retry joins, on SQLite and on PostgreSQL."""

import asyncio
from typing import Any

import pytest
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, made, new_run

from serve.domain.names import RunId, TenantName
from serve.domain.run import Run, RunStatus
from serve.runs.claims import Claims, Write
from serve.runs.lifecycle import completed
from serve.runs.retries import ENDED_MS, WINDOW_MS, choose, key_of, take_over
from serve.runs.store import RunStore
from serve.storage.records import Records

ACME, OTHER = TenantName("acme"), TenantName("other")
PRINT, OTHER_PRINT = "a" * 64, "b" * 64
NOW_MS = 10_000_000


def run(number: int, num_retries: int = 0, **changes: Any) -> Run:
    """A run with an id that sorts by `number`."""
    run_id = RunId(f"00000000-0000-7000-8000-{number:012d}")
    values = new_run().model_dump() | {"id": run_id, "created_ms": 0} | changes
    return Run(**values | {"idempotency_key": key_of(PRINT, run_id, num_retries)})


def ended(number: int, ago_ms: int, status: RunStatus = RunStatus.SUCCEEDED, num_retries: int = 0) -> Run:
    return run(number, num_retries, status=status, finished_ms=NOW_MS - ago_ms)


WORKING = RunStatus.RUNNING
CHOICES: dict[str, tuple[list[Run], int, int | None]] = {
    "nothing": ([], 1, None),
    "one that waits": ([run(1)], 1, 1),
    "the oldest at work": ([run(2, status=WORKING), run(1), run(3)], 1, 1),
    "none that another retry has": ([run(1, 1)], 1, None),
    "the one that the retry before had": ([run(1), run(2, 1)], 2, 2),
    "work before what has ended": ([ended(1, 5), run(2)], 1, 2),
    "the newest that has ended": ([ended(1, 5), ended(2, 5), ended(3, 5, num_retries=1)], 1, 2),
    "none that ended long ago": ([ended(1, ENDED_MS + 1)], 1, None),
    "none that failed": ([ended(1, 5, RunStatus.FAILED), ended(2, 5, RunStatus.CANCELED)], 1, None),
    "none that is being canceled": ([run(1, status=WORKING, cancel_requested=True)], 1, None),
}


@pytest.mark.parametrize(("alike", "num_retries", "number"), CHOICES.values(), ids=CHOICES.keys())
def test_a_retry_chooses(alike: list[Run], num_retries: int, number: int | None) -> None:
    chosen = choose(alike, num_retries, NOW_MS)
    assert (None if chosen is None else int(chosen.id[-12:])) == number


def id_of(clock: ManualClock, number: int) -> RunId:
    """A UUIDv7 of the clock's time."""
    milliseconds = f"{clock.now_ms():012x}"
    return RunId(f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012d}")


@pytest.fixture
def store(database: Records, clock: ManualClock) -> RunStore:
    return RunStore(database, clock, SETTINGS)


async def tried(
    store: RunStore, clock: ManualClock, number: int, fingerprint: str = PRINT, tenant: str = "acme"
) -> Run:
    run_id = id_of(clock, number)
    return await made(store, tenant, id=run_id, idempotency_key=key_of(fingerprint, run_id, 0))


async def test_eight_tries_that_broke_together_find_a_run_each(store: RunStore, clock: ManualClock) -> None:
    first = [await tried(store, clock, number) for number in range(8)]
    joined = await asyncio.gather(*(take_over(store, ACME, PRINT, 1) for _ in range(8)))
    assert {run.id for run in joined if run} == {run.id for run in first}
    assert await take_over(store, ACME, PRINT, 1) is None
    again = await take_over(store, ACME, PRINT, 2)
    assert again is not None
    assert again.id == first[0].id


async def test_a_retry_sees_its_own_fingerprint_and_tenant_only(store: RunStore, clock: ManualClock) -> None:
    await tried(store, clock, 1, OTHER_PRINT)
    await tried(store, clock, 2, PRINT, "other")
    assert await take_over(store, ACME, PRINT, 1) is None
    assert await take_over(store, OTHER, PRINT, 1) is not None


async def test_a_retry_looks_back_for_an_hour(store: RunStore, clock: ManualClock) -> None:
    await tried(store, clock, 1)
    clock.advance(WINDOW_MS / 1000 + 1)
    assert await take_over(store, ACME, PRINT, 1) is None


async def test_a_run_that_has_just_ended_is_joined_and_an_old_one_is_not(store: RunStore, clock: ManualClock) -> None:
    first = await tried(store, clock, 1)
    claims = Claims(store.records, clock, SETTINGS, "runner")
    (held,) = await claims.take(1)
    await claims.write([Write(held, [], completed())])
    found = await take_over(store, ACME, PRINT, 1)
    clock.advance(ENDED_MS / 1000 + 1)
    assert found is not None
    assert found.id == first.id
    assert await take_over(store, ACME, PRINT, 2) is None
