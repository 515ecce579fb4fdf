"""Engines that do exactly what a test says."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from deployments.engines.engine import AppliedAdapter
from serve.domain.generation import EventBatch, ModelCall
from serve.domain.usage import Tally


class ScriptedEngine:
    """Gives out what it was made with: batches are yielded, exceptions raised, numbers slept for (seconds)."""

    def __init__(self, *script: EventBatch | Exception | float) -> None:
        self._script = script
        self.calls: list[ModelCall] = []
        self.num_closed = 0
        self.is_running = asyncio.Event()

    async def has_calls(self, num: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(60):
            while len(self.calls) < num:
                await asyncio.sleep(0.005)

    async def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.calls.append(call)
        self.is_running.set()
        try:
            for item in self._script:
                await asyncio.sleep(item if isinstance(item, int | float) else 0)
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, list):
                    yield item
        finally:
            self.num_closed += 1
