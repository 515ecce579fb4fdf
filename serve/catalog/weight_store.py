"""The weight cache's folder: entries by digest, what addresses resolved to, and the disk budget.

    entries/<digest>/        the files that an engine is pointed at, and nothing else
    entries/<digest>.json    what they are; its modification time is when they were last used
    addresses/<key>.json     what an address resolved to
    staging/<key>/           downloads under way or cut; only the holder of locks/<key>.lock writes there
    locks/                   never deleted: a deleted lock file can be locked twice

An entry is used under a shared lock and evicted under an exclusive one, so none is taken from under a process. The
locks are the kernel's (flock): a process that dies lets go.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from filelock import FileLock, Timeout

from serve.catalog.sources.source import WEIGHTS_FIELD
from serve.domain.errors import Unprocessable

_RESERVED = "reserved"


@dataclass(frozen=True, slots=True)
class Entry:
    """Weights in the cache. `files` are sizes in bytes by path, `digest` is that of the source's files."""

    name: str
    digest: str
    uri: str
    files: dict[str, int]

    @property
    def num_bytes(self) -> int:
        return sum(self.files.values())


@dataclass(frozen=True, slots=True)
class Address:
    """What an address was, when last looked at. `entry` is None where files are used in place."""

    uri: str
    revision: str
    digest: str
    entry: str | None


