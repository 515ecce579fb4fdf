"""What only the folder of blobs promises; what it shares with S3 is in tests/contract/test_object_stores.py."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from serve.domain.errors import InvalidRequest, NotFound, StorageUnavailable
from serve.settings import ObjectsSettings, Settings, StorageSettings
from serve.storage.filesystem import FilesystemObjects, _Opened
from serve.storage.objects import open_object_store
from serve.storage.s3 import S3Objects


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> FilesystemObjects:
    return FilesystemObjects(root)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def read(store: FilesystemObjects, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.get(key)])


async def settled(root: Path, expected: list[str]) -> bool:
    """Whether the files come to be `expected`: cleaning up is not awaited."""
    for _ in range(6000):
        if files(root) == expected:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_blob_is_one_file_whose_first_line_is_its_media_type(store: FilesystemObjects, root: Path) -> None:
    await store.put("assets/acme/ab12", b"\n\nbytes", "text/plain; charset=utf-8")
    assert files(root) == ["assets/acme/ab12~"]
    assert (root / "assets/acme/ab12~").read_bytes() == b"text/plain; charset=utf-8\n\n\nbytes"


async def test_another_store_over_the_same_folder_sees_it(store: FilesystemObjects, root: Path) -> None:
    await store.put("a", b"x", "text/plain")
    assert await read(FilesystemObjects(root), "a") == b"x"


async def test_a_key_may_be_the_folder_of_another(store: FilesystemObjects) -> None:
    for key in ("a/b", "a", "a/b/c"):
        await store.put(key, key.encode(), "text/plain")
    assert [await read(store, key) for key in ("a", "a/b", "a/b/c")] == [b"a", b"a/b", b"a/b/c"]


async def test_deleting_removes_the_folders_it_empties_and_no_others(store: FilesystemObjects, root: Path) -> None:
    for key in ("a/b/c", "a/d"):
        await store.put(key, b"", "text/plain")
    await store.delete("a/b/c")
    assert not (root / "a/b").exists()
    assert files(root) == ["a/d~"]
    await store.delete("a/d")
    assert not (root / "a").exists()
    assert root.exists()


async def test_a_put_in_the_making_is_seen_by_nobody(store: FilesystemObjects, root: Path) -> None:
    half, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"first "
        half.set()
        await go_on.wait()
        yield b"second"

    await store.put("a", b"old", "text/plain")
    putting = asyncio.create_task(store.put("a", slowly(), "text/html"))
    await half.wait()
    assert await read(store, "a") == b"old"
    go_on.set()
    await putting
    assert await read(store, "a") == b"first second"
    assert (await store.stat("a")).media_type == "text/html"


async def test_a_reader_keeps_the_blob_that_it_began_with(store: FilesystemObjects) -> None:
    await store.put("a", b"1" * 3_000_000, "text/plain")
    async with aclosing(store.get("a")) as chunks:
        first = await anext(chunks)
        await store.put("a", b"2", "text/plain")
        await store.delete("a")
        rest = [chunk async for chunk in chunks]
    assert first + b"".join(rest) == b"1" * 3_000_000


async def test_a_put_that_fails_or_is_canceled_leaves_no_file(store: FilesystemObjects, root: Path) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x"
        started.set()
        await asyncio.Event().wait()

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("the source broke")

    with pytest.raises(ValueError, match="the source broke"):
        await store.put("a", failing(), "text/plain")
    putting = asyncio.create_task(store.put("a", endless(), "text/plain"))
    await started.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await settled(root, [])


async def test_puts_and_deletes_of_neighbours_never_get_in_each_others_way(store: FilesystemObjects) -> None:
    async def come_and_go(name: str) -> None:
        for _ in range(30):
            await store.put(f"deep/er/{name}", name.encode(), "text/plain")
            assert await read(store, f"deep/er/{name}") == name.encode()
            await store.delete(f"deep/er/{name}")

    await asyncio.gather(*(come_and_go(name) for name in "abcdef"))


async def test_blobs_reach_the_disk_before_put_returns(
    store: FilesystemObjects, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    await store.put("new/a", b"x", "text/plain")
    file, *folders = [Path(path).relative_to(root.resolve()) for path in synced]
    assert file.parts[0] == "~partial"
    assert folders == [Path(), Path("new")]


async def test_a_full_disk_says_so(store: FilesystemObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match=r"the disk of .* is full: free space"):
        await store.put("a", b"x", "text/plain")
    monkeypatch.undo()
    with pytest.raises(NotFound):
        await store.stat("a")


async def test_what_a_dead_process_left_goes_after_a_day(store: FilesystemObjects, root: Path) -> None:
    for name, hours in {"old": 25, "young": 23}.items():
        (root / "~partial" / name).touch()
        os.utime(root / "~partial" / name, (then := time.time() - hours * 3600, then))
    FilesystemObjects(root)
    assert files(root) == ["~partial/young"]


@pytest.mark.parametrize("key", ["../secret", "a/../../secret", "/etc/passwd", "~partial/x"])
async def test_no_key_leads_out_of_the_folder(store: FilesystemObjects, tmp_path: Path, key: str) -> None:
    (tmp_path / "secret~").write_text("text/plain\nsecret")
    with pytest.raises(InvalidRequest):
        await read(store, key)


async def test_the_disk_is_never_touched_on_the_event_loop(
    store: FilesystemObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, seen, opened = threading.get_ident(), [], Path.open

    def record(self: Path, *arguments: object, **options: object) -> object:
        seen.append(threading.get_ident())
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", record)
    await store.put("a", b"x", "text/plain")
    await read(store, "a")
    await store.stat("a")
    assert len(seen) == 3
    assert main not in seen


def test_the_store_is_a_folder_until_an_endpoint_is_set(tmp_path: Path) -> None:
    storage = StorageSettings(data_dir=tmp_path)
    assert isinstance(open_object_store(Settings(storage=storage)), FilesystemObjects)
    assert (tmp_path / "objects").is_dir()
    with_endpoint = Settings(storage=storage, objects=ObjectsSettings(endpoint="http://localhost:1"))
    assert isinstance(open_object_store(with_endpoint), S3Objects)


def test_a_file_that_is_opened_when_nobody_waits_for_it_any_more_is_closed(tmp_path: Path):
    early, late = _Opened(), _Opened()
    kept = early.keep((tmp_path / "early").open("xb"))
    early.close()
    late.close()
    assert kept.closed
    assert late.keep((tmp_path / "late").open("xb")).closed
