"""Kept results: taken over with their assets, never across tenants, gone with their run, with age and with size."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.runs import SETTINGS, made

from serve.domain.names import AssetId, ProjectName, RunId, TenantName
from serve.domain.written import asset_ids_in, read_asset, written_asset
from serve.runs.store import RunStore
from serve.settings import WorkflowsSettings
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.workflow.results.result_store import StoredResults
from serve.workflow.results.results import Kept

ACME, RIVAL, PROJECT = TenantName("acme"), TenantName("rival"), ProjectName("default")
KEY, OTHER = "a" * 64, "b" * 64
DAY_SECONDS = 86_400.0


@dataclass
class Shelf:
    """Results, and what they stand on."""

    results: StoredResults
    assets: Assets
    runs: RunStore

    async def picture(self, run_id: str, data: bytes = b"picture") -> dict[str, object]:
        """A stored picture of a run, written."""
        asset = await self.assets.add(
            tenant=ACME, project=PROJECT, data=data, media_type="image/png", run_id=RunId(run_id)
        )
        return written_asset(asset)

    async def run(self) -> RunId:
        """A run of acme's."""
        return (await made(self.runs)).id


def shelf(
    database: Records, clock: ManualClock, ids: CountingIds, folder: Path, settings: WorkflowsSettings | None = None
) -> Shelf:
    assets = Assets(database, FilesystemObjects(folder / "objects"), clock, ids)
    results = StoredResults(database, assets, clock, settings or WorkflowsSettings())
    return Shelf(results, assets, RunStore(database, clock, SETTINGS, assets))


@pytest.fixture
def kept_on(database: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path) -> Shelf:
    return shelf(database, clock, ids, tmp_path)


async def test_a_result_is_taken_over_with_rows_of_its_own_that_outlive_the_first_run(kept_on: Shelf) -> None:
    first, second = await kept_on.run(), await kept_on.run()
    outputs = {"image": await kept_on.picture(first), "seed": 7}
    await kept_on.results.keep(ACME, [Kept(KEY, outputs, first, "gen")])
    assert await kept_on.results.known(ACME, [KEY, OTHER]) == {KEY}
    taken = (await kept_on.results.take(ACME, PROJECT, [KEY, OTHER], second))[KEY]
    assert (taken.run_id, taken.label, taken.outputs["seed"]) == (first, "gen", 7)
    copy = read_asset(taken.outputs["image"])
    assert copy.id != read_asset(outputs["image"]).id
    await kept_on.runs.delete(ACME, first)
    found = await kept_on.assets.get(ACME, copy.id)
    assert b"".join([chunk async for chunk in kept_on.assets.content(found)]) == b"picture"


async def test_deleting_a_run_deletes_what_was_kept_of_it_words_included(kept_on: Shelf) -> None:
    run = await kept_on.run()
    await kept_on.results.keep(ACME, [Kept(KEY, {"text": "secret"}, run, "say")])
    assert await kept_on.results.known(ACME, [KEY]) == {KEY}
    await kept_on.runs.delete(ACME, run)
    assert await kept_on.results.known(ACME, [KEY]) == frozenset()
    assert await kept_on.results.sweep() == 1


async def test_a_result_without_its_picture_is_none(kept_on: Shelf) -> None:
    run = await kept_on.run()
    outputs = {"image": await kept_on.picture(run)}
    await kept_on.results.keep(ACME, [Kept(KEY, outputs, run, "gen")])
    (asset_id,) = asset_ids_in(outputs)
    await kept_on.assets.delete(ACME, AssetId(asset_id))
    assert await kept_on.results.known(ACME, [KEY]) == frozenset()
    assert await kept_on.results.take(ACME, PROJECT, [KEY], await kept_on.run()) == {}


async def test_another_tenant_has_nothing_of_it(kept_on: Shelf) -> None:
    run = await kept_on.run()
    await kept_on.results.keep(ACME, [Kept(KEY, {"image": await kept_on.picture(run)}, run, "gen")])
    assert await kept_on.results.known(RIVAL, [KEY]) == frozenset()
    assert await kept_on.results.take(RIVAL, PROJECT, [KEY], run) == {}


async def test_the_first_result_of_a_key_stays(kept_on: Shelf) -> None:
    run = await kept_on.run()
    for text in ("first", "second"):
        await kept_on.results.keep(ACME, [Kept(KEY, {"text": text}, run, "say")])
    assert (await kept_on.results.take(ACME, PROJECT, [KEY], run))[KEY].outputs == {"text": "first"}


async def test_what_nobody_asks_for_goes_after_its_days_and_use_keeps_it(kept_on: Shelf, clock: ManualClock) -> None:
    run = await kept_on.run()
    await kept_on.results.keep(ACME, [Kept(key, {"text": key}, run, "say") for key in (KEY, OTHER)])
    clock.advance(5 * DAY_SECONDS)
    assert KEY in await kept_on.results.take(ACME, PROJECT, [KEY], run)
    clock.advance(3 * DAY_SECONDS)
    assert await kept_on.results.known(ACME, [KEY, OTHER]) == {KEY}
    assert await kept_on.results.sweep() == 1


async def test_the_least_recently_used_go_where_a_tenant_keeps_too_much(
    database: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path
) -> None:
    small = shelf(database, clock, ids, tmp_path, WorkflowsSettings(cache_max_bytes=300))
    run, keys = await small.run(), [str(index) * 64 for index in range(4)]
    for key in keys:
        await small.results.keep(ACME, [Kept(key, {"text": "x" * 100}, run, "say")])
        clock.advance(100)
    assert await small.results.sweep() == 2
    assert await small.results.known(ACME, keys) == set(keys[2:])
    assert await small.results.sweep() == 0


async def test_a_cache_of_no_bytes_keeps_nothing(
    database: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path
) -> None:
    none = shelf(database, clock, ids, tmp_path, WorkflowsSettings(cache_max_bytes=0))
    run = await none.run()
    await none.results.keep(ACME, [Kept(KEY, {"text": "x"}, run, "say")])
    assert await none.results.known(ACME, [KEY]) == frozenset()
