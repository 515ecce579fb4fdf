"""From a stream of events to a whole answer, so that streamed and unary answers cannot disagree."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from serve.domain.generation import (
    Artifact,
    Completed,
    Event,
    Finished,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Vector,
)
from serve.domain.usage import Quantities


@dataclass(slots=True)
class ToolCallFold:
    """One tool call, put together."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class ChoiceFold:
    """One choice, put together."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    tool_calls: dict[int, ToolCallFold] = field(default_factory=dict)
    finish_reason: str | None = None


@dataclass(slots=True)
class Answer:
    """Everything a call produced so far; `usage` is there once the call has completed."""

    choices: dict[int, ChoiceFold] = field(default_factory=dict)
    vectors: dict[int, bytes] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    usage: Quantities | None = None

    def add(self, events: Iterable[Event]) -> None:
        """Take in a batch of events, in order. Progress and previews leave no trace in an answer."""
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        match event:
            case TextDelta():
                choice = self._choice(event.index)
                choice.text += event.text
                choice.logprobs.extend(event.logprobs)
            case ToolCallDelta():
                call = self._choice(event.index).tool_calls.setdefault(event.call_index, ToolCallFold())
                call.id, call.name = event.id or call.id, event.name or call.name
                call.arguments += event.arguments
            case Finished():
                self._choice(event.index).finish_reason = event.reason
            case Vector():
                self.vectors[event.index] = event.float32
            case Artifact():
                self.artifacts.append(event)
            case Completed():
                self.usage = event.usage

    def _choice(self, index: int) -> ChoiceFold:
        return self.choices.setdefault(index, ChoiceFold())
