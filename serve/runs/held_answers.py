"""Who pays for the calls of a workflow's run: calls under way, and whole answers whose end is not written yet.

A model's stream that is closed after its last event is an answer that was delivered, and charged. So it stays open
until the row is there that makes the answer the run's own; and where that never happens, the platform takes it back.
A runner that dies closes nothing, which says the same.

A call that is stopped says who stopped it at the moment it is, so what is taken back has to be marked before.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from serve.domain.generation import EventBatch, Verdict

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    stream: AsyncGenerator[EventBatch, None]
    verdict: Verdict


class HeldAnswers:
    """The calls of one attempt at a workflow's run; whole answers by label of their step."""

    def __init__(self) -> None:
        self._under_way: set[Verdict] = set()
        self._is_stopped = False
        self._held: dict[str, _Held] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def begin(self) -> Verdict:
        """Of a call that begins now."""
        verdict = Verdict()
        verdict.platform_retry = self._is_stopped
        self._under_way.add(verdict)
        return verdict

    def stop(self) -> None:
        """The platform takes the attempt back, and so the calls that are under way; what is whole may still be kept."""
        self._is_stopped = True
        for verdict in self._under_way:
            verdict.platform_retry = True

    def broken_off(self, verdict: Verdict) -> None:
        """The call ended, and its answer is not whole."""
        self._under_way.discard(verdict)

    def hold(self, label: str, stream: AsyncGenerator[EventBatch, None], verdict: Verdict) -> None:
        """Keep this one open. An earlier answer to the same step was of no use to it: that is taken back."""
        self._under_way.discard(verdict)
        self._take_back(label)
        self._held[label] = _Held(stream, verdict)

    def settle(self, label: str, *, is_used: bool) -> None:
        """The step's end is written: its answer is charged where the step says that it consumed something."""
        if not is_used:
            self._take_back(label)
        elif held := self._held.pop(label, None):
            self._close(held)

    async def close(self, seconds: float) -> None:
        """Take back what is left, and wait until everything is closed; `seconds` at the most."""
        for label in list(self._held):
            self._take_back(label)
        if self._closing:
            await asyncio.wait(self._closing, timeout=seconds)

    def _take_back(self, label: str) -> None:
        if held := self._held.pop(label, None):
            held.verdict.platform_retry = True
            self._close(held)

    def _close(self, held: _Held) -> None:
        task = asyncio.create_task(_closed(held.stream))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _closed(stream: AsyncGenerator[EventBatch, None]) -> None:
    try:
        await stream.aclose()
    except Exception:
        _log.warning("a model did not let go of a whole answer well", exc_info=True)
