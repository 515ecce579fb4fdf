"""Assets that belong to no run, or to an attempt that was lost, are found on every database."""

from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.runs import SETTINGS, made
from sqlalchemy import update

from serve.domain.names import ProjectName, RunId, TenantName
from serve.domain.run import RunStatus
from serve.runs.store import RunStore
from serve.storage import assets as assets_module
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.storage.tables import runs

ACME, PROJECT = TenantName("acme"), ProjectName("default")


async def test_strays_go_for_the_claim_at_work_and_orphans_for_anybody(
    database: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path
) -> None:
    assets = Assets(database, FilesystemObjects(tmp_path / "objects"), clock, ids)
    run = await made(RunStore(database, clock, SETTINGS))

    async def add(run_id: str) -> str:
        found = await assets.add(tenant=ACME, project=PROJECT, data=b"x", media_type="image/png", run_id=RunId(run_id))
        return found.id

    source, stray, orphan = [await add(owner) for owner in (run.id, run.id, "never-was")]
    async with database.write() as connection:
        await connection.execute(update(runs).values(fence=2, status=RunStatus.RUNNING))
    assert await assets.delete_strays(run.id, 1, [source]) == 0
    assert {asset.id for asset in await assets.list(ACME, 9)} == {source, stray, orphan}
    assert await assets.delete_strays(run.id, 2, [source]) == 1
    assert await assets.sweep_orphans(clock.now_ms()) == ""
    assert await assets.sweep_orphans(clock.now_ms() + 1) == orphan
    assert await assets.sweep_orphans(clock.now_ms() + 1, orphan) == orphan
    assert [asset.id for asset in await assets.list(ACME, 9)] == [source]


async def test_what_is_kept_may_be_more_than_a_statement_has_room_for(
    database: Records, clock: ManualClock, ids: CountingIds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = Assets(database, FilesystemObjects(tmp_path / "objects"), clock, ids)
    run = await made(RunStore(database, clock, SETTINGS))
    made_ids = [
        (await assets.add(tenant=ACME, project=PROJECT, data=b"x", media_type="image/png", run_id=run.id)).id
        for _ in range(7)
    ]
    async with database.write() as connection:
        await connection.execute(update(runs).values(fence=1, status=RunStatus.RUNNING))
    monkeypatch.setattr(assets_module, "_PAGE", 2)
    kept = [f"other-{number}" for number in range(40_000)] + made_ids[::3]
    assert await assets.delete_strays(run.id, 1, kept) == 4
    assert {asset.id for asset in await assets.list(ACME, 9)} == set(made_ids[::3])
