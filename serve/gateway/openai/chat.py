"""Chat completions: events as OpenAI's chunks, and a fold of them as its answer."""

from typing import Any

from serve.domain.folds import Answer, ChoiceFold, ToolCallFold
from serve.domain.generation import Completed, Event, Finished, TextDelta, TokenLogprob, ToolCallDelta
from serve.domain.usage import Quantities
from serve.gateway.openai.frames import Costs, Frame, Head, token_logprob, unpriced, usage

ID_PREFIX = "chatcmpl-"
ANSWER_OBJECT = "chat.completion"
CHUNK_OBJECT = "chat.completion.chunk"


class ChatChunks:
    """Events to chunks. Each choice begins with a chunk that holds nothing but the role."""

    def __init__(self, head: Head, include_usage: bool, costs: Costs = unpriced) -> None:
        self._frame = Frame(head, include_usage, costs)
        self._begun: set[int] = set()

    def write(self, event: Event) -> bytes:
        """The chunks that `event` makes; none for events that chat does not show."""
        match event:
            case TextDelta():
                logprobs = _logprobs(event.logprobs) if event.logprobs else None
                return self._begin(event.index) + self._chunk(event.index, {"content": event.text}, logprobs)
            case ToolCallDelta():
                return self._begin(event.index) + self._chunk(event.index, {"tool_calls": [_tool_delta(event)]})
            case Finished():
                return self._begin(event.index) + self._chunk(event.index, {}, finish_reason=event.reason)
            case Completed():
                return self._frame.usage(event.usage)
            case _:
                return b""

    def _begin(self, index: int) -> bytes:
        if index in self._begun:
            return b""
        self._begun.add(index)
        return self._chunk(index, {"role": "assistant", "content": "", "refusal": None})

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> bytes:
        return self._frame.choice(
            {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        )


def whole_chat(head: Head, answer: Answer, costs: Costs = unpriced) -> dict[str, Any]:
    """The unary answer."""
    choices = [_choice(index, choice) for index, choice in sorted(answer.choices.items())]
    return head.fields() | {"choices": choices, "usage": usage(answer.usage or Quantities(), costs)}


def _choice(index: int, choice: ChoiceFold) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.tool_calls:
        message["content"] = choice.text or None
        message["tool_calls"] = [_tool_call(call) for _, call in sorted(choice.tool_calls.items())]
    logprobs = _logprobs(choice.logprobs) if choice.logprobs else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason}


def _logprobs(tokens: tuple[TokenLogprob, ...] | list[TokenLogprob]) -> dict[str, Any]:
    return {"content": [token_logprob(token) for token in tokens], "refusal": None}


def _tool_call(call: ToolCallFold) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool_delta(event: ToolCallDelta) -> dict[str, Any]:
    """The first part of a call says what it is; the others bring arguments."""
    delta: dict[str, Any] = {"index": event.call_index}
    function = {"arguments": event.arguments}
    if event.id:
        delta |= {"id": event.id, "type": "function"}
    if event.name:
        function = {"name": event.name, **function}
    return delta | {"function": function}
