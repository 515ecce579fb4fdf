"""Taking, keeping, losing and ending runs, on SQLite and on PostgreSQL."""

import asyncio
import re
from typing import Any

import pytest
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, kinds, made, new_run, num_endings
from sqlalchemy import Select, insert, text

from serve.domain.names import TenantName
from serve.domain.run import Run, RunEventKind, RunStatus
from serve.runs import lifecycle
from serve.runs.claims import _QUEUE_ORDER, _READY, Claims, Write, _any, _next_of
from serve.runs.lifecycle import Decision
from serve.runs.rows import Line, Result
from serve.runs.skip_scan import hops
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import runs

ACME = TenantName("acme")
DONE = Result({"text": "hi"}, {"completion_tokens": 1})


@pytest.fixture
def store(database: Records, clock: ManualClock) -> RunStore:
    return RunStore(database, clock, SETTINGS)


@pytest.fixture
def first(store: RunStore) -> Claims:
    return Claims(store.records, store.clock, SETTINGS, "first")


@pytest.fixture
def second(store: RunStore) -> Claims:
    return Claims(store.records, store.clock, SETTINGS, "second")


async def many(records: Records, tenant: str, num: int) -> None:
    """Queue `num` runs at a stroke."""
    one = Run(**new_run(tenant).model_dump(), created_ms=0).model_dump(mode="json")
    one |= {"not_before_ms": 0, "num_events": 0, "cancel_requested": 0}
    async with records.write() as connection:
        rows = [one | {"id": f"{tenant}-{n:06d}", "request_id": f"r{n}"} for n in range(num)]
        await connection.execute(insert(runs), rows)


async def test_a_claim_starts_an_attempt_under_a_new_fence(store: RunStore, first: Claims) -> None:
    run = await made(store)
    (taken,) = await first.take(5)
    assert taken == await store.get(ACME, run.id)
    assert (taken.status, taken.attempt, taken.fence) == (RunStatus.RUNNING, 1, 1)
    assert await kinds(store, run.id) == ["queued", "started"]


async def test_two_runners_never_take_the_same_run(store: RunStore, first: Claims, second: Claims) -> None:
    ids = {(await made(store)).id for _ in range(20)}
    halves = await asyncio.gather(*(claims.take(3) for claims in (first, second) * 5))
    taken = [run.id for half in halves for run in half]
    assert len(taken) == len(set(taken)) == 20
    assert set(taken) == ids


async def test_a_second_tenant_is_next_while_the_first_has_ten_thousand_waiting(
    database: Records, store: RunStore, first: Claims
) -> None:
    await many(database, "greedy", 10_000)
    assert len(await first.take(4)) == 4
    modest = await made(store, "modest")
    assert [run.id for run in await first.take(1)] == [modest.id]


async def test_places_are_shared_among_tenants(database: Records, first: Claims) -> None:
    for tenant in ("a", "b", "c"):
        await many(database, tenant, 50)
    taken = [run.tenant for run in await first.take(9)]
    assert sorted(taken) == sorted("abc" * 3)


async def test_priority_and_age_order_a_tenants_own_work(store: RunStore, first: Claims) -> None:
    low, old, new, high = [(await made(store, priority=p)).id for p in (-5, 0, 0, 5)]
    assert [run.id for run in await first.take(4)] == [high, old, new, low]


async def test_priority_means_nothing_to_other_tenants(store: RunStore, first: Claims) -> None:
    await made(store, "loud", priority=10)
    await made(store, "loud", priority=10)
    quiet = await made(store, "quiet", priority=-10)
    assert quiet.id in [run.id for run in await first.take(2)]


async def test_a_run_that_was_put_off_waits_its_time(store: RunStore, first: Claims, clock: ManualClock) -> None:
    await made(store)
    (taken,) = await first.take(1)
    await first.write([Write(taken, [], Decision(RunStatus.QUEUED, "later", delay_seconds=5))])
    await first.maintain()
    assert await first.take(1) == []
    clock.advance(5)
    assert await first.maintain() == 1
    (again,) = await first.take(1)
    assert (again.attempt, again.fence) == (2, 2)


