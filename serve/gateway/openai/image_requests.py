"""From OpenAI's image bodies to the inputs of our image tasks.

OpenAI's names become ours and are checked by the card's own schema: `n` is `num_images`, `size` is `width` and
`height`, `output_compression` is `quality`, `partial_images` is `previews`. Our own fields (`negative_prompt`, `steps`,
`guidance_scale`, `sampler`, `seed`, `strength`, ...) stand beside them, as `extra_body` sends them. An error is about
the name that the caller wrote.

Of OpenAI's fields without a counterpart, values that change nothing are taken (`quality: auto`, `background: opaque`,
`moderation`), and those that would have to change something are refused with a sentence that says what does.

A form has only text: what reads as a JSON number, true or false is taken as such, in every field that is not
prose; `adapters` is a JSON list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, ValidationError

from serve.catalog.cards import Card
from serve.domain import validation
from serve.domain.chat import Strict
from serve.domain.errors import InvalidRequest
from serve.domain.images import IMAGE_FIELDS, MAX_IMAGES
from serve.domain.names import OpaqueString
from serve.domain.task import Task
from serve.gateway.adapter_choices import CHOICES_FIELD, AdapterChoices

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})", re.ASCII)
_PROSE = frozenset({"model", "prompt", "negative_prompt", "user"})
_UNSUPPORTED = frozenset(
    {
        "complexity",
        "frame_count",
        "frame_duration_ms",
        "input_fidelity",
        "markup",
        "safety_identifier",
        "style",
        "svg",
    }
)
_INSTEAD = {
    "quality": "quality 'auto' is all there is by that name: more `steps` make a better picture, and "
    "`output_compression` sets the file's quality.",
    "background": "A transparent background is not supported. Leave background out.",
    "style": "'style' is not supported here. Describe the style in the prompt.",
}
_ALIASES = {
    "num_images": "n",
    "width": "size",
    "height": "size",
    "quality": "output_compression",
    "previews": "partial_images",
}
_UPLOADED = "upload"
"""Stands for a picture that came as a file, until it is an asset."""


FileQuality = Annotated[int, Field(ge=1, le=100)]


class ImageExtras(Strict):
    """OpenAI's fields around a picture, and adapters."""

    model: str = Field(description="A model of GET /v1/models; `model:adapter` applies one of its adapters.")
    adapters: AdapterChoices | None = CHOICES_FIELD
    n: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description="OpenAI's name of num_images.")
    size: str | None = Field(default=None, max_length=20, description="`auto`, or width x height as in 512x512.")
    response_format: Literal["url", "b64_json"] | None = Field(
        default=None,
        description="`url` is a link that expires; `b64_json` the file itself. Absent: both, since some clients read "
        "the one and some the other.",
    )
    output_compression: int | None = Field(default=None, ge=0, le=100, description="The quality of JPEG and WebP.")
    stream: bool = Field(default=False, description="Send pictures as server-sent events.")
    partial_images: int | None = Field(default=None, ge=0, le=3, description="Unfinished pictures to stream.")
    quality: Literal["auto", "standard"] | FileQuality | None = Field(
        default=None, description="A number is our own input; the words are taken, and change nothing."
    )
    background: Literal["auto", "opaque"] | None = Field(default=None, description="Pictures are opaque.")
    moderation: Literal["auto", "low"] | None = Field(default=None, description="Taken: nothing is moderated here.")
    user: OpaqueString | None = Field(default=None, description="Your own name for the end user; not interpreted.")


@dataclass(frozen=True, slots=True)
class AskedImages:
    """A validated request: what the model is asked, and how the answer shall look."""

    card: Card
    task: Task
    inputs: dict[str, Any]
    stream: bool
    response_format: Literal["url", "b64_json"] | None
    files: Mapping[str, bytes] = field(default_factory=dict)
    choices: AdapterChoices | None = None

    @property
    def wants_url(self) -> bool:
        return self.response_format != "b64_json"

    @property
    def wants_bytes(self) -> bool:
        return self.response_format != "url"


