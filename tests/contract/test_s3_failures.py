"""A store that is down, slow, or refuses us: quickly an error of ours, with a sentence that says what to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from fakes.processes import free_ports
from fakes.s3 import S3Server
from pydantic import SecretStr

from serve.domain.errors import InvalidRequest, SlipwayError, StorageUnavailable
from serve.settings import ObjectsSettings
from serve.storage.s3 import S3Objects


def settings(endpoint: str, **changes: object) -> ObjectsSettings:
    given = {"endpoint": endpoint, "access_key": SecretStr("a"), "secret_key": SecretStr("b"), "timeout_seconds": 0.3}
    return ObjectsSettings(**(given | changes))


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(2**20)


async def read_all(store: S3Objects) -> None:
    async for _ in store.get("a"):
        pass


CALLS: dict[str, Callable[[S3Objects], Awaitable[object]]] = {
    "put": lambda store: store.put("a", b"x", "text/plain"),
    "put a stream": lambda store: store.put("a", endless(), "text/plain"),
    "get": read_all,
    "stat": lambda store: store.stat("a"),
    "delete": lambda store: store.delete("a"),
}


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[str]:
    """A server that answers every request so and closes, or accepts connections and never says a word."""
    silent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await silent.wait()
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        silent.set()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def failure(store: S3Objects, call: str) -> SlipwayError:
    with pytest.raises(SlipwayError) as caught:
        await CALLS[call](store)
    return caught.value


async def failures(store: S3Objects) -> dict[str, SlipwayError]:
    """Of every call: all at once, for each waits for the timeout and between its tries."""
    async with asyncio.timeout(60):
        return dict(zip(CALLS, await asyncio.gather(*(failure(store, call) for call in CALLS)), strict=True))


async def test_a_refused_connection_is_storage_unavailable() -> None:
    (port,) = free_ports(1)
    for call, error in (await failures(S3Objects(settings(f"http://127.0.0.1:{port}")))).items():
        assert isinstance(error, StorageUnavailable), call
        assert error.code == "storage_unavailable", call
        assert f"the blob store at http://127.0.0.1:{port} does not answer" in str(error), call
        assert error.retry_after_seconds, call


async def test_a_store_that_says_nothing_is_unavailable_after_the_timeout_and_its_retries() -> None:
    async with listening(None) as endpoint:
        found = await failures(S3Objects(settings(endpoint)))
    assert {call: type(error) for call, error in found.items()} == dict.fromkeys(CALLS, StorageUnavailable)


async def test_a_store_that_is_overloaded_is_unavailable_after_its_retries() -> None:
    # Retry-After: an hour. It must not hold a thread for one.
    busy = b"HTTP/1.1 503 Slow Down\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with listening(busy) as endpoint:
        found = await failures(S3Objects(settings(endpoint, region="us-east-1")))
    assert {call: type(error) for call, error in found.items()} == dict.fromkeys(CALLS, StorageUnavailable)


async def test_a_body_that_is_cut_short_is_an_error_and_not_a_shorter_blob() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this"
    async with listening(cut) as endpoint:
        error = await failure(S3Objects(settings(endpoint, region="us-east-1")), "get")
    assert isinstance(error, StorageUnavailable)


async def test_a_slow_store_leaves_the_event_loop_free_and_a_canceled_call_ends_at_once() -> None:
    async with listening(None) as endpoint:
        call = asyncio.create_task(S3Objects(settings(endpoint, timeout_seconds=600)).stat("a"))
        await asyncio.sleep(0.05)
        call.cancel()
        async with asyncio.timeout(60):
            with pytest.raises(asyncio.CancelledError):
                await call


@pytest.mark.parametrize("call", ["put", "get", "put a stream", "delete"])
async def test_a_bucket_that_is_missing_is_named(seaweedfs_server: S3Server, call: str) -> None:
    keys = {"access_key": SecretStr(seaweedfs_server.access_key), "secret_key": SecretStr(seaweedfs_server.secret_key)}
    store = S3Objects(settings(seaweedfs_server.endpoint, bucket="elsewhere", timeout_seconds=10, **keys))
    error = await failure(store, call)
    assert (type(error), error.code) == (StorageUnavailable, "storage_misconfigured")
    assert "'elsewhere'" in str(error)
    assert "SLIPWAY_OBJECTS_BUCKET" in str(error)


@pytest.mark.parametrize("call", ["put", "get"])
async def test_keys_that_are_wrong_are_said_to_be(seaweedfs_server: S3Server, call: str) -> None:
    error = await failure(S3Objects(settings(seaweedfs_server.endpoint, timeout_seconds=10)), call)
    assert (type(error), error.code) == (StorageUnavailable, "storage_misconfigured")
    assert "SLIPWAY_OBJECTS_ACCESS_KEY" in str(error)
    assert seaweedfs_server.secret_key not in str(error)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"endpoint": "minio:9000"}, "an S3 endpoint reads"),
        ({"endpoint": "ftp://host"}, "an S3 endpoint reads"),
        ({"endpoint": "https://host/path"}, "an S3 endpoint reads"),
        ({"bucket": "No_Such"}, "a bucket's name"),
        ({"secret_key": SecretStr("")}, "set both"),
    ],
    ids=["no scheme", "another scheme", "a path", "bucket", "half a pair"],
)
def test_settings_that_cannot_work_are_refused_at_once(changes: dict[str, object], sentence: str) -> None:
    given = {"endpoint": "https://host", "access_key": SecretStr("a"), "secret_key": SecretStr("b")}
    with pytest.raises(InvalidRequest, match=sentence):
        S3Objects(ObjectsSettings(**(given | changes)))


async def test_a_store_without_keys_has_no_links_to_give() -> None:
    assert await S3Objects(ObjectsSettings(endpoint="http://host")).presign_get("a", 60) is None
