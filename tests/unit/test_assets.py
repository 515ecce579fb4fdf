"""Assets: rows and blobs agree, whatever happens between them."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from sqlalchemy import func, select

from serve.domain.errors import InvalidRequest, NotFound, StorageUnavailable
from serve.domain.media import Asset
from serve.domain.names import AssetId, ProjectName, RunId, TenantName
from serve.domain.ports import StoredObject
from serve.storage.assets import Assets
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records
from serve.storage.tables import assets as table

ACME, OTHER, PROJECT = TenantName("acme"), TenantName("other"), ProjectName("default")


class FlakyObjects(FilesystemObjects):
    """A folder of blobs that can be told to lose bytes, to fail, or to let something happen before a call."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.is_down = False
        self.num_puts = 0
        self.before_delete: Callable[[], object] | None = None
        self.after_put: Callable[[], object] | None = None

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str) -> StoredObject:
        self._check()
        self.num_puts += 1
        stored = await super().put(key, data, media_type)
        await self._let("after_put")
        return stored

    async def delete(self, key: str) -> None:
        self._check()
        await self._let("before_delete")
        await super().delete(key)

    def _check(self) -> None:
        if self.is_down:
            raise StorageUnavailable("down")

    async def _let(self, hook: str) -> None:
        happen = getattr(self, hook)
        setattr(self, hook, None)
        if happen:
            await happen()


@pytest.fixture
def objects(tmp_path: Path) -> FlakyObjects:
    return FlakyObjects(tmp_path / "objects")


@pytest.fixture
def assets(records: Records, objects: FlakyObjects, clock: ManualClock, ids: CountingIds) -> Assets:
    return Assets(records, objects, clock, ids)


async def add(assets: Assets, data: bytes = b"hello", tenant: TenantName = ACME, run: str | None = None) -> Asset:
    run_id = RunId(run) if run else None
    return await assets.add(tenant=tenant, project=PROJECT, data=data, media_type="text/plain", run_id=run_id)


async def read(assets: Assets, asset: Asset, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in assets.content(asset, offset)])


async def num_rows(records: Records) -> int:
    async with records.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


def blobs(objects: FlakyObjects) -> list[str]:
    root = objects._root
    found = [path for path in root.rglob("*~") if path.is_file()]
    return sorted(str(path.relative_to(root)).removesuffix("~") for path in found)


def key_of(data: bytes, tenant: str = "acme") -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"assets/{tenant}/{digest[:2]}/{digest}"


async def test_an_asset_says_what_was_stored(assets: Assets, objects: FlakyObjects, clock: ManualClock) -> None:
    added = await assets.add(
        tenant=ACME, project=PROJECT, data=b"PNG", media_type="image/png", name="a ß.png", width=3, height=2
    )
    digest = hashlib.sha256(b"PNG").hexdigest()
    assert added == Asset(added.id, digest, "image/png", 3, clock.now_ms(), "a ß.png", 3, 2, None)
    assert await assets.get(ACME, added.id) == added
    assert blobs(objects) == [key_of(b"PNG")]