async def test_a_refused_call_gives_its_attempt_back_and_keeps_its_fence(store: RunStore, first: Claims) -> None:
    await made(store)
    (taken,) = await first.take(1)
    await first.write([Write(taken, [], Decision(RunStatus.QUEUED, "busy", spends_attempt=False))])
    (again,) = await first.take(1)
    assert (again.attempt, again.fence) == (1, 2)


async def test_a_heartbeat_keeps_the_lease(store: RunStore, first: Claims, clock: ManualClock) -> None:
    await made(store)
    held = await first.take(1)
    for _ in range(5):
        clock.advance(SETTINGS.lease_seconds * 0.9)
        await first.heartbeat(held)
        assert await first.maintain() == 0


async def test_a_silent_runners_run_is_anothers_and_its_words_are_nobodys(
    store: RunStore, first: Claims, second: Claims, clock: ManualClock
) -> None:
    run = await made(store)
    (lost,) = await first.take(1)
    clock.advance(SETTINGS.lease_seconds)
    assert await second.maintain() == 1
    (adopted,) = await second.take(1)
    assert (adopted.id, adopted.attempt, adopted.fence) == (run.id, 2, 2)

    await first.heartbeat([lost])
    assert (await first.news([lost])).lost == {run.id}
    late = [Line(RunEventKind.OUTPUT, {"text": "late"})]
    assert await first.write([Write(lost, late)]) == [None]
    assert await first.write([Write(lost, late, lifecycle.completed(), Result({"text": "late"}, {}))]) == [None]

    await second.write([Write(adopted, [], lifecycle.completed(), DONE)])
    assert (await store.get(ACME, run.id)).outputs == DONE.outputs
    assert await kinds(store, run.id) == ["queued", "started", "queued", "started", "succeeded"]


async def test_a_run_that_lost_its_last_attempt_fails(store: RunStore, first: Claims, clock: ManualClock) -> None:
    run = await made(store, max_attempts=1)
    await first.take(1)
    clock.advance(SETTINGS.lease_seconds)
    await first.maintain()
    ended = await store.get(ACME, run.id)
    assert ended.error is not None
    assert (ended.status, ended.error.code) == (RunStatus.FAILED, "replica_lost")


async def test_a_cancel_outlives_the_runner_it_was_meant_for(
    store: RunStore, first: Claims, clock: ManualClock
) -> None:
    run = await made(store)
    await first.take(1)
    await store.request_cancel(ACME, run.id)
    clock.advance(SETTINGS.lease_seconds)
    await first.maintain()
    assert (await store.get(ACME, run.id)).status == RunStatus.CANCELED


async def test_a_cancel_that_crosses_a_retry_wins(store: RunStore, first: Claims) -> None:
    run = await made(store)
    (held,) = await first.take(1)
    await store.request_cancel(ACME, run.id)
    await first.write([Write(held, [], Decision(RunStatus.QUEUED, "again"))])
    assert (await store.get(ACME, run.id)).status == RunStatus.CANCELED


async def test_a_cancel_that_comes_after_the_last_word_is_too_late(store: RunStore, first: Claims) -> None:
    run = await made(store)
    (held,) = await first.take(1)
    await store.request_cancel(ACME, run.id)
    await first.write([Write(held, [], lifecycle.completed(), DONE)])
    assert (await store.get(ACME, run.id)).status == RunStatus.SUCCEEDED


async def test_a_deadline_passes_in_the_queue_too(store: RunStore, first: Claims, clock: ManualClock) -> None:
    run = await made(store, deadline_ms=clock.now_ms() + 1000)
    clock.advance(1)
    assert await first.take(1) == []
    ended = await store.get(ACME, run.id)
    assert ended.error is not None
    assert ended.error.code == "deadline_exceeded"


async def test_a_deadline_is_kept_though_nothing_has_room_to_claim(
    store: RunStore, first: Claims, clock: ManualClock
) -> None:
    run = await made(store, deadline_ms=clock.now_ms() + 1000)
    clock.advance(1)
    assert await first.maintain() == 1
    assert (await store.get(ACME, run.id)).status == RunStatus.FAILED


