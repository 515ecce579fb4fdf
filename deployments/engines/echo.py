"""The echo engine: deterministic words and pictures at a set pace, for load, chaos and contract tests behind real
replicas.

A token is a word between white space. A chat answers with the last user message's words, a completion with its
prompt's; without `max_tokens` once, with it over and over up to that many. After `prefill_ms` a token comes every
`token_ms`; with 0 hundreds go in a batch. Usage is exact: words of all messages in, words out. `stop`, `n` and `seed`
are taken. A response format or a tool choice that asks for JSON is answered with the smallest instance of its schema.
An embedding is a unit vector of 8 numbers, made from the text's SHA-256. A picture is a pattern of colours made from
the prompt and the seed, and a denoising step comes every `step_ms` (see `echo_images`).

Adapters are real files, read and checked in `adapter_load_ms`; what they hold is of no matter. An answer with adapters
begins with their names, the first 8 digits of their digests and their scales, as `[stripes@1f0c9ab2 x 0.5] ` or
`[outline@00c1d2e3 x 1, stripes@1f0c9ab2 x 0.5] `: not counted as tokens, and not in answers that must be JSON. A
picture's pattern and metadata, and an embedding, are made from the same words. A call fails whose adapter is closed
before its end.

Two messages are orders, for chaos tests of what stands around an engine:

    !wedge   the engine stops: this call and all later ones hang, and `check_health` raises EngineFailed
    !crash   the call raises an internal error
"""

import asyncio
import hashlib
import json
import struct
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

from deployments.engines.chat_format import offered_tools, text_of
from deployments.engines.counts import Counts, OpenCall, check_reserved
from deployments.engines.echo_adapters import EchoAdapter, check_open, read_echo_adapter, tag_of
from deployments.engines.echo_images import paint, read_painting
from deployments.engines.engine import AdapterFolder, AppliedAdapter, EngineBatch, Produced
from deployments.engines.generation_plan import (
    Limits,
    answer_tokens,
    completion_prompts,
    num_logprobs,
    prompt_param,
    read_inputs,
    stop_strings,
)
from deployments.engines.json_instances import minimal_instance
from deployments.engines.vectors import check_dimensions, embedding_inputs, embedding_param, float32_vector
from serve.domain.chat import (
    ChatInput,
    CompletionInput,
    EmbeddingInput,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedToolChoice,
)
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import EngineFailed
from serve.domain.generation import (
    Completed,
    Event,
    EventBatch,
    Finished,
    ModelCall,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Vector,
)
from serve.domain.task import Task
from serve.domain.usage import Tally

WEDGE = "!wedge"
CRASH = "!crash"
NUM_DIMENSIONS = 8
TOKENS_PER_BATCH = 512
"""Of one choice, when nothing paces them."""
NUM_TOKEN_IDS = 2**31


@dataclass(frozen=True, slots=True)
class _Choice:
    """What one choice will say: its tokens as text, or a tool call's parts."""

    index: int
    tokens: Sequence[str]
    reason: str
    tool: str = ""
    prefix: str = ""
    """Given out first, and not generated: the names of adapters, an echoed prompt."""
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    num_prompt_tokens: int
    choices: list[_Choice] = field(default_factory=list)
    num_logprobs: int | None = None

    @property
    def num_tokens(self) -> int:
        return sum(len(choice.tokens) for choice in self.choices)

    def tagged(self, tag: str) -> "_Answer":
        """With `tag` before every choice that is words."""
        choices = [c if c.is_json else replace(c, prefix=tag + c.prefix) for c in self.choices]
        return replace(self, choices=choices)


