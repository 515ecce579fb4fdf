"""Whole answers whose end is not written yet: until it is, nobody knows who pays for them.

A model's stream that is closed after its last event is an answer that was delivered, and charged. So it stays open
until the row is there that makes the answer the run's own; and where that never happens, the platform takes it back.
A runner that dies closes nothing, which says the same.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from serve.domain.generation import EventBatch, Verdict

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    stream: AsyncGenerator[EventBatch, None]
    verdict: Verdict


class HeldAnswers:
    """Those of one attempt at a workflow's run, by label of their step."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, label: str, stream: AsyncGenerator[EventBatch, None], verdict: Verdict) -> None:
        """Keep this one open. An earlier answer to the same step was of no use to it: that is taken back."""
        self._take_back(label)
        self._held[label] = _Held(stream, verdict)

    def settle(self, labels: Iterable[str]) -> None:
        """The ends of these steps are written: their answers are charged."""
        for label in labels:
            if held := self._held.pop(label, None):
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
