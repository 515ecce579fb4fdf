"""Blobs in an S3 bucket, through the `minio` client.

The client is synchronous: each request runs in a thread of this store's own pool, with a connect and a read timeout
and a few retries. An iterator is uploaded in parts while it is read; at most two parts are in memory, and an upload
that fails or is canceled leaves no blob.
"""

import asyncio
import contextlib
import io
import os
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error

from serve.domain.errors import InvalidRequest, NotFound, SlipwayError, StorageUnavailable
from serve.domain.ports import StoredObject
from serve.settings import ObjectsSettings
from serve.storage.grammar import CHUNK_BYTES, check_key, check_media_type, check_offset

_NUM_THREADS = 16
_CONNECT_SECONDS = 5.0
"""A store that does not accept a connection in this time is down; the setting's read timeout may be longer."""
_NUM_RETRIES = 2
_RETRY_AFTER_SECONDS = 5.0
_MISSING = frozenset({"NoSuchKey", "NotFound", "ResourceNotFound", "MethodNotAllowed"})
_REFUSED = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"})

T = TypeVar("T")


class S3Objects:
    """`ports.ObjectStore` over one bucket, which must exist."""

    def __init__(self, settings: ObjectsSettings) -> None:
        """Connects to nothing yet.

        Raises:
            InvalidRequest: for an endpoint that does not read http(s)://host[:port], or half a pair of keys.
        """
        self._settings = settings
        self._client = _create_client(settings)
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="objects")

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str) -> StoredObject:
        """See `ObjectStore.put`."""
        check_key(key)
        check_media_type(media_type)
        if isinstance(data, bytes):
            await self._in_thread(key, self._upload, key, io.BytesIO(data), len(data), media_type)
            return StoredObject(key, len(data), media_type)
        return StoredObject(key, await self._put_stream(key, data, media_type), media_type)

    async def _put_stream(self, key: str, data: AsyncIterator[bytes], media_type: str) -> int:
        feed = _Feed(asyncio.get_running_loop(), self._settings.part_bytes)
        upload = asyncio.ensure_future(self._in_thread(key, self._upload, key, feed, -1, media_type))
        upload.add_done_callback(lambda _: feed.stop_sending())
        try:
            async for chunk in data:
                if not await feed.send(chunk):
                    break
            feed.finish()
        except BaseException as error:
            # The uploading thread meets the error where it reads, aborts the upload and ends by itself.
            feed.fail(error)
            upload.add_done_callback(_mark_seen)
            raise
        await upload
        return feed.num_bytes

    def _upload(self, key: str, data: Any, num_bytes: int, media_type: str) -> None:
        self._client.put_object(
            self._settings.bucket,
            key,
            data,
            num_bytes,
            content_type=media_type,
            part_size=self._settings.part_bytes,
            num_parallel_uploads=1,
        )

    async def get(self, key: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore.get`."""
        check_key(key)
        response = await self._in_thread(key, self._open, key, check_offset(offset))
        if response is None:
            return
        try:
            while chunk := await self._in_thread(key, response.read, CHUNK_BYTES):
                yield chunk
        finally:
            # Closed rather than drained: what a reader did not want may be gigabytes.
            self._threads.submit(_give_back, response)

    def _open(self, key: str, offset: int) -> Any:
        """The response whose body is the blob from `offset`; None where nothing is left there."""
        try:
            return self._client.get_object(self._settings.bucket, key, offset=offset)
        except S3Error as error:
            if error.code == "InvalidRange":
                return None
            raise

    async def stat(self, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        check_key(key)
        found = await self._in_thread(key, self._client.stat_object, self._settings.bucket, key)
        return StoredObject(key, found.size or 0, found.content_type or "application/octet-stream")

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        check_key(key)
        with contextlib.suppress(NotFound):
            await self._in_thread(key, self._client.remove_object, self._settings.bucket, key)

    async def presign_get(self, key: str, expires_seconds: int) -> str | None:
        """See `ObjectStore.presign_get`. The link says `attachment`: a browser saves what it leads to, and runs none."""
        check_key(key)
        if not self._settings.access_key.get_secret_value():
            return None
        return await self._in_thread(key, self._presign, key, expires_seconds)

    def _presign(self, key: str, expires_seconds: int) -> str:
        return self._client.presigned_get_object(
            self._settings.bucket,
            key,
            expires=timedelta(seconds=expires_seconds),
            response_headers={"response-content-disposition": "attachment"},
        )

    async def _in_thread(self, key: str, work: Callable[..., T], *arguments: object) -> T:
        with self._sentences(key):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
