"""The journal of one epoch of a process: what is begun and what it consumed, on disk before anybody is told.

A record is one `pwrite` into a file whose room is allocated: it survives the death of the process at once, and the
node's when it was synced. A call is only opened if there is room left for the closing records of all that are open, so
that a closing record always fits.
"""

import logging
import os
from collections.abc import Callable, Sequence
from operator import add
from threading import Lock

from serve.domain.errors import MeteringUnavailable
from serve.domain.usage import UNITS, UsageSubject
from serve.metering.journal.folder import JournalFolder, JournalSource, sync_folder
from serve.metering.journal.records import closed, counted, line_of, opened, progressed, subject_bytes
from serve.metering.journal.segments import Segment, Unwritten, segment_bytes, written

logger = logging.getLogger(__name__)

_FULL = "Usage cannot be written down at the moment, so no work is begun; try again soon."


class JournalGone(Exception):
    """The journal's folder was deleted under it: it takes closing records, and no new calls."""


def _nobody() -> None:
    """Whoever wants a journal synced asks it."""


class Journal:
    """One epoch. Any thread may call it; nothing waits for the disk but `sync`."""

    def __init__(self, folder: JournalFolder, source: JournalSource, max_bytes: int) -> None:
        """Raises OSError when there is no room for the first segment."""
        self.folder, self.source = folder, source
        self.num_opened = self.last_seq = self.num_failed_writes = 0
        self.is_retired = False
        self.on_dirty: Callable[[], None] = _nobody
        """Told when there is something for `sync` to do where there was nothing."""
        self._segment_bytes = segment_bytes(max_bytes)
        self._max_segments = max_bytes // self._segment_bytes
        self._lock = Lock()
        self._files = Lock()
        self._line = 0
        self._cumulative: Sequence[int] = (0,) * len(UNITS)
        self._open: dict[int, tuple[int, bytes | None]] = {}
        """Of each open call when it began and the JSON of its last checkpoint."""
        self._unwritten: list[Unwritten] = []
        self._has_new_names = True
        self._current = Segment(folder.path, 1, self._segment_bytes)
        self._segments = {1: self._current}
        self._spares: list[Segment] = []
        self._spare_closings = 0

    @property
    def num_lines(self) -> int:
        """Records so far, also of segments that are deleted."""
        return self._line

    def open_calls(self) -> tuple[set[int], int]:
        """The calls that are open, and how many lines there were when they were."""
        with self._lock:
            return set(self._open), self._line

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def oldest_open_ms(self) -> int | None:
        """When the call that has been open longest began."""
        with self._lock:
            return next(iter(self._open.values()), (None,))[0]

    @property
    def num_bytes(self) -> int:
        """What is written and not deleted."""
        with self._lock:
            return sum([segment.end for segment in self._segments.values()])

    @property
    def is_dirty(self) -> bool:
        """Whether there is something for `sync` to do."""
        return self._current.is_dirty or bool(self._unwritten)

    def open(self, subject: UsageSubject | bytes, started_ms: int) -> int:
        """A call begins: its number. `subject` may be what `subject_bytes` says of it.

        Raises:
            MeteringUnavailable: there is no room, or the disk fails.
            JournalGone: the folder is gone; another journal is needed.
        """
        said = subject if isinstance(subject, bytes) else subject_bytes(subject)
        with self._lock:
            call = self.num_opened + 1
            data = line_of(self._line + 1, opened(call, started_ms, said))
            self._make_room(len(data), len(self._open) + 1)
            if not self._append(data):
                raise MeteringUnavailable(_FULL, retry_after_seconds=1)
            self.num_opened = call
            self._open[call] = (started_ms, None)
        return call

    def progress(self, call: int, values: Sequence[int], duration_ms: int) -> bool:
        """A checkpoint; False if there was no room for it."""
        body = progressed(call, values, duration_ms)
        with self._lock:
            began = self._open.get(call)
            data = line_of(self._line + 1, body)
            if began is None or not self._made_room(len(data), len(self._open)):
                return False
            self._open[call] = (began[0], body)
            return self._append(data)

    def close(self, call: int, judged: tuple[str, bool, str | None], values: Sequence[int], duration_ms: int) -> None:
        """A call is over: it becomes the next event. Never raises; a call that is not open is none of ours."""
        with self._lock:
            if self._open.pop(call, None) is None:
                return
            seq = self.last_seq + 1
            try:
                sums = list(map(add, self._cumulative, values))
                body = closed(call, seq, judged, values, sums, duration_ms)
            except TypeError:
                values = counted(values)
                sums = list(map(add, self._cumulative, values))
                body = closed(call, seq, judged, values, sums, duration_ms)
            self.last_seq, self._cumulative = seq, sums
            self._append_surely(line_of(self._line + 1, body))

    def carry(self, call: int, subject: UsageSubject) -> None:
        """Repeat what is known of a call that has been open for long, so that its segment can be deleted."""
        said = subject_bytes(subject)
        with self._lock:
            began = self._open.get(call)
            if began is None:
                return
            data = line_of(self._line + 1, opened(call, began[0], said))
            if began[1] is not None:
                data += line_of(self._line + 2, began[1])
            if self._made_room(len(data), len(self._open)):
                self._append(data, 1 if began[1] is None else 2)

    def _make_room(self, num_bytes: int, num_closings: int) -> None:
        if self._unwritten:
            raise MeteringUnavailable(_FULL, retry_after_seconds=1)
        while not self._fits(num_bytes, num_closings):
            self._allocate(num_bytes)

    def _made_room(self, num_bytes: int, num_closings: int) -> bool:
        try:
            self._make_room(num_bytes, num_closings)
        except (MeteringUnavailable, JournalGone):
            return False
        return True

    def _fits(self, num_bytes: int, num_closings: int) -> bool:
        """Whether a record fits and leaves room for so many closing records."""
        left = self._current.num_closings(num_bytes)
        if left >= 0:
            return left + self._spare_closings >= num_closings
        if not self._spares:
            return False
        lost = self._spares[0].num_closings() - self._spares[0].num_closings(num_bytes)
        return self._spare_closings - lost >= num_closings

    def _allocate(self, num_bytes: int) -> None:
        if len(self._segments) + len(self._spares) >= self._max_segments or num_bytes > self._segment_bytes // 2:
            raise MeteringUnavailable(_FULL, retry_after_seconds=1)
        last = self._spares[-1] if self._spares else self._current
        try:
            spare = Segment(self.folder.path, last.ordinal + 1, self._segment_bytes)
        except OSError as error:
            if self.folder.is_gone():
                raise JournalGone(str(self.folder.path)) from error
            logger.error("no room for usage in %s: %s; new calls are refused", self.folder.path, error)
            raise MeteringUnavailable(_FULL, retry_after_seconds=1) from error
        self._spares.append(spare)
        self._spare_closings += spare.num_closings()
        self._has_new_names = True

    def _append(self, data: bytes, num_lines: int = 1) -> bool:
        offset = self._place(len(data))
        if not written(self._current.fd, data, offset):
            self.num_failed_writes += 1
            return False
        self._taken(len(data), num_lines)
        return True

    def _append_surely(self, data: bytes) -> None:
        offset = self._place(len(data))
        if self._unwritten or not written(self._current.fd, data, offset):
            self.num_failed_writes += 1
            self._unwritten.append(Unwritten(self._current, offset, data))
            logger.error("a closing record waits for the disk of %s", self.folder.path)
        self._taken(len(data))

    def _place(self, num_bytes: int) -> int:
        if self._current.end + num_bytes > self._current.num_bytes:
            self._current = self._spares.pop(0)
            self._segments[self._current.ordinal] = self._current
            self._spare_closings -= self._current.num_closings()
        return self._current.end

    def _taken(self, num_bytes: int, num_lines: int = 1) -> None:
        self._line += num_lines
        self._current.end += num_bytes
        self._current.last_line = self._line
        if not self._current.is_dirty:
            self._current.is_dirty = True
            self.on_dirty()

    def sync(self) -> None:
        """Write what waits, and sync what is written. For a thread that may wait. Raises OSError."""
        with self._lock:
            while self._unwritten and self._unwritten[0].write():
                self._unwritten.pop(0)
            dirty = [segment for segment in self._segments.values() if segment.is_dirty]
            has_new_names, self._has_new_names = self._has_new_names, False
            waiting = len(self._unwritten)
        if has_new_names and not self.folder.is_gone():
            try:
                sync_folder(self.folder.path)
            except OSError:
                self._has_new_names = True
                raise
        with self._files:
            for segment in dirty:
                if segment.ordinal in self._segments:
                    segment.sync()
        if waiting:
            raise OSError(f"{waiting} closing records wait for the disk of {self.folder.path}")

    def ordinals(self) -> list[int]:
        """Segments that hold records, oldest first."""
        with self._lock:
            return list(self._segments)

    def read(self, ordinal: int, offset: int, num_bytes: int) -> bytes:
        """Whole records of a segment from `offset` on, also those that the disk did not take. Raises OSError."""
        with self._lock:
            segment = self._segments[ordinal]
            end = min(segment.end, offset + num_bytes)
            waiting = [record for record in self._unwritten if record.segment is segment]
        size = max(0, end - offset)
        found = bytearray(os.pread(segment.fd, size, offset).ljust(size, b"\0"))
        for record in waiting:
            if record.offset >= offset:
                place = record.offset - offset
                found[place : place + len(record.data)] = record.data
        return bytes(found[:size])

    def line_before(self, ordinal: int) -> int:
        """The last line of the segments before `ordinal`, which may be deleted: 0 if there are none."""
        with self._lock:
            return max([each.last_line for each in self._segments.values() if each.ordinal < ordinal], default=0)

    def delete_before(self, ordinal: int) -> None:
        """Everything in the segments before `ordinal` is booked. Not to be called while another thread reads."""
        with self._lock:
            done = [self._segments.pop(each) for each in list(self._segments) if each < ordinal]
        with self._files:
            for segment in done:
                segment.delete()

    def release(self, *, remove: bool) -> None:
        """No more records. `remove` the folder if all is booked; else it is left to whoever adopts it."""
        with self._lock, self._files:
            for segment in (*self._segments.values(), *self._spares):
                segment.close()
            self._segments, self._spares = {}, []
        if remove:
            self.folder.remove()
        else:
            self.folder.close()
