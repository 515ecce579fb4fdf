"""Models as nodes: the ports of a task, derived from the schema of a model's card. What is made of the values that they
are given is `model_calls`.

Ports are named as a card's inputs are, with these exceptions:

    chat         `system` and `prompt` make the messages, after those of `messages` if there are any; `json_schema` is
                 short for a response_format
    embedding    `input` is one text and `inputs` are many
    all          `adapter` or several `adapters`, where the model takes them; `model`, where the node leaves it open

Sources are not looked at here: a port of a model takes a value that is written down as one that is computed.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from serve.domain.adapters import MAX_PER_CALL
from serve.domain.chat import MAX_EMBEDDING_INPUTS, ChatInput, CompletionInput, EmbeddingInput
from serve.domain.errors import InvalidRequest
from serve.domain.images import ImageToImageInput, TextToImageInput
from serve.domain.port_types import Kind, PortType
from serve.domain.task import Task
from serve.workflow.facts import ModelFacts
from serve.workflow.graph import Port
from serve.workflow.ports import port_words
from serve.workflow.schemas import schema_of

MODEL_PORT = "model"
ADAPTERS_PORT = "adapters"
ADAPTER_PORT = "adapter"
"""A single one, which a node can be run over a list of."""
SEED_PORT = "seed"
PREVIEWS_PORT = "previews"
METADATA_PORT = "metadata"
"""Whether a picture's own file tells how it was made."""

_WIDEST: dict[Task, type[BaseModel]] = {
    Task.CHAT: ChatInput,
    Task.COMPLETION: CompletionInput,
    Task.EMBEDDING: EmbeddingInput,
    Task.TEXT_TO_IMAGE: TextToImageInput,
    Task.IMAGE_TO_IMAGE: ImageToImageInput,
}
_INSTEAD: dict[Task, Mapping[str, str]] = {
    Task.CHAT: {"prompt": "messages"},
    Task.EMBEDDING: {"input": "inputs"},
}
"""Of these two one is needed: the first, where the second is not given."""
_HIDDEN = frozenset({"logprobs", "top_logprobs"})
"""Inputs that change nothing a port puts out."""

_TEXT, _TEXTS = PortType(Kind.TEXT), PortType(Kind.TEXT, True)
_NUMBER, _BOOLEAN, _JSON = PortType(Kind.NUMBER), PortType(Kind.BOOLEAN), PortType(Kind.JSON)
_OBJECT = {"type": "object"}
_ANY_PROMPT = {"type": "string", "description": "What the user says."}
_MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {"role": {"type": "string", "enum": ["system", "developer", "user", "assistant", "tool"]}},
        "required": ["role"],
    },
}


def ports_of(facts: ModelFacts, task: Task, given: Collection[str] = ()) -> Mapping[str, Port]:
    """The ports of one of the model's tasks, in the order in which they are shown. `given` are the inputs that a node
    has: with `messages` a chat needs no prompt, with `inputs` an embedding no `input`."""
    adapters = facts.max_adapters if facts.takes_adapters else 0
    return _ports(_Same(facts.schemas[task]), task, adapters, _instead(task, given))


def task_ports(task: Task, given: Collection[str] = ()) -> Mapping[str, Port]:
    """The ports of a node that leaves open which model does the task: the widest that any may have, and `model`. They
    have no defaults, since those are the model's own."""
    return _open_ports(task, _instead(task, given))


@lru_cache
def _open_ports(task: Task, unneeded: str | None) -> Mapping[str, Port]:
    ports = _ports(_widest(task), task, MAX_PER_CALL, unneeded)
    return {MODEL_PORT: _model_port(), **{name: _without_default(port) for name, port in ports.items()}}


def form_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A card's schema for a task with the titles and the `x-ui` of its ports: models and nodes have one form."""
    return _form(_Same(schema))


def task_for(facts: ModelFacts, names: Collection[str], task: Task | None) -> Task:
    """The task that a node with inputs of these names is about: `task`, or else the first that takes them all and lacks
    none, or the one that comes nearest.

    Raises:
        InvalidRequest: `unknown_task`: the model does not do `task`.
    """
    if task is not None:
        if task not in facts.tasks:
            told = f"{facts.name} does not do {task}; it does {', '.join(facts.tasks)}"
            raise InvalidRequest(told, "unknown_task", "task")
        return task

    def distance(candidate: Task) -> tuple[int, int]:
        ports = ports_of(facts, candidate, names)
        unknown = sum(name not in ports for name in names)
        return unknown, sum(port.is_required and name not in names for name, port in ports.items())

    return min(facts.tasks, key=distance)


class _Same:
    """A schema, the same as itself alone: comparing its words would take longer than what is kept for it."""

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.schema is self.schema


@lru_cache
def _widest(task: Task) -> _Same:
    return _Same(_WIDEST[task].model_json_schema())


def _instead(task: Task, given: Collection[str]) -> str | None:
    """The port that is not needed, since the other one is given."""
    return next((one for one, other in _INSTEAD.get(task, {}).items() if other in given), None)


@lru_cache(maxsize=1024)
def _ports(kept: _Same, task: Task, max_adapters: int, unneeded: str | None) -> Mapping[str, Port]:
    if unneeded is not None:
        ports = dict(_ports(kept, task, max_adapters, None))
        return ports | {unneeded: replace(ports[unneeded], is_required=False)}
    found = _fields(kept.schema, task)
    if max_adapters:
        found |= {ADAPTER_PORT: _adapter_port(), ADAPTERS_PORT: _adapters_port(max_adapters)}
    return {name: found[name] for name in sorted(found, key=port_words.place_of)}


