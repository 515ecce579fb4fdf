"""The OpenAI answers as the OpenAPI document describes them. Answers are not built from these: that would cost more."""

from typing import Any, Literal

from pydantic import BaseModel


class Cost(BaseModel):
    """Billionths of a dollar, and the same as dollars with every digit."""

    nano_usd: int
    usd: str


class TokenDetails(BaseModel):
    """A part of the prompt's tokens."""

    cached_tokens: int


class GenerationUsage(BaseModel):
    """Counted tokens. `cost` is null where the model is unpriced."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokenDetails
    cost: Cost | None


class ChatMessage(BaseModel):
    """What the model said, or called."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[dict[str, Any]] | None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: ChatMessage
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatCompletion(BaseModel):
    """A whole chat completion. Streams send `chat.completion.chunk` objects instead, as OpenAI's do."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: GenerationUsage


class CompletionChoice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length"]


class Completion(BaseModel):
    """A whole completion."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: GenerationUsage


class Embedding(BaseModel):
    """A vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Counted tokens. `cost` is null where the model is unpriced."""

    prompt_tokens: int
    total_tokens: int
    cost: Cost | None


class EmbeddingList(BaseModel):
    """Vectors in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


class ImageLink(BaseModel):
    """A picture: a link to it that needs no key and expires, its file in base64, or both."""

    url: str | None = None
    b64_json: str | None = None


class InputTokenDetails(BaseModel):
    """What the prompt's tokens are of."""

    text_tokens: int
    image_tokens: int


class ImageUsage(BaseModel):
    """Counted tokens of the prompt, and what was painted: `pixel_steps` is pixels times denoising steps. `cost` is null
    where the model is unpriced."""

    input_tokens: int
    input_tokens_details: InputTokenDetails
    output_tokens: int
    total_tokens: int
    images: int
    pixels: int
    steps: int
    pixel_steps: int
    input_images: int
    cost: Cost | None


class ImageList(BaseModel):
    """Pictures, in order. Streams send `image_generation.*` or `image_edit.*` events instead, as OpenAI's do."""

    created: int
    data: list[ImageLink]
    background: Literal["opaque"]
    usage: ImageUsage
    size: str
    output_format: Literal["png", "jpeg", "webp"]


class ModelView(BaseModel):
    """A model, as OpenAI's clients list it. `created` is Unix seconds; `parent` is the base of one with an adapter."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "slipway"
    parent: str | None = None


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelView]