class ResolvedWeights:
    """A folder of weights that stays until `close()`. `digest` is over the digests of the source's files."""

    def __init__(self, path: Path, digest: str, lock: int | None = None) -> None:
        """`lock` is the descriptor that holds the shared lock; files used in place need none."""
        self.path = path
        self.digest = digest
        self._lock = lock

    def close(self) -> None:
        """Let the cache evict it. A second call does nothing."""
        if self._lock is not None:
            # Closed, not unlocked: a forked child that still reads shares the lock, and keeps it.
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WeightStore:
    """The folder. Every method is safe among threads and processes."""

    def __init__(self, root: Path, max_bytes: int, setting: str = "SLIPWAY_STORAGE_CACHE_MAX_BYTES") -> None:
        """`max_bytes` is the disk budget of everything under `root`; `setting` is where an operator raises it."""
        self._root = root
        self.max_bytes = max_bytes
        self._setting = setting

    def prepare(self) -> None:
        """Make the folders; readable by this user alone, for what is in them is loaded."""
        for name in ("entries", "addresses", "staging", "locks"):
            (self._root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root.chmod(0o700)

    def turn(self, key: str) -> FileLock:
        """The lock under which one process works on `key`; the others wait, and then find it done."""
        return FileLock(self._root / "locks" / f"{key}.lock")

    def workdir(self, key: str) -> Path:
        """The folder for the download of `key`, with what was left there."""
        folder = self._root / "staging" / key
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    def discard(self, key: str) -> None:
        """Remove the download of `key`."""
        shutil.rmtree(self._root / "staging" / key, ignore_errors=True)

    def recall(self, key: str) -> Address | None:
        """What the address of `key` resolved to before."""
        try:
            return Address(**json.loads((self._root / "addresses" / f"{key}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def remember(self, key: str, address: Address) -> None:
        """Keep it for the next `recall`."""
        _write(self._root / "addresses" / f"{key}.json", asdict(address))

    def hold(self, name: str) -> ResolvedWeights | None:
        """The entry of that name, held; None if there is none, or it is not whole."""
        lock = os.open(self._lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        entry = self._entry(name)
        if entry is None or not self._is_whole(entry):
            os.close(lock)
            return None
        os.utime(self._manifest(name))
        return ResolvedWeights(self._folder(name), entry.digest, lock)

    def commit(self, entry: Entry, folder: Path) -> ResolvedWeights:
        """Make `folder` the entry and hold it. It is seen whole or not at all.

        Another address of the same bytes may have brought them meanwhile: then those are used, and stay in place.
        """
        lock = os.open(self._lock_path(entry.name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        with self.turn("commit"):
            known = self._entry(entry.name)
            if known is None or not self._is_whole(known):
                self._remove(entry.name)
                _write(self._manifest(entry.name), asdict(entry))
                folder.rename(self._folder(entry.name))
        return ResolvedWeights(self._folder(entry.name), entry.digest, lock)

    def reserve(self, key: str, num_bytes: int) -> int:
        """Claim room for the download of `key`, evicting what no process uses, least recently used first; gives the
        number of entries that went.

        Raises:
            Unprocessable: `cache_full`.
        """
        num_evicted = 0
        with self.turn("evict"):
            (self.workdir(key) / _RESERVED).write_text(str(num_bytes))
            for victim in self._victims(key):
                if self._num_bytes() <= self.max_bytes:
                    return num_evicted
                num_evicted += victim()
            if (total := self._num_bytes()) > self.max_bytes:
                (self.workdir(key) / _RESERVED).unlink()
                raise Unprocessable(
                    f"the weights need {num_bytes} bytes, and with what is in use the cache would hold {total} of "
                    f"{self.max_bytes} ({self._setting})",
                    "cache_full",
                    WEIGHTS_FIELD,
                )
        return num_evicted

    def _victims(self, key: str) -> Iterator["_Victim"]:
        """What may go, in order: cut downloads, then entries by their last use."""
        yield from (_Victim(self, "staging", k.name) for k in self._staged() if k.name != key)
        manifests = sorted((self._root / "entries").glob("*.json"), key=lambda p: p.stat().st_mtime)
        yield from (_Victim(self, "entry", m.name.removesuffix(".json")) for m in manifests)

    def evict_staging(self, key: str) -> None:
        """Remove a download that no process works on."""
        with suppress(Timeout), self.turn(key).acquire(timeout=0):
            self.discard(key)

    def evict_entry(self, name: str) -> bool:
        """Remove an entry that no process uses; whether there was one."""
        with self._exclusive(name) as is_ours:
            was_there = self._manifest(name).exists()
            if is_ours:
                self._remove(name)
        return is_ours and was_there

    def drop(self, name: str) -> None:
        """Remove an entry whose bytes are known to be wrong, even from under those who hold it."""
        with self.turn("commit"):
            self._remove(name)

    @contextmanager
    def _exclusive(self, name: str) -> Iterator[bool]:
        lock = os.open(self._lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(lock)

    def _remove(self, name: str) -> None:
        """Out of sight at once, then deleted."""
        self._manifest(name).unlink(missing_ok=True)
        trash = self._root / "staging" / f"trash-{uuid4().hex}"
        with suppress(FileNotFoundError):
            self._folder(name).rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def _num_bytes(self) -> int:
        entries = (self._entry(m.name.removesuffix(".json")) for m in (self._root / "entries").glob("*.json"))
        return sum(e.num_bytes for e in entries if e) + sum(_claimed(folder) for folder in self._staged())

    def _staged(self) -> list[Path]:
        return sorted((self._root / "staging").iterdir())

    def _entry(self, name: str) -> Entry | None:
        try:
            return Entry(**json.loads(self._manifest(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _is_whole(self, entry: Entry) -> bool:
        folder = self._folder(entry.name)
        try:
            return all((folder / path).lstat().st_size == size for path, size in entry.files.items())
        except OSError:
            return False

    def _lock_path(self, name: str) -> Path:
        return self._root / "locks" / f"use-{name}"

    def _folder(self, name: str) -> Path:
        return self._root / "entries" / name

    def _manifest(self, name: str) -> Path:
        return self._root / "entries" / f"{name}.json"


@dataclass(frozen=True, slots=True)
class _Victim:
    """Something that may be evicted, when called."""

    store: WeightStore
    kind: str
    name: str

    def __call__(self) -> bool:
        """Whether an entry went."""
        if self.kind == "entry":
            return self.store.evict_entry(self.name)
        self.store.evict_staging(self.name)
        return False


def _claimed(folder: Path) -> int:
    """What a download will take, or has taken."""
    try:
        reserved = int((folder / _RESERVED).read_text())
    except (OSError, ValueError):
        reserved = 0
    return max(reserved, sum(folder_sizes(folder).values()))


def folder_sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file under `folder`, by relative path; files that vanish meanwhile are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def _write(path: Path, body: dict[str, object]) -> None:
    """Seen whole or not at all."""
    partial = path.with_name(f"{path.name}.{uuid4().hex}")
    partial.write_text(json.dumps(body))
    partial.replace(path)
