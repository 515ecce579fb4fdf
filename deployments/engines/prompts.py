"""From a chat or a completion to the token ids of its prompts. Knows a tokenizer, and no engine."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, TemplateError, meta

from deployments.engines.chat_format import Conversation, conversation
from deployments.engines.generation_plan import (
    Limits,
    answer_tokens,
    check_token_ids,
    completion_prompts,
    prompt_param,
)
from deployments.engines.tokenization import Tokenization
from serve.domain.chat import ChatInput, CompletionInput
from serve.domain.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits, and how many tokens may follow it. `text` is set where it is echoed."""

    token_ids: list[int]
    max_tokens: int
    text: str = ""


class Prompts:
    """Makes prompts with one model's tokenizer and chat template."""

    def __init__(self, tokenizer: Any, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self._limits = limits
        self._tokenization = Tokenization(tokenizer, limits)
        self._template_knows_tools = _knows_tools(tokenizer)

    async def of_chat(self, chat: ChatInput) -> list[Prompt]:
        """The one prompt of a chat.

        Raises:
            InvalidRequest: it does not fit, or the model's template does not take it.
        """
        talk = conversation(chat, self._template_knows_tools)
        num_characters = sum(len(message["content"]) for message in talk.messages)
        text = await self._tokenization.off_loop(num_characters, lambda: self._rendered(talk))
        ids = await self._tokenization.encode(text, add_special_tokens=False, param="messages")
        check_token_ids(ids, self._limits, "messages")
        return [Prompt(ids, answer_tokens(len(ids), chat.max_tokens, self._limits, "messages"))]

    async def of_completion(self, inputs: CompletionInput) -> list[Prompt]:
        """The prompts of a completion, in order.

        Raises:
            InvalidRequest: one does not fit, is empty, or holds an id that is not in the vocabulary.
        """
        return [
            await self._of_completion(prompt, inputs, prompt_param(inputs, i))
            for i, prompt in enumerate(completion_prompts(inputs))
        ]

    async def _of_completion(self, prompt: str | list[int], inputs: CompletionInput, param: str) -> Prompt:
        ids = await self.token_ids(prompt, param)
        max_tokens = answer_tokens(len(ids), inputs.max_tokens, self._limits, param)
        if not inputs.echo:
            return Prompt(ids, max_tokens)
        return Prompt(ids, max_tokens, prompt if isinstance(prompt, str) else self._tokenizer.decode(ids))

    async def token_ids(self, given: str | list[int], param: str) -> list[int]:
        """The ids of a text with the model's special tokens, or the ids that were given."""
        ids = given if isinstance(given, list) else await self._tokenization.encode(given, True, param)
        check_token_ids(ids, self._limits, param)
        return ids

    def close(self) -> None:
        """Take no more."""
        self._tokenization.close()

    def _rendered(self, talk: Conversation) -> str:
        if not self._tokenizer.chat_template:
            raise InvalidRequest("This model has no chat template. Use completions.", "no_chat_template", "messages")
        try:
            rendered = self._tokenizer.apply_chat_template(
                talk.messages, tools=talk.tools, tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            reason = str(error).strip() or "its order or roles are not supported"
            raise InvalidRequest(
                f"The model's chat template does not take these messages: {reason[:300]}", "chat_template", "messages"
            ) from error
        return str(rendered)


def _knows_tools(tokenizer: Any) -> bool:
    """Whether the chat template reads a variable called tools."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        return "tool_use" in template
    if not template:
        return False
    # The extensions are those that transformers' own environment has; without them some templates do not parse.
    environment = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=True)
    try:
        return "tools" in meta.find_undeclared_variables(environment.parse(template))
    except TemplateError:
        return "tools" in template
