"""What a replica asks of an engine."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve.domain.generation import Event, ModelCall


@dataclass(frozen=True, slots=True)
class Produced:
    """A finished output as bytes. The replica stores it and tells the caller of the asset: it goes no further as it is.

    `width` and `height` are pixels, `seconds` are of play time.
    """

    name: str
    media_type: str
    data: bytes
    index: int = 0
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


EngineBatch = list[Event | Produced]


class Engine(Protocol):
    """One loaded model. All methods run on one event loop; none blocks it for longer than a few milliseconds."""

    async def start(self) -> None:
        """Load the weights and make ready to answer.

        Raises:
            EngineFailed: the model cannot be loaded.
        """
        ...

    def stream(self, call: ModelCall) -> AsyncGenerator[Sequence[Event | Produced], None]:
        """Batches of events, `Completed` last. Inputs that hold pictures are bytes. Closing the generator aborts the
        work; each batch is awaited for.

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
