"""From a validated chat or completion to what the sampler is told. Pure: imports no model library."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from serve.domain.chat import ChatInput, CompletionInput, Sampling
from serve.domain.errors import InvalidRequest
from serve.domain.validation import invalid_request

SEED_BITS = 62
"""Seeds are folded into this many bits: vLLM adds the choice's index, and its messages hold 64-bit integers."""

Inputs = TypeVar("Inputs", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a loaded model can take: tokens of context, ids in the vocabulary."""

    max_model_len: int
    vocab_size: int


def read_inputs(model: type[Inputs], inputs: Mapping[str, Any]) -> Inputs:
    """`inputs` as the vocabulary's own type, whichever spelling of aliased fields they come in.

    Raises:
        InvalidRequest: with the path of the first field that is wrong.
    """
    try:
        return model.model_validate(dict(inputs), by_alias=True, by_name=True)
    except ValidationError as error:
        raise invalid_request(error, inputs, model.model_fields) from error


def cache_salt(tenant: str) -> str:
    """What separates this tenant's cached prefixes from others'. Opaque, and never a caller's own string."""
    return hashlib.sha256(b"slipway prefix cache\x00" + tenant.encode()).hexdigest()[:32]


def answer_tokens(num_prompt_tokens: int, max_tokens: int | None, limits: Limits, param: str) -> int:
    """How many tokens may be generated after the prompt: what was asked for, or all that is left.

    Raises:
        InvalidRequest: `context_length_exceeded`, if prompt and answer do not fit together.
    """
    room = limits.max_model_len - num_prompt_tokens
    if room < 1:
        raise context_exceeded(num_prompt_tokens, limits.max_model_len, param)
    if max_tokens is not None and max_tokens > room:
        raise InvalidRequest(
            f"This model's maximum context length is {limits.max_model_len} tokens. You asked for "
            f"{num_prompt_tokens + max_tokens}: {num_prompt_tokens} in the prompt and {max_tokens} in the answer. "
            "Shorten the prompt or lower max_tokens.",
            "context_length_exceeded",
            param,
        )
    return max_tokens if max_tokens is not None else room


def context_exceeded(num_tokens: int, max_model_len: int, param: str, at_least: bool = False) -> InvalidRequest:
    """The error for a prompt that alone is too long; `at_least` when its tokens were bounded, not counted."""
    reserved = ", and one of them is for the answer" if num_tokens == max_model_len else ""
    return InvalidRequest(
        f"This model's maximum context length is {max_model_len} tokens{reserved}. "
        f"The prompt has {'at least ' if at_least else ''}{num_tokens}. Shorten it.",
        "context_length_exceeded",
        param,
    )


def check_token_ids(ids: list[int], limits: Limits, param: str) -> None:
    """Raises InvalidRequest for an empty prompt and for an id outside the vocabulary."""
    if not ids:
        raise InvalidRequest("The prompt holds no token. Give at least one.", "empty_prompt", param)
    if max(ids) >= limits.vocab_size:
        raise InvalidRequest(
            f"Token id {max(ids)} is not in the vocabulary of {limits.vocab_size}.", "unknown_token", param
        )


def stop_strings(sampling: Sampling) -> list[str]:
    """The strings that end the answer; empty ones are refused, for they end it before it begins."""
    stop = [sampling.stop] if isinstance(sampling.stop, str) else list(sampling.stop or ())
    if "" in stop:
        raise InvalidRequest("A stop string is empty.", "invalid_request", "stop")
    return stop


def sampling_arguments(sampling: Sampling, limits: Limits) -> dict[str, Any]:
    """Keyword arguments of vLLM's SamplingParams for the fields that chat and completion share.

    vLLM refuses greedy sampling of several choices, which OpenAI takes: keeping one candidate is the same thing.
    """
    greedy_choices = sampling.temperature == 0 and sampling.n > 1
    return {
        "n": sampling.n,
        "temperature": 1.0 if greedy_choices else sampling.temperature,
        "top_p": 1.0 if greedy_choices else sampling.top_p,
        "top_k": 1 if greedy_choices else sampling.top_k,
        "min_p": 0.0 if greedy_choices else sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "logit_bias": _logit_bias(sampling, limits),
        "seed": None if sampling.seed is None else sampling.seed % 2**SEED_BITS,
        "stop": stop_strings(sampling),
        "include_stop_str_in_output": False,
    }


def _logit_bias(sampling: Sampling, limits: Limits) -> dict[int, float] | None:
    if not sampling.logit_bias:
        return None
    bias = {int(token): value for token, value in sampling.logit_bias.items()}
    if max(bias) >= limits.vocab_size:
        raise InvalidRequest(
            f"Token id {max(bias)} is not in the vocabulary of {limits.vocab_size}.", "unknown_token", "logit_bias"
        )
    return bias


def num_logprobs(inputs: ChatInput | CompletionInput) -> int | None:
    """How many alternatives to report for each token: None for no log probabilities at all, 0 for the token's own."""
    if isinstance(inputs, ChatInput):
        return (inputs.top_logprobs or 0) if inputs.logprobs else None
    return inputs.logprobs


def completion_prompts(inputs: CompletionInput) -> list[str | list[int]]:
    """The prompts of a completion, one entry each; OpenAI's four spellings made one."""
    prompt = inputs.prompt
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [[token for token in prompt if isinstance(token, int)]]
    return [item for item in prompt if not isinstance(item, int)]


def prompt_param(inputs: CompletionInput, index: int) -> str:
    """The path of prompt `index`, as the caller wrote it."""
    is_one = isinstance(inputs.prompt, str) or isinstance(inputs.prompt[0], int)
    return "prompt" if is_one else f"prompt.{index}"
