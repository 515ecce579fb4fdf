"""What an exchange says: OpenAI's chat answers, whole or as server-sent events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load import Exchange, LoadFailed


@dataclass(slots=True)
class ChatAnswer:
    """One answer and its times, in seconds.

    `text_at` are the moments at which text came, from the request on: the first is the time to the first token. A
    chunk may hold several tokens; how many came in all is what `usage` says.
    """

    seconds: float
    text: str = ""
    text_at: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""

    @property
    def first_token_seconds(self) -> float:
        return self.text_at[0]

    @property
    def gaps(self) -> list[float]:
        """Seconds between one chunk with text and the next: what a reader sees as stutter."""
        return [later - earlier for earlier, later in zip(self.text_at, self.text_at[1:], strict=False)]

    @property
    def seconds_per_token(self) -> float:
        """From the first chunk to the last, for each token after the first: fair to tokens that share a chunk."""
        return (self.text_at[-1] - self.text_at[0]) / max(1, self.completion_tokens - 1)


def read_whole(exchange: Exchange) -> ChatAnswer:
    """A `chat.completion` object."""
    answer = ChatAnswer(exchange.ended - exchange.sent)
    body = json.loads(exchange.body)
    _read_usage(answer, body["usage"])
    answer.text = body["choices"][0]["message"]["content"]
    answer.finish_reason = body["choices"][0]["finish_reason"]
    return answer


def read_stream(exchange: Exchange) -> ChatAnswer:
    """`chat.completion.chunk` events. Raises LoadFailed for an error event, or a stream without usage or `[DONE]`."""
    answer = ChatAnswer(exchange.ended - exchange.sent)
    is_done = False
    for moment, data in _events(exchange):
        if data == b"[DONE]":
            is_done = True
        else:
            _read_chunk(answer, moment - exchange.sent, json.loads(data))
    if not (is_done and answer.completion_tokens and answer.text_at):
        raise LoadFailed(f"a stream ended early: {exchange.body[-300:].decode(errors='replace')}")
    return answer


def _events(exchange: Exchange) -> Iterator[tuple[float, bytes]]:
    """The `data:` of each event, at the moment its last byte came."""
    pending = b""
    for moment, part in exchange.parts:
        *events, pending = (pending + part).split(b"\n\n")
        for event in events:
            if event.startswith(b"data: "):
                yield moment, event.removeprefix(b"data: ").strip()


def _read_chunk(answer: ChatAnswer, moment: float, chunk: dict[str, Any]) -> None:
    if "error" in chunk:
        raise LoadFailed(f"a stream ended with an error: {chunk['error']}")
    for choice in chunk["choices"]:
        if text := choice["delta"].get("content"):
            answer.text += text
            answer.text_at.append(moment)
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
    if chunk.get("usage"):
        _read_usage(answer, chunk["usage"])


def _read_usage(answer: ChatAnswer, usage: dict[str, Any]) -> None:
    answer.prompt_tokens, answer.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
    answer.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
