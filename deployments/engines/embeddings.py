"""Sentence embeddings through transformers: mean pooling over the last hidden state, unit length.

Concurrent calls share forward passes. Inputs wait in one queue; a single engine thread takes as many of like length
as fit `max_batch_tokens` when padded, so that a long text does not make short ones pay for its padding. The event
loop never computes. An input whose call is closed leaves the queue; one that is in a batch already is computed and
dropped.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.engines.adapter_files import takes_none
from deployments.engines.coalescing import BREATH_SECONDS
from deployments.engines.counts import Counts, OpenCall, check_reserved
from deployments.engines.engine import AdapterFolder, AppliedAdapter, PreparedAdapter
from deployments.engines.generation_plan import Limits, check_token_ids, context_exceeded, read_inputs
from deployments.engines.vectors import check_dimensions, embedding_inputs, embedding_param, float32_vector
from serve.domain.chat import EmbeddingInput
from serve.domain.documents import TransformersEngine as TransformersSpec
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import Completed, EventBatch, ModelCall, Vector
from serve.domain.task import Task
from serve.domain.usage import Tally

STUCK_SECONDS = 20.0
"""A forward pass takes well under a second; a thread in one for this long will not come back."""
MAX_CHARACTERS_PER_TOKEN = 256
"""Beyond this many for each token of the limit, text is refused unread. WordPiece makes one token of a word of any
length, so this is a bound on work, not on tokens."""
INLINE_CHARACTERS = 4096


@dataclass(slots=True, eq=False)
class _Item:
    """One input on its way to a vector."""

    token_ids: list[int]
    vector: "asyncio.Future[list[float]]"
    call: OpenCall


@dataclass(slots=True)
class _Model:
    """What `start` loads."""

    network: Any
    tokenizer: Any
    dimensions: int
    limits: Limits
    pad_id: int = 0
    waiting: list[_Item] = field(default_factory=list)


class TransformersEngine:
    """One encoder, one thread that runs it."""

    def __init__(self, spec: TransformersSpec, weights: Path, num_gpus: float = 0) -> None:
        """`num_gpus` above 0 puts the model on the GPU that the replica was given; 0 leaves GPUs alone."""
        self._spec = spec
        self._device = "cuda" if num_gpus else "cpu"
        self._weights = weights
        self._counts = Counts()
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._arrived = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._pass_began_at: float | None = None
        self._passing: list[_Item] = []
        """In the pass that runs: they are computed, and counted, also when their calls have left."""
        self.num_passes = 0

    async def start(self) -> None:
        """See the Protocol."""
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(self._engine, self._load)
        except Exception as error:
            raise EngineFailed(f"The model did not load: {str(error)[:500]}", "engine_start_failed") from error
        self._pump = asyncio.create_task(self._run())

    async def close(self) -> None:
        """See the Protocol."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._fail_waiting(EngineFailed("The engine is closing."))
        self._engine.shutdown(wait=False, cancel_futures=True)
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    async def check_health(self) -> None:
        """See the Protocol."""
        if self._pump is None or self._pump.done():
            raise EngineFailed("The embedding engine is not running.", "engine_dead")
        began_at = self._pass_began_at
        if began_at is not None and time.monotonic() - began_at > STUCK_SECONDS:
            raise EngineFailed(f"A forward pass has taken {STUCK_SECONDS:.0f} seconds.", "engine_stuck")

    def counters(self) -> Mapping[str, float]:
        """See the Protocol; `passes_total` are forward passes."""
        return self._counts.snapshot() | {"waiting_inputs": len(self._model.waiting), "passes_total": self.num_passes}

    async def prepare_adapter(self, folder: AdapterFolder) -> PreparedAdapter:
        """Raises Unprocessable: what only makes vectors takes none."""
        raise takes_none()

    async def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        """See the Protocol."""
        with self._counts.call(tally) as open_call:
            if adapters:
                raise takes_none()
            if call.task is not Task.EMBEDDING:
                raise InvalidRequest(f"This model embeds; it has no task {call.task}.", "unsupported_task")
            async with aclosing(self._embed(call, open_call)) as batches:
                async for batch in batches:
                    yield batch

    async def _embed(self, call: ModelCall, open_call: OpenCall) -> AsyncGenerator[EventBatch, None]:
        inputs = read_inputs(EmbeddingInput, call.inputs)
        check_dimensions(inputs.dimensions, self._model.dimensions)
        params = [embedding_param(inputs, i) for i in range(len(embedding_inputs(inputs)))]
        encoded = await self._encoded(embedding_inputs(inputs), params)
        check_reserved(sum(map(len, encoded)), call.context, "input")
        loop = asyncio.get_running_loop()
        items = [_Item(ids, loop.create_future(), open_call) for ids in encoded]
        open_call.tally.keep_open()
        self._model.waiting.extend(items)
        self._arrived.set()
        try:
            while not await _are_done(items):
                yield []
            vectors = [item.vector.result() for item in items]
        finally:
            self._leave(items, open_call)
        open_call.done()
        events = [Vector(i, float32_vector(vector, inputs.dimensions)) for i, vector in enumerate(vectors)]
        yield [*events, Completed(open_call.tally.quantities())]

    def _leave(self, items: Sequence[_Item], call: OpenCall) -> None:
        """Of a call that was closed, what has not begun need not begin: the pump skips futures that are done."""
        for item in items:
            if not item.vector.cancel():
                item.vector.exception()  # of several that failed, one is told
        if not any(item.call is call for item in self._passing):
            call.tally.settle()

    async def _encoded(self, given: Sequence[str | list[int]], params: Sequence[str]) -> list[list[int]]:
        limits = self._model.limits
        for text, param in zip(given, params, strict=True):
            if isinstance(text, str) and len(text) > limits.max_model_len * MAX_CHARACTERS_PER_TOKEN:
                raise InvalidRequest(
                    f"The text has {len(text)} characters; this model reads {limits.max_model_len} tokens.",
                    "context_length_exceeded",
                    param,
                )
        if sum(map(len, given)) <= INLINE_CHARACTERS:
            encoded = self._tokenized(given)
        else:
            encoded = await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._tokenized, given)
        for ids, param in zip(encoded, params, strict=True):
            check_token_ids(ids, limits, param)
            if len(ids) > limits.max_model_len:
                raise context_exceeded(len(ids), limits.max_model_len, param)
        return encoded

    def _tokenized(self, given: Sequence[str | list[int]]) -> list[list[int]]:
        texts = [text for text in given if isinstance(text, str)]
        encodings = iter(self._model.tokenizer.encode_batch(texts))
        return [list(next(encodings).ids) if isinstance(text, str) else text for text in given]

    async def _run(self) -> None:
        """Batches, one after the other, for as long as the engine lives."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            self._pass_began_at, self._passing = time.monotonic(), batch
            try:
                vectors = await loop.run_in_executor(self._engine, self._forward, [item.token_ids for item in batch])
                self._deliver(batch, vectors)
            except asyncio.CancelledError as error:
                self._fail(batch, EngineFailed("The engine is closing."), error)
                raise
            except Exception as error:
                self._fail(batch, EngineFailed("The embedding engine failed on this batch."), error)
            finally:
                self._pass_began_at, self._passing = None, []
                for item in batch:
                    if item.vector.cancelled():
                        item.call.tally.settle()

    def _next_batch(self) -> list[_Item]:
        """The input that waits longest, and those nearest to it in length that fit beside it."""
        waiting = self._model.waiting = [item for item in self._model.waiting if not item.vector.done()]
        if not waiting:
            return []
        first = waiting[0]
        by_likeness = sorted(waiting[1:], key=lambda item: abs(len(item.token_ids) - len(first.token_ids)))
        batch, width = [first], len(first.token_ids)
        for item in by_likeness:
            width = max(width, len(item.token_ids))
            if width * (len(batch) + 1) > self._spec.max_batch_tokens:
                break
            batch.append(item)
        chosen = set(map(id, batch))
        self._model.waiting = [item for item in waiting if id(item) not in chosen]
        return batch

    def _deliver(self, batch: list[_Item], vectors: list[list[float]]) -> None:
        self.num_passes += 1
        for item, vector in zip(batch, vectors, strict=True):
            item.call.prompt_tokens(len(item.token_ids))
            if not item.vector.done():
                item.vector.set_result(vector)

    def _fail(self, batch: list[_Item], error: EngineFailed, cause: BaseException) -> None:
        error.__cause__ = cause
        for item in batch:
            if not item.vector.done():
                item.vector.set_exception(error)

    def _fail_waiting(self, error: EngineFailed) -> None:
        self._fail(self._model.waiting, error, error)
        self._model.waiting = []

    def _load(self) -> _Model:
        import torch
        from transformers import AutoModel, AutoTokenizer

        if "OMP_NUM_THREADS" not in os.environ:
            # One core is left to the rest of the machine: a thread that waits for one not scheduled stalls a pass.
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) - 1))
        tokenizer = AutoTokenizer.from_pretrained(self._weights, local_files_only=True, trust_remote_code=False)
        network = AutoModel.from_pretrained(
            self._weights, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
        network.eval().to(self._device)
        fast = tokenizer.backend_tokenizer
        fast.no_truncation()
        fast.no_padding()
        longest = min(self._spec.max_model_len, getattr(network.config, "max_position_embeddings", 2**31))
        limits = Limits(longest, network.config.vocab_size)
        return _Model(network, fast, network.config.hidden_size, limits, tokenizer.pad_token_id or 0)

    def _forward(self, batch: list[list[int]]) -> list[list[float]]:
        """Token ids of `batch`, padded to the longest -> one mean vector each. In the engine's thread."""
        import torch

        width = max(map(len, batch))
        pad = self._model.pad_id
        device = self._model.network.device
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in batch], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch], device=device)
        with torch.inference_mode():
            hidden = self._model.network(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            means: list[list[float]] = ((hidden * weight).sum(1) / weight.sum(1)).float().cpu().tolist()
        return means


async def _are_done(items: Sequence[_Item]) -> bool:
    """Wait for all vectors, or one failure; for a breath at most."""
    vectors = [item.vector for item in items]
    done, waiting = await asyncio.wait(vectors, timeout=BREATH_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    return not waiting or any(vector.exception() for vector in done)
