"""Embeddings through vLLM's pooling runner."""

import asyncio
import secrets
from contextlib import aclosing
from typing import Any

from deployments.engines.generation_plan import Limits, context_exceeded
from deployments.engines.prompts import Prompts
from deployments.engines.vectors import check_dimensions, embedding_inputs, embedding_param, float32_vector
from deployments.engines.vllm_requests import engine_errors
from serve.domain.chat import EmbeddingInput
from serve.domain.generation import Completed, EventBatch, Vector
from serve.domain.usage import Quantities


async def embed(llm: Any, inputs: EmbeddingInput, prompts: Prompts, limits: Limits, cache_salt: str) -> EventBatch:
    """A vector for each input, and what they cost. Cancelling it aborts what still runs.

    Raises:
        InvalidRequest, EngineFailed.
    """
    check_dimensions(inputs.dimensions, llm.model_config.get_hidden_size())
    encoded = []
    for i, given in enumerate(embedding_inputs(inputs)):
        param = embedding_param(inputs, i)
        ids = await prompts.token_ids(given, param)
        if len(ids) > limits.max_model_len:
            raise context_exceeded(len(ids), limits.max_model_len, param)
        encoded.append(ids)
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_pooled(llm, ids, cache_salt)) for ids in encoded]
    except* Exception as errors:
        raise errors.exceptions[0] from None
    vectors = [Vector(i, float32_vector(task.result(), inputs.dimensions)) for i, task in enumerate(running)]
    return [*vectors, Completed(Quantities(prompt_tokens=sum(map(len, encoded))))]


async def _pooled(llm: Any, ids: list[int], cache_salt: str) -> list[float]:
    from vllm import PoolingParams

    tokens = {"type": "token", "prompt_token_ids": ids, "cache_salt": cache_salt}
    vector: list[float] = []
    with engine_errors():
        async with aclosing(llm.encode(tokens, PoolingParams(task="embed"), secrets.token_hex(8))) as outputs:
            async for output in outputs:
                vector = output.outputs.data.float().tolist()
    return vector
