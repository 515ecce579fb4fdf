"""Talks to AsyncLLM: one call becomes one request for each prompt, and their outputs become events."""

import math
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from deployments.engines.coalescing import BREATH_SECONDS, Pace, breathing, merged
from deployments.engines.prompts import Prompt
from deployments.engines.structured import Constraint
from deployments.engines.tools import AnswerReader
from deployments.engines.vllm_usage import CallUsage, UsageWatch
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import Event, EventBatch, Finished, TextDelta, TokenLogprob

WINDOW_SECONDS = 0.004
"""Tokens that come faster than this share a message."""
LEAST_LOGPROB = -9999.0
"""For minus infinity, which JSON does not have."""

_REASONS = {"stop": "stop", "length": "length", "repetition": "stop"}


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that the engine is told of one call."""

    prompts: Sequence[Prompt]
    sampling: Mapping[str, Any]
    new_reader: Callable[[int], AnswerReader]
    cache_salt: str
    stream: bool
    num_logprobs: int | None = None
    echo: bool = False
    constraint: Constraint | None = None
    lora: Any = None
    """vLLM's LoRARequest."""

    @property
    def num_choices(self) -> int:
        """Of each prompt."""
        return int(self.sampling["n"])


@dataclass(slots=True)
class _Witnessed:
    """What the engine's outputs for one prompt have said."""

    finished: bool = False
    stats: Any = None
    echoed: set[int] = field(default_factory=set)

    def see(self, output: Any) -> None:
        self.finished = self.finished or output.finished
        self.stats = output.metrics or self.stats


class Answering:
    """One call on its way through the engine: read its `batches`, then ask for `timing`."""

    def __init__(self, llm: Any, request: Request, watch: UsageWatch, usage: CallUsage) -> None:
        self._llm, self._watch, self._usage = llm, watch, usage
        self._request = request
        self._seen = [_Witnessed() for _ in request.prompts]
        num_readers = len(request.prompts) * request.num_choices
        self._readers = [request.new_reader(index) for index in range(num_readers)]

    async def batches(self) -> AsyncGenerator[EventBatch, None]:
        """Batches as they become ready, empty ones where there is nothing to tell; closing it aborts every request of
        the call. Usage is up to date at every batch.

        Raises:
            InvalidRequest, EngineFailed.
        """
        pace = Pace(WINDOW_SECONDS if self._request.stream else 0)
        streams = [self._outputs(i) for i in range(len(self._request.prompts))]
        outputs: AsyncGenerator[tuple[int, Any] | None, None] = merged(streams)
        if not self._request.stream:
            outputs = breathing(outputs, BREATH_SECONDS)
        async with aclosing(outputs) as ready:
            async for found in ready:
                events = [] if found is None else self._events(*found)
                self._usage.refresh()
                if events:
                    pace.sent()
                yield events
                if not self.is_done:
                    await pace.wait()

    @property
    def is_done(self) -> bool:
        """Every prompt has its whole answer; what was yielded last may wait for the usage."""
        return all(seen.finished for seen in self._seen)

    def timing(self) -> dict[str, float]:
        """Seconds queued, in prefill and in decode: of the prompt that took longest in each."""
        stats = [seen.stats for seen in self._seen if seen.stats is not None and seen.stats.first_token_ts]
        if not stats:
            return {}
        return {
            "queued": max(s.scheduled_ts - s.queued_ts for s in stats),
            "prefill": max(s.first_token_ts - s.scheduled_ts for s in stats),
            "decode": max(s.last_token_ts - s.first_token_ts for s in stats),
        }

    async def _outputs(self, position: int) -> AsyncGenerator[tuple[int, Any], None]:
        prompt = self._request.prompts[position]
        # The caller's request id may come twice (retries); the engine's must not.
        name = secrets.token_hex(8)
        with engine_errors():
            tokens = {"type": "token", "prompt_token_ids": prompt.token_ids, "cache_salt": self._request.cache_salt}
            sampling = sampling_params(self._request, prompt)
            outputs = self._llm.generate(tokens, sampling, name, lora_request=self._request.lora)
            async with self._watch.follow(name, self._usage), aclosing(outputs):
                async for output in outputs:
                    yield position, output

    def _events(self, position: int, output: Any) -> list[Event]:
        seen = self._seen[position]
        seen.see(output)
        events: list[Event] = []
        for choice in output.outputs:
            index = position * self._request.num_choices + choice.index
            if self._request.echo and index not in seen.echoed:
                seen.echoed.add(index)
                events.append(self._echo(position, index, output))
            events += self._said(index, choice)
        return events

    def _echo(self, position: int, index: int, output: Any) -> TextDelta:
        prompt = self._request.prompts[position]
        top = self._request.num_logprobs
        logprobs: tuple[TokenLogprob, ...] = ()
        if top is not None and output.prompt_logprobs:
            known = list(zip(prompt.token_ids, output.prompt_logprobs, strict=False))[1:]
            rest = [token_logprob(token, entry, top) for token, entry in known]
            num_first = len(prompt.text) - sum(len(entry.token) for entry in rest)
            logprobs = (TokenLogprob(prompt.text[: max(num_first, 0)], math.nan), *rest)
        return TextDelta(prompt.text, index, logprobs)

    def _said(self, index: int, choice: Any) -> list[Event]:
        """What one output of one choice says."""
        reader = self._readers[index]
        events: list[Event] = list(reader.feed(choice.text, choice.token_ids))
        if self._request.num_logprobs is not None and choice.logprobs:
            events = _with_logprobs(events, index, self._logprobs(choice, self._request.num_logprobs))
        if choice.finish_reason is not None:
            events += reader.finish()
            events.append(Finished(_reason(choice.finish_reason, reader), index))
        return events

    def _logprobs(self, choice: Any, num_top: int) -> tuple[TokenLogprob, ...]:
        pairs = zip(choice.token_ids, choice.logprobs, strict=False)
        return tuple(token_logprob(token, known, num_top) for token, known in pairs)


