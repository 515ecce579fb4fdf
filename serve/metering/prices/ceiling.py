"""How much a call can consume at the most: what is reserved before it runs, and what an estimate says.

    prompt      a token is at least one byte of the text that a tokenizer reads, so bytes bound tokens. Tokenizers
                normalize before they read, which can make text longer: of text that is not plain ASCII the longest
                form counts. A chat template adds words of its own, for which there is an allowance, and prints tools
                and tools' answers as JSON, indented at the most. Should a template add more still, the engine refuses
                the prompt (`CallContext.max_prompt_tokens`): nothing costs more than was reserved for it.
    answer      `max_tokens`, or all of the context; of each choice of each prompt.
    pictures    all of them, in all their steps. The size of a picture made from another is the source's where that is
                known, else the largest that the model makes.
    GPU time    depends on what else runs: no input bounds it. A call takes no more of a GPU than it takes time, so
                its deadline bounds it, or `MAX_CALL_SECONDS` where it has none.

Everything is capped by the model's context where that is known.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from serve.domain.chat import MAX_TOKENS
from serve.domain.documents import DiffusionEngine, ModelSpec
from serve.domain.images import MAX_SIDE, ImageToImageInput, Sampler
from serve.domain.task import Task
from serve.domain.usage import Quantities

MAX_CALL_SECONDS = 3600.0
"""What the GPU time of a call without a deadline is bounded by."""
TEMPLATE_TOKENS = 256
"""What a chat template adds to any chat: a system message of its own, today's date, the answer's beginning."""
MESSAGE_TOKENS = 32
"""What it adds to each message: its frame, its role, the words around a tool's call or answer."""
TOOLS_TOKENS = 1024
"""What it adds to tools: how they are to be called."""
TEXT_TOKENS = 8
"""What a tokenizer adds to a text: marks of its beginning and end, a space before the first word."""
MAX_PIXELS = MAX_SIDE * MAX_SIDE
"""Of one picture, where the engine does not say."""
_TWICE = frozenset(
    {
        Sampler.DPM2,
        Sampler.DPM2_KARRAS,
        Sampler.DPM2_ANCESTRAL,
        Sampler.DPM2_ANCESTRAL_KARRAS,
        Sampler.HEUN,
        Sampler.HEUN_KARRAS,
    }
)
"""Samplers of second order: each of their steps runs the model twice."""
_WARM_UP = {Sampler.PNDM: 12}
"""Steps that a sampler may run beyond those asked for."""

Size = tuple[int, int]
"""(width, height) in pixels."""


def ceiling(
    task: Task,
    inputs: Mapping[str, Any],
    spec: ModelSpec,
    *,
    seconds: float | None = None,
    source_size: Size | None = None,
) -> Quantities:
    """An upper bound of what a call with these valid `inputs` consumes.

    `seconds` is how long it may take, `source_size` the size of the picture that it starts from.
    """
    gpu_ms = _gpu_ms(spec, MAX_CALL_SECONDS if seconds is None else seconds)
    if task in (Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE):
        return _pictures(task, inputs, spec, source_size, gpu_ms)
    if task is Task.EMBEDDING:
        num_prompt = sum(_prompt_tokens(text, spec) for text in _prompts(inputs["input"]))
        return Quantities(prompt_tokens=num_prompt, cached_prompt_tokens=num_prompt, gpu_ms=gpu_ms)
    if task is Task.CHAT:
        num_prompt, num_prompts = _capped(_chat_tokens(inputs), spec), 1
    else:
        prompts = _prompts(inputs["prompt"])
        num_prompt, num_prompts = sum(_prompt_tokens(text, spec) for text in prompts), len(prompts)
    return Quantities(
        prompt_tokens=num_prompt,
        cached_prompt_tokens=num_prompt,
        completion_tokens=num_prompts * int(inputs.get("n") or 1) * _answer_tokens(inputs, spec),
        gpu_ms=gpu_ms,
    )


def text_tokens(text: str) -> int:
    """At least as many as any tokenizer makes of `text`, its own marks left out."""
    if text.isascii():
        return len(text)
    plain = len(text.encode(errors="surrogatepass"))
    longest = unicodedata.normalize("NFKD", text.lower())
    return max(plain, len(longest.encode(errors="surrogatepass")))


