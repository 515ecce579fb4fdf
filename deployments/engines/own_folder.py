"""A temporary folder that goes with its process, however that ends.

The kernel holds a lock on it for as long as the process lives, or one that it forked: a process that is killed cannot
remove its folder, so the next one to start on the node does.
"""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 60.0
"""A folder that was made just now may not be locked yet."""


class OwnFolder:
    """A private folder below the system's temporary one. Everything here blocks."""

    def __init__(self, prefix: str) -> None:
        """Make one, and remove those of dead processes with the same prefix."""
        for left in _left_behind(prefix):
            shutil.rmtree(left, ignore_errors=True)
            _log.info("removed %s, whose process is dead", left)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """With all that is in it. Once."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _left_behind(prefix: str) -> Iterator[Path]:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            known = folder.lstat()
            if known.st_uid == os.getuid() and time.time() - known.st_mtime > _GRACE_SECONDS and _is_free(folder):
                yield folder
        except OSError:
            continue  # another process has removed it, or it is none of ours


def _is_free(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