@contextmanager
def engine_errors() -> Iterator[None]:
    """Makes vLLM's exceptions ours."""
    from vllm.exceptions import VLLMClientError, VLLMServerError
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except EngineDeadError as error:
        raise EngineFailed("The model's engine has died; it is being replaced.", "engine_dead") from error
    except VLLMServerError as error:
        raise EngineFailed("The model's engine failed on this request.") from error
    except VLLMClientError as error:
        raise InvalidRequest(str(error)[:500], "", getattr(error, "parameter", None)) from error


def sampling_params(request: Request, prompt: Prompt) -> Any:
    """vLLM's SamplingParams for one prompt of a request."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    wanted = request.constraint
    return SamplingParams(
        **request.sampling,
        max_tokens=prompt.max_tokens,
        logprobs=request.num_logprobs,
        prompt_logprobs=request.num_logprobs if request.echo else None,
        structured_outputs=StructuredOutputsParams(json=wanted.schema) if wanted else None,
        output_kind=RequestOutputKind.DELTA if request.stream else RequestOutputKind.FINAL_ONLY,
    )


def token_logprob(token: int, known: Mapping[int, Any] | None, num_top: int) -> TokenLogprob:
    """One token's log probability with the `num_top` likeliest at its place; NaN where there is none."""
    if known is None or token not in known:
        return TokenLogprob("", math.nan)
    own = known[token]
    best = sorted((entry for entry in known.values() if entry.rank is not None), key=lambda entry: entry.rank)
    top = tuple((entry.decoded_token or "", max(entry.logprob, LEAST_LOGPROB)) for entry in best[:num_top])
    return TokenLogprob(own.decoded_token or "", max(own.logprob, LEAST_LOGPROB), top)


def _with_logprobs(events: list[Event], index: int, logprobs: tuple[TokenLogprob, ...]) -> list[Event]:
    """Log probabilities ride on the text they belong to; tokens without text yet get an empty delta."""
    for position, event in enumerate(events):
        if isinstance(event, TextDelta):
            events[position] = TextDelta(event.text, index, logprobs)
            return events
    return [TextDelta("", index, logprobs), *events]


def _reason(finish_reason: str, reader: AnswerReader) -> str:
    reason = _REASONS.get(finish_reason)
    if reason is None:
        raise EngineFailed("The model's engine gave up on this request.")
    return "tool_calls" if reason == "stop" and reader.num_calls else reason
