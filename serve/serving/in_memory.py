"""`ports.Models` over engines of this very process: for tests, for benchmarks, for a gateway without Ray."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from serve.domain.errors import NotFound
from serve.domain.generation import EventBatch, ModelCall
from serve.domain.serving import ModelState, ModelStatus


class SupportsStream(Protocol):
    """What an engine must offer here: batches of events, `Completed` last; closing the stream aborts the work."""

    def stream(self, call: ModelCall) -> AsyncGenerator[EventBatch, None]:
        """The answer to `call`."""
        ...

    def counters(self) -> Mapping[str, float]:
        """What the engine counted."""
        ...


class InMemoryModels:
    """Engines by model name. They are started and closed by whoever made them."""

    def __init__(self, engines: Mapping[str, SupportsStream]) -> None:
        self._engines = engines

    async def call(self, model: str, call: ModelCall) -> AsyncGenerator[EventBatch, None]:
        """Batches of events, `Completed` last. Closing it cancels the work. Raises NotFound at the first batch."""
        stream = self._engine(model).stream(call)
        try:
            async for batch in stream:
                yield batch
        finally:
            await stream.aclose()

    async def counters(self, model: str) -> Mapping[str, float]:
        """The engine's own. Raises NotFound."""
        return self._engine(model).counters()

    async def statuses(self) -> Mapping[str, ModelStatus]:
        """Every engine is one ready replica: it would not be here otherwise."""
        return {name: ModelStatus(ModelState.READY, 1, 1) for name in self._engines}

    def _engine(self, model: str) -> SupportsStream:
        engine = self._engines.get(model)
        if engine is None:
            raise NotFound(f"There is no model {model[:80]!r}.", "model_not_found", "model")
        return engine
