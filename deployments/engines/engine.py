"""What a replica asks of an engine."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from serve.domain.generation import EventBatch, ModelCall


class Engine(Protocol):
    """One loaded model. All methods run on one event loop; none blocks it for longer than a few milliseconds."""

    async def start(self) -> None:
        """Load the weights and make ready to answer.

        Raises:
            EngineFailed: the model cannot be loaded.
        """
        ...

    def stream(self, call: ModelCall) -> AsyncGenerator[EventBatch, None]:
        """Batches of events, `Completed` last. Closing the generator aborts the work; each batch is awaited for.

        A token that has no log probability (the first of an echoed prompt) carries NaN.

        Raises:
            InvalidRequest: the call cannot be answered as it is written; before the first batch.
            EngineFailed: the engine broke.
        """
        ...

    async def check_health(self) -> None:
        """Return if the engine answers; it may generate a token to find out.

        Raises:
            EngineFailed: it is dead, or stuck.
        """
        ...

    def counters(self) -> Mapping[str, float]:
        """`running` now, and since the start: `started`, `finished`, `aborted`, `prompt_tokens_total`,
        `generation_tokens_total`. The second witness for what calls report as usage.
        """
        ...

    async def close(self) -> None:
        """Free everything; streams that still run fail."""
        ...
