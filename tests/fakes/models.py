"""A `ports.Models` that plays a script: batches to yield, seconds to wait, errors to raise."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

from serve.domain.generation import Completed, Event, EventBatch, Finished, ModelCall, TextDelta, Verdict
from serve.domain.serving import ModelState, ModelStatus
from serve.domain.usage import Quantities

Step = EventBatch | float | Exception
Script = Callable[[ModelCall], Iterable[Step]]


def says(*words: str, pause: float = 0.0) -> list[Step]:
    """A script that says `words` one by one, and completes."""
    steps: list[Step] = []
    for word in words:
        steps += [[TextDelta(word)], pause]
    return [*steps, completed(len(words))]


def completed(num_tokens: int = 1) -> EventBatch:
    """How a text ends well."""
    ending: list[Event] = [Finished("stop"), Completed(Quantities(prompt_tokens=3, completion_tokens=num_tokens))]
    return ending


class ScriptedModels:
    """Plays `script(call)` for every call, and remembers the calls and what became of them."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[ModelCall] = []
        self.contexts: list[contextvars.Context] = []
        self.num_open = 0
        self.num_whole = 0
        self.num_taken_back = 0

    async def call(
        self, model: str, call: ModelCall, verdict: Verdict | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.calls.append(call)
        self.contexts.append(contextvars.copy_context())
        self.num_open += 1
        try:
            for step in self.script(call):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, list):
                    self.num_whole += any(isinstance(event, Completed) for event in step)
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.num_open -= 1
            self.num_taken_back += verdict is not None and verdict.platform_retry

    async def counters(self, model: str) -> Mapping[str, float]:
        return {"running": float(self.num_open)}

    async def statuses(self) -> Mapping[str, ModelStatus]:
        return {"echo": ModelStatus(ModelState.READY, 1, 1)}
