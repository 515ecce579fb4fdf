"""Forgetting what is over its retention."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.runs import SETTINGS, made
from sqlalchemy import func, select

from serve.domain.names import ProjectName, RunId, TenantName
from serve.domain.run import WebhookTarget
from serve.runs.retention import Sweeper
from serve.runs.store import RunStore
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.storage.tables import run_events, runs, webhook_deliveries

ACME, PROJECT = TenantName("acme"), ProjectName("default")
DAY = 86_400


class Blobs:
    """Remembers whose blobs were removed; refuses once if told so."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.is_away = False
        self.num_sweeps = 0

    async def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        if self.is_away:
            raise OSError("no store")
        self.removed += run_ids

    async def sweep(self) -> None:
        self.num_sweeps += 1

    async def sweep_orphans(self, before_ms: int, after: str) -> str:
        return after


@pytest.fixture
def store(records: Records, clock: ManualClock) -> RunStore:
    return RunStore(records, clock, SETTINGS)


async def count(records: Records) -> list[int]:
    async with records.read() as connection:
        tables = (runs, run_events, webhook_deliveries)
        return [await connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


async def test_a_finished_run_goes_with_all_it_left_and_a_waiting_one_stays(
    store: RunStore, clock: ManualClock
) -> None:
    old = await made(store, webhook=WebhookTarget(url="https://example.com"))
    await store.request_cancel(ACME, old.id)
    waiting = await made(store)
    clock.advance(SETTINGS.retention_days * DAY + 1)
    young = await made(store)
    await store.request_cancel(ACME, young.id)
    blobs, adapters = Blobs(), Blobs()
    assert await Sweeper(store.records, clock, SETTINGS, blobs, [adapters]).sweep() == 1
    assert adapters.num_sweeps == 1
    assert blobs.removed == [old.id]
    assert blobs.num_sweeps == 1, "deletions that were cut short are finished, too"
    assert {run.id for run in await store.list(ACME)} == {waiting.id, young.id}
    assert await count(store.records) == [2, 3, 0]


async def test_more_than_one_batch_goes_in_one_sweep_and_two_sweepers_do_no_harm(
    store: RunStore, clock: ManualClock
) -> None:
    for _ in range(130):
        run = await made(store)
        await store.request_cancel(ACME, run.id)
    clock.advance(SETTINGS.retention_days * DAY + 1)
    blobs = Blobs()
    sweepers = [Sweeper(store.records, clock, SETTINGS, blobs) for _ in range(2)]
    await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))
    assert await count(store.records) == [0, 0, 0]
    assert len(set(blobs.removed)) == 130


async def test_rows_stay_while_their_blobs_cannot_be_removed(store: RunStore, clock: ManualClock) -> None:
    run = await made(store)
    await store.request_cancel(ACME, run.id)
    clock.advance(SETTINGS.retention_days * DAY + 1)
    blobs = Blobs()
    blobs.is_away = True
    sweeper = Sweeper(store.records, clock, SETTINGS, blobs)
    with pytest.raises(OSError, match="no store"):
        await sweeper.sweep()
    assert (await count(store.records))[0] == 1
    blobs.is_away = False
    assert await sweeper.sweep() == 1


async def test_a_sweeper_at_work_stops(store: RunStore, clock: ManualClock) -> None:
    sweeper = Sweeper(store.records, clock, SETTINGS, Blobs())
    await sweeper.start()
    await asyncio.sleep(0.02)
    await sweeper.stop()


async def test_pictures_of_a_run_that_never_was_go_after_an_hour_and_no_others(
    store: RunStore, records: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path
) -> None:
    assets = Assets(records, FilesystemObjects(tmp_path / "objects"), clock, ids)
    sweeper = Sweeper(records, clock, SETTINGS, assets)
    run = await made(store)

    async def add(name: str, run_id: RunId | None) -> None:
        await assets.add(tenant=ACME, project=PROJECT, data=b"x", media_type="image/png", name=name, run_id=run_id)

    for i in range(250):
        await add(f"orphan {i}", RunId(f"never-{i}"))
    await add("of a run", run.id)
    await add("of nobody's run", None)
    clock.advance(1800)
    await add("young orphan", RunId("not-yet"))
    await sweeper.sweep()
    assert len(await assets.list(ACME, 500)) == 253, "their run's row may be on its way"
    clock.advance(1801)
    await sweeper.sweep()
    assert {asset.name for asset in await assets.list(ACME, 500)} == {"of a run", "of nobody's run", "young orphan"}
    clock.advance(1800)
    await sweeper.sweep()
    assert {asset.name for asset in await assets.list(ACME, 500)} == {"of a run", "of nobody's run"}
