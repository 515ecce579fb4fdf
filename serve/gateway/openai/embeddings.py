"""Embeddings: vectors as lists of numbers or as base64 of little-endian float32, as the `openai` client asks."""

import base64
from typing import Any

from serve.domain.folds import Answer
from serve.domain.generation import numbers_of
from serve.domain.money import cost_shown
from serve.domain.usage import Quantities
from serve.gateway.openai.frames import Costs, unpriced


def whole_embeddings(model: str, answer: Answer, encoding_format: str, costs: Costs = unpriced) -> dict[str, Any]:
    """The answer, vectors in the order of the inputs."""
    encode = _base64 if encoding_format == "base64" else numbers_of
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)}
        for index, vector in sorted(answer.vectors.items())
    ]
    quantities = answer.usage or Quantities()
    num_tokens, cost = quantities.prompt_tokens, cost_shown(costs(quantities))
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens, "cost": cost},
    }


def _base64(float32: bytes) -> str:
    return base64.b64encode(float32).decode()