class EchoEngine:
    """See the module. One instance may serve any number of calls at once; bounding them is not its job."""

    def __init__(self, spec: EchoSpec) -> None:
        self._spec = spec
        self._limits = Limits(spec.max_model_len, NUM_TOKEN_IDS)
        self._counts = Counts()
        self._wedged = False
        self._num_prepared = 0

    async def start(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        """There is nothing to free."""

    async def check_health(self) -> None:
        """Raises EngineFailed after `!wedge`."""
        if self._wedged:
            raise EngineFailed("The echo engine is wedged: a message told it to stop.", "engine_stuck")

    def counters(self) -> Mapping[str, float]:
        """As the Protocol has them."""
        return self._counts.snapshot() | {"adapters_prepared_total": self._num_prepared}

    async def prepare_adapter(self, folder: AdapterFolder) -> EchoAdapter:
        """See the Protocol."""
        await asyncio.sleep(self._spec.adapter_load_ms / 1000)
        prepared = await asyncio.to_thread(read_echo_adapter, folder)
        self._num_prepared += 1
        return prepared

    async def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[Sequence[Event | Produced], None]:
        """See the Protocol."""
        with self._counts.call(tally) as open_call:
            check_open(adapters)
            batches: AsyncGenerator[Sequence[Event | Produced], None]
            if call.task is Task.EMBEDDING:
                batches = self._embed(call, tag_of(adapters), open_call)
            elif call.task in (Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE):
                batches = self._paint(call, tag_of(adapters), open_call)
            else:
                batches = self._speak(call, tag_of(adapters), open_call)
            async for batch in batches:
                check_open(adapters)
                yield batch

    async def _paint(self, call: ModelCall, tag: str, open_call: OpenCall) -> AsyncGenerator[EngineBatch, None]:
        painting = replace(await asyncio.to_thread(read_painting, call), tag=tag)
        self._obey(painting.inputs.prompt)
        check_reserved(painting.num_prompt_tokens, call.context, "prompt")
        began, num_pixels = time.monotonic(), painting.width * painting.height
        open_call.prompt_tokens(painting.num_prompt_tokens)
        open_call.tally.input_images += painting.num_input_images

        async def step() -> None:
            await self._pause(self._spec.step_ms / 1000)
            open_call.stepped(painting.inputs.num_images, num_pixels)

        whole: EngineBatch = []
        async for batch in paint(painting, call.stream, step, asyncio.to_thread):
            for _ in (event for event in batch if isinstance(event, Produced)):
                open_call.painted(num_pixels)
            whole += () if call.stream else batch
            yield batch if call.stream else []
        open_call.done()
        yield [*whole, Completed(open_call.tally.quantities(), {"denoise": time.monotonic() - began})]

    async def _speak(self, call: ModelCall, tag: str, open_call: OpenCall) -> AsyncGenerator[EventBatch, None]:
        answer = self._answer(call).tagged(tag)
        check_reserved(answer.num_prompt_tokens, call.context, _prompt_param(call))
        open_call.prompt_tokens(answer.num_prompt_tokens)
        started_at = time.monotonic()
        await self._pause(self._spec.prefill_ms / 1000)
        prefilled_at = time.monotonic()
        whole: EventBatch = []
        async for batch in self._paced(answer, open_call):
            whole += () if call.stream else batch
            yield batch if call.stream else []
        timing = {"prefill": prefilled_at - started_at, "decode": time.monotonic() - prefilled_at}
        open_call.done()
        yield [*whole, Completed(open_call.tally.quantities(), timing)]

    async def _pause(self, seconds: float) -> None:
        """Sleep, or for ever once the engine is wedged; never less than one turn of the loop."""
        await asyncio.sleep(seconds)
        while self._wedged:
            await asyncio.sleep(3600)

    async def _paced(self, answer: _Answer, open_call: OpenCall) -> AsyncGenerator[EventBatch, None]:
        """The tokens that are due, all choices in step; a late loop finds several due and sends them together."""
        per_token = self._spec.token_ms / 1000
        begun_at, position = time.monotonic(), 0
        num_steps = max((len(choice.tokens) for choice in answer.choices), default=0)
        while position < num_steps or position == 0:
            await self._pause(max(0.0, begun_at + (position + 1) * per_token - time.monotonic()))
            due = int((time.monotonic() - begun_at) / per_token) if per_token else position + TOKENS_PER_BATCH
            end = min(max(due, position + 1), max(num_steps, 1), position + TOKENS_PER_BATCH)
            events = [event for choice in answer.choices for event in _events(choice, answer, position, end)]
            open_call.generated(sum(len(choice.tokens[position:end]) for choice in answer.choices))
            position = end
            yield events

    def _answer(self, call: ModelCall) -> _Answer:
        if call.task is Task.COMPLETION:
            return self._completion(read_inputs(CompletionInput, call.inputs))
        return self._chat(read_inputs(ChatInput, call.inputs))

    def _obey(self, text: str) -> None:
        if text.strip() == CRASH:
            raise RuntimeError("the echo engine was told to crash")
        if text.strip() == WEDGE:
            self._wedged = True

    def _chat(self, chat: ChatInput) -> _Answer:
        texts = [text_of(message.content, f"messages.{i}") for i, message in enumerate(chat.messages)]
        said = [text for text, message in zip(texts, chat.messages, strict=True) if message.role == "user"]
        last = said[-1] if said else texts[-1]
        self._obey(last)
        num_prompt_tokens = sum(len(text.split()) for text in texts)
        num_tokens = answer_tokens(num_prompt_tokens, chat.max_tokens, self._limits, "messages")
        forced = _forced(chat)
        if forced is not None:
            tool, text = forced
            tokens = [text] if tool else _words(text, None)
            reason = "tool_calls" if tool else "stop" if len(tokens) <= num_tokens else "length"
            tokens = tokens[:num_tokens]
            choices = [_Choice(i, tokens, reason, tool, is_json=True) for i in range(chat.n)]
        else:
            spoken, reason = _spoken(last, chat, num_tokens)
            choices = [_Choice(i, spoken, reason) for i in range(chat.n)]
        return _Answer(num_prompt_tokens, choices, num_logprobs(chat))

    def _completion(self, inputs: CompletionInput) -> _Answer:
        answer = _Answer(0, [], num_logprobs(inputs))
        num_prompt_tokens = 0
        for i, prompt in enumerate(completion_prompts(inputs)):
            text = _text(prompt)
            self._obey(text)
            num_tokens = answer_tokens(len(text.split()), inputs.max_tokens, self._limits, prompt_param(inputs, i))
            num_prompt_tokens += len(text.split())
            spoken, reason = _spoken(text, inputs, num_tokens)
            prefix = text if inputs.echo else ""
            answer.choices.extend(_Choice(i * inputs.n + j, spoken, reason, "", prefix) for j in range(inputs.n))
        return _Answer(num_prompt_tokens, answer.choices, answer.num_logprobs)

    async def _embed(self, call: ModelCall, tag: str, open_call: OpenCall) -> AsyncGenerator[EventBatch, None]:
        inputs = read_inputs(EmbeddingInput, call.inputs)
        check_dimensions(inputs.dimensions, NUM_DIMENSIONS)
        dimensions = inputs.dimensions or NUM_DIMENSIONS
        texts = [_text(given) for given in embedding_inputs(inputs)]
        for i, text in enumerate(texts):
            self._obey(text)
            answer_tokens(len(text.split()) - 1, None, self._limits, embedding_param(inputs, i))
        num_tokens = sum(len(text.split()) for text in texts)
        check_reserved(num_tokens, call.context, "input")
        await self._pause(self._spec.prefill_ms / 1000)
        open_call.prompt_tokens(num_tokens)
        vectors = [Vector(i, _unit_vector(tag + text, dimensions)) for i, text in enumerate(texts)]
        open_call.done()
        yield [*vectors, Completed(open_call.tally.quantities())]


def _prompt_param(call: ModelCall) -> str:
    return "prompt" if call.task is Task.COMPLETION else "messages"


def _words(text: str, num_tokens: int | None) -> list[str]:
    """The tokens of `text`, over and over up to `num_tokens`; joined they are text with single spaces."""
    words = text.split()
    chosen = words if num_tokens is None else list(islice(cycle(words), num_tokens))
    return [word if i == 0 else " " + word for i, word in enumerate(chosen)]


def _spoken(text: str, sampling: ChatInput | CompletionInput, num_tokens: int) -> tuple[list[str], str]:
    """Tokens and the reason why they end there."""
    num_words = len(text.split())
    is_asked = sampling.max_tokens is not None
    tokens = _words(text, num_tokens if is_asked else min(num_tokens, num_words))
    reason = "length" if is_asked or num_words > num_tokens else "stop"
    return _stopped(tokens, stop_strings(sampling), reason)


def _stopped(tokens: list[str], stops: list[str], reason: str) -> tuple[list[str], str]:
    text = "".join(tokens)
    cuts = [position for stop in stops if (position := text.find(stop)) >= 0]
    if not cuts:
        return tokens, reason
    kept, room = [], min(cuts)
    for token in tokens:
        if room <= 0:
            break
        kept.append(token[:room])
        room -= len(token)
    return kept, "stop"


def _forced(chat: ChatInput) -> tuple[str, str] | None:
    """The tool to call and its arguments, or "" and the JSON to answer with; None for words."""
    tools = offered_tools(chat)
    if chat.tool_choice == "required" or isinstance(chat.tool_choice, NamedToolChoice):
        function = tools[0].function
        return function.name, json.dumps(minimal_instance(function.parameters or {}))
    if isinstance(chat.response_format, JsonSchemaFormat):
        return "", json.dumps(minimal_instance(chat.response_format.json_schema.schema_))
    return ("", "{}") if isinstance(chat.response_format, JsonObjectFormat) else None


def _events(choice: _Choice, answer: _Answer, begin: int, end: int) -> Iterator[Event]:
    """What a choice says between two positions, and that it is finished."""
    tokens = choice.tokens[begin:end]
    if choice.tool and begin == 0:
        call_id = "call_" + hashlib.sha256(f"{choice.index} {choice.tool}".encode()).hexdigest()[:24]
        yield ToolCallDelta(0, choice.index, call_id, choice.tool, "".join(tokens))
    elif not choice.tool:
        text = (choice.prefix if begin == 0 else "") + "".join(tokens)
        logprobs = () if answer.num_logprobs is None else tuple(_logprob(t, answer.num_logprobs) for t in tokens)
        if text:
            yield TextDelta(text, choice.index, logprobs)
    if begin <= max(len(choice.tokens) - 1, 0) < end:
        yield Finished(choice.reason, choice.index)


def _logprob(token: str, num_top: int) -> TokenLogprob:
    """The engine is always sure."""
    return TokenLogprob(token, 0.0, ((token, 0.0),) if num_top else ())


def _text(given: str | list[int]) -> str:
    """Token ids are words to this engine."""
    return given if isinstance(given, str) else " ".join(map(str, given))


def _unit_vector(text: str, dimensions: int) -> bytes:
    return float32_vector(struct.unpack("<8i", hashlib.sha256(text.encode()).digest()), dimensions)
