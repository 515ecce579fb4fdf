"""The meter: what calls consume, written down as they run."""

import contextlib
import logging
from collections.abc import Callable
from operator import attrgetter
from threading import Lock

from serve.domain.errors import MeteringUnavailable
from serve.domain.ports import Clock
from serve.domain.usage import UNITS, Quantities, Tally, UsageStatus, UsageSubject
from serve.metering.journal.journal import Journal, JournalGone

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Between two tries of calls to open a journal where none can be opened."""
CHECKPOINT_SECONDS = 1.0
"""Between two checkpoints of a call at most."""
_counts_of = attrgetter(*UNITS)
_GPU = UNITS.index("gpu_ms")


class SharedTime:
    """The busy time of some GPUs, shared by the calls that run at once.

    Virtual time advances by the time that passes over the number of calls; a call's share is how far it advanced
    between its begin and its end (as in generalised processor sharing: Parekh and Gallager, 1993). Shares add up to the
    busy time, and each costs the same however many calls there are. What rounding to milliseconds leaves goes to the
    next call.
    """

    def __init__(self, num_gpus: float) -> None:
        self._num_gpus = num_gpus
        self._lock = Lock()
        self._num_running = 0
        self._virtual = self._moved_at = self._remainder = 0.0

    def begin(self, now: float) -> float:
        """A call begins at `now` (seconds, monotonic): the virtual time."""
        with self._lock:
            self._move(now)
            self._num_running += 1
            return self._virtual

    def so_far(self, began: float, now: float) -> int:
        """Milliseconds of GPUs, rounded down, of a call that runs."""
        with self._lock:
            self._move(now)
            return int((self._virtual - began) * self._num_gpus * 1000)

    def end(self, began: float, now: float) -> int:
        """The call's share in milliseconds of GPUs."""
        with self._lock:
            self._move(now)
            self._num_running -= 1
            share = (self._virtual - began) * self._num_gpus * 1000 + self._remainder
            whole = int(share)
            self._remainder = share - whole
            return whole

    def _move(self, now: float) -> None:
        if self._num_running and now > self._moved_at:
            self._virtual += (now - self._moved_at) / self._num_running
        self._moved_at = max(now, self._moved_at)


class MeteredCall:
    """A call that is open in the journal until `end`."""

    __slots__ = (
        *("_began_at", "_call", "_checked_at", "_checked_steps", "_checked_tokens", "_journal", "_judged", "_meter"),
        *("_seen", "_share_began", "_tally"),
    )

    def __init__(self, meter: "Meter", journal: Journal, call: int, now: float, tally: Tally | None) -> None:
        self._meter, self._journal, self._call, self._tally = meter, journal, call, tally
        self._began_at = self._checked_at = now
        self._checked_tokens = self._checked_steps = 0
        self._judged: tuple[str, bool, str | None] | None = None
        self._seen: tuple[int, ...] = _NOTHING
        self._share_began = meter.shares.begin(now) if meter.shares else 0.0

    def checkpoint(self) -> Quantities | None:
        """What the call has consumed, if that was due to be written down: after so many tokens, a step, a second. A
        witness has none: see `seen`."""
        if self._call == 0 or (tally := self._tally) is None:
            return None
        tokens, steps, now = tally.prompt_tokens + tally.completion_tokens, tally.steps, self._meter.clock.monotonic()
        if (
            tokens - self._checked_tokens < self._meter.checkpoint_tokens
            and steps == self._checked_steps
            and now - self._checked_at < CHECKPOINT_SECONDS
        ):
            return None
        self._checked_at, self._checked_tokens, self._checked_steps = now, tokens, steps
        values = self._values(now)
        self._write_down(values, now)
        return Quantities(*values)

    def seen(self, quantities: Quantities) -> None:
        """A witness is told what the call has consumed; it writes it down once a second."""
        if self._call == 0:
            return
        self._seen = _counts_of(quantities)
        now = self._meter.clock.monotonic()
        if now - self._checked_at >= CHECKPOINT_SECONDS:
            self._checked_at = now
            self._write_down(self._seen, now)

    def end(self, status: UsageStatus, billable: bool = True, reason: str | None = None) -> Quantities:
        """The call is over, and is closed once its tally is settled: what is known now. Only the first end counts.

        Never raises, and never waits for the disk: it is called where a call may be canceled.
        """
        if self._judged is None:
            self._judged = (status.value, billable, reason)
            if self._tally is None:
                self._close()
            else:
                self._tally.when_settled(self._close)
        return Quantities(*self._seen if self._call == 0 else self._values(self._meter.clock.monotonic()))

    def _values(self, now: float) -> tuple[int, ...]:
        values = self._seen if self._tally is None else _counts_of(self._tally)
        shares = self._meter.shares
        return values if shares is None else _with_gpu(values, shares.so_far(self._share_began, now))

    def _write_down(self, values: tuple[int, ...], now: float) -> None:
        try:
            self._journal.progress(self._call, values, round((now - self._began_at) * 1000))
        except Exception:
            logger.exception("a checkpoint could not be written")

    def _close(self) -> None:
        try:
            now = self._meter.clock.monotonic()
            values = self._seen if self._tally is None else _counts_of(self._tally)
            if self._meter.shares is not None:
                values = _with_gpu(values, self._meter.shares.end(self._share_began, now))
            assert self._judged is not None
            self._seen, call, self._call = values, self._call, 0
            self._journal.close(call, self._judged, values, round((now - self._began_at) * 1000))
        except Exception:
            self._meter.num_failures += 1
            logger.exception("a closing record could not be written; the other witness stands for the call")


