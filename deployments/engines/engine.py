"""What a replica asks of an engine."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serve.domain.generation import Event, ModelCall
from serve.domain.usage import Tally


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


class PreparedAdapter(Protocol):
    """An adapter in host memory, in the form its engine wants; what the adapter cache keeps and counts."""

    @property
    def num_bytes(self) -> int:
        """Of host memory."""
        ...

    def close(self) -> None:
        """Nobody uses it any more: give back what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """An adapter's files on this machine, held for as long as what is prepared from them lives.

    `id` is immutable (`tenant/name@sha256:...`); `sha256` are the files' digests by name: whoever reads a file checks
    the bytes that it read against them, since a folder can be changed after it was checked.
    """

    id: str
    path: Path
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AppliedAdapter:
    """One adapter of a call, ready, and how strongly it is applied."""

    id: str
    scale: float
    prepared: PreparedAdapter


class Engine(Protocol):
    """One loaded model. All methods run on one event loop; none blocks it for longer than a few milliseconds."""

    async def start(self) -> None:
        """Load the weights and make ready to answer.

        Raises:
            EngineFailed: the model cannot be loaded.
        """
        ...

    async def prepare_adapter(self, folder: AdapterFolder) -> PreparedAdapter:
        """Read an adapter for calls of this engine, in a thread; calls that run do not notice.

        Raises:
            Unprocessable: `wrong_base`: it does not fit this model; `adapters_not_supported`: none does.
            InvalidRequest: its files are not what they are said to be.
        """
        ...

    def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[Sequence[Event | Produced], None]:
        """Batches of events, `Completed` last. Inputs that hold pictures are bytes. Closing the generator aborts the
        work; each batch is awaited for. An empty batch says that work goes on: long work gives one every second at
        least, so that what it has consumed can be written down. `adapters` are those of `call.adapters`, in their
        order, held by the caller until the generator is closed.

        What the call consumes is counted in `tally` in the same places as in the engine's own counters, also where it
        ends early, and `Completed` says the same.

        A token that has no log probability (the first of an echoed prompt) carries NaN.

        Raises:
            InvalidRequest: the call cannot be answered as it is written, or its prompt has more tokens than its
                context's `max_prompt_tokens`; before the first event, and nothing was counted.
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
        `generation_tokens_total`, `images_total`, `steps_total`, `pixel_steps_total`. The second witness for what calls
        report as usage: once nothing runs, each equals the sum over all calls' tallies.
        """
        ...

    async def close(self) -> None:
        """Free everything; streams that still run fail."""
        ...
