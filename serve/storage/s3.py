"""Blobs in an S3 bucket, through the `minio` client.

The client is synchronous: each request runs in a thread of this store's own pool, with a connect and a read timeout
and a few retries. A stream is uploaded in parts while it is read, so that a few parts are in memory and no more; when
its source fails or its task is canceled, the parts already uploaded are given up, and no blob appears.
"""

import asyncio
import os
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from serve.domain.errors import InvalidRequest, NotFound, SlipwayError, StorageUnavailable
from serve.domain.ports import StoredObject
from serve.settings import ObjectsSettings
from serve.storage.feed import Feed
from serve.storage.grammar import CHUNK_BYTES, check_key, check_media_type, check_offset

_NUM_THREADS = 16
_CONNECT_SECONDS = 5.0
"""A store that accepts no connection in this time is down; the read timeout is a setting, and longer."""
_NUM_RETRIES = 2
_RETRY_AFTER_SECONDS = 5.0
_MAX_PRESIGN_SECONDS = 7 * 24 * 3600
"""The limit of AWS signature version 4."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MISSING = frozenset({"NoSuchKey", "NotFound"})
REFUSED_CODES = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
)

T = TypeVar("T")


class S3Objects:
    """`ports.ObjectStore` over one bucket, which must exist."""

    def __init__(self, settings: ObjectsSettings) -> None:
        """Connects to nothing yet.

        Raises:
            InvalidRequest: for an endpoint that does not read http(s)://host[:port], a bucket that S3 would not have,
                or half a pair of keys.
        """
        self._settings = settings
        self._bucket = _check_bucket(settings.bucket)
        self._client = create_client(settings)
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="objects")

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str) -> StoredObject:
        """See `ObjectStore.put`."""
        check_key(key)
        check_media_type(media_type)
        if isinstance(data, bytes):
            await self._in_thread(self._upload, key, BytesIO(data), len(data), media_type)
            return StoredObject(key, len(data), media_type)
        return StoredObject(key, await self._put_stream(key, data, media_type), media_type)

    async def _put_stream(self, key: str, data: AsyncIterator[bytes], media_type: str) -> int:
        feed = Feed(asyncio.get_running_loop(), limit_bytes=self._settings.part_bytes)
        upload = self._in_thread(self._upload, key, feed, -1, media_type)
        upload.add_done_callback(lambda done: feed.stop() if done.cancelled() or done.exception() else None)
        try:
            async for chunk in data:
                if not await feed.send(chunk):
                    break
            feed.finish()
            await upload
        except BaseException:
            # The uploading thread meets this where it reads, gives up the parts, and ends by itself.
            feed.fail()
            upload.cancel()
            raise
        return feed.num_bytes

    def _upload(self, key: str, data: BytesIO | Feed, num_bytes: int, media_type: str) -> None:
        part_bytes = self._settings.part_bytes
        options = {"content_type": media_type, "part_size": part_bytes, "num_parallel_uploads": 1}
        self._client.put_object(self._bucket, key, data, num_bytes, **options)

    async def get(self, key: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore.get`. Past the end there is nothing, and no error."""
        check_key(key)
        check_offset(offset)
        download = _Download(partial(self._client.get_object, self._bucket, key, offset=offset))
        try:
            await self._in_thread(download.open)
            while chunk := await self._in_thread(download.read, CHUNK_BYTES):
                yield chunk
        finally:
            self._threads.submit(download.close)

    async def stat(self, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        found = await self._in_thread(self._client.stat_object, self._bucket, check_key(key))
        return StoredObject(key, found.size or 0, found.content_type or "application/octet-stream")

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        await self._in_thread(self._client.remove_object, self._bucket, check_key(key))

    async def presign_get(self, key: str, expires_seconds: int) -> str | None:
        """See `ObjectStore.presign_get`. None without keys to sign with; a week at the longest.

        The link says `attachment`: a browser saves what is there, and runs none of it in the store's origin.
        """
        check_key(key)
        if not self._settings.access_key.get_secret_value():
            return None
        link: str = await self._in_thread(
            partial(
                self._client.presigned_get_object,
                self._bucket,
                key,
                expires=timedelta(seconds=min(expires_seconds, _MAX_PRESIGN_SECONDS)),
                response_headers={"response-content-disposition": "attachment"},
            )
        )
        return link

    def _in_thread(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._threads, partial(self._explained, work), *arguments)

    def _explained(self, work: Callable[..., T], *arguments: object) -> T:
        # `minio` freezes its exceptions, which a generator's context manager cannot pass on: so a plain try.
        try:
            return work(*arguments)
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> SlipwayError:
        where = f"the blob store at {self._settings.endpoint}"
        code = error.code if isinstance(error, S3Error) else ""
        if code in _MISSING:
            return NotFound("there is no such blob")
        if code == "NoSuchBucket":
            sentence = f"{where} has no bucket {self._bucket!r}: make it, or set SLIPWAY_OBJECTS_BUCKET"
            return StorageUnavailable(sentence, "storage_misconfigured")
        if code in REFUSED_CODES:
            sentence = f"{where} refuses our keys ({code}): check SLIPWAY_OBJECTS_ACCESS_KEY, _SECRET_KEY and _REGION"
            return StorageUnavailable(sentence, "storage_misconfigured")
        if code:
            return StorageUnavailable(f"{where} answered {code}", "", None, _RETRY_AFTER_SECONDS)
        sentence = f"{where} does not answer as it should ({_innermost(error)})"
        return StorageUnavailable(sentence, "", None, _RETRY_AFTER_SECONDS)


class _Download:
    """A response's body. Closing it works at any moment, even while another thread is still opening it."""

    def __init__(self, request: Callable[[], Any]) -> None:
        self._request = request
        self._response: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        try:
            response = self._request()
        except S3Error as error:
            if error.code == "InvalidRange":
                return
            raise
        with self._lock:
            self._response = response
        if self._closed:
            self.close()

    def read(self, num_bytes: int) -> bytes:
        return bytes(self._response.read(num_bytes)) if self._response is not None else b""

    def close(self) -> None:
        """Close rather than drain: what the reader did not want may be gigabytes."""
        with self._lock:
            self._closed = True
            response, self._response = self._response, None
        if response is not None:
            response.close()
            response.release_conn()


def create_client(settings: ObjectsSettings) -> Any:
    """A `minio` client with these credentials, bounded in time and retries.

    Raises:
        InvalidRequest: for an endpoint that does not read http(s)://host[:port], or half a pair of keys.
    """
    address = urlsplit(settings.endpoint)
    if address.scheme not in ("http", "https") or not address.hostname or address.path.strip("/") or address.query:
        raise InvalidRequest(
            f"an S3 endpoint reads http://host:port or https://host: {settings.endpoint!r}", "", "objects.endpoint"
        )
    access_key, secret_key = settings.access_key.get_secret_value(), settings.secret_key.get_secret_value()
    if bool(access_key) != bool(secret_key):
        raise InvalidRequest("set both SLIPWAY_OBJECTS_ACCESS_KEY and SLIPWAY_OBJECTS_SECRET_KEY, or neither")
    return Minio(
        address.netloc,
        access_key or None,
        secret_key or None,
        secure=address.scheme == "https",
        region=settings.region or None,
        http_client=_create_pool(settings.timeout_seconds),
    )


def _create_pool(timeout_seconds: float) -> urllib3.PoolManager:
    connect_seconds = min(_CONNECT_SECONDS, timeout_seconds)
    return urllib3.PoolManager(
        maxsize=_NUM_THREADS,
        timeout=urllib3.Timeout(connect=connect_seconds, read=timeout_seconds),
        retries=urllib3.Retry(
            total=_NUM_RETRIES,
            backoff_factor=0.2,
            status_forcelist=(429, 500, 502, 503, 504),
            # A store that names an hour must not hold a thread for one.
            respect_retry_after_header=False,
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )


def _check_bucket(bucket: str) -> str:
    if not _BUCKET.fullmatch(bucket):
        raise InvalidRequest(
            f"a bucket's name holds 3 to 63 lower-case letters, digits, hyphens and dots: {bucket[:80]!r}",
            "",
            "objects.bucket",
        )
    return bucket


def _innermost(error: Exception) -> str:
    """What went wrong beneath the retries, as the name of the exception."""
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, Exception) else error).__name__
