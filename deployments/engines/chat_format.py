"""From messages and tools to what a chat template takes. Pure.

Templates that know tools get them as they are. For the others tools are described in a system message of ours, in the
form that Hermes 2 Pro was trained on and that most open models have seen; earlier calls and their answers are written
back into the conversation in the same form.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.engines.tools import CLOSE_TAG, OPEN_TAG
from serve.domain.chat import (
    AssistantMessage,
    ChatInput,
    Content,
    Message,
    NamedToolChoice,
    TextPart,
    Tool,
    ToolCall,
    ToolMessage,
)
from serve.domain.errors import InvalidRequest

TOOLS_BEFORE = (
    "You can call functions to help with the user's request. "
    "Their signatures are between <tools> and </tools>:\n<tools>\n"
)
TOOLS_AFTER = (
    "\n</tools>\nTo call one, answer with its name and arguments as JSON:\n"
    f'{OPEN_TAG}\n{{"name": "<function>", "arguments": {{<arguments>}}}}\n{CLOSE_TAG}'
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a chat template is applied to; `tools` is None where it knows none."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


def offered_tools(chat: ChatInput) -> list[Tool]:
    """The tools that the model may see: none when it may call none, the named one alone when it must call that."""
    choice = chat.tool_choice
    if choice == "none":
        return []
    if isinstance(choice, NamedToolChoice):
        return [tool for tool in chat.tools or () if tool.function.name == choice.function.name]
    return list(chat.tools or ())


def conversation(chat: ChatInput, template_knows_tools: bool) -> Conversation:
    """The chat as a template takes it.

    Raises:
        InvalidRequest: `unsupported_modality`, for a part that is no text.
    """
    tools = offered_tools(chat)
    if template_knows_tools:
        messages = [_native(message, index) for index, message in enumerate(chat.messages)]
        return Conversation(messages, [_described(tool) for tool in tools] or None)
    messages = [_plain(message, index) for index, message in enumerate(chat.messages)]
    return Conversation(_with_tool_prompt(messages, tools) if tools else messages, None)


def text_of(content: Content | None, path: str) -> str:
    """The text of a message: its parts joined.

    Raises:
        InvalidRequest: `unsupported_modality`, with the path of the part.
    """
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for index, part in enumerate(content):
        if not isinstance(part, TextPart):
            raise InvalidRequest(
                f"This model reads text alone; the part is of type {part.type}.",
                "unsupported_modality",
                f"{path}.content.{index}",
            )
        texts.append(part.text)
    return "".join(texts)


def _described(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.function.name, "description": tool.function.description or ""}
    function["parameters"] = tool.function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _with_tool_prompt(messages: list[dict[str, Any]], tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """One system message: many templates take no second one, and none later than the first place."""
    lines = "\n".join(json.dumps(_described(tool), ensure_ascii=False) for tool in tools)
    prompt = TOOLS_BEFORE + lines + TOOLS_AFTER
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": prompt}, *messages]
    first = {**messages[0], "content": messages[0]["content"] + "\n\n" + prompt}
    return [first, *messages[1:]]


def _role(message: Message) -> str:
    """Templates know no developer; to them that is the system."""
    return "system" if message.role == "developer" else message.role


def _native(message: Message, index: int) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "role": _role(message),
        "content": text_of(message.content, f"messages.{index}"),
    }
    if isinstance(message, ToolMessage):
        rendered["tool_call_id"] = message.tool_call_id
    elif message.name:
        rendered["name"] = message.name
    if isinstance(message, AssistantMessage) and message.tool_calls:
        rendered["tool_calls"] = [_native_call(call) for call in message.tool_calls]
    return rendered


def _native_call(call: ToolCall) -> dict[str, Any]:
    """Templates print arguments with `tojson`: they want the object, not its text."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": _loaded(call.function.arguments)},
    }


def _plain(message: Message, index: int) -> dict[str, Any]:
    content = text_of(message.content, f"messages.{index}")
    if isinstance(message, ToolMessage):
        return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
    if isinstance(message, AssistantMessage) and message.tool_calls:
        content = "\n".join([*filter(None, [content]), *map(_written_call, message.tool_calls)])
    return {"role": _role(message), "content": content}


def _written_call(call: ToolCall) -> str:
    body = {"name": call.function.name, "arguments": _loaded(call.function.arguments)}
    return f"{OPEN_TAG}\n{json.dumps(body, ensure_ascii=False)}\n{CLOSE_TAG}"


def _loaded(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
