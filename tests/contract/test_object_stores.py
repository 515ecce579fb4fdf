"""What is true of every blob store: files, SeaweedFS, moto."""

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from fakes.s3 import S3Server
from pydantic import SecretStr

from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.ports import ObjectStore, StoredObject
from serve.settings import ObjectsSettings
from serve.storage.filesystem import FilesystemObjects
from serve.storage.s3 import S3Objects

PART_BYTES = 5 * 2**20
S3_STORES = ("seaweedfs", "moto")


def s3_settings(server: S3Server, **changes: object) -> ObjectsSettings:
    given = {
        "endpoint": server.endpoint,
        "bucket": server.bucket,
        "access_key": SecretStr(server.access_key),
        "secret_key": SecretStr(server.secret_key),
        "part_bytes": PART_BYTES,
        "timeout_seconds": 20.0,
    }
    return ObjectsSettings(**(given | changes))


@pytest.fixture(params=["filesystem", *S3_STORES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "filesystem":
        return FilesystemObjects(tmp_path / "objects")
    return S3Objects(s3_settings(request.getfixturevalue(f"{request.param}_server")))


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A key of this test's own, since the S3 servers live as long as the session."""
    return "tests/" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()


async def read(store: ObjectStore, key: str, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in store.get(key, offset)])


async def pieces(num_bytes: int, piece: bytes) -> AsyncIterator[bytes]:
    for _ in range(num_bytes // len(piece)):
        yield piece


async def test_what_is_put_is_got_and_statted(store: ObjectStore, key: str) -> None:
    assert await store.put(key, b"hello", "text/plain") == StoredObject(key, 5, "text/plain")
    assert await read(store, key) == b"hello"
    assert await store.stat(key) == StoredObject(key, 5, "text/plain")


async def test_a_second_put_replaces_bytes_and_media_type(store: ObjectStore, key: str) -> None:
    await store.put(key, b"the first and longer one", "text/plain")
    await store.put(key, b"{}", "application/json")
    assert await read(store, key) == b"{}"
    assert await store.stat(key) == StoredObject(key, 2, "application/json")


@pytest.mark.parametrize("data", [b"", pieces(0, b"x")], ids=["bytes", "stream"])
async def test_an_empty_blob_is_a_blob(store: ObjectStore, key: str, data: bytes | AsyncIterator[bytes]) -> None:
    assert (await store.put(key, data, "image/png")).num_bytes == 0
    assert await read(store, key) == b""
    assert (await store.stat(key)).num_bytes == 0


@pytest.mark.parametrize("offset", [0, 1, 9_999_999, 10_000_000, 10_000_001])
async def test_a_get_starts_at_its_offset_and_past_the_end_there_is_nothing(
    store: ObjectStore, key: str, offset: int
) -> None:
    blob = bytes(range(250)) * 40_000
    await store.put(key, blob, "application/octet-stream")
    chunks = [chunk async for chunk in store.get(key, offset)]
    assert b"".join(chunks) == blob[offset:]
    assert all(0 < len(chunk) <= 2**20 for chunk in chunks)


async def test_what_is_not_there_is_not_found(store: ObjectStore, key: str) -> None:
    with pytest.raises(NotFound):
        await read(store, key)
    with pytest.raises(NotFound):
        await store.stat(key)


async def test_a_deleted_blob_is_gone_and_deleting_it_again_is_no_error(store: ObjectStore, key: str) -> None:
    await store.put(key, b"x", "text/plain")
    await store.delete(key)
    await store.delete(key)
    with pytest.raises(NotFound):
        await store.stat(key)


async def test_forty_megabytes_stream_in_and_out_without_being_held_in_memory(store: ObjectStore, key: str) -> None:
    num_bytes, piece, digest = 40 * 2**20, b"slipway!" * 8192, hashlib.sha256()
    await store.put(key + "-warm", b"first, so that what the client loads once is not counted", "text/plain")
    tracemalloc.start()
    try:
        stored = await store.put(key, pieces(num_bytes, piece), "video/mp4")
        async for chunk in store.get(key):
            digest.update(chunk)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored == await store.stat(key) == StoredObject(key, num_bytes, "video/mp4")
    assert digest.hexdigest() == hashlib.sha256(piece * (num_bytes // len(piece))).hexdigest()
    assert peak_bytes < 5 * PART_BYTES


async def test_a_stream_that_fails_leaves_what_was_there_before(store: ObjectStore, key: str) -> None:
    async def failing() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(2**20)
        raise ConnectionResetError("the client went away")

    await store.put(key, b"before", "text/plain")
    with pytest.raises(ConnectionResetError, match="went away"):
        await store.put(key, failing(), "video/mp4")
    assert await read(store, key) == b"before"


async def test_a_canceled_put_leaves_no_blob(store: ObjectStore, key: str) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(7):
            yield bytes(2**20)
        started.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(store.put(key, endless(), "video/mp4"))
    await asyncio.wait_for(started.wait(), 60)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(putting, 60)
    with pytest.raises(NotFound):
        await store.stat(key)


async def test_a_reader_that_leaves_early_holds_nothing_up(store: ObjectStore, key: str) -> None:
    await store.put(key, bytes(8 * 2**20), "video/mp4")
    for _ in range(40):
        async with aclosing(store.get(key)) as chunks:
            await anext(chunks)
    assert len(await read(store, key, 8 * 2**20 - 3)) == 3


async def test_concurrent_puts_of_one_key_end_with_one_of_them_whole(store: ObjectStore, key: str) -> None:
    blobs = [bytes([n]) * 100_000 for n in range(8)]
    await asyncio.gather(*(store.put(key, blob, f"text/x{n}") for n, blob in enumerate(blobs)))
    found = await read(store, key)
    assert found in blobs
    assert await store.stat(key) == StoredObject(key, 100_000, f"text/x{found[0]}")


TRICKY = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "../../etc/passwd",
    "a b",
    "ä",
    "a\n",
    "a\x00",
    "a~",
    "a%2fb",
    "C:\\a",
]
LONG = ["a" * 201, "a/" * 256 + "a"]


@pytest.mark.parametrize("key", [*TRICKY, *LONG])
async def test_unusual_keys_are_refused_by_every_call(store: ObjectStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put(key, b"", "text/plain"),
        lambda: read(store, key),
        lambda: store.stat(key),
        lambda: store.delete(key),
        lambda: store.presign_get(key, 60),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest, match="a key is segments"):
            await call()


@pytest.mark.parametrize("name", [".hidden", "...", "-", "a.b_c-D9", "z" * 200])
async def test_what_the_grammar_allows_works(store: ObjectStore, key: str, name: str) -> None:
    await store.put(f"{key}/{name}", b"x", "text/plain")
    assert await read(store, f"{key}/{name}") == b"x"


@pytest.mark.parametrize("media_type", ["", "text", "text/plain\r\nx-evil: 1", "text/" + "p" * 120, "tëxt/plain"])
async def test_what_is_no_media_type_is_refused(store: ObjectStore, key: str, media_type: str) -> None:
    with pytest.raises(InvalidRequest, match="media type"):
        await store.put(key, b"", media_type)


async def test_a_negative_offset_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidRequest, match="offset"):
        await read(store, key, -1)


@pytest.mark.parametrize("store", S3_STORES, indirect=True)
async def test_a_presigned_link_works_by_plain_http_and_never_as_a_page(store: ObjectStore, key: str) -> None:
    await store.put(key, b"<script>", "text/html")
    link = await store.presign_get(key, 60)
    assert link is not None
    async with httpx.AsyncClient() as client:
        answer = await client.get(link)
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["content-disposition"] == "attachment"


async def test_seaweedfs_refuses_a_link_that_was_altered_or_has_expired(seaweedfs_server: S3Server, key: str) -> None:
    store = S3Objects(s3_settings(seaweedfs_server))
    await store.put(key, b"secret", "text/plain")
    link = await store.presign_get(key, 1)
    assert link is not None
    await asyncio.sleep(2.1)
    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).status_code == 403
        assert (await client.get(link.split("?")[0])).status_code == 403


async def test_files_have_no_presigned_links(tmp_path: Path) -> None:
    store = FilesystemObjects(tmp_path)
    await store.put("a", b"x", "text/plain")
    assert await store.presign_get("a", 60) is None