_NOTHING = (0,) * len(UNITS)


def _with_gpu(values: tuple[int, ...], gpu_ms: int) -> tuple[int, ...]:
    return (*values[:_GPU], gpu_ms, *values[_GPU + 1 :])


def _no_journal() -> MeteringUnavailable:
    return MeteringUnavailable(
        "Usage cannot be written down at the moment, so no work is begun; try again soon.", retry_after_seconds=1
    )


class Meter:
    """Begins calls in the journal of the current epoch, and begins a new epoch when that one is lost.

    `journals` are the epochs that are not over yet, the current one last.
    """

    def __init__(
        self, new_epoch: Callable[[], Journal], clock: Clock, *, checkpoint_tokens: int, num_gpus: float = 0
    ) -> None:
        """`new_epoch` raises OSError when there is no room for one."""
        self.clock = clock
        self.checkpoint_tokens = checkpoint_tokens
        self.shares = SharedTime(num_gpus) if num_gpus else None
        self.journals: list[Journal] = []
        self.num_failures = self.num_epochs = 0
        self._new_epoch = new_epoch
        self._current: Journal | None = None
        self._failed_at: float | None = None
        """When no epoch could be begun, until one can."""

    def begin(self, subject: UsageSubject | bytes, tally: Tally | None = None) -> MeteredCall:
        """Write down that a call begins, before anything is done for it; `subject` may be `subjects.said_of` it.

        Raises:
            MeteringUnavailable: it could not be written down.
        """
        journal = self._current or self._another()
        started_ms = self.clock.now_ms()
        try:
            call = journal.open(subject, started_ms)
        except JournalGone:
            journal = self.turn_over()
            call = journal.open(subject, started_ms)
        return MeteredCall(self, journal, call, self.clock.monotonic(), tally)

    def _another(self) -> Journal:
        """A crowd of calls that are refused must not try the disk for each of them."""
        if self._failed_at is not None and self.clock.monotonic() - self._failed_at < RETRY_SECONDS:
            raise _no_journal()
        return self.turn_over()

    def turn_over(self) -> Journal:
        """Begin a new epoch; calls that are open end in the old one. Raises MeteringUnavailable."""
        if self._current is not None:
            self._current.is_retired = True
            self._current = None
        try:
            journal = self._new_epoch()
        except OSError as error:
            if self._failed_at is None:
                logger.error("no journal can be opened: %s; calls are refused until one can", error)
            self._failed_at = self.clock.monotonic()
            raise _no_journal() from error
        if self._failed_at is not None:
            logger.warning("there is a journal again: %s", journal.folder.path)
        self._failed_at = None
        self.journals.append(journal)
        self.num_epochs += 1
        self._current = journal
        return journal

    def look_after_journal(self) -> None:
        """Have a journal, and another if its folder was deleted; without room for one, calls are refused."""
        if self._current is None or self._current.folder.is_gone():
            if self._current is not None:
                logger.error("the journal %s was deleted; a new epoch begins", self._current.folder.path)
            with contextlib.suppress(MeteringUnavailable):
                self.turn_over()

    def leave(self) -> None:
        """The process ends: the journal takes no more calls. One that begins all the same begins another epoch."""
        self._current = None

    def forget(self, journal: Journal) -> None:
        """`journal` is booked to its end, and takes no more calls."""
        if journal in self.journals:
            self.journals.remove(journal)
        if journal is self._current:
            self._current = None
