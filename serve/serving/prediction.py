"""How long a call will hold its place: the milliseconds that the fair queue reckons with."""

from collections.abc import Mapping
from typing import Any

from serve.domain.generation import ModelCall
from serve.domain.task import Task
from serve.domain.usage import Quantities

_SMOOTHING = 0.1
"""Weight of the newest measurement: about the last twenty calls count."""
_PROMPT_BYTES_PER_UNIT = 64
"""A generated token costs about as much as a prompt of sixteen tokens, at four bytes a token."""
_DEFAULT_TOKENS = 256


class Predictor:
    """Learns milliseconds per unit of work, and how much of the tokens asked for are used."""

    def __init__(self, initial_ms_per_unit: float = 5.0) -> None:
        self._ms_per_unit = initial_ms_per_unit
        self._output_share = 0.5

    def predict_ms(self, call: ModelCall) -> float:
        """Milliseconds that `call` will run, once admitted."""
        prompt, output = _units(call)
        return (prompt + output * self._output_share) * self._ms_per_unit

    def learn(self, call: ModelCall, usage: Quantities, measured_ms: float) -> None:
        """Take in how a call that completed went."""
        prompt, output = _units(call)
        if output:
            share = min(1.0, usage.completion_tokens / output)
            self._output_share += _SMOOTHING * (share - self._output_share)
        work = prompt + usage.completion_tokens
        self._ms_per_unit += _SMOOTHING * (measured_ms / max(work, 1.0) - self._ms_per_unit)


def _units(call: ModelCall) -> tuple[float, float]:
    """(prompt, output) in units of one generated token."""
    inputs = call.inputs
    if call.task is Task.EMBEDDING:
        return 1 + _text_bytes(inputs.get("input")) / _PROMPT_BYTES_PER_UNIT, 0.0
    prompt = 1 + _text_bytes(inputs.get("messages", inputs.get("prompt"))) / _PROMPT_BYTES_PER_UNIT
    return prompt, float((inputs.get("max_tokens") or _DEFAULT_TOKENS) * inputs.get("n", 1))


def _text_bytes(value: Any) -> int:
    """Roughly the bytes of text in a JSON value; a number is a token, four bytes."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_text_bytes(item) for item in value.values())
    if isinstance(value, list):
        return sum(_text_bytes(item) for item in value)
    return 4 if isinstance(value, int) else 0
