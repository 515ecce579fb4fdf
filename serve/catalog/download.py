"""One file from a source to the disk: in parts if need be, resumed where it was cut, hashed on the way."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from serve.catalog.sources.source import (
    CHUNK_BYTES,
    DownloadProgress,
    Interrupted,
    RemoteFile,
    Report,
    Source,
    StaleRange,
    refusal,
    unreachable,
)

MAX_FAILURES = 6
"""Attempts in a row that bring no byte. Any byte starts the count anew."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def download(
    source: Source, file: RemoteFile, destination: Path, report: Report, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Put `file` at `destination` and give its sha256. What an earlier attempt left beside it is continued.

    Raises:
        InvalidRequest: `digest_mismatch`: other bytes, or more of them, than the source promised.
        ModelUnavailable: the source stopped answering; what came is kept.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(destination.name + ".part")
    if destination.exists():
        destination.replace(partial)
    transfer = _Transfer(source, file, partial, report)
    num_failures = 0
    while not transfer.is_whole:
        before = transfer.num_bytes
        reason = transfer.attempt()
        if transfer.is_whole:
            break
        num_failures = 0 if transfer.num_bytes > before else num_failures + 1
        if num_failures > MAX_FAILURES:
            raise unreachable(f"{file.path} stops at {transfer.num_bytes} of {file.num_bytes} bytes: {reason}")
        sleep(min(_FIRST_PAUSE_SECONDS * 2**num_failures, _LONGEST_PAUSE_SECONDS))
    digest = transfer.checked()
    partial.replace(destination)
    return digest


class _Transfer:
    """A partial file and the running hash of what is in it."""

    def __init__(self, source: Source, file: RemoteFile, partial: Path, report: Report) -> None:
        self._source = source
        self._file = file
        self._partial = partial
        self._report = report
        self._hash, self.num_bytes = self._found()
        self._num_told = self.num_bytes

    @property
    def is_whole(self) -> bool:
        return self.num_bytes == self._file.num_bytes and self._partial.exists()

    def _found(self) -> tuple[_Hash, int]:
        """What is on the disk already; more than there should be counts for nothing."""
        if not self._partial.exists() or self._partial.stat().st_size > self._file.num_bytes:
            self._partial.unlink(missing_ok=True)
            return hashlib.sha256(), 0
        return _hashed(self._partial, self._file.path, self._report), self._partial.stat().st_size

    def attempt(self) -> str:
        """Read on until the source ends or breaks; gives the reason if it broke."""
        try:
            with self._source.open(self._file, self.num_bytes) as chunks, self._partial.open("ab") as out:
                for chunk in chunks:
                    self._take(chunk)
                    out.write(chunk)
        except StaleRange:
            self._partial.unlink(missing_ok=True)
            self._hash, self.num_bytes, self._num_told = hashlib.sha256(), 0, 0
            return "the server does not continue downloads"
        except Interrupted as error:
            return str(error)
        return "the server ended early"

    def _take(self, chunk: bytes) -> None:
        self.num_bytes += len(chunk)
        if self.num_bytes > self._file.num_bytes:
            self._partial.unlink(missing_ok=True)
            raise refusal(
                "digest_mismatch", f"{self._file.path} is longer than the {self._file.num_bytes} bytes listed"
            )
        self._hash.update(chunk)
        if self.num_bytes - self._num_told >= CHUNK_BYTES or self.num_bytes == self._file.num_bytes:
            self._num_told = self.num_bytes
            self._report(DownloadProgress(self._file.path, self.num_bytes, self._file.num_bytes, "download"))

    def checked(self) -> str:
        """The sha256, if it is the one that the source promised."""
        digest = self._hash.hexdigest()
        if self._file.sha256 not in (None, digest):
            self._partial.unlink()
            raise refusal("digest_mismatch", f"{self._file.path} has the sha256 {digest}, not {self._file.sha256}")
        return digest


def _hashed(path: Path, name: str, report: Report) -> _Hash:
    digest = hashlib.sha256()
    total, done = path.stat().st_size, 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            report(DownloadProgress(name, done, total, "verify"))
    return digest


def file_sha256(path: Path, name: str, report: Report) -> str:
    """The sha256 of a file that is here already, in hexadecimal."""
    return _hashed(path, name, report).hexdigest()