@lru_cache(maxsize=1024)
def _form(kept: _Same) -> Mapping[str, Any]:
    defined = kept.schema.get("$defs", {})

    def shown(name: str, field: Mapping[str, Any]) -> dict[str, Any]:
        plain = _plain(field, defined)
        return {**field, "title": port_words.titled(name), "x-ui": port_words.shown(name, _type_of(plain), plain)}

    return {**kept.schema, "properties": {name: shown(name, one) for name, one in kept.schema["properties"].items()}}


def _fields(schema: Mapping[str, Any], task: Task) -> dict[str, Port]:
    required = set(schema.get("required", ()))
    fields = {
        name: _plain(field, schema.get("$defs", {}))
        for name, field in schema["properties"].items()
        if name not in _HIDDEN or name in required
    }
    fields = _ADAPTED[task](fields) if task in _ADAPTED else fields
    first = _INSTEAD.get(task, {})
    required = (required | first.keys()) - set(first.values())
    return {
        name: _port(name, field, name in required and field.get("default") is None) for name, field in fields.items()
    }


def _plain(field: Mapping[str, Any], defined: Mapping[str, Any]) -> dict[str, Any]:
    """A field without references, and without null: a port that is given nothing is simply left out."""
    if "$ref" in field:
        target = defined.get(field["$ref"].removeprefix("#/$defs/"), _OBJECT)
        field = (target if "enum" in target else _OBJECT) | {key: field[key] for key in field if key != "$ref"}
    branches = [_plain(one, defined) for key in ("anyOf", "oneOf") for one in field.get(key, ())]
    kept = {key: field[key] for key in field if key not in ("anyOf", "oneOf", "discriminator", "title")}
    different = [one for index, one in enumerate(branches) if one.get("type") != "null" and one not in branches[:index]]
    if "items" in kept:
        kept["items"] = _plain(kept["items"], defined)
    return different[0] | kept if len(different) == 1 else kept | ({"anyOf": different} if different else {})


def _port(name: str, field: Mapping[str, Any], is_required: bool) -> Port:
    port_type = _type_of(field)
    default = field.get("default")
    description = port_words.described(name, field)
    schema = {key: value for key, value in field.items() if key not in ("description", "default")}
    if port_type.kind.is_media:
        schema = schema_of(port_type)
    schema |= {"title": port_words.titled(name), "x-ui": port_words.shown(name, port_type, schema)}
    schema |= {"description": description} if description else {}
    schema |= {"default": default} if default is not None else {}
    return Port(port_type, is_required, False, default, schema, description)


def _type_of(field: Mapping[str, Any]) -> PortType:
    if field.get("format") in set(Kind):
        return PortType(Kind(field["format"]))
    match field.get("type"):
        case "string":
            return _TEXT
        case "integer" | "number":
            return _NUMBER
        case "boolean":
            return _BOOLEAN
        case "array" if field.get("items", {}).get("type") == "string":
            return _TEXTS
    return _JSON


def _of_chat(fields: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    messages = _MESSAGES | {key: fields["messages"][key] for key in ("maxItems",) if key in fields["messages"]}
    return _of_text(fields) | {
        "system": {"type": "string"},
        "prompt": dict(_ANY_PROMPT),
        "messages": messages,
        "json_schema": dict(_OBJECT),
    }


def _of_completion(fields: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    description = fields["prompt"].get("description") or "The text to go on with."
    return _of_text(fields) | {"prompt": {"type": "string", "description": description}}


def _of_text(fields: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One text to stop at is a list of one."""
    listed = [one for one in fields["stop"].get("anyOf", ()) if one.get("type") == "array"]
    if not listed:
        return fields
    told = {key: fields["stop"][key] for key in fields["stop"] if key != "anyOf"}
    return fields | {"stop": listed[0] | told}


def _of_embedding(fields: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_EMBEDDING_INPUTS}
    told = {"description": fields["input"]["description"]} if fields["input"].get("description") else {}
    return fields | {"input": {"type": "string"} | told, "inputs": texts}


_ADAPTED = {Task.CHAT: _of_chat, Task.COMPLETION: _of_completion, Task.EMBEDDING: _of_embedding}


def _adapter_port() -> Port:
    return _port_of_adapters(ADAPTER_PORT, PortType(Kind.ADAPTER), "A LoRA adapter to apply.", {})


def _adapters_port(most: int) -> Port:
    description = f"LoRA adapters to apply together, up to {most}, `adapter` included."
    return _port_of_adapters(ADAPTERS_PORT, PortType(Kind.ADAPTER, True), description, {"maxItems": most})


def _port_of_adapters(name: str, port_type: PortType, description: str, bounds: Mapping[str, Any]) -> Port:
    told = {"title": port_words.titled(name), "description": description}
    schema = schema_of(port_type) | dict(bounds) | told | {"x-ui": port_words.shown(name, port_type, {})}
    return Port(port_type, schema=schema, description=description)


def _without_default(port: Port) -> Port:
    return replace(port, default=None, schema={key: port.schema[key] for key in port.schema if key != "default"})


def _model_port() -> Port:
    port_type = PortType(Kind.MODEL)
    return _port(MODEL_PORT, schema_of(port_type), True)
