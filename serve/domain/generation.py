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
from serve.domain.usage import Quantities


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls, under which id, until when. It travels with the call; nothing downstream asks again.

    `deadline_at` is Unix seconds. `attempt` counts engine submissions of one request from 1. `priority` runs from
    -10 (whenever) to 10 (first), 0 by default, and orders work within a tenant only.
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
class Completed:
    """The last event of every call that succeeds."""

    usage: Quantities
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase: queued, prefill, decode, ..."""


Event = Progress | TextDelta | ToolCallDelta | Finished | Vector | Preview | Artifact | Completed
EventBatch = list[Event]
"""Events that were ready together. Between processes a message costs, an event hardly does."""
