"""What each call consumes, at vLLM's own count.

vLLM counts where its output processor takes in the core's outputs: a prompt when its prefill is done, a token when it
comes out. This module listens at that very place, and attributes what is counted there to calls. So a call that is
aborted has consumed what was computed for it, delivered or not; and the engine's counters, which are vLLM's sums, and
the calls' tallies come from two sides of one addition.

The prompt of a call with several choices is read by vLLM once for each; it counts once, and the other readings are
`repeated_prompt_tokens`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from serve.domain.usage import Tally


class CallUsage:
    """What one call's requests consume."""

    __slots__ = ("_states", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._states: list[Any] = []

    def add(self, state: Any) -> None:
        """A sequence of the call is on its way into the engine; `state` is vLLM's RequestState."""
        self._states.append(state)

    def read(self, num_tokens: int, num_cached: int) -> None:
        """A prompt of the call was read, a part of it from the cache."""
        self._tally.prompt_tokens += num_tokens
        self._tally.cached_prompt_tokens += num_cached

    def refresh(self) -> None:
        """Bring the tally up to date. Once per batch, not per token: vLLM keeps the counts."""
        num_tokens = 0
        for state in self._states:
            num_tokens += state.stats.num_generation_tokens
        self._tally.completion_tokens = num_tokens


@dataclass(slots=True)
class _Followed:
    """One request, of one prompt: a sequence for each choice."""

    usage: CallUsage
    states: dict[str, Any] = field(default_factory=dict)
    is_read: bool = False


class UsageWatch:
    """Stands between AsyncLLM and its output processor, and follows the calls that it is told of."""

    def __init__(self, llm: Any) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.repeated_prompt_tokens = 0
        self._llm = llm
        self._processor = processor = llm.output_processor
        self._followed: dict[str, _Followed] = {}
        self._states: dict[str, tuple[Any, _Followed]] = {}
        self._add_request, self._process_outputs = processor.add_request, processor.process_outputs
        processor.add_request, processor.process_outputs = self._added, self._processed

    @asynccontextmanager
    async def follow(self, name: str, usage: CallUsage) -> AsyncIterator[None]:
        """Attribute the request that is given to vLLM as `name` inside to `usage`. It has left the engine after."""
        followed = self._followed[name] = _Followed(usage)
        try:
            yield
        finally:
            # A caller that goes while its request is on the way to the core leaves it there without a reader.
            try:
                if left := [each for each in followed.states if each in self._processor.request_states]:
                    await self._llm.abort(left, internal=True)
            finally:  # whoever is canceled twice is counted all the same
                usage.refresh()
                del self._followed[name]
                for each in followed.states:
                    del self._states[each]

    def _added(self, request: Any, *arguments: Any, **named: Any) -> None:
        self._add_request(request, *arguments, **named)
        if (followed := self._followed.get(request.external_req_id)) is not None:
            state = followed.states[request.request_id] = self._processor.request_states[request.request_id]
            self._states[request.request_id] = state, followed
            followed.usage.add(state)

    def _processed(self, outputs: Sequence[Any], timestamp: Any = None, stats: Any = None, **named: Any) -> Any:
        """What vLLM adds up over a step, and, where it has read prompts, whose they were."""
        if stats is None:
            return self._process_outputs(outputs, timestamp, stats, **named)
        num_read, num_generated = stats.num_prompt_tokens, stats.num_generation_tokens
        done = self._process_outputs(outputs, timestamp, stats, **named)
        self.generation_tokens += stats.num_generation_tokens - num_generated
        if num_read := stats.num_prompt_tokens - num_read:
            self.prompt_tokens += num_read
            self._attribute(outputs)
        return done

    def _attribute(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            read = output.prefill_stats
            if read is None or output.request_id not in self._states:
                continue
            state, followed = self._states[output.request_id]
            if state.is_prefilling:
                continue  # aborted before its prompt was read: vLLM has not looked at this output either
            if followed.is_read:
                self.repeated_prompt_tokens += read.num_prompt_tokens
            else:
                followed.is_read = True
                followed.usage.read(read.num_prompt_tokens, read.num_cached_tokens)
