"""vLLM behind the Engine Protocol.

`start` builds AsyncLLM in a thread, so that the replica's event loop lives meanwhile. A call is prepared here
(template, tokens, limits, schema), answered by `vllm_requests`, and watched by `engine_pulse`. Nothing that a caller
sends reaches the engine's core unchecked: it is one process for all tenants.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from deployments.engines import generation_plan as plans
from deployments.engines.adapter_files import takes_none
from deployments.engines.chat_format import offered_tools
from deployments.engines.counts import Counts, OpenCall, check_reserved
from deployments.engines.engine import AdapterFolder, AppliedAdapter, PreparedAdapter
from deployments.engines.engine_pulse import EnginePulse
from deployments.engines.prompts import Prompts
from deployments.engines.structured import SchemaGate, constraint, unenforced_words
from deployments.engines.tools import CLOSE_TAG, OPEN_TAG, AnswerReader, ForcedCalls, HermesCalls, PlainText
from deployments.engines.vllm_adapter_files import read_language_adapter
from deployments.engines.vllm_adapters import LoadedMixtures
from deployments.engines.vllm_embedding import embed
from deployments.engines.vllm_requests import Answering, Request, engine_errors
from deployments.engines.vllm_settings import apply_environment, engine_arguments
from deployments.engines.vllm_tools import NamedParserCalls, parser_class, skips_special_tokens
from deployments.engines.vllm_usage import CallUsage, UsageWatch
from serve.catalog.layouts import layout_of
from serve.domain.chat import ChatInput, CompletionInput, NamedToolChoice
from serve.domain.documents import AdapterPolicy
from serve.domain.documents import VllmEngine as VllmSpec
from serve.domain.errors import EngineFailed
from serve.domain.generation import Completed, EventBatch, ModelCall
from serve.domain.task import Task
from serve.domain.usage import Tally

QUIET_SECONDS = 12.0
"""After this long without a step, a health check generates a token to see whether the engine still can."""
PROBE_SECONDS = 10.0
"""How long that may take. A long prefill on a slow CPU is not a death; and a wedged engine must be found, and replaced,
within a minute of its last step, which leaves Ray three checks."""


class VllmEngine:
    """One model in one AsyncLLM: its own process on CPU, one more for each GPU when tensor parallel."""

    def __init__(
        self, spec: VllmSpec, weights: Path, name: str, num_gpus: float, adapters: AdapterPolicy | None = None
    ) -> None:
        self._spec = spec
        self._policy = adapters or AdapterPolicy()
        self._mixtures: LoadedMixtures | None = None
        self._num_prepared = 0
        self._weights = weights
        self._name = name
        self._num_gpus = num_gpus
        self._llm: Any = None
        self._pulse = EnginePulse()
        self._counts = Counts()
        self._probes = Tally()
        self._watch: UsageWatch | None = None
        self._stuck_at_step: int | None = None
        self.start_seconds: dict[str, float] = {}
        """Seconds by phase of the start, once started."""

    async def start(self) -> None:
        """See the Protocol."""
        apply_environment(self._num_gpus, self._spec.enforce_eager)
        begun_at = time.monotonic()
        try:
            await asyncio.to_thread(self._import)
            imported_at = time.monotonic()
            self._llm = await asyncio.to_thread(self._build)
            self._watch = UsageWatch(self._llm)
            if self._policy.enabled:
                await self._take_adapters()
        except Exception as error:
            raise EngineFailed(f"vLLM did not start: {str(error)[:500]}", "engine_start_failed") from error
        self.start_seconds = {"imports": imported_at - begun_at, "engine": time.monotonic() - imported_at}
        config = self._llm.model_config
        self._limits = plans.Limits(config.max_model_len, config.get_vocab_size())
        self._tokenizer = self._llm.get_tokenizer()
        self._prompts = Prompts(self._tokenizer, self._limits)
        self._schemas = SchemaGate(_schema_compiler(self._tokenizer, self._limits.vocab_size))
        self._parser = parser_class(self._spec.tool_parser)

    async def close(self) -> None:
        """See the Protocol."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        self._prompts.close()
        self._schemas.close()
        mixtures, self._mixtures = self._mixtures, None
        if mixtures is not None:
            await mixtures.close()
        # Else it takes the shutdown for a death, and says so at length.
        llm.output_handler.cancel()
        await asyncio.to_thread(llm.shutdown)
        await asyncio.sleep(0)
        _end_context(llm.engine_core.resources)

    async def prepare_adapter(self, folder: AdapterFolder) -> PreparedAdapter:
        """See the Protocol. Plain LoRA alone, of a rank up to the card's."""
        if self._mixtures is None:
            raise takes_none()
        prepared = await asyncio.to_thread(read_language_adapter, folder, self._layout, self._policy.max_rank)
        self._num_prepared += 1
        return prepared

    async def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        """See the Protocol."""
        self._require_running()
        with self._counts.call(tally) as open_call:
            if call.task is Task.EMBEDDING:
                if adapters:
                    raise takes_none()
                batches = self._embedding(call, open_call)
            else:
                batches = self._text(call, adapters, open_call)
            async with aclosing(batches):
                async for batch in batches:
                    yield batch

    async def check_health(self) -> None:
        """See the Protocol."""
        self._require_running()
        with engine_errors():
            await self._llm.check_health()
        if self._pulse.quiet_seconds() > QUIET_SECONDS:
            await self._probe()

    def counters(self) -> Mapping[str, float]:
        """See the Protocol. Tokens are what the engine says it computed, its own health checks left out, and prompts
        counted once for all choices."""
        return self._counts.snapshot() | {
            **self._tokens(),
            "unfinished_sequences": self._llm.get_num_unfinished_requests() if self._llm else 0,
            "decoding_sequences": self._pulse.num_running,
            "waiting_sequences": self._pulse.num_waiting,
            "kv_cache_usage": self._pulse.kv_cache_usage,
            "preempted_total": self._pulse.preempted,
            "adapters_prepared_total": self._num_prepared,
            **(self._mixtures.counters() if self._mixtures is not None else {}),
        }

    def _tokens(self) -> dict[str, float]:
        watch, probes = self._watch, self._probes
        if watch is None:
            return {}
        return {
            "prompt_tokens_total": watch.prompt_tokens - watch.repeated_prompt_tokens - probes.prompt_tokens,
            "generation_tokens_total": watch.generation_tokens - probes.completion_tokens,
            "repeated_prompt_tokens_total": watch.repeated_prompt_tokens,
        }

    def _require_running(self) -> UsageWatch:
        if self._llm is None or self._watch is None:
            raise EngineFailed("The engine is not running.", "engine_dead")
        return self._watch

    def _import(self) -> None:
        import vllm.v1.engine.async_llm  # noqa: F401 - timed apart: it takes as long as the rest

    def _build(self) -> Any:
        from vllm.config import StructuredOutputsConfig
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments = engine_arguments(self._spec, self._weights, self._name, self._num_gpus, self._policy)
        # One backend, named: "auto" lets the first request of a process decide for all later ones. Without white
        # space between tokens small models cannot spend their whole answer on it.
        structured = StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True)
        engine = AsyncEngineArgs(**arguments, structured_outputs_config=structured)
        return AsyncLLM.from_engine_args(engine, stat_loggers=[self._pulse.attach])

    async def _take_adapters(self) -> None:
        self._layout = await asyncio.to_thread(layout_of, self._weights)
        self._mixtures = await asyncio.to_thread(LoadedMixtures, self._llm, self._policy.max_rank)

    async def _text(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter], open_call: OpenCall
    ) -> AsyncGenerator[EventBatch, None]:
        if call.task is Task.CHAT:
            request = await self._chat(plans.read_inputs(ChatInput, call.inputs), call)
        else:
            request = await self._completion(plans.read_inputs(CompletionInput, call.inputs), call)
        num_prompt_tokens = sum(len(prompt.token_ids) for prompt in request.prompts)
        check_reserved(num_prompt_tokens, call.context, "messages" if call.task is Task.CHAT else "prompt")
        async with self._applied(adapters) as lora:
            usage = CallUsage(open_call.tally)
            answering = Answering(self._llm, replace(request, lora=lora), self._require_running(), usage)
            held: EventBatch = []
            async with aclosing(answering.batches()) as batches:
                async for batch in batches:
                    if call.stream and not answering.is_done:
                        yield batch
                    else:
                        held += batch
                        yield []
            open_call.done()
            yield [*held, Completed(open_call.tally.quantities(), answering.timing())]

    def _applied(self, adapters: Sequence[AppliedAdapter]) -> AbstractAsyncContextManager[Any]:
        """vLLM's LoRARequest for what `adapters` add up to, or None."""
        if self._mixtures is not None:
            return self._mixtures.hold(adapters)
        if adapters:
            raise takes_none()
        return nullcontext()

    async def _embedding(self, call: ModelCall, open_call: OpenCall) -> AsyncGenerator[EventBatch, None]:
        batches = embed(self._llm, call, self._prompts, self._limits, self._require_running(), open_call)
        async with aclosing(batches):
            async for batch in batches:
                yield batch

    async def _chat(self, chat: ChatInput, call: ModelCall) -> Request:
        wanted = constraint(chat)
        sampling = plans.sampling_arguments(chat, self._limits)
        prompts = await self._prompts.of_chat(chat)
        if wanted is not None:
            await self._schemas.admit(wanted)
        if _may_call(chat):
            sampling |= self._tool_sampling(chat, sampling)
        return Request(
            prompts=prompts,
            sampling=sampling,
            new_reader=self._new_reader(chat),
            cache_salt=plans.cache_salt(call.context.tenant),
            stream=call.stream,
            num_logprobs=plans.num_logprobs(chat),
            constraint=wanted,
        )

    async def _completion(self, inputs: CompletionInput, call: ModelCall) -> Request:
        sampling = plans.sampling_arguments(inputs, self._limits)
        return Request(
            prompts=await self._prompts.of_completion(inputs),
            sampling=sampling,
            new_reader=PlainText,
            cache_salt=plans.cache_salt(call.context.tenant),
            stream=call.stream,
            num_logprobs=plans.num_logprobs(inputs),
            echo=inputs.echo,
        )

    def _new_reader(self, chat: ChatInput) -> Callable[[int], AnswerReader]:
        """What reads each choice: it depends on whether calls are forced, possible, or out of the question."""
        names = [tool.function.name for tool in offered_tools(chat)]
        choice = chat.tool_choice
        if isinstance(choice, NamedToolChoice):
            return lambda index: ForcedCalls(index, names, _call_id, choice.function.name)
        if choice == "required":
            return lambda index: ForcedCalls(index, names, _call_id)
        if not _may_call(chat):
            return PlainText
        max_calls = None if chat.parallel_tool_calls else 1
        if self._parser is not None:
            parser, tokenizer = self._parser, self._tokenizer
            return lambda index: NamedParserCalls(index, parser, tokenizer, chat, _call_id, max_calls)
        return lambda index: HermesCalls(index, names, _call_id, max_calls)

    def _tool_sampling(self, chat: ChatInput, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """What changes when the model may call: tags must not be skipped, and one call may be all that is wanted."""
        changes: dict[str, Any] = {}
        if self._parser is not None:
            changes["skip_special_tokens"] = skips_special_tokens(self._parser, self._tokenizer, chat)
        elif OPEN_TAG in self._tokenizer.all_special_tokens:
            changes["skip_special_tokens"] = False
        if self._parser is None and not chat.parallel_tool_calls:
            changes["stop"] = [*sampling["stop"], CLOSE_TAG]
        return changes

    async def _probe(self) -> None:
        """One token, unless a step of other work shows in the meantime that the engine lives.

        An engine that failed to give one is not asked again until it has made a step.
        """
        num_steps = self._pulse.num_steps
        if self._stuck_at_step == num_steps:
            raise self._stuck()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                with engine_errors():
                    await self._probe_once()
        except TimeoutError:
            if self._pulse.num_steps == num_steps:
                self._stuck_at_step = num_steps
                raise self._stuck() from None

    def _stuck(self) -> EngineFailed:
        seconds = int(self._pulse.quiet_seconds())
        return EngineFailed(f"The engine has made no step for {seconds} seconds.", "engine_stuck")

    async def _probe_once(self) -> None:
        from vllm import PoolingParams, SamplingParams

        tokens = {"type": "token", "prompt_token_ids": [0], "cache_salt": "health check"}
        name = "health-" + secrets.token_hex(8)
        if self._spec.runner == "pooling":
            outputs = self._llm.encode(tokens, PoolingParams(task="embed"), name)
        else:
            outputs = self._llm.generate(tokens, SamplingParams(max_tokens=1, detokenize=False), name)
        probe = Tally()
        try:
            async with self._require_running().follow(name, CallUsage(probe)), aclosing(outputs):
                async for _ in outputs:
                    pass
        finally:
            self._probes.prompt_tokens += probe.prompt_tokens
            self._probes.completion_tokens += probe.completion_tokens


def _end_context(resources: Any) -> None:
    """vLLM closes its ZeroMQ sockets, from the loop, and leaves their context to the garbage collector's complaints."""
    sockets = (resources.input_socket, resources.output_socket, resources.stats_update_socket)
    # A context with open sockets would wait for them without end.
    if all(socket is None or socket.closed for socket in sockets):
        resources.ctx.destroy(linger=0)


def _may_call(chat: ChatInput) -> bool:
    """Whether the model decides between words and calls. A response format leaves it no choice."""
    is_free = chat.response_format is None or chat.response_format.type == "text"
    return bool(chat.tools) and chat.tool_choice in (None, "auto") and is_free


def _call_id() -> str:
    return "call_" + secrets.token_hex(12)


def _schema_compiler(tokenizer: Any, vocab_size: int) -> Callable[[str], None]:
    """What `SchemaGate` runs in a thread: the compilation that the engine's core will do, with nothing kept."""
    import xgrammar
    from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features

    vocabulary = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocab_size)

    def compile_schema(text: str) -> None:
        schema = json.loads(text)
        if has_xgrammar_unsupported_json_features(schema):
            words = " or ".join(repr(word) for word in unenforced_words(schema))
            raise ValueError(f"its use of {words} cannot be enforced; leave it out")
        compiler = xgrammar.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
        grammar = compiler.compile_json_schema(text, any_whitespace=False, separators=(",", ":"))
        first_tokens = xgrammar.allocate_token_bitmask(1, vocab_size)
        xgrammar.GrammarMatcher(grammar).fill_next_token_bitmask(first_tokens)
        if not first_tokens.any():
            raise ValueError("no answer can satisfy it; perhaps a $ref leads back to itself")

    return compile_schema
