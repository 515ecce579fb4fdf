"""What OpenAI's chunks and answers have in common: the head, the usage, the token's log probability."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from serve.domain.generation import TokenLogprob
from serve.domain.money import cost_shown
from serve.domain.usage import Quantities

DONE = b"data: [DONE]\n\n"

COST_HEADER = "x-slipway-cost-nano-usd"
Costs = Callable[[Quantities], int | None]
"""What quantities cost, in nano-dollars; None where nothing has a price."""


def unpriced(quantities: Quantities) -> None:
    """The `Costs` of a model without prices."""


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that every chunk of an answer repeats. `created` is Unix seconds."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str

    def fields(self) -> dict[str, Any]:
        """As JSON values, in OpenAI's order."""
        return {
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }


def cost_headers(nano: int | None) -> dict[str, str]:
    """The header of an answer that cost something, or nothing; none for an unpriced model."""
    return {} if nano is None else {COST_HEADER: str(nano)}


class Frame:
    """Writes chunks: everything but the choice is the same bytes every time, and is encoded once."""

    def __init__(self, head: Head, include_usage: bool, costs: Costs) -> None:
        self._open = b"data: " + orjson.dumps(head.fields())[:-1] + b',"choices":['
        self._close = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
        self._include_usage = include_usage
        self._costs = costs

    def choice(self, choice: dict[str, Any]) -> bytes:
        """A chunk with one choice."""
        return self._open + orjson.dumps(choice) + self._close

    def usage(self, quantities: Quantities) -> bytes:
        """The chunk with the usage and no choice, if it was asked for."""
        if not self._include_usage:
            return b""
        return self._open + b'],"usage":' + orjson.dumps(usage(quantities, self._costs)) + b"}\n\n"


def usage(quantities: Quantities, costs: Costs) -> dict[str, Any]:
    """OpenAI's usage object of a generation, and what it costs."""
    return {
        "prompt_tokens": quantities.prompt_tokens,
        "completion_tokens": quantities.completion_tokens,
        "total_tokens": quantities.prompt_tokens + quantities.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": quantities.cached_prompt_tokens},
        "cost": cost_shown(costs(quantities)),
    }


def token_logprob(token: TokenLogprob) -> dict[str, Any]:
    """A token's entry in a chat's logprobs; NaN, which JSON lacks, becomes null."""
    return _entry(token.token, token.logprob) | {"top_logprobs": [_entry(*alternative) for alternative in token.top]}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
