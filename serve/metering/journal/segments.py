"""Segments: the files of a journal, of one size and with their room allocated, so that a full disk never meets a record
that must be written."""

import os
from pathlib import Path
from typing import NamedTuple

from serve.metering.journal.records import MAX_CLOSE_BYTES

MAX_SEGMENT_BYTES = 4 * 2**20
NUM_SEGMENTS = 16
"""At least this many of them make a journal, so that what is booked can be deleted in parts."""


def segment_bytes(journal_bytes: int) -> int:
    """How large the segments of a journal of at most `journal_bytes` are."""
    return min(MAX_SEGMENT_BYTES, journal_bytes // NUM_SEGMENTS)


class Segment:
    """One file, open for reading and writing. It outlives its name: a deleted folder does not stop it."""

    __slots__ = ("end", "fd", "is_dirty", "last_line", "num_bytes", "ordinal", "path")

    def __init__(self, folder: Path, ordinal: int, num_bytes: int) -> None:
        """Make the file. Raises OSError if there is no room, and leaves nothing behind then."""
        self.ordinal, self.num_bytes, self.path = ordinal, num_bytes, folder / f"{ordinal:06d}.log"
        self.end = self.last_line = 0
        self.is_dirty = False
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(self.fd, 0, num_bytes)
        except BaseException:
            self.delete()
            raise

    def num_closings(self, taken: int = 0) -> int:
        """How many closing records surely fit after `taken` more bytes; negative if those do not fit."""
        return (self.num_bytes - self.end - taken) // MAX_CLOSE_BYTES

    def sync(self) -> None:
        """To the disk. Raises OSError."""
        self.is_dirty = False
        try:
            os.fdatasync(self.fd)
        except OSError:
            self.is_dirty = True
            raise

    def close(self) -> None:
        """Writing fails from now on."""
        fd, self.fd = self.fd, -1
        os.close(fd)

    def delete(self) -> None:
        """Close the file and remove its name, where it still has one."""
        self.close()
        self.path.unlink(missing_ok=True)


class Unwritten(NamedTuple):
    """A record whose place is taken, and that the disk did not take yet."""

    segment: Segment
    offset: int
    data: bytes

    def write(self) -> bool:
        """Whether the disk has it now."""
        return written(self.segment.fd, self.data, self.offset)


def written(fd: int, data: bytes, offset: int) -> bool:
    """Whether the disk took all of `data`, in one call."""
    try:
        return os.pwrite(fd, data, offset) == len(data)
    except OSError:
        return False
