"""A call to a model and the events that answer it.

Slotted dataclasses: they cross process borders many times a second. Unary answers are a fold over the same events
(`serve.domain.folds`), so streamed and whole answers cannot disagree.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serve.domain.media import Asset
from serve.domain.names import KeyId, ProjectName, RequestId, RunId, TenantName
from serve.domain.task import Task
from serve.domain.usage import HoldId, PriceId, Quantities, UsageId


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls, under which id, until when. It travels with the call; nothing downstream asks again.

    `deadline_at` is Unix seconds. `attempt` counts who tried the request, from 1 (of a run, the claims on it), and
    `submission` how often that try was sent to an engine. `priority` runs from -10 (whenever) to 10 (first), 0 by
    default, and orders work within a tenant only. `admitted_ms` (Unix) is when the call was let in under the price
    version `price`; its cost is drawn from `hold`, at most `reserved_nano`. A prompt of more than `max_prompt_tokens`
    would cost more than was reserved for it, and is refused. `trace` is a W3C traceparent.
    """

    request_id: RequestId
    tenant: TenantName
    project: ProjectName
    key_id: KeyId
    attempt: int = 1
    run_id: RunId | None = None
    step: str | None = None
    priority: int = 0
    deadline_at: float | None = None
    submission: int = 1
    workflow: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    admitted_ms: int = 0
    price: PriceId | None = None
    hold: HoldId | None = None
    reserved_nano: int = 0
    max_prompt_tokens: int | None = None
    trace: str | None = None

    @property
    def usage_id(self) -> UsageId:
        """The id of this submission's usage event."""
        step = f"/{self.step}" if self.step else ""
        again = f".{self.submission}" if self.submission > 1 else ""
        return UsageId(f"{self.request_id}{step}:{self.attempt}{again}")


@dataclass(frozen=True, slots=True)
class AdapterUse:
    """One adapter of a call: an immutable id and the scale it is applied with."""

    id: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What a model is asked. `inputs` are valid for the card and complete: defaults and seed are resolved.

    `stream` false lets the replica answer in one message.
    """

    task: Task
    inputs: Mapping[str, Any]
    context: CallContext
    adapters: tuple[AdapterUse, ...] = ()
    stream: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` steps (or tokens, or nodes) of what `phase` names."""

    done: int
    total: int
    phase: str = "running"


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its log probability, and the likeliest alternatives at its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of choice `index`."""

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A tool call of choice `index`, or more of it: `id` and `name` come first, `arguments` is JSON text in parts."""

    call_index: int
    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """Choice `index` is whole. `reason`: stop, length, tool_calls."""

    reason: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """The embedding of input `index`: float32, little-endian."""

    index: int
    float32: bytes


def numbers_of(float32: bytes) -> list[float]:
    """The numbers of a vector."""
    return list(struct.unpack(f"<{len(float32) // 4}f", float32))


@dataclass(frozen=True, slots=True)
class Preview:
    """An intermediate picture (or sound) of output `index`; encoded bytes, at most 64 KiB."""

    index: int
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished output that is stored."""

    name: str
    asset: Asset
    index: int = 0


@dataclass(frozen=True, slots=True)
class Metered:
    """What the call has consumed so far, as its replica has just written down. Not shown to callers: the gateway and
    the runner keep the last one, in case the replica's own record is lost."""

    usage: Quantities


@dataclass(frozen=True, slots=True)
class Completed:
    """The last event of every call that succeeds."""

    usage: Quantities
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase: queued, prefill, decode, ..."""


Event = Progress | TextDelta | ToolCallDelta | Finished | Vector | Preview | Artifact | Metered | Completed
EventBatch = list[Event]
"""Events that were ready together. Between processes a message costs, an event hardly does."""


class Verdict:
    """What a caller of `ports.Models.call` says of a call that it ends itself, before it closes the stream.

    A stream that is closed was canceled by its user, and is billed for what ran, unless `platform_retry` says that the
    platform took the call back. And one thing that it is told: `was_resent`, that a replica was lost with the call and
    another was asked, so that more may be known of it than this stream says.
    """

    __slots__ = ("platform_retry", "was_resent")

    def __init__(self) -> None:
        self.platform_retry = self.was_resent = False
