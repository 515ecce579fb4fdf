"""Embeddings through vLLM's pooling runner."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from deployments.engines.coalescing import BREATH_SECONDS
from deployments.engines.counts import OpenCall, check_reserved
from deployments.engines.generation_plan import Limits, cache_salt, context_exceeded, read_inputs
from deployments.engines.prompts import Prompts
from deployments.engines.vectors import check_dimensions, embedding_inputs, embedding_param, float32_vector
from deployments.engines.vllm_requests import engine_errors
from deployments.engines.vllm_usage import CallUsage, UsageWatch
from serve.domain.chat import EmbeddingInput
from serve.domain.generation import Completed, EventBatch, ModelCall, Vector


async def embed(
    llm: Any, call: ModelCall, prompts: Prompts, limits: Limits, watch: UsageWatch, open_call: OpenCall
) -> AsyncGenerator[EventBatch, None]:
    """A vector for each input, and what they cost. Closing it aborts what still runs.

    Raises:
        InvalidRequest, EngineFailed.
    """
    inputs = read_inputs(EmbeddingInput, call.inputs)
    check_dimensions(inputs.dimensions, llm.model_config.get_hidden_size())
    encoded = await _encoded(inputs, prompts, limits)
    check_reserved(sum(map(len, encoded)), call.context, "input")
    usage, salt = CallUsage(open_call.tally), cache_salt(call.context.tenant)
    running = [asyncio.create_task(_pooled(llm, ids, salt, watch, usage)) for ids in encoded]
    try:
        while not await _are_done(running):
            yield []
        vectors = [Vector(i, float32_vector(task.result(), inputs.dimensions)) for i, task in enumerate(running)]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    open_call.done()
    yield [*vectors, Completed(open_call.tally.quantities())]


async def _encoded(inputs: EmbeddingInput, prompts: Prompts, limits: Limits) -> list[list[int]]:
    encoded = []
    for i, given in enumerate(embedding_inputs(inputs)):
        param = embedding_param(inputs, i)
        ids = await prompts.token_ids(given, param)
        if len(ids) > limits.max_model_len:
            raise context_exceeded(len(ids), limits.max_model_len, param)
        encoded.append(ids)
    return encoded


async def _are_done(running: "list[asyncio.Task[list[float]]]") -> bool:
    """Wait for all, or one failure; for a breath at most."""
    done, waiting = await asyncio.wait(running, timeout=BREATH_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    return not waiting or any(task.exception() for task in done)


async def _pooled(llm: Any, ids: list[int], salt: str, watch: UsageWatch, usage: CallUsage) -> list[float]:
    from vllm import PoolingParams

    tokens, name = {"type": "token", "prompt_token_ids": ids, "cache_salt": salt}, secrets.token_hex(8)
    vector: list[float] = []
    with engine_errors():
        outputs = llm.encode(tokens, PoolingParams(task="embed"), name)
        async with watch.follow(name, usage), aclosing(outputs):
            async for output in outputs:
                vector = output.outputs.data.float().tolist()
    return vector
