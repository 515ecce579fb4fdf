"""What stands between an engine and the callers of its replica: each call is written down before it begins, while it
runs, and when it has ended, however it ended."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from serve.domain.errors import DeadlineExceeded, EngineFailed, SlipwayError
from serve.domain.generation import Completed, EventBatch, Metered, ModelCall
from serve.domain.usage import ENGINE_FAILED, REFUSED, Quantities, Tally, UsageStatus
from serve.metering.meter import Meter, MeteredCall
from serve.metering.subjects import said_of

ALONE_SECONDS = 1.0
"""A message that only says what was consumed goes out this often at the most."""
Stream = AsyncGenerator[Sequence[Any], None]
Ended = Callable[[ModelCall, UsageStatus, Quantities, float], None]
"""Is told of every attempt: its call, how it ended, what it consumed, and seconds in the engine."""
Judgement = tuple[UsageStatus, bool, str | None]


class CallMetering:
    """The calls of one replica."""

    def __init__(
        self, model: str, meter: Meter, ended: Ended, synced: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`synced` waits until what is written is on the disk; given, no answer ends before it is."""
        self._model = model
        self._meter = meter
        self._ended = ended
        self._synced = synced

    async def metered(self, call: ModelCall, begin: Callable[[Tally], Stream]) -> AsyncGenerator[EventBatch, None]:
        """The batches of the stream that `begin` makes, with a Metered in those where there is news, and the whole
        usage in Completed.

        Raises:
            MeteringUnavailable: the call cannot be written down; nothing was begun.
        """
        tally = Tally()
        record = self._meter.begin(said_of(self._model, call), tally)
        began = sent = time.monotonic()
        judgement: Judgement = UsageStatus.FAILED, False, ENGINE_FAILED
        usage: Quantities | None = None
        try:
            async with aclosing(begin(tally)) as batches:
                async for batch in batches:
                    if batch and isinstance(batch[-1], Completed):
                        judgement = UsageStatus.SUCCEEDED, True, None
                        usage = record.end(*judgement)
                        if self._synced is not None:
                            await self._synced()
                        yield [*batch[:-1], Completed(usage, batch[-1].timing)]
                    elif told := _told(record, batch, sent):
                        sent = time.monotonic()
                        yield told
        except BaseException as error:
            if usage is None:
                judgement = _judged(error, tally)
            raise
        finally:
            usage = usage or record.end(*judgement)
            self._ended(call, judgement[0], usage, time.monotonic() - began)


def _told(record: MeteredCall, batch: Sequence[Any], sent: float) -> EventBatch:
    """What to send of `batch`: empty, if there is nothing that cannot wait."""
    consumed = record.checkpoint()
    if consumed is None:
        return list(batch)
    if not batch and time.monotonic() - sent < ALONE_SECONDS:
        return []
    return [*batch, Metered(consumed)]


def _judged(error: BaseException, tally: Tally) -> Judgement:
    """How an attempt ended that raised `error`, whether it is billed, and if not, why."""
    if isinstance(error, GeneratorExit | asyncio.CancelledError | DeadlineExceeded):
        return UsageStatus.CANCELED, True, None
    if isinstance(error, SlipwayError) and not isinstance(error, EngineFailed) and tally.quantities() == Quantities():
        return UsageStatus.FAILED, False, REFUSED
    return UsageStatus.FAILED, False, ENGINE_FAILED