@pytest.mark.parametrize("num_pieces", [0, 1, 100], ids=["empty", "in memory", "in a file"])
async def test_a_stream_is_hashed_as_it_comes(assets: Assets, num_pieces: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(num_pieces):
            yield bytes([number]) * 50_000

    added = await assets.add(tenant=ACME, project=PROJECT, data=pieces(), media_type="video/mp4")
    content = await read(assets, added)
    assert len(content) == added.num_bytes == num_pieces * 50_000
    assert hashlib.sha256(content).hexdigest() == added.sha256


async def test_content_starts_at_its_offset(assets: Assets) -> None:
    added = await add(assets, b"hello")
    assert [await read(assets, added, offset) for offset in (0, 2, 5, 6)] == [b"hello", b"llo", b"", b""]


@pytest.mark.parametrize("call", ["get", "delete"])
async def test_another_tenants_asset_answers_as_an_unknown_one(assets: Assets, call: str) -> None:
    added = await add(assets)
    for tenant, asset_id in ((OTHER, added.id), (ACME, AssetId("unknown"))):
        with pytest.raises(NotFound, match="There is no such asset"):
            await getattr(assets, call)(tenant, asset_id)
    assert await read(assets, added) == b"hello"


async def test_the_list_is_the_tenants_own_newest_first_in_pages(assets: Assets) -> None:
    made = [await add(assets, bytes([number])) for number in range(5)]
    await add(assets, tenant=OTHER)
    first = await assets.list(ACME, limit=3)
    rest = await assets.list(ACME, limit=3, after=first[-1].id)
    assert first + rest == made[::-1]


async def test_the_same_content_is_stored_once_for_a_tenant_and_apart_for_another(
    assets: Assets, objects: FlakyObjects
) -> None:
    first, second, _ = await add(assets), await add(assets), await add(assets, tenant=OTHER)
    assert first.id != second.id
    assert (blobs(objects), objects.num_puts) == ([key_of(b"hello"), key_of(b"hello", "other")], 2)


async def test_a_blob_goes_with_its_last_row(assets: Assets, objects: FlakyObjects, records: Records) -> None:
    first, second, other = await add(assets), await add(assets), await add(assets, tenant=OTHER)
    await assets.delete(ACME, first.id)
    assert await read(assets, second) == b"hello"
    await assets.delete(ACME, second.id)
    assert blobs(objects) == [key_of(b"hello", "other")]
    assert await read(assets, other) == b"hello"
    assert await num_rows(records) == 1


async def test_what_was_deleted_is_not_found(assets: Assets) -> None:
    added = await add(assets)
    await assets.delete(ACME, added.id)
    for call in (assets.get(ACME, added.id), assets.delete(ACME, added.id), read(assets, added)):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await assets.link(added, 60)
    assert await assets.list(ACME, limit=9) == []


async def test_deleting_for_runs_takes_what_they_made_and_nothing_else(assets: Assets, objects: FlakyObjects) -> None:
    for run in range(450):
        await add(assets, bytes([run % 7]), run=f"run-{run}")
    kept = [await add(assets, bytes([6]), run="kept"), await add(assets, b"by hand")]
    await assets.delete_for_runs([RunId(f"run-{run}") for run in range(450)])
    assert await assets.list(ACME, limit=999) == kept[::-1]
    assert blobs(objects) == sorted([key_of(bytes([6])), key_of(b"by hand")])


async def test_a_store_that_takes_nothing_leaves_no_row(
    assets: Assets, objects: FlakyObjects, records: Records
) -> None:
    objects.is_down = True
    with pytest.raises(StorageUnavailable):
        await add(assets)
    assert await num_rows(records) == 0


async def test_a_stream_that_breaks_leaves_neither_row_nor_blob(
    assets: Assets, objects: FlakyObjects, records: Records
) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await assets.add(tenant=ACME, project=PROJECT, data=breaking(), media_type="text/plain")
    assert (await num_rows(records), blobs(objects)) == (0, [])


async def test_a_deletion_whose_store_is_down_hides_the_asset_and_the_sweep_finishes_it(
    assets: Assets, objects: FlakyObjects, records: Records, clock: ManualClock
) -> None:
    added = await add(assets)
    objects.is_down = True
    await assets.delete(ACME, added.id)
    with pytest.raises(NotFound):
        await assets.get(ACME, added.id)
    objects.is_down = False
    assert (await assets.sweep(), blobs(objects)) == (0, [key_of(b"hello")]), "it may be under way elsewhere"
    clock.advance(601)
    assert (await assets.sweep(), blobs(objects), await num_rows(records)) == (1, [], 0)


async def test_content_whose_deletion_was_cut_short_can_be_added_again(
    assets: Assets, objects: FlakyObjects, records: Records, clock: ManualClock
) -> None:
    added = await add(assets)
    objects.is_down = True
    await assets.delete(ACME, added.id)
    objects.is_down = False
    clock.advance(601)
    again = await add(assets)
    assert (await read(assets, again), await assets.sweep(), await num_rows(records)) == (b"hello", 0, 1)


async def test_adding_waits_for_a_deletion_that_is_under_way(assets: Assets) -> None:
    adding: list[asyncio.Task[Asset]] = []

    async def add_meanwhile() -> None:
        adding.append(asyncio.create_task(add(assets)))
        await asyncio.sleep(0.1)
        assert not adding[0].done()

    first = await add(assets)
    assets._objects.before_delete = add_meanwhile
    await assets.delete(ACME, first.id)
    assert await read(assets, await adding[0]) == b"hello"


async def test_a_blob_that_was_deleted_between_writing_it_and_its_row_is_written_again(
    assets: Assets, objects: FlakyObjects
) -> None:
    async def add_and_delete() -> None:
        await assets.delete(ACME, (await add(assets)).id)

    objects.after_put = add_and_delete
    added = await add(assets)
    assert await read(assets, added) == b"hello"


async def test_a_blob_that_was_cut_short_is_written_again(assets: Assets, objects: FlakyObjects) -> None:
    await add(assets)
    await objects.put(key_of(b"hello"), b"hel", "text/plain")
    assert await read(assets, await add(assets)) == b"hello"


async def test_a_blob_that_is_not_what_was_stored_is_an_error_and_not_a_shorter_answer(
    assets: Assets, objects: FlakyObjects
) -> None:
    added = await add(assets)
    await objects.put(key_of(b"hello"), b"hel", "text/plain")
    with pytest.raises(StorageUnavailable, match="is not the 5 bytes"):
        await read(assets, added)


@pytest.mark.parametrize(
    "wrong",
    [{"media_type": "text"}, {"media_type": "text/plain\r\nx: y"}, {"name": "a\r\nb"}, {"name": "n" * 256}],
    ids=["media type", "header", "name", "long name"],
)
async def test_what_no_header_could_carry_is_refused(
    assets: Assets, objects: FlakyObjects, wrong: dict[str, str]
) -> None:
    given = {"tenant": ACME, "project": PROJECT, "data": b"x", "media_type": "text/plain"}
    with pytest.raises(InvalidRequest):
        await assets.add(**(given | wrong))
    assert blobs(objects) == []


async def test_a_folder_has_no_links_to_give(assets: Assets) -> None:
    assert await assets.link(await add(assets), 60) is None


async def test_every_visible_row_has_its_blob_after_a_storm_of_adding_deleting_and_canceling(
    assets: Assets, objects: FlakyObjects, records: Records, clock: ManualClock
) -> None:
    chance = random.Random(3)

    async def come_and_go() -> None:
        for _ in range(8):
            added = await add(assets, bytes([chance.randrange(3)]))
            assert len(await read(assets, added)) == 1
            if chance.random() < 0.7:
                await assets.delete(ACME, added.id)

    tasks = [asyncio.create_task(come_and_go()) for _ in range(12)]
    await asyncio.sleep(0.2)
    for task in chance.sample(tasks, 4):
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    clock.advance(601)
    await assets.sweep()
    visible = await assets.list(ACME, limit=999)
    assert [len(await read(assets, asset)) for asset in visible] == [1] * len(visible) == [1] * await num_rows(records)
