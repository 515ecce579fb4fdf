"""From the values of a model node's ports to a call, and from the model's whole answer to values."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.folds import Answer, ChoiceFold
from serve.domain.generation import AdapterUse, numbers_of
from serve.domain.images import ASSET_SCHEME
from serve.domain.media import Asset
from serve.domain.port_types import Kind, PortType
from serve.domain.storable import clean
from serve.domain.task import Task
from serve.domain.workflow import MAX_KEPT_DEPTH, is_deeper
from serve.workflow.ports.model_ports import ADAPTER_PORT, ADAPTERS_PORT, MODEL_PORT
from serve.workflow.values import STRANGERS_JSON, as_whole

_TEXT, _TEXTS = PortType(Kind.TEXT), PortType(Kind.TEXT, True)
_JSON = PortType(Kind.JSON)
_IMAGES: Mapping[str, PortType] = {
    "image": PortType(Kind.IMAGE),
    "images": PortType(Kind.IMAGE, True),
    "seed": PortType(Kind.NUMBER),
    "seeds": PortType(Kind.NUMBER, True),
}
_OUTPUTS: dict[Task, Mapping[str, PortType]] = {
    Task.CHAT: {"text": _TEXT, "texts": _TEXTS, "json": _JSON, "tool_calls": _JSON, "finish_reason": _TEXT},
    Task.COMPLETION: {"text": _TEXT, "texts": _TEXTS, "json": _JSON, "finish_reason": _TEXT},
    Task.EMBEDDING: {"embedding": PortType(Kind.EMBEDDING), "embeddings": PortType(Kind.EMBEDDING, True)},
    Task.TEXT_TO_IMAGE: _IMAGES,
    Task.IMAGE_TO_IMAGE: _IMAGES,
}
OUTPUT_WORDS: dict[str, str] = {
    "text": "The answer; of several, the first.",
    "texts": "All answers.",
    "json": "The answer read as JSON; nothing where it is none.",
    "tool_calls": "What the model calls: a list of {id, name, arguments}.",
    "finish_reason": "Why the answer ended: stop, length or tool_calls.",
    "image": "The picture; of several, the first.",
    "images": "All pictures.",
    "seed": "What the picture was made from: with it, the same again.",
    "seeds": "The seeds of all pictures.",
    "embedding": "The embedding; of several texts, the first one's.",
    "embeddings": "The embeddings of all texts, in their order.",
}
_APART = frozenset({ADAPTER_PORT, ADAPTERS_PORT, MODEL_PORT})
"""Ports that are no inputs of the card."""
_FENCE = "```"


def outputs_of(task: Task) -> Mapping[str, PortType]:
    """What a node of this task puts out, by port."""
    return _OUTPUTS[task]


def call_of(task: Task, values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[AdapterUse, ...]]:
    """The inputs for the model's card, defaults not yet filled in, and the adapters. `values` are by port; what is None
    is left out, and pictures become `asset:<id>`.

    Raises:
        InvalidRequest: the values of two ports contradict one another; an adapter is no more than a name.
    """
    given = {name: _plain(value) for name, value in values.items() if value is not None and name not in _APART}
    written = _WRITERS[task](given) if task in _WRITERS else given
    single = values.get(ADAPTER_PORT)
    adapters = (*(() if single is None else (single,)), *(values.get(ADAPTERS_PORT) or ()))
    if unknown := [one for one in adapters if not isinstance(one, AdapterUse)]:
        told = f"nobody looked up the adapter {str(unknown[0])[:80]!r} when the run was accepted"
        raise InvalidRequest(told, "adapter_not_found", "adapters")
    return written, adapters


def values_of(task: Task, answer: Answer, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a whole answer gives, by port. `inputs` are those of the call.

    Raises:
        EngineFailed: the answer lacks what the task is about.
    """
    return _READERS[task](answer, inputs)


def _plain(value: Any) -> Any:
    """As the card takes it: whole numbers are integers there, whatever they were reckoned in."""
    if isinstance(value, Asset):
        return ASSET_SCHEME + value.id
    return as_whole(value) if isinstance(value, float) else value


