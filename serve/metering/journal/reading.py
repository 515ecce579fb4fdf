"""Reading a journal, one's own while it grows or a dead process's, past whatever is damaged in it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from serve.domain.usage import JournalGap
from serve.metering.journal.records import Record, parsed

CHUNK_BYTES = 64 * 1024
"""Read at once: some dozens of calls, in less than a millisecond of an event loop's time."""
TORN = "torn"
"""Of the last record of a process that died: a power cut leaves one that was not written to its end."""
MAX_GAPS = 100
"""Told one by one; a journal with more holes is lost anyway, and the last gap then reaches to its end."""


class SegmentFiles(Protocol):
    """The segments of a journal by their ordinals, oldest first."""

    def ordinals(self) -> Sequence[int]: ...

    def read(self, ordinal: int, offset: int, num_bytes: int) -> bytes:
        """At most `num_bytes`, fewer only at the end. Raises OSError."""
        ...


class DeadSegments:
    """The segments in the folder of a process that is dead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ordinals(self) -> Sequence[int]:
        return sorted([int(path.stem) for path in self._folder.glob("*.log") if path.stem.isdecimal()])

    def read(self, ordinal: int, offset: int, num_bytes: int) -> bytes:
        with (self._folder / f"{ordinal:06d}.log").open("rb") as file:
            return os.pread(file.fileno(), num_bytes, offset)


class JournalReader:
    """Records in their order. What cannot be read or is not there is a gap; a record that was cut off at the end of all
    was never finished, and is none."""

    def __init__(self, files: SegmentFiles, line: int = 0, gaps: Sequence[JournalGap] = ()) -> None:
        """`line`: the last line that was deleted as booked."""
        self._files = files
        self._offset = 0
        self._num_bad = 0
        self._is_cut = False
        self.line = line
        self.segment = 0
        self.gaps = list(gaps)

    def read(self) -> list[Record]:
        """The next records, all of one segment, `self.segment`; none if there are no more at the moment.

        Raises OSError; reading may be tried again then.
        """
        ordinals = self._files.ordinals()
        while True:
            chunk = self._files.read(self.segment, self._offset, CHUNK_BYTES) if self.segment in ordinals else b""
            size = chunk.rfind(b"\n") + 1 or (len(chunk) if len(chunk) == CHUNK_BYTES else 0)
            self._offset += size
            records = self._records(chunk[:size])
            if records:
                return records
            if size == 0 and not self._moved_on(ordinals):
                return []

    def finish(self, last_line: int = 0) -> None:
        """Nothing follows: damage at the end is a gap as well, and so are lines up to `last_line`, which a writer that
        lives knows."""
        last = last_line or self.line + self._num_bad
        if last > self.line:
            is_torn = not last_line and self._num_bad == 1 and self._is_cut
            self._gap(last, TORN if is_torn else "unreadable" if self._num_bad else "missing")
            self._num_bad = 0

    def _moved_on(self, ordinals: Sequence[int]) -> bool:
        """Whether there is a next segment. `ordinals` are older than the last read: the writer had left this one."""
        later = [ordinal for ordinal in ordinals if ordinal > self.segment]
        if later:
            self.segment, self._offset = later[0], 0
        return bool(later)

    def _records(self, data: bytes) -> list[Record]:
        found = []
        *lines, rest = data.split(b"\n")
        for text in (*lines, rest):
            text = text.lstrip(b"\0")
            record = parsed(text) if text else None
            if record is not None and record.line > self.line:
                if record.line > self.line + 1:
                    self._gap(record.line - 1, "unreadable" if self._num_bad else "missing")
                self.line, self._num_bad = record.line, 0
                found.append(record)
            elif text:
                self._num_bad += 1
                self._is_cut = bool(rest)
        return found

    def _gap(self, last: int, reason: str) -> None:
        if len(self.gaps) >= MAX_GAPS:
            self.gaps[-1] = JournalGap(self.gaps[-1].first, last, self.gaps[-1].reason)
        else:
            self.gaps.append(JournalGap(self.line + 1, last, reason))
        self.line = last