async def test_beyond_the_bound_progress_is_dropped_and_output_and_endings_are_not(
    database: Records, clock: ManualClock
) -> None:
    settings = RunsSettings(max_events=16)
    store, claims = RunStore(database, clock, settings), Claims(database, clock, settings, "r")
    run = await made(store)
    (held,) = await claims.take(1)
    for _ in range(10):
        lines = [Line(kind, {}) for kind in (RunEventKind.PROGRESS, RunEventKind.OUTPUT, RunEventKind.LOG)]
        (held,) = [found for found in await claims.write([Write(held, lines)]) if found]
    await claims.write([Write(held, [], lifecycle.completed(), DONE)])
    told = await kinds(store, run.id)
    assert told.count(RunEventKind.OUTPUT) == 10
    assert told.count(RunEventKind.PROGRESS) + told.count(RunEventKind.LOG) < 12
    assert told[-1] == RunEventKind.SUCCEEDED
    assert (await store.get(ACME, run.id)).num_events == len(told)


async def finished(records: Records, num: int) -> None:
    """A past: `num` runs that ended long ago, of a tenant that sorts before the others."""
    one = Run(**new_run("aaa").model_dump(), created_ms=0).model_dump(mode="json")
    one |= {"not_before_ms": 0, "num_events": 0, "cancel_requested": 0, "status": "succeeded", "finished_ms": 1}
    async with records.write() as connection:
        await connection.execute(insert(runs), [one | {"id": f"0-{n}", "request_id": f"r{n}"} for n in range(num)])


async def test_no_claim_reads_the_queue_or_the_past(database: Records, first: Claims) -> None:
    """Plans are asked, since a laptop's milliseconds prove little."""
    await many(database, "greedy", 3000)
    await finished(database, 3000)
    async with database.write() as connection:
        await connection.execute(text("ANALYZE"))
    queries = (hops(_QUEUE_ORDER, _READY), _any(_READY, *_QUEUE_ORDER), _next_of("greedy"))
    for query in queries:
        read = await (_read_by_sqlite if database.is_sqlite else _read_by_postgresql)(database, query)
        assert set(read) == {"ix_runs_status_not_before_ms_tenant_priority_id"}, query


async def _plan(database: Records, prefix: str, query: Select[Any]) -> str:
    async with database.write() as connection:
        compiled = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        rows = await connection.exec_driver_sql(f"{prefix} {compiled}")
        return "\n".join(str(row) for row in rows.all())


async def _read_by_sqlite(database: Records, query: Select[Any]) -> list[str]:
    plan = await _plan(database, "EXPLAIN QUERY PLAN", query)
    assert "TEMP B-TREE" not in plan
    return [index or "the table" for index in re.findall(r"(?:SCAN|SEARCH) runs(?: USING.*? INDEX (\w+))?", plan)]


async def _read_by_postgresql(database: Records, query: Select[Any]) -> list[str]:
    plan = await _plan(database, "EXPLAIN", query)
    assert "Sort" not in plan
    return re.findall(r"Index (?:Only )?Scan (?:Backward )?using (\w+) on runs", plan) + re.findall(
        r"(?:Seq|Bitmap Heap) Scan on runs", plan
    )


async def test_however_two_runners_race_for_an_end_there_is_one(
    database: Records, store: RunStore, first: Claims, second: Claims, clock: ManualClock
) -> None:
    for _ in range(10):
        run = await made(store)
        (held,) = await first.take(1)
        clock.advance(SETTINGS.lease_seconds)
        await second.maintain()
        (adopted,) = await second.take(1)
        ends = [
            claims.write([Write(attempt, [], lifecycle.completed(), DONE)])
            for claims, attempt in ((first, held), (second, adopted), (second, adopted))
        ]
        ended = [written for written in await asyncio.gather(*ends) if written != [None]]
        assert len(ended) == 1
        assert await num_endings(database, run.id) == 1