def _gpu_ms(spec: ModelSpec, seconds: float) -> int:
    return int(spec.placement.gpus * max(0.0, seconds) * 1000) + 1 if spec.placement.gpus else 0


def _context(spec: ModelSpec) -> int | None:
    return getattr(spec.engine, "max_model_len", None)


def _capped(num_tokens: int, spec: ModelSpec) -> int:
    context = _context(spec)
    return num_tokens if context is None else min(num_tokens, context)


def _answer_tokens(inputs: Mapping[str, Any], spec: ModelSpec) -> int:
    asked = inputs.get("max_tokens")
    return _capped(MAX_TOKENS if asked is None else int(asked), spec)


def _prompts(given: Any) -> Sequence[str | Sequence[int]]:
    """OpenAI's four spellings of one or more prompts."""
    is_one = isinstance(given, str) or isinstance(given[0], int)
    return [given] if is_one else given


def _prompt_tokens(prompt: str | Sequence[int], spec: ModelSpec) -> int:
    return _capped(text_tokens(prompt) + TEXT_TOKENS if isinstance(prompt, str) else len(prompt), spec)


def _chat_tokens(inputs: Mapping[str, Any]) -> int:
    messages, tools = inputs["messages"], inputs.get("tools")
    total = TEMPLATE_TOKENS + sum(MESSAGE_TOKENS + _said(message) for message in messages)
    return total + (TOOLS_TOKENS + _as_json(tools) if tools else 0)


def _said(message: Mapping[str, Any]) -> int:
    """The tokens of one message's own words."""
    total = sum(map(text_tokens, _words(message)))
    if message["role"] == "tool":
        total += sum(_as_json(text) for text in _words(message))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        total += text_tokens(function["name"]) + _as_json(_loaded(function["arguments"])) + MESSAGE_TOKENS
        total += text_tokens(call["id"])
    return total


def _words(message: Mapping[str, Any]) -> Iterable[str]:
    for field in ("content", "name", "refusal", "tool_call_id"):
        value = message.get(field)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (part["text"] for part in value if isinstance(part.get("text"), str))


def _as_json(value: Any) -> int:
    """The tokens of `value`, printed as loosely as templates do."""
    return text_tokens(json.dumps(value, indent=4, ensure_ascii=False))


def _loaded(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _pictures(
    task: Task, inputs: Mapping[str, Any], spec: ModelSpec, source_size: Size | None, gpu_ms: int
) -> Quantities:
    num_images = int(inputs.get("num_images") or 1)
    pixels = num_images * _pixels(task, inputs, spec, source_size)
    num_steps = _steps(inputs)
    negative = inputs.get("negative_prompt") or ""
    return Quantities(
        prompt_tokens=text_tokens(inputs["prompt"]) + text_tokens(negative) + 2 * TEXT_TOKENS,
        images=num_images,
        pixels=pixels,
        steps=num_images * num_steps,
        pixel_steps=pixels * num_steps,
        input_images=sum(inputs.get(field) is not None for field in ("image", "mask")),
        gpu_ms=gpu_ms,
    )


def _steps(inputs: Mapping[str, Any]) -> int:
    """Of one image: `strength` of those asked for, as many as the sampler makes of them."""
    sampler, strength = inputs.get("sampler"), inputs.get("strength")
    asked = int(inputs["steps"])
    steps = asked if strength is None else min(asked, int(asked * strength))
    return steps * (2 if sampler in _TWICE else 1) + (_WARM_UP.get(Sampler(sampler), 0) if sampler else 0)


def _pixels(task: Task, inputs: Mapping[str, Any], spec: ModelSpec, source_size: Size | None) -> int:
    """Of one image."""
    width, height = inputs.get("width"), inputs.get("height")
    if width and height:
        return int(width) * int(height)
    if source_size is not None and task is Task.IMAGE_TO_IMAGE:
        asked = ImageToImageInput.model_validate({**inputs, "image": "asset:source", "mask": None})
        made_width, made_height = asked.result_size(*source_size)
        return made_width * made_height
    return spec.engine.max_pixels if isinstance(spec.engine, DiffusionEngine) else MAX_PIXELS