def _chat(given: dict[str, Any]) -> dict[str, Any]:
    system, prompt = given.pop("system", None), given.pop("prompt", None)
    messages = given.pop("messages", [])
    if not isinstance(messages, list):
        raise InvalidRequest("messages must be a list of messages", "invalid_value", "messages")
    if system is not None and _begins_with_system(messages):
        told = "messages begin with a system message already: leave out one of the two"
        raise InvalidRequest(told, "invalid_value", "system")
    first = [{"role": "system", "content": system}] if system else []
    last = [{"role": "user", "content": prompt}] if prompt is not None else []
    response_format = _response_format(given)
    return given | {"messages": [*first, *messages, *last]} | response_format


def _begins_with_system(messages: list[Any]) -> bool:
    first = messages[0] if messages else None
    return isinstance(first, dict) and first.get("role") in ("system", "developer")


def _response_format(given: dict[str, Any]) -> dict[str, Any]:
    schema = given.pop("json_schema", None)
    if schema is None:
        return {}
    if "response_format" in given:
        told = "json_schema is short for a response_format, and there is one already: leave out one of the two"
        raise InvalidRequest(told, "invalid_value", "json_schema")
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


def _embedding(given: dict[str, Any]) -> dict[str, Any]:
    one, many = given.get("input"), given.pop("inputs", None)
    if many is None:
        return given
    return given | {"input": many if one is None else [one, *many]}


_WRITERS: dict[Task, Callable[[dict[str, Any]], dict[str, Any]]] = {Task.CHAT: _chat, Task.EMBEDDING: _embedding}


def _texts(answer: Answer, inputs: Mapping[str, Any]) -> dict[str, Any]:
    choices = [answer.choices[index] for index in sorted(answer.choices)]
    if not choices:
        raise EngineFailed("The model gave no answer.")
    texts = [clean(choice.text) for choice in choices]
    read = _read_json(texts[0])
    return {"text": texts[0], "texts": texts, "json": read, "finish_reason": choices[0].finish_reason}


def _chat_answer(answer: Answer, inputs: Mapping[str, Any]) -> dict[str, Any]:
    texts = _texts(answer, inputs)
    return texts | {"tool_calls": _tool_calls(answer.choices[min(answer.choices)])}


def _tool_calls(choice: ChoiceFold) -> list[dict[str, Any]]:
    called = [call for _, call in sorted(choice.tool_calls.items())]
    return [{"id": call.id, "name": call.name, "arguments": _arguments(call.arguments)} for call in called]


def _arguments(written: str) -> Any:
    """Read where they are JSON, as they should be; the model's own words otherwise."""
    text = clean(written)
    return text if (read := _loaded(text)) is None else read


def _read_json(text: str) -> Any:
    """The JSON value that a text is, or that it has in the one fence it consists of, as models like to write it."""
    inner = text.strip()
    if inner.startswith(_FENCE) and inner.endswith(_FENCE) and len(inner) > 2 * len(_FENCE):
        _, _, inner = inner.removesuffix(_FENCE).partition("\n")
    return _loaded(inner)


def _loaded(text: str) -> Any:
    """Nothing where it is no JSON, or nested deeper than values of workflows may be: those who write and show it would
    give up, each at another depth."""
    try:
        read = STRANGERS_JSON.decode(text)
    except (ValueError, RecursionError):
        return None
    return None if is_deeper(read, MAX_KEPT_DEPTH) else read


def _pictures(answer: Answer, inputs: Mapping[str, Any]) -> dict[str, Any]:
    made = sorted(answer.artifacts, key=lambda artifact: artifact.index)
    if not made:
        raise EngineFailed("The model made no picture.")
    images = [artifact.asset for artifact in made]
    seed = inputs.get("seed")
    seeds = None if seed is None else [seed + artifact.index for artifact in made]
    return {"image": images[0], "images": images, "seed": seeds[0] if seeds else None, "seeds": seeds}


def _vectors(answer: Answer, inputs: Mapping[str, Any]) -> dict[str, Any]:
    vectors = [numbers_of(answer.vectors[index]) for index in sorted(answer.vectors)]
    if not vectors:
        raise EngineFailed("The model gave no embedding.")
    if not all(map(math.isfinite, (number for vector in vectors for number in vector))):
        raise EngineFailed("The model produced values that are no numbers.")
    return {"embedding": vectors[0], "embeddings": vectors}


_READERS: dict[Task, Callable[[Answer, Mapping[str, Any]], dict[str, Any]]] = {
    Task.CHAT: _chat_answer,
    Task.COMPLETION: _texts,
    Task.EMBEDDING: _vectors,
    Task.TEXT_TO_IMAGE: _pictures,
    Task.IMAGE_TO_IMAGE: _pictures,
}
