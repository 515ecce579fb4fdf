"""From an OpenAI body to a model call's inputs, with one validation.

The schema is the card's own input schema and, beside it, the few fields that are OpenAI's and not the model's. The
vocabulary is strict and coerces nothing, so what was validated is what was sent: inputs are the body's own values
over the card's defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, create_model

from serve.catalog.cards import Card
from serve.domain import validation
from serve.domain.chat import Strict
from serve.domain.errors import InvalidRequest
from serve.domain.names import OpaqueString
from serve.domain.task import Task
from serve.gateway.adapter_choices import CHOICES_FIELD, AdapterChoices

_MAX_CACHED = 2048


class StreamOptions(Strict):
    """What a stream carries besides the answer. `include_obfuscation` is taken and ignored."""

    include_usage: bool = False
    include_obfuscation: bool = False


class GenerationExtras(Strict):
    """OpenAI's fields around a generation, and adapters."""

    model: str = Field(description="A model of GET /v1/models; `model:adapter` applies one of its adapters.")
    adapters: AdapterChoices | None = CHOICES_FIELD
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: OpaqueString | None = Field(default=None, description="Your own name for the end user; not interpreted.")


class ChatExtras(GenerationExtras):
    """OpenAI's fields around a chat."""

    max_completion_tokens: int | None = Field(default=None, description="OpenAI's newer name of max_tokens.")
    metadata: dict[str, OpaqueString] | None = Field(default=None, max_length=16, description="Not interpreted.")
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: list[Literal["text"]] | None = None


class EmbeddingExtras(Strict):
    """OpenAI's fields around embeddings."""

    model: str = Field(description="A model of GET /v1/models.")
    encoding_format: Literal["float", "base64"] = "float"
    user: OpaqueString | None = Field(default=None, description="Your own name for the end user; not interpreted.")


@dataclass(frozen=True, slots=True)
class Surface:
    """What one OpenAI route takes: its extra fields, and the fields of OpenAI's that it refuses by name."""

    extras: type[BaseModel]
    unsupported: frozenset[str]


_UNSUPPORTED_IN_CHAT = frozenset(
    {
        "audio",
        "function_call",
        "functions",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "verbosity",
        "web_search_options",
    }
)

SURFACES: Mapping[Task, Surface] = {
    Task.CHAT: Surface(
        ChatExtras,
        _UNSUPPORTED_IN_CHAT,
    ),
    Task.COMPLETION: Surface(GenerationExtras, frozenset({"best_of", "suffix"})),
    Task.EMBEDDING: Surface(EmbeddingExtras, frozenset({"adapters"})),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A validated request: the card, the call's inputs, and how the answer shall look."""

    card: Card
    task: Task
    inputs: dict[str, Any]
    stream: bool = False
    include_usage: bool = False
    encoding_format: str = "float"
    choices: AdapterChoices | None = None

    @property
    def model(self) -> str:
        return self.card.document.name


@dataclass(frozen=True, slots=True)
class _Schema:
    """A card's request class for one task, and the defaults of its inputs."""

    request: type[BaseModel]
    defaults: dict[str, Any]
    extras: frozenset[str]


@dataclass(slots=True)
class Requests:
    """Reads bodies. It keeps the request class of every card it has met: making one costs milliseconds."""

    _schemas: dict[tuple[str, Task], _Schema] = field(default_factory=dict)

    def read(self, body: Mapping[str, Any], card: Card, task: Task) -> Asked:
        """`body` as the call of `card`'s model that it asks for. A null means the same as an absent field.

        Raises:
            InvalidRequest: with a code, and the path of the field.
        """
        if task not in card.document.spec.tasks:
            raise _wrong_task(card, task)
        sent = {name: value for name, value in body.items() if value is not None}
        _refuse_unsupported(sent, task)
        alias = _take_alias(sent)
        schema = self._schema(card, task)
        request = _validate(schema.request, sent, alias)
        inputs = schema.defaults | {name: value for name, value in sent.items() if name not in schema.extras}
        return _asked(card, task, inputs, request)

    def _schema(self, card: Card, task: Task) -> _Schema:
        key = (card.digest, task)
        found = self._schemas.get(key)
        if found is None:
            if len(self._schemas) >= _MAX_CACHED:
                self._schemas.clear()
            found = self._schemas[key] = _make_schema(card, task)
        return found


def _make_schema(card: Card, task: Task) -> _Schema:
    inputs, extras = card.input_model(task), SURFACES[task].extras
    request = create_model("Request", __base__=(inputs, extras))
    defaults = {
        name: info.get_default(call_default_factory=True, validated_data={})
        for name, info in inputs.model_fields.items()
        if not info.is_required()
    }
    return _Schema(request, defaults, frozenset(extras.model_fields))


def _validate(request: type[BaseModel], sent: dict[str, Any], alias: str | None) -> BaseModel:
    try:
        return request.model_validate(sent)
    except ValidationError as error:
        found = validation.invalid_request(error, sent, request.model_fields)
    if alias and found.param == "max_tokens":
        found = InvalidRequest(found.message.replace("max_tokens", alias), found.code, alias)
    raise found


def _asked(card: Card, task: Task, inputs: dict[str, Any], request: Any) -> Asked:
    if task is Task.EMBEDDING:
        return Asked(card, task, inputs, encoding_format=request.encoding_format)
    options: StreamOptions | None = request.stream_options
    if options is not None and not request.stream:
        raise InvalidRequest("stream_options needs stream: true.", "invalid_value", "stream_options")
    include_usage = options is not None and options.include_usage
    return Asked(card, task, inputs, request.stream, include_usage, choices=request.adapters)


def _refuse_unsupported(sent: Mapping[str, Any], task: Task) -> None:
    refused = SURFACES[task].unsupported.intersection(sent)
    if sent.get("modalities", ["text"]) != ["text"]:
        refused |= {"modalities"}
    if refused:
        name = min(refused)
        raise InvalidRequest(f"{name!r} is not supported here. Leave it out.", "unsupported_parameter", name)


def _take_alias(sent: dict[str, Any]) -> str | None:
    """Rename `max_completion_tokens`; the name that was used, for messages."""
    alias = "max_completion_tokens"
    if alias not in sent:
        return None
    value = sent.pop(alias)
    if sent.setdefault("max_tokens", value) != value:
        raise InvalidRequest(f"max_tokens and {alias} differ. Send one of them.", "invalid_value", alias)
    return alias


def _wrong_task(card: Card, task: Task) -> InvalidRequest:
    served = ", ".join(card.document.spec.tasks)
    return InvalidRequest(
        f"The model {card.document.name!r} does not do {task.value}. It does: {served}.", "unsupported_task", "model"
    )
