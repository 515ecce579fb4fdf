"""vLLM's own tool parsers, for models that write calls in another form than Hermes'."""

from collections.abc import Callable, Sequence
from typing import Any

from deployments.engines.tools import Delta
from serve.domain.chat import ChatInput
from serve.domain.errors import EngineFailed
from serve.domain.generation import TextDelta, ToolCallDelta


def parser_class(name: str | None) -> Any:
    """The parser that vLLM knows as `name`; None for none.

    Raises:
        EngineFailed: vLLM knows none of that name.
    """
    if name is None:
        return None
    from vllm.tool_parsers import ToolParserManager

    try:
        return ToolParserManager.get_tool_parser(name)
    except Exception as error:
        raise EngineFailed(f"vLLM has no tool parser named {name!r}.", "engine_start_failed") from error


def skips_special_tokens(parser: Any, tokenizer: Any, chat: ChatInput) -> bool:
    """Whether this parser can do without special tokens in the text; many cannot."""
    request = vllm_request(chat)
    return bool(parser(tokenizer, request.tools).adjust_request(request).skip_special_tokens)


def vllm_request(chat: ChatInput) -> Any:
    """The chat as the parsers want to see it: they look at its tools and at little else."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    tools = [tool.model_dump(exclude_none=True) for tool in chat.tools or ()]
    return ChatCompletionRequest(model="", messages=[], tools=tools, tool_choice="auto")


class NamedParserCalls:
    """An AnswerReader around a parser of vLLM's, which wants all text and ids so far at every step."""

    def __init__(
        self,
        index: int,
        parser: Any,
        tokenizer: Any,
        chat: ChatInput,
        new_id: Callable[[], str],
        max_calls: int | None,
    ) -> None:
        self._index = index
        self._request = vllm_request(chat)
        self._parser = parser(tokenizer, self._request.tools)
        self._new_id = new_id
        self._max_calls = max_calls
        self._text = ""
        self._ids: list[int] = []
        self._begun: set[int] = set()

    @property
    def num_calls(self) -> int:
        """Tool calls so far."""
        return len(self._begun)

    def feed(self, text: str, token_ids: Sequence[int]) -> list[Delta]:
        """What `text`, the next piece, adds."""
        if not text and not token_ids:
            return []
        previous_text, previous_ids = self._text, self._ids
        self._text, self._ids = previous_text + text, [*previous_ids, *token_ids]
        message = self._parser.extract_tool_calls_streaming(
            previous_text, self._text, text, previous_ids, self._ids, list(token_ids), self._request
        )
        return [] if message is None else self._deltas(message)

    def finish(self) -> list[Delta]:
        """Arguments that the parser had understood, and not yet given out."""
        if not self._begun:
            return []
        rest = self._parser.get_remaining_unstreamed_args()
        return [ToolCallDelta(max(self._begun), self._index, arguments=rest)] if rest else []

    def _deltas(self, message: Any) -> list[Delta]:
        deltas: list[Delta] = [TextDelta(message.content, self._index)] if message.content else []
        for call in message.tool_calls or ():
            if self._max_calls is not None and call.index >= self._max_calls:
                continue
            name = (call.function.name if call.function else None) or ""
            arguments = (call.function.arguments if call.function else None) or ""
            call_id = "" if call.index in self._begun else self._new_id()
            self._begun.add(call.index)
            deltas.append(ToolCallDelta(call.index, self._index, call_id, name, arguments))
        return deltas
