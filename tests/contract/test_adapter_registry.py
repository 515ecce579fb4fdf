"""The registry of adapters, on SQLite and on PostgreSQL: whole or not at all, and each tenant for itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.adapter_files import image_adapter, language_adapter, written
from fakes.clock import ManualClock
from fakes.runs import SETTINGS, made

from serve.catalog.adapters.disposal import AdapterDisposal
from serve.catalog.adapters.packing import pack
from serve.catalog.adapters.registry import AdapterRegistry, NewVersion
from serve.catalog.adapters.stored import StoredAdapter, Words
from serve.domain.adapters import AdapterArchitecture
from serve.domain.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, StorageUnavailable
from serve.domain.names import TenantName
from serve.domain.ports import StoredObject
from serve.runs.store import RunStore
from serve.settings import AdaptersSettings
from serve.storage.filesystem import FilesystemObjects
from serve.storage.records import Records

ACME, OTHER = TenantName("acme"), TenantName("other")
NEW = Callable[..., NewVersion]


@pytest.fixture
def objects(tmp_path: Path) -> FilesystemObjects:
    return FilesystemObjects(tmp_path / "objects")


@pytest.fixture
def settings() -> AdaptersSettings:
    return AdaptersSettings(grace_seconds=600)


@pytest.fixture
def registry(
    database: Records, objects: FilesystemObjects, clock: ManualClock, settings: AdaptersSettings
) -> AdapterRegistry:
    return AdapterRegistry(database, objects, clock, settings)


@pytest.fixture
def disposal(
    database: Records, registry: AdapterRegistry, clock: ManualClock, settings: AdaptersSettings
) -> AdapterDisposal:
    return AdapterDisposal(database, registry.blobs, clock, settings)


@pytest.fixture
def new(tmp_path: Path) -> NEW:
    """Makes versions that are not stored yet; `fill` tells one's bytes from another's."""
    count = iter(range(1000))

    def make(name: str = "stripes", fill: float = 0.5, tenant: str = ACME, language: bool = False) -> NewVersion:
        folder = tmp_path / "uploads" / str(next(count))
        files = language_adapter(fill) if language else {"x.safetensors": image_adapter(fill)}
        packed = pack(written(folder / "raw", files), folder / "packed", 2**20)
        return NewVersion(TenantName(tenant), name, packed.digest, packed.folder, packed.files, packed.contents)

    return make


async def add(registry: AdapterRegistry, version: NewVersion, **words: object) -> StoredAdapter:
    return (await registry.add(version, Words(**words)))[0]


async def content(registry: AdapterRegistry, adapter: StoredAdapter) -> bytes:
    version = adapter.version
    return b"".join([chunk async for chunk in registry.content(version, version.files[-1])])


def blobs(tmp_path: Path) -> set[str]:
    root = tmp_path / "objects" / "adapters"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_what_was_added_comes_back_byte_for_byte(registry: AdapterRegistry, new: NEW) -> None:
    added, result = await registry.add(new(fill=0.25), Words(title="Stripes", default_scale=0.8))
    assert result == "created"
    found = await registry.get(ACME, ACME, "stripes")
    assert found == added
    assert (found.title, found.default_scale, found.version.facts.architecture) == ("Stripes", 0.8, "sd15")
    assert await content(registry, found) == image_adapter(0.25)
    assert await registry.modules(found.version.id) == new(fill=0.25).contents.modules


async def test_a_name_moves_and_its_versions_stay(registry: AdapterRegistry, new: NEW, clock: ManualClock) -> None:
    first = await add(registry, new(fill=0.1), title="Stripes")
    clock.advance(1)
    second = await add(registry, new(fill=0.2))
    assert second.version.digest != first.version.digest
    assert second.title == "Stripes"
    found = await registry.get(ACME, ACME, "stripes", first.version.digest)
    assert (found.version, found.present_digest) == (first.version, second.version.digest)
    assert await content(registry, found) == image_adapter(0.1)
    assert [v.id for v in await registry.versions(ACME, "stripes")] == [second.version.id, first.version.id]


async def test_the_same_bytes_and_words_again_change_nothing(registry: AdapterRegistry, new: NEW) -> None:
    await add(registry, new(), title="A")
    assert (await registry.add(new(), Words(title="A")))[1] == "unchanged"
    assert (await registry.add(new(fill=0.1), Words()))[1] == "configured"
    assert len(await registry.versions(ACME, "stripes")) == 2


async def test_of_many_who_add_the_same_at_once_all_have_it(registry: AdapterRegistry, new: NEW) -> None:
    added = await asyncio.gather(*(registry.add(new(), Words()) for _ in range(6)))
    assert len({adapter.version.id for adapter, _ in added}) == 1
    assert [result for _, result in added].count("created") == 1
    assert await content(registry, added[0][0]) == image_adapter()


async def test_two_tenants_with_one_name_have_nothing_in_common(registry: AdapterRegistry, new: NEW) -> None:
    mine, theirs = await add(registry, new(fill=0.1)), await add(registry, new(fill=0.2, tenant=OTHER))
    assert mine.version.id.startswith("acme/stripes@")
    assert theirs.version.id.startswith("other/stripes@")
    assert await content(registry, mine) != await content(registry, theirs)
    assert [a.tenant for a in await registry.list(ACME)] == [ACME]
    told = []
    for name, digest in (("stripes", None), ("nothing", None), ("stripes", theirs.version.digest)):
        with pytest.raises(NotFound) as caught:
            await registry.get(ACME, OTHER, name, digest)
        told.append((caught.value.code, str(caught.value).replace(name, "NAME").partition("@")[0]))
    assert {code for code, _ in told} == {"adapter_not_found"}
    assert told[0] == told[1]


async def test_what_is_shared_is_found_by_those_it_is_shared_with(registry: AdapterRegistry, new: NEW) -> None:
    await add(registry, new("one"), shared_with=["other"])
    await add(registry, new("all"), shared_with=["*"])
    await add(registry, new("none"))
    assert [a.name for a in await registry.list(OTHER)] == ["all", "one"]
    assert [a.name for a in await registry.list(TenantName("third"))] == ["all"]
    await registry.change(ACME, "one", Words(shared_with=[]))
    assert [a.name for a in await registry.list(OTHER)] == ["all"]
    assert await registry.find(OTHER, ACME, "one") is None


async def test_pages_and_filters(registry: AdapterRegistry, new: NEW) -> None:
    for name in ("c", "a", "b"):
        await add(registry, new(name))
    await add(registry, new("words", language=True))
    first = await registry.list(ACME, limit=2)
    rest = await registry.list(ACME, limit=9, after=("acme", first[-1].name))
    assert [a.name for a in first + rest] == ["a", "b", "c", "words"]
    found = await registry.list(ACME, architecture=AdapterArchitecture.LANGUAGE)
    assert [(a.name, len(a.version.files)) for a in found] == [("words", 2)]


async def test_deleting_hides_at_once_and_blobs_go_after_the_grace(
    registry: AdapterRegistry, disposal: AdapterDisposal, new: NEW, clock: ManualClock, tmp_path: Path
) -> None:
    added = await add(registry, new())
    await registry.delete(ACME, "stripes")
    assert await registry.find(ACME, ACME, "stripes") is None
    assert await registry.find(ACME, ACME, "stripes", added.version.digest) is None
    assert (await registry.version(added.version.id)).files == added.version.files
    assert await disposal.sweep() == 0
    assert len(blobs(tmp_path)) == 1
    clock.advance(601)
    assert await disposal.sweep() == 1
    assert blobs(tmp_path) == set()
    with pytest.raises(NotFound):
        await registry.version(added.version.id)


async def test_a_deleted_version_stays_while_a_run_needs_it(
    registry: AdapterRegistry,
    disposal: AdapterDisposal,
    new: NEW,
    clock: ManualClock,
    database: Records,
    tmp_path: Path,
) -> None:
    added = await add(registry, new())
    store = RunStore(database, clock, SETTINGS)
    run = await made(store, adapters=[{"id": added.version.id, "scale": 1.0}])
    await made(store)
    assert (await store.get(ACME, run.id)).adapters[0].id == added.version.id
    await registry.delete(ACME, "stripes")
    clock.advance(10_000)
    assert await disposal.sweep() == 0
    assert await content(registry, added) == image_adapter()
    await store.request_cancel(ACME, run.id)
    assert await disposal.sweep() == 1
    assert blobs(tmp_path) == set()


async def test_the_present_version_deleted_the_newest_left_takes_its_place(
    registry: AdapterRegistry, new: NEW, clock: ManualClock
) -> None:
    first = await add(registry, new(fill=0.1))
    clock.advance(1)
    second = await add(registry, new(fill=0.2))
    await registry.delete(ACME, "stripes", second.version.digest)
    assert (await registry.get(ACME, ACME, "stripes")).version == first.version
    await registry.delete(ACME, "stripes", first.version.digest)
    assert await registry.list(ACME) == []
    for digest in (None, first.version.digest):
        with pytest.raises(NotFound):
            await registry.delete(ACME, "stripes", digest)


async def test_what_was_deleted_and_is_added_again_is_there(
    registry: AdapterRegistry, disposal: AdapterDisposal, new: NEW, clock: ManualClock
) -> None:
    await add(registry, new())
    await registry.delete(ACME, "stripes")
    clock.advance(601)
    again = await add(registry, new())
    assert await disposal.sweep() == 0
    assert await content(registry, again) == image_adapter()


async def test_two_names_of_the_same_bytes_outlive_one_another(
    registry: AdapterRegistry, disposal: AdapterDisposal, new: NEW, clock: ManualClock, tmp_path: Path
) -> None:
    await add(registry, new("one"))
    two = await add(registry, new("two"))
    await registry.delete(ACME, "one")
    clock.advance(601)
    assert await disposal.sweep() == 1
    assert await content(registry, two) == image_adapter()
    assert len(blobs(tmp_path)) == 1


class FailingObjects(FilesystemObjects):
    """Refuses what it is given, once."""

    has_failed = False

    async def put(self, key: str, data: object, media_type: str) -> StoredObject:
        if not self.has_failed:
            self.has_failed = True
            raise StorageUnavailable("no")
        return await super().put(key, data, media_type)


async def test_an_upload_that_fails_leaves_nothing(
    database: Records, clock: ManualClock, settings: AdaptersSettings, new: NEW, tmp_path: Path
) -> None:
    registry = AdapterRegistry(database, FailingObjects(tmp_path / "objects"), clock, settings)
    with pytest.raises(StorageUnavailable):
        await add(registry, new(language=True))
    assert await registry.list(ACME) == []
    assert blobs(tmp_path) == set()
    await add(registry, new(language=True))
    assert len(blobs(tmp_path)) == 2


async def test_an_upload_whose_process_died_is_swept(
    registry: AdapterRegistry, disposal: AdapterDisposal, new: NEW, clock: ManualClock, tmp_path: Path
) -> None:
    version = new()
    await registry.blobs.hold(ACME, version.name, version.digest, version.files)
    await registry.blobs.write(ACME, version.digest, version.files, version.folder)
    await disposal.sweep()
    assert len(blobs(tmp_path)) == 1
    clock.advance(3601)
    await disposal.sweep()
    assert blobs(tmp_path) == set()
    await add(registry, version)


async def test_a_file_swapped_after_it_was_hashed_is_not_stored(
    registry: AdapterRegistry, new: NEW, tmp_path: Path
) -> None:
    version = new(fill=0.1)
    (version.folder / version.files[0].name).write_bytes(image_adapter(0.9))
    with pytest.raises(InvalidRequest) as caught:
        await add(registry, version)
    assert caught.value.code == "adapter_changed"
    assert blobs(tmp_path) == set()
    assert await registry.list(ACME) == []


@pytest.mark.parametrize(
    ("settings", "error", "code"),
    [
        (AdaptersSettings(max_per_tenant=1), Conflict, "too_many_adapters"),
        (AdaptersSettings(max_tenant_bytes=1024), PayloadTooLarge, "adapter_quota"),
    ],
    ids=["names", "bytes"],
)
async def test_a_tenant_has_room_for_so_much(
    registry: AdapterRegistry, new: NEW, error: type[Exception], code: str
) -> None:
    await add(registry, new("one", 0.1))
    await add(registry, new("one", 0.1))
    for number in range(4):
        await add(registry, new("one", number, tenant=f"t{number}"))
    refused = await asyncio.gather(*(add(registry, new(f"name{n}", 0.2 + n)) for n in range(4)), return_exceptions=True)
    codes = {getattr(one, "code", None) for one in refused if isinstance(one, error)}
    assert codes == {code}
    assert len(await registry.list(ACME)) < 5


async def test_who_adds_a_version_is_told_of_that_one(
    registry: AdapterRegistry, new: NEW, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = registry.get

    async def moved(*asked: Any) -> StoredAdapter:
        monkeypatch.undo()
        await add(registry, new(fill=0.2))
        return await get(*asked)

    monkeypatch.setattr(registry, "get", moved)
    mine = new(fill=0.1)
    added = await add(registry, mine)
    assert (added.version.digest, added.present_digest) == (mine.digest, new(fill=0.2).digest)


async def test_what_people_say_of_a_built_in_stays(registry: AdapterRegistry, new: NEW) -> None:
    await registry.add(new(), Words(title="Stripes"), managed_by="builtin")
    await registry.change(ACME, "stripes", Words(title="Ours"))
    with pytest.raises(Conflict):
        await registry.add(new(), Words(title="Stripes"), managed_by="builtin")
    assert (await registry.get(ACME, ACME, "stripes")).title == "Ours"


async def test_who_manages_an_adapter_alone_changes_it(registry: AdapterRegistry, new: NEW) -> None:
    await registry.add(new(), Words(), managed_by="kubernetes", document={"kind": "Adapter"})
    with pytest.raises(Conflict) as caught:
        await registry.add(new(fill=0.1), Words())
    assert caught.value.code == "managed_elsewhere"
    for change in (registry.delete(ACME, "stripes"), registry.change(ACME, "stripes", Words(title="mine"))):
        with pytest.raises(Conflict):
            await change
    await registry.delete(ACME, "stripes", manager="kubernetes")
