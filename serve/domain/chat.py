"""What the llm family is asked: the inputs of chat, completion and embedding.

Field names and meanings are OpenAI's (openai-python 3, `types/chat/completion_create_params.py`), with vLLM's common
additions (top_k, min_p, repetition_penalty). This is the allow-list: a field that is not here is refused by name.
The bounds are the widest any card may offer; a card narrows them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_CHOICES = 16
MAX_STOP_STRINGS = 8
MAX_TOKENS = 1_048_576
MAX_TOOLS = 128
MAX_MESSAGES = 4096
MAX_EMBEDDING_INPUTS = 2048
MAX_SCHEMA_BYTES = 64 * 1024

ShortText = Annotated[str, StringConstraints(max_length=256)]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
TokenKey = Annotated[str, StringConstraints(pattern=r"^\d{1,9}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]
_PROMPTS = Field(min_length=1, max_length=64, fail_fast=True)
_INPUTS = Field(min_length=1, max_length=MAX_EMBEDDING_INPUTS, fail_fast=True)


class Strict(BaseModel):
    """Frozen, closed, and without coercion: "5" is no number and NaN is none either."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(Strict):
    """A piece of text in a message."""

    type: Literal["text"]
    text: str


class ImageUrl(Strict):
    """An image by address; `data:` URLs included."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Strict):
    """An image in a message; only models with image input take it."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(Strict):
    """Base64 sound."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Strict):
    """Sound in a message; only models with audio input take it."""

    type: Literal["input_audio"]
    input_audio: InputAudio


ContentPart = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]
Content = str | Annotated[list[ContentPart], Field(fail_fast=True)]
"""Long lists fail at their first bad item: collecting the errors of a hostile one holds the event loop for seconds."""


class FunctionCall(Strict):
    """A function that the model called, and its arguments as JSON text."""

    name: FunctionName
    arguments: str


class ToolCall(Strict):
    """One tool call in an assistant's message."""

    id: ShortText
    type: Literal["function"] = "function"
    function: FunctionCall


class SystemMessage(Strict):
    """Instructions."""

    role: Literal["system", "developer"]
    content: Content
    name: ShortText | None = None


class UserMessage(Strict):
    """What the user says."""

    role: Literal["user"]
    content: Content
    name: ShortText | None = None


class AssistantMessage(Strict):
    """What the model said, or called."""

    role: Literal["assistant"]
    content: Content | None = None
    name: ShortText | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class ToolMessage(Strict):
    """What a tool answered."""

    role: Literal["tool"]
    content: Content
    tool_call_id: ShortText


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(Strict):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Strict):
    """A tool on offer."""

    type: Literal["function"]
    function: Function


class NamedFunction(Strict):
    """The name of a function."""

    name: FunctionName


class NamedToolChoice(Strict):
    """Call this function and no other."""

    type: Literal["function"]
    function: NamedFunction


class TextFormat(Strict):
    """Free text."""

    type: Literal["text"]


class JsonObjectFormat(Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(Strict):
    """A named JSON Schema."""

    model_config = ConfigDict(protected_namespaces=())

    name: FunctionName
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Strict):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class Sampling(Strict):
    """How text is drawn from the model."""

    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS, description="Tokens to generate at the most.")
    temperature: float = Field(default=1.0, ge=0, le=2, description="0 is greedy.")
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=-1, ge=-1, le=1000, description="-1 keeps all tokens.")
    min_p: float = Field(default=0.0, ge=0, le=1)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    repetition_penalty: float = Field(default=1.0, gt=0, le=2)
    logit_bias: dict[TokenKey, Bias] | None = Field(default=None, max_length=1024)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: ShortText | Annotated[list[ShortText], Field(max_length=MAX_STOP_STRINGS)] | None = None
    n: int = Field(default=1, ge=1, le=MAX_CHOICES, description="Choices to generate.")


class ChatInput(Sampling):
    """A chat."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[Tool] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ChatInput":
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.tool_choice not in (None, "none") and not self.tools:
            raise ValueError("tool_choice needs tools")
        if isinstance(self.tool_choice, NamedToolChoice):
            named = self.tool_choice.function.name
            if all(tool.function.name != named for tool in self.tools or ()):
                raise ValueError(f"tool_choice names a function that tools lacks: {named!r}")
        return self


Prompt = str | list[TokenId]


class CompletionInput(Sampling):
    """A text to go on with; several prompts make several choices."""

    prompt: str | Annotated[list[str], _PROMPTS] | TokenIds | Annotated[list[list[TokenId]], _PROMPTS]
    max_tokens: int | None = Field(default=16, ge=1, le=MAX_TOKENS, description="Tokens to generate at the most.")
    echo: bool = False
    logprobs: int | None = Field(default=None, ge=0, le=20)


class EmbeddingInput(Strict):
    """Texts to embed."""

    input: str | Annotated[list[str], _INPUTS] | TokenIds | Annotated[list[list[TokenId]], _INPUTS]
    dimensions: int | None = Field(default=None, ge=1, le=65_536)
