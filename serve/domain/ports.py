"""The seams that everything hangs on: models, blobs, time, identity, desired state.

A Protocol that only one part needs is declared by that part, not here.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve.domain.documents import ModelDocument
from serve.domain.generation import EventBatch, ModelCall, Verdict
from serve.domain.serving import ModelStatus


class Clock(Protocol):
    """Time, passed in."""

    def now_ms(self) -> int:
        """Unix milliseconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; differences only."""
        ...


class Ids(Protocol):
    """Identity, passed in."""

    def new(self) -> str:
        """A UUIDv7 (RFC 9562): sorts by the time it was made."""
        ...


class Models(Protocol):
    """The models of this installation, wherever they run."""

    def call(self, model: str, call: ModelCall, verdict: Verdict | None = None) -> AsyncGenerator[EventBatch, None]:
        """Batches of events, `Completed` last. Closing the generator cancels the work within a step or token; `verdict`
        is read then.

        Raises:
            NotFound, ModelUnavailable, Overloaded, InvalidRequest, DeadlineExceeded, ReplicaLost, EngineFailed.
        """
        ...

    async def counters(self, model: str) -> Mapping[str, float]:
        """The own counters of one of the model's engines: calls running now, tokens since its start.

        Raises:
            NotFound, ModelUnavailable: it has no replica; asking does not start one.
        """
        ...

    async def statuses(self) -> Mapping[str, ModelStatus]:
        """How every model is doing, by name."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store knows of a blob without opening it."""

    key: str
    num_bytes: int
    media_type: str


class ObjectStore(Protocol):
    """Blobs by key. Keys are `/`-separated segments of [A-Za-z0-9._-]. A put is seen whole or not at all."""

    async def put(self, key: str, data: bytes | AsyncIterator[bytes], media_type: str) -> StoredObject:
        """Store `data`; an iterator is never held in memory whole."""
        ...

    def get(self, key: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The blob from byte `offset`, in chunks of at most 1 MiB. Raises NotFound at the first chunk."""
        ...

    async def stat(self, key: str) -> StoredObject:
        """Raises NotFound."""
        ...

    async def delete(self, key: str) -> None:
        """Remove it; a blob that is not there is no error."""
        ...

    async def presign_get(self, key: str, expires_seconds: int) -> str | None:
        """A URL that reads the blob without credentials, or None where this store has none to give."""
        ...


class DesiredState(Protocol):
    """Where documents are applied: Ray's REST API on one machine, custom resources on a cluster."""

    async def apply(self, models: Sequence[ModelDocument]) -> None:
        """Make these the served models."""
        ...
