"""Completions, OpenAI's older shape: text without roles, and log probabilities as four lists."""

from collections.abc import Sequence
from typing import Any

from serve.domain.folds import Answer, ChoiceFold
from serve.domain.generation import Completed, Event, Finished, TextDelta, TokenLogprob
from serve.domain.usage import Quantities
from serve.gateway.openai.frames import Costs, Frame, Head, unpriced, usage

ID_PREFIX = "cmpl-"
OBJECT = "text_completion"


class CompletionChunks:
    """Events to chunks. It counts each choice's characters, for `text_offset`."""

    def __init__(self, head: Head, include_usage: bool, costs: Costs = unpriced) -> None:
        self._frame = Frame(head, include_usage, costs)
        self._num_chars: dict[int, int] = {}

    def write(self, event: Event) -> bytes:
        """The chunk that `event` makes; none for events that completions do not show."""
        match event:
            case TextDelta():
                offset = self._num_chars.get(event.index, 0)
                self._num_chars[event.index] = offset + len(event.text)
                return self._chunk(event.index, event.text, logprobs(event.logprobs, offset))
            case Finished():
                return self._chunk(event.index, finish_reason=event.reason)
            case Completed():
                return self._frame.usage(event.usage)
            case _:
                return b""

    def _chunk(
        self, index: int, text: str = "", logprobs: dict[str, Any] | None = None, finish_reason: str | None = None
    ) -> bytes:
        return self._frame.choice({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason})


def whole_completion(head: Head, answer: Answer, costs: Costs = unpriced) -> dict[str, Any]:
    """The unary answer."""
    choices = [_choice(index, choice) for index, choice in sorted(answer.choices.items())]
    return head.fields() | {"choices": choices, "usage": usage(answer.usage or Quantities(), costs)}


def _choice(index: int, choice: ChoiceFold) -> dict[str, Any]:
    return {
        "index": index,
        "text": choice.text,
        "logprobs": logprobs(choice.logprobs),
        "finish_reason": choice.finish_reason,
    }


def logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any] | None:
    """The four lists, from the character `offset` on. NaN (an echoed prompt's first token) becomes null."""
    if not tokens:
        return None
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.top) for token in tokens],
        "text_offset": offsets,
    }