def read_images(
    body: Mapping[str, Any], card: Card, task: Task, files: Mapping[str, bytes] | None = None
) -> AskedImages:
    """`body` as the call of `card`'s model that it asks for; `files` are pictures that came with it, by field.

    A null means the same as an absent field.

    Raises:
        InvalidRequest: with a code, and the field as the caller named it.
    """
    if task not in card.tasks:
        served = ", ".join(card.tasks)
        message = f"The model {card.name!r} does not do {task.value}. It does: {served}."
        raise InvalidRequest(message, "unsupported_task", "model")
    sent = {name: value for name, value in body.items() if value is not None}
    _refuse_unsupported(sent)
    extras = _extras(sent)
    given = _own_inputs(sent, extras) | dict.fromkeys(files or (), _UPLOADED)
    if "mask" in given:
        given.setdefault("strength", _highest_strength(card, task))
    inputs = _validated(card, task, given, {name for name, alias in _ALIASES.items() if alias in sent})
    _check_stream(extras)
    _check_compression(extras, inputs)
    return AskedImages(card, task, inputs, extras.stream, extras.response_format, files or {}, extras.adapters)


def form_values(fields: Mapping[str, str]) -> dict[str, Any]:
    """The text fields of a form as JSON values."""
    values = {name: text if name in _PROSE else _scalar(text) for name, text in fields.items()}
    if "adapters" in fields:
        values["adapters"] = validation.parse_json(fields["adapters"].encode())
    return values


def _scalar(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, int | float) else text


def _refuse_unsupported(sent: Mapping[str, Any]) -> None:
    for name in sorted(_UNSUPPORTED.intersection(sent)):
        message = _INSTEAD.get(name, f"{name!r} is not supported here. Leave it out.")
        raise InvalidRequest(message, "unsupported_parameter", name)
    if "previews" in sent:
        raise InvalidRequest("On this route previews are `partial_images`.", "unsupported_parameter", "previews")


def _extras(sent: Mapping[str, Any]) -> ImageExtras:
    values = {name: sent[name] for name in ImageExtras.model_fields if name in sent}
    try:
        return ImageExtras.model_validate(values)
    except ValidationError as error:
        found = validation.invalid_request(error, values, ImageExtras.model_fields)
    if found.param in _INSTEAD and isinstance(values[found.param], str):
        found = InvalidRequest(_INSTEAD[found.param], "invalid_value", found.param)
    raise found


def _own_inputs(sent: Mapping[str, Any], extras: ImageExtras) -> dict[str, Any]:
    """The model's inputs: those named by us, and OpenAI's by our names."""
    given = {name: value for name, value in sent.items() if name not in ImageExtras.model_fields}
    if isinstance(extras.quality, int):
        given["quality"] = extras.quality
    for name, value in _translated(extras).items():
        if given.setdefault(name, value) != value:
            alias = _ALIASES[name]
            raise InvalidRequest(f"{name} and {alias} differ. Send one of them.", "invalid_value", alias)
    return given


def _translated(extras: ImageExtras) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if extras.n is not None:
        found["num_images"] = extras.n
    if extras.size is not None and extras.size != "auto":
        size = _SIZE.fullmatch(extras.size)
        if size is None:
            raise InvalidRequest("size is 'auto', or reads like '512x512'.", "invalid_value", "size")
        found |= {"width": int(size[1]), "height": int(size[2])}
    if extras.output_compression is not None:
        found["quality"] = max(1, extras.output_compression)
    if extras.partial_images is not None:
        found["previews"] = extras.partial_images
    return found


def _highest_strength(card: Card, task: Task) -> float:
    """What a mask uncovers is painted wholly anew, as OpenAI's clients expect, unless the card allows less."""
    return float(card.input_schema(task)["properties"]["strength"].get("maximum", 1.0))


def _validated(card: Card, task: Task, given: dict[str, Any], renamed: set[str]) -> dict[str, Any]:
    try:
        return card.validate(task, given).model_dump(mode="json", by_alias=True)
    except InvalidRequest as error:
        if error.param not in renamed:
            raise
        alias = _ALIASES[error.param]
        prefix = f"{alias}: " if alias == "size" else ""
        message = prefix + (error.message if prefix else error.message.replace(error.param, alias, 1))
        raise InvalidRequest(message, error.code, alias) from None


def _check_stream(extras: ImageExtras) -> None:
    if extras.partial_images and not extras.stream:
        raise InvalidRequest("partial_images needs stream: true.", "invalid_value", "partial_images")
    if extras.stream and extras.response_format == "url":
        raise InvalidRequest("A stream brings pictures as b64_json.", "invalid_value", "response_format")


def _check_compression(extras: ImageExtras, inputs: Mapping[str, Any]) -> None:
    if extras.output_compression not in (None, 100) and inputs["output_format"] == "png":
        message = "PNG is always lossless: leave output_compression out, or choose output_format jpeg or webp."
        raise InvalidRequest(message, "invalid_value", "output_compression")


def image_fields(task: Task) -> tuple[str, ...]:
    """The fields of a form that are pictures."""
    return tuple(IMAGE_FIELDS.get(task, {}))
