"""How much work a step is: what the time it takes goes by."""

from collections.abc import Iterator, Mapping
from typing import Any

from serve.domain.media import Asset
from serve.domain.task import Task

_MEGA = 1e6
_ONE = 1.0


def work_of_call(task: Task, inputs: Mapping[str, Any]) -> float:
    """Of a model's call: millions of pixels times steps, or thousands of characters of what is to be read.

    `inputs` are complete; what they lack counts as one.
    """
    if task in (Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE):
        pixels = _number(inputs, "width") * _number(inputs, "height") / _MEGA
        return pixels * _number(inputs, "steps") * _number(inputs, "num_images")
    said = inputs.get("messages", inputs.get("input", inputs.get("prompt", "")))
    return sum(map(len, _texts(said))) / 1000


def work_of_operation(values: Mapping[str, Any]) -> float:
    """Of an operation on files: millions of pixels that it reads."""
    return sum((asset.width or 0) * (asset.height or 0) for asset in _assets(values)) / _MEGA


def _number(inputs: Mapping[str, Any], name: str) -> float:
    value = inputs.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _ONE


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _assets(value: Any) -> Iterator[Asset]:
    if isinstance(value, Asset):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _assets(one)
    elif isinstance(value, list):
        for one in value:
            yield from _assets(one)
