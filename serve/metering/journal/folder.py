"""The folder of one journal: who owns it, how far it is booked, and who may settle it once its process is dead.

    <journals>/<process>-<epoch>/lock             held by flock while the process lives
                                 source.json      whose usage this is
                                 position.json    up to where everything is booked
                                 000001.log ...   the records

A folder is made and locked under a name with a leading dot, and renamed when it is whole; it is renamed to such a name
again before it is removed. So nobody ever sees half of one.
"""

import contextlib
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from weakref import WeakSet

import orjson

from serve.domain.usage import NO_USAGE, JournalGap, Quantities

logger = logging.getLogger(__name__)

STRAY_SECONDS = 600
"""Age at which a hidden folder that nobody holds is the leftover of a process that died while it made or removed it."""


@dataclass(frozen=True, slots=True)
class JournalSource:
    """Whose usage a journal holds. `source` is `<cluster>/<process>/<epoch>`, `started_ms` Unix milliseconds."""

    source: str
    is_witness: bool
    model: str
    started_ms: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a journal is booked: events up to `seq`, which add up to `cumulative`; lines up to `line` are deleted.

    `gaps` were found so far, `counters` were last reported. `ended`: the process stopped in order.
    """

    seq: int = 0
    line: int = 0
    cumulative: Quantities = NO_USAGE
    gaps: tuple[JournalGap, ...] = ()
    counters: Mapping[str, float] = field(default_factory=dict)
    ended: bool = False


_HELD: "WeakSet[JournalFolder]" = WeakSet()


def _let_go() -> None:
    """A forked child shares the lock, and would keep it when its parent is dead."""
    for folder in _HELD:
        folder.close()


os.register_at_fork(after_in_child=_let_go)


class JournalFolder:
    """A folder that this process holds. Once it is closed, or the process is dead, another may."""

    def __init__(self, path: Path, lock: int) -> None:
        """`lock` is the open descriptor of the lock file, locked."""
        self.path = path
        self._lock = lock
        _HELD.add(self)

    @classmethod
    def make(cls, journals: Path, process: str, epoch: str, source: JournalSource) -> "JournalFolder":
        """A new folder. Raises OSError."""
        name = f"{re.sub(r'[^A-Za-z0-9._-]', '-', process).lstrip('.')[:100]}-{epoch}"
        hidden, lock = journals / f".new-{name}", -1
        journals.mkdir(parents=True, exist_ok=True, mode=0o700)
        hidden.mkdir(mode=0o700)
        try:
            lock = os.open(hidden / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(hidden / "source.json", asdict(source), durable=True)
            hidden.rename(journals / name)
        except BaseException:
            # On a full disk this is tried again and again: each try must leave nothing.
            shutil.rmtree(hidden, ignore_errors=True)
            if lock >= 0:
                os.close(lock)
            raise
        folder = cls(journals / name, lock)
        with contextlib.suppress(OSError):
            sync_folder(journals)
        return folder

    @classmethod
    def adopted(cls, path: Path) -> "JournalFolder | None":
        """The folder at `path`, if nobody holds it; None otherwise."""
        try:
            lock = os.open(path / "lock", os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino == os.stat(path / "lock").st_ino:
                return cls(path, lock)
        except OSError:
            pass
        os.close(lock)
        return None

    def is_gone(self) -> bool:
        """Whether somebody removed or replaced the folder under us."""
        try:
            return os.stat(self.path / "lock").st_ino != os.fstat(self._lock).st_ino
        except OSError:
            return True

    def source(self) -> JournalSource:
        """Whose it is. Raises OSError, ValueError or TypeError if that cannot be read."""
        return JournalSource(**orjson.loads((self.path / "source.json").read_bytes()))

    def position(self) -> Position:
        """How far it is booked; the beginning, if that was not said or cannot be read."""
        try:
            found = orjson.loads((self.path / "position.json").read_bytes())
            gaps = tuple([JournalGap(**gap) for gap in found.pop("gaps")])
            return Position(**found | {"gaps": gaps, "cumulative": Quantities(**found["cumulative"])})
        except (OSError, ValueError, TypeError, KeyError):
            return Position()

    def save(self, position: Position, *, durable: bool) -> None:
        """`durable` before anything is deleted that it says is booked. Raises OSError."""
        _write(self.path / "position.json", asdict(position), durable)

    def remove(self) -> None:
        """Everything in it is booked. A folder that is gone is no error."""
        hidden = self.path.with_name(f".done-{self.path.name}")
        try:
            self.path.rename(hidden)
        except OSError:
            hidden = self.path
        shutil.rmtree(hidden, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Let others have it."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def orphans(journals: Path, most: int) -> list[JournalFolder]:
    """At most so many folders of dead processes, which are this process's from now on; what was left behind while a
    folder was made or removed is removed."""
    found: list[JournalFolder] = []
    for path in sorted(journals.iterdir()) if journals.is_dir() else []:
        if len(found) >= most:
            break
        if path.name.startswith("."):
            with contextlib.suppress(OSError):
                _remove_stray(path)
        elif (folder := JournalFolder.adopted(path)) is not None:
            found.append(folder)
    return found


def _remove_stray(path: Path) -> None:
    """Remove the hidden folder at `path`, if it is old and nobody's. It may have lost its lock file before the rest."""
    if time.time() - path.stat().st_mtime <= STRAY_SECONDS:
        return
    folder = JournalFolder.adopted(path)
    if folder is not None or not (path / "lock").exists():
        logger.info("removing what a dead process left behind: %s", path)
        shutil.rmtree(path, ignore_errors=True)
    if folder is not None:
        folder.close()


def _write(path: Path, content: Mapping[str, object], durable: bool) -> None:
    new = path.with_suffix(".new")
    with open(new, "wb", opener=_private) as file:
        file.write(orjson.dumps(content))
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)
    if durable:
        sync_folder(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
