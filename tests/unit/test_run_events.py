"""Following a run."""

import asyncio

import pytest
from fakes.runs import SETTINGS, made

from serve.clock import SystemClock
from serve.domain.errors import NotFound
from serve.domain.names import TenantName
from serve.domain.run import Run, RunEventKind, RunStatus
from serve.runs.claims import Claims, Write
from serve.runs.events import follow, wait
from serve.runs.lifecycle import completed
from serve.runs.rows import Line, Result
from serve.runs.store import RunStore
from serve.storage.records import Records

ACME = TenantName("acme")


@pytest.fixture
def store(records: Records) -> RunStore:
    return RunStore(records, SystemClock(), SETTINGS)


async def told(store: RunStore, run: Run, after_seq: int = 0) -> list[int]:
    return [event.seq async for event in follow(store, ACME, run.id, after_seq)]


async def play(store: RunStore, pause: float = 0.0) -> None:
    claims = Claims(store.records, store.clock, SETTINGS, "r")
    (held,) = await claims.take(1)
    for _ in range(3):
        (after,) = await claims.write([Write(held, [Line(RunEventKind.OUTPUT, {})])])
        held = after or held
        await asyncio.sleep(pause)
    await claims.write([Write(held, [], completed(), Result({}, {}))])


async def test_a_follower_hears_everything_once_and_leaves_at_the_end(store: RunStore) -> None:
    run = await made(store)
    following = asyncio.create_task(told(store, run))
    await play(store, 0.05)
    async with asyncio.timeout(60):
        assert await following == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("after_seq", "rest"), [(0, [1, 2, 3, 4, 5, 6]), (4, [5, 6]), (6, []), (99, [])])
async def test_a_follower_that_comes_back_goes_on_where_it_was(
    store: RunStore, after_seq: int, rest: list[int]
) -> None:
    run = await made(store)
    await play(store)
    assert await told(store, run, after_seq) == rest


async def test_a_stranger_hears_nothing(store: RunStore) -> None:
    run = await made(store)
    with pytest.raises(NotFound):
        await anext(follow(store, TenantName("other"), run.id))
    with pytest.raises(NotFound):
        await wait(store, TenantName("other"), run.id, 0)


async def test_a_deleted_run_is_followed_no_more(store: RunStore) -> None:
    run = await made(store)
    following = follow(store, ACME, run.id)
    assert (await anext(following)).seq == 1
    await store.delete(ACME, run.id)
    async with asyncio.timeout(60):
        assert [event async for event in following] == []


async def test_waiting_ends_with_the_run(store: RunStore) -> None:
    run = await made(store)
    waiting = asyncio.create_task(wait(store, ACME, run.id, 60))
    await play(store)
    async with asyncio.timeout(60):
        assert (await waiting).status == RunStatus.SUCCEEDED


async def test_waiting_ends_with_the_time(store: RunStore) -> None:
    run = await made(store)
    began = asyncio.get_running_loop().time()
    assert (await wait(store, ACME, run.id, 0.2)).status == RunStatus.QUEUED
    assert asyncio.get_running_loop().time() - began >= 0.2
