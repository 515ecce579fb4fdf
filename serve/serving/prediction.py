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
_IMAGE_TASKS = frozenset({Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE})
_MEGAPIXEL = 1e6
_FINISHING_STEPS = 2.0
"""Decoding and encoding an image takes about as long as these many of its steps."""


class Predictor:
    """Learns milliseconds per unit of work, and how much of the work asked for is done.

    A unit is a generated token, or a megapixel of one row through one denoising step; a model has calls of one kind.
    """

    def __init__(self, initial_ms_per_unit: float = 5.0, initial_ms_per_megapixel_step: float = 100.0) -> None:
        self._tokens = _Tokens(initial_ms_per_unit)
        self._images = _Images(initial_ms_per_megapixel_step)

    def predict_ms(self, call: ModelCall) -> float:
        """Milliseconds that `call` will run, once admitted."""
        return self._of(call).predict_ms(call)

    def learn(self, call: ModelCall, usage: Quantities, measured_ms: float) -> None:
        """Take in how a call that completed went."""
        self._of(call).learn(call, usage, measured_ms)

    def _of(self, call: ModelCall) -> "_Tokens | _Images":
        return self._images if call.task in _IMAGE_TASKS else self._tokens


class _Tokens:
    """Calls that read and write text."""

    def __init__(self, initial_ms_per_unit: float) -> None:
        self._ms_per_unit = initial_ms_per_unit
        self._output_share = 0.5

    def predict_ms(self, call: ModelCall) -> float:
        prompt, output = _units(call)
        return (prompt + output * self._output_share) * self._ms_per_unit

    def learn(self, call: ModelCall, usage: Quantities, measured_ms: float) -> None:
        prompt, output = _units(call)
        if output:
            share = min(1.0, usage.completion_tokens / output)
            self._output_share += _SMOOTHING * (share - self._output_share)
        work = prompt + usage.completion_tokens
        self._ms_per_unit += _SMOOTHING * (measured_ms / max(work, 1.0) - self._ms_per_unit)


class _Images:
    """Calls that make pictures. All that they cost is known beforehand, save the size of one made from a picture."""

    def __init__(self, initial_ms_per_unit: float) -> None:
        self._ms_per_unit = initial_ms_per_unit
        self._pixels = 512.0 * 512.0
        self._has_learned = False

    def predict_ms(self, call: ModelCall) -> float:
        inputs = call.inputs
        size = float((inputs.get("width") or 0) * (inputs.get("height") or 0)) or self._pixels
        num_images = int(inputs.get("num_images", 1))
        return num_images * self._work(size, size * _num_steps(inputs), inputs) * self._ms_per_unit

    def learn(self, call: ModelCall, usage: Quantities, measured_ms: float) -> None:
        if not usage.images or not usage.pixel_steps:
            return
        found = measured_ms / self._work(usage.pixels, usage.pixel_steps, call.inputs)
        # From a laptop to an H200 lie three orders of magnitude: no guess is worth more than one measurement.
        smoothing = _SMOOTHING if self._has_learned else 1.0
        self._has_learned = True
        self._ms_per_unit += smoothing * (found - self._ms_per_unit)
        self._pixels += smoothing * (usage.pixels / usage.images - self._pixels)

    def _work(self, pixels: float, pixel_steps: float, inputs: Mapping[str, Any]) -> float:
        num_rows = 2 if inputs.get("guidance_scale", 0) > 1 else 1
        return (pixel_steps * num_rows + pixels * _FINISHING_STEPS) / _MEGAPIXEL


def _num_steps(inputs: Mapping[str, Any]) -> int:
    """The steps that run: of those asked for, a picture to start from saves some."""
    return max(1, int(inputs.get("steps", 1) * inputs.get("strength", 1)))


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
