"""The second witness: what a gateway or a runner saw of each call that it sent to a replica.

Its record stands for a call whose replica took its own with it, and it says what the replica cannot know: that a call
whose stream was closed was taken back by the platform, or that an answer never arrived.
"""

import asyncio
from types import TracebackType
from typing import Self

from serve.domain.errors import Canceled, DeadlineExceeded, EngineFailed, ReplicaLost
from serve.domain.generation import Completed, EventBatch, Metered, ModelCall, Verdict
from serve.domain.usage import ENGINE_FAILED, PLATFORM_RETRY, REFUSED, UsageStatus
from serve.metering.meter import Meter
from serve.metering.subjects import said_of


class Submission:
    """One submission of a call to a replica: `with` it, from before it is sent until nothing more will come."""

    __slots__ = ("_call", "_model", "_record", "_verdict", "_witness", "has_answered", "is_whole")

    def __init__(self, witness: Meter | None, model: str, call: ModelCall, verdict: Verdict | None) -> None:
        """`verdict` is read when the submission ends; without a `witness` nothing is written down."""
        self._witness, self._model, self._call, self._verdict = witness, model, call, verdict
        self.is_whole = False
        """Whether the answer's end came: what breaks after it is nobody's loss."""
        self.has_answered = False
        """Whether something came that a caller is shown."""

    def __enter__(self) -> Self:
        """Raises MeteringUnavailable: it cannot be written down, and must not be sent."""
        self._record = self._witness.begin(said_of(self._model, self._call)) if self._witness else None
        return self

    def saw(self, batch: EventBatch) -> None:
        """The replica has sent this."""
        if not batch:
            return
        last = batch[-1]
        if isinstance(last, Metered | Completed):
            self.is_whole = isinstance(last, Completed)
            if self._record is not None:
                self._record.seen(last.usage)
        self.has_answered = self.has_answered or not isinstance(batch[0], Metered)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._record is not None:
            self._record.end(*self._judgement(error))

    def _judgement(self, error: BaseException | None) -> tuple[UsageStatus, bool, str | None]:
        if self._verdict is not None and self._verdict.platform_retry:
            return UsageStatus.CANCELED, False, PLATFORM_RETRY
        if self.is_whole:
            return UsageStatus.SUCCEEDED, True, None
        if isinstance(error, ReplicaLost):
            return UsageStatus.LOST, False, PLATFORM_RETRY
        if isinstance(error, Canceled):
            return UsageStatus.CANCELED, False, PLATFORM_RETRY  # raised where nobody here has canceled
        if error is None or isinstance(error, EngineFailed):
            return UsageStatus.FAILED, False, ENGINE_FAILED
        if isinstance(error, GeneratorExit | asyncio.CancelledError | DeadlineExceeded):
            return UsageStatus.CANCELED, True, None
        return UsageStatus.FAILED, False, REFUSED
