"""Blobs as files of one folder: the embedded default.

    root/assets/acme/ab12~     the blob `assets/acme/ab12`: a first line with its media type, then its bytes
    root/~partial/             what is being written; a file here is no blob yet

One file holds the type and the bytes, so that one rename replaces both: a reader sees the old blob or the new, never
a mixture. A key cannot contain `~`, so no key names a partial file, and `a` and `a/b` can both exist, as in S3. What
was put is on disk when `put` returns: the file is synced, renamed, and the folder synced.
"""

import asyncio
import contextlib
import errno
import os
import secrets
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from serve.domain.errors import NotFound, StorageUnavailable
from serve.domain.ports import StoredObject
from serve.storage.grammar import CHUNK_BYTES, check_key, check_media_type, check_offset

_NUM_THREADS = 8
_PARTIAL_LIFE_SECONDS = 24 * 3600
"""No upload takes a day: an older partial file was left by a process that died."""

T = TypeVar("T")


class FilesystemObjects:
    """`ports.ObjectStore` over a folder; any number of processes of one machine may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partial = root / "~partial"
        # Its own threads: a slow disk must not hold up the loop's other helpers, name resolution among them.
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="objects")
        with _sentences(str(root)):
            self._partial.mkdir(parents=True, exist_ok=True)
            self._remove_old_partials()

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str) -> StoredObject:
        """See `ObjectStore.put`. The last of two concurrent puts wins, whole."""
        path, first_line = self._path(key), f"{check_media_type(media_type)}\n".encode()
        partial = self._partial / secrets.token_hex(16)
        try:
            num_bytes = await self._write(partial, first_line, data)
            await self._in_thread(_publish, partial, path)
        except BaseException:
            self._threads.submit(partial.unlink, missing_ok=True)
            raise
        return StoredObject(key, num_bytes, media_type)

    async def _write(self, partial: Path, first_line: bytes, data: bytes | AsyncIterator[bytes]) -> int:
        num_bytes = 0
        with self._closing_later() as opened:
            file = await self._in_thread(lambda: opened.keep(partial.open("xb")))
            await self._in_thread(file.write, first_line)
            async for chunk in _chunks(data):
                num_bytes += len(chunk)
                await self._in_thread(file.write, chunk)
            await self._in_thread(_sync, file)
        return num_bytes

    async def get(self, key: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore.get`. Reads the blob as it was at the first chunk, even if it is replaced meanwhile."""
        path = self._path(key)
        check_offset(offset)
        with self._closing_later() as opened:
            file, _ = await self._in_thread(lambda: _open(opened, key, path, offset))
            while chunk := await self._in_thread(file.read, CHUNK_BYTES):
                yield chunk

    @contextlib.contextmanager
    def _closing_later(self) -> Generator["_Opened", None, None]:
        """What is opened, for a thread to close: nothing is awaited, so it works while a generator is thrown away."""
        opened = _Opened()
        try:
            yield opened
        finally:
            self._threads.submit(opened.close)

    async def stat(self, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        return await self._in_thread(_stat, key, self._path(key))

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`. Folders that it empties go too."""
        await self._in_thread(self._delete, self._path(key))

    async def presign_get(self, key: str, expires_seconds: int) -> str | None:
        """None: files have no URL of their own."""
        check_key(key)
        return None

    def _path(self, key: str) -> Path:
        return self._root / f"{check_key(key)}~"

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def _remove_old_partials(self) -> None:
        for path in self._partial.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _PARTIAL_LIFE_SECONDS:
                    path.unlink()

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Do `work` in a thread; a canceled task waits for it to end, so that nothing is opened behind its back."""
        done = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        with _sentences(str(self._root)):
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                await asyncio.wait([done])
                raise


async def _chunks(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    async for chunk in data:
        yield chunk


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(partial: Path, path: Path) -> None:
    for _ in range(100):
        _make_folders(path.parent)
        # A concurrent delete of a neighbour may take the empty folder away between the two lines.
        with contextlib.suppress(FileNotFoundError):
            os.replace(partial, path)
            _sync_folder(path.parent)
            return
    raise StorageUnavailable(f"the folder {path.parent} does not stay in place")


def _make_folders(folder: Path) -> None:
    """Make the folder and what it stands in, so that the new entries survive a power cut."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    with contextlib.suppress(FileNotFoundError):
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Opened:
    """A file that is closed by whoever comes last: who opens it, or who needs it no more. A task that is canceled twice
    does not wait for the thread that opens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._is_over = False

    def keep(self, file: BinaryIO) -> BinaryIO:
        """`file`, closed at once if nobody waits for it any more."""
        with self._lock:
            self._file = file
            if self._is_over:
                file.close()
        return file

    def close(self) -> None:
        """Nothing that is kept, or will be, is needed any more."""
        with self._lock:
            self._is_over = True
            if self._file is not None:
                self._file.close()


def _open(opened: _Opened, key: str, path: Path, offset: int) -> tuple[BinaryIO, StoredObject]:
    try:
        file = opened.keep(path.open("rb"))
    except FileNotFoundError:
        raise NotFound(f"there is no blob {key!r}") from None
    first_line = file.readline()
    num_bytes = os.fstat(file.fileno()).st_size - len(first_line)
    file.seek(len(first_line) + offset)
    return file, StoredObject(key, num_bytes, first_line.decode().rstrip("\n"))


def _stat(key: str, path: Path) -> StoredObject:
    with contextlib.closing(_Opened()) as opened:
        return _open(opened, key, path, 0)[1]


@contextlib.contextmanager
def _sentences(root: str) -> Generator[None, None, None]:
    """Turn what the file system says into an error of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageUnavailable(f"the disk of {root} is full: free space on it, or move it") from error
        raise StorageUnavailable(f"blobs in {root} cannot be read or written: {error.strerror}") from error
