"""The disk tier of adapters: fetched once for all, held while read, never wrong in silence."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from fakes.adapter_shelf import FILE, Shelf

from serve.catalog.adapters.files import AdapterFiles, AdapterTier
from serve.catalog.adapters.stored import blob_key
from serve.catalog.weight_store import WeightStore
from serve.domain.adapters import parse_id
from serve.domain.errors import InvalidRequest, ModelUnavailable, NotFound, SlipwayError, Unprocessable

MEBIBYTE = b"x" * 2**20


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "objects")


def disk(shelf: Shelf, tmp_path: Path, max_bytes: int = 2**30) -> AdapterFiles:
    return AdapterFiles(WeightStore(tmp_path / "adapters", max_bytes), shelf, shelf.objects)


def entries(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "adapters" / "entries").iterdir() if path.is_dir()}


def staged(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "adapters" / "staging").iterdir())


async def settle(condition: object) -> None:
    for _ in range(10_000):
        if callable(condition) and condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come about")


async def test_the_first_comes_from_the_store_and_the_next_from_the_disk(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add(model=MEBIBYTE * 2, **{"adapter_config.json": b"{}"})
    files = disk(shelf, tmp_path)
    with_store, with_disk = await files.hold(adapter), await files.hold(adapter)
    assert (with_store.tier, with_disk.tier) == (AdapterTier.STORE, AdapterTier.DISK)
    assert shelf.objects.num_gets == 2
    assert (with_disk.path / FILE).read_bytes() == MEBIBYTE * 2
    assert sorted(path.name for path in with_disk.path.iterdir()) == ["adapter_config.json", FILE]
    assert with_disk.sha256 == {name: file.sha256 for name, file in (await shelf.files(parse_id(adapter))).items()}
    assert staged(tmp_path) == []
    with_store.close()
    with_store.close()


async def test_two_processes_of_a_node_fetch_once(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add()
    shelf.objects.open.clear()
    one, other = disk(shelf, tmp_path), disk(shelf, tmp_path)
    both = [asyncio.create_task(each.hold(adapter)) for each in (one, other)]
    await settle(lambda: shelf.objects.num_gets == 1)
    await asyncio.sleep(0.05)
    shelf.objects.open.set()
    assert {(await each).tier for each in both} == {AdapterTier.STORE, AdapterTier.DISK}
    assert shelf.objects.num_gets == 1


async def test_different_adapters_are_fetched_together(shelf: Shelf, tmp_path: Path) -> None:
    ids = [await shelf.add(f"a{i}") for i in range(3)]
    shelf.objects.open.clear()
    files = disk(shelf, tmp_path)
    holding = [asyncio.create_task(files.hold(each)) for each in ids]
    await settle(lambda: shelf.objects.num_gets == 3)
    shelf.objects.open.set()
    assert [(await each).id for each in holding] == ids


async def test_the_same_bytes_of_two_tenants_are_one_folder(shelf: Shelf, tmp_path: Path) -> None:
    mine, theirs = await shelf.add(tenant="acme", model=b"w"), await shelf.add(tenant="other", model=b"w")
    files = disk(shelf, tmp_path)
    assert (await files.hold(mine)).path == (await files.hold(theirs)).path
    assert shelf.objects.num_gets == 1


async def test_what_is_held_stays_and_what_is_not_makes_room(shelf: Shelf, tmp_path: Path) -> None:
    a, b, c, d = [await shelf.add(name, model=MEBIBYTE + name.encode()) for name in "abcd"]
    files = disk(shelf, tmp_path, max_bytes=2 * len(MEBIBYTE) + 100)
    held = await files.hold(a)
    (await files.hold(b)).close()
    (await files.hold(c)).close()
    assert files.num_evicted == 1
    assert entries(tmp_path) == {each.rpartition(":")[2] for each in (a, c)}
    still = await files.hold(c)
    with pytest.raises(ModelUnavailable, match="Retry later") as caught:
        await files.hold(d)
    assert (caught.value.code, caught.value.retry_after_seconds) == ("adapter_cache_full", 5.0)
    held.close()
    assert (await files.hold(d)).tier is AdapterTier.STORE
    assert (still.path / FILE).exists()


async def test_one_larger_than_the_disk_is_refused_for_good(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add(model=MEBIBYTE * 3)
    with pytest.raises(Unprocessable, match="SLIPWAY_STORAGE_ADAPTER_CACHE_MAX_BYTES"):
        await disk(shelf, tmp_path, max_bytes=len(MEBIBYTE)).hold(adapter)


@pytest.mark.parametrize("blob", [b"stripeS", b"stripes and more", b"strip"], ids=["other", "longer", "cut"])
async def test_a_blob_that_was_changed_is_refused(shelf: Shelf, tmp_path: Path, blob: bytes) -> None:
    adapter = await shelf.add("stripes")
    version = parse_id(adapter)
    await shelf.objects.put(blob_key(version.tenant, version.digest, FILE), blob)
    with pytest.raises(InvalidRequest, match="is not the file that was uploaded") as caught:
        await disk(shelf, tmp_path).hold(adapter)
    assert (caught.value.code, caught.value.param) == ("adapter_changed", "adapters")
    assert (entries(tmp_path), staged(tmp_path)) == (set(), [])


async def test_a_file_swapped_on_the_disk_is_fetched_anew_when_someone_noticed(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add("stripes")
    files = disk(shelf, tmp_path)
    with closing(await files.hold(adapter)) as held:
        (held.path / FILE).write_bytes(b"STRIPES")
    assert (await files.hold(adapter)).tier is AdapterTier.DISK  # the size says nothing
    mended = await files.hold(adapter, recheck=True)
    assert (mended.tier, (mended.path / FILE).read_bytes()) == (AdapterTier.STORE, b"stripes")
    again = await files.hold(adapter, recheck=True)
    assert (again.tier, shelf.objects.num_gets) == (AdapterTier.DISK, 2)


async def test_a_link_in_the_place_of_a_file_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add("stripes")
    files = disk(shelf, tmp_path)
    with closing(await files.hold(adapter)) as held:
        (tmp_path / "elsewhere").write_bytes(b"stripes")
        (held.path / FILE).unlink()
        (held.path / FILE).symlink_to(tmp_path / "elsewhere")
    mended = await files.hold(adapter, recheck=True)
    assert not (mended.path / FILE).is_symlink()


async def test_a_file_that_lost_its_end_is_fetched_anew(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add("stripes")
    files = disk(shelf, tmp_path)
    with closing(await files.hold(adapter)) as held:
        (held.path / FILE).write_bytes(b"strip")
    assert (await files.hold(adapter)).tier is AdapterTier.STORE


async def test_an_unknown_or_deleted_version_is_not_found(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add()
    files = disk(shelf, tmp_path)
    (await files.hold(adapter)).close()
    shelf.forget(adapter)
    with pytest.raises(NotFound) as caught:
        await files.hold(adapter)
    assert caught.value.code == "adapter_not_found"


async def test_a_version_whose_blobs_are_gone_is_not_found(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add()
    version = parse_id(adapter)
    await shelf.objects.delete(blob_key(version.tenant, version.digest, FILE))
    with pytest.raises(NotFound, match="GET /v1/adapters") as caught:
        await disk(shelf, tmp_path).hold(adapter)
    assert caught.value.code == "adapter_not_found"


async def test_a_canceled_download_leaves_nothing_and_another_may_begin(shelf: Shelf, tmp_path: Path) -> None:
    adapter = await shelf.add()
    shelf.objects.open.clear()
    files = disk(shelf, tmp_path)
    canceled = asyncio.create_task(files.hold(adapter))
    await settle(lambda: shelf.objects.num_gets == 1)
    canceled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await canceled
    assert staged(tmp_path) == []
    shelf.objects.open.set()
    assert (await files.hold(adapter)).tier is AdapterTier.STORE


@pytest.mark.parametrize("times", [1, 3])
async def test_canceled_at_any_moment_it_holds_nothing_back(shelf: Shelf, tmp_path: Path, times: int) -> None:
    adapter = await shelf.add(model=b"w" * 1000)
    files = disk(shelf, tmp_path, max_bytes=1500)
    for delay in range(12):
        task = asyncio.create_task(files.hold(adapter))
        await asyncio.sleep(delay * 0.0005)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        try:
            (await task).close()
        except asyncio.CancelledError:
            continue
    other = await shelf.add("other", model=b"v" * 1000)
    assert (await files.hold(other)).tier is AdapterTier.STORE


@pytest.mark.parametrize("adapter", ["stripes", "acme/stripes", "../x@sha256:0", ""])
async def test_anything_less_than_an_id_is_refused(shelf: Shelf, tmp_path: Path, adapter: str) -> None:
    with pytest.raises((ValueError, SlipwayError)):
        await disk(shelf, tmp_path).hold(adapter)
