"""Pictures in OpenAI's shapes: the answer, the events of a stream, the usage.

OpenAI counts image tokens, which diffusion has none of: `output_tokens` is 0, and our own quantities (images, pixels,
steps, pixel_steps, input_images) stand beside the tokens of the prompt.
"""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from serve.domain.money import cost_shown
from serve.domain.usage import Quantities
from serve.gateway.streaming import sse

Kind = Literal["image_generation", "image_edit"]
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}
_BACKGROUND = "opaque"
_OWN = ("images", "pixels", "steps", "pixel_steps", "input_images")
NOTHING = Quantities()
_BASE64_BYTES = 3 * 2**18
"""Bytes that are encoded together: a multiple of three, so that the pieces make one text."""


@dataclass(frozen=True, slots=True)
class Consumed:
    """What pictures took, and what that costs in nano-dollars; None where the model has no price."""

    quantities: Quantities = NOTHING
    cost_nano: int | None = None


def usage_of(consumed: Consumed) -> dict[str, Any]:
    """OpenAI's usage object of a picture, and what it costs."""
    quantities = consumed.quantities
    tokens = quantities.prompt_tokens
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        "output_tokens": 0,
        "total_tokens": tokens,
        **{name: getattr(quantities, name) for name in _OWN},
        "cost": cost_shown(consumed.cost_nano),
    }


def format_of(media_type: str) -> str:
    """OpenAI's word for a picture's media type."""
    return _FORMATS.get(media_type, "png")


@dataclass(frozen=True, slots=True)
class Painted:
    """A finished picture on its way out. `content` is given where the file itself is to be in the answer."""

    media_type: str
    width: int | None
    height: int | None
    url: str | None = None
    content: AsyncIterator[bytes] | None = None

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


async def whole_images(created: int, painted: list[Painted], consumed: Consumed) -> AsyncIterator[bytes]:
    """The JSON of the whole answer, in pieces: at no moment are all the pictures in memory."""
    yield b'{"created":%d,"data":[' % created
    for index, picture in enumerate(painted):
        yield b"," * (index > 0) + b"{"
        if picture.url is not None:
            yield b'"url":' + orjson.dumps(picture.url) + b"," * (picture.content is not None)
        if picture.content is not None:
            yield b'"b64_json":"'
            async for piece in base64_of(picture.content):
                yield piece
            yield b'"'
        yield b"}"
    told: dict[str, Any] = {"background": _BACKGROUND, "usage": usage_of(consumed)}
    if painted:
        told |= {"size": painted[0].size, "output_format": format_of(painted[0].media_type)}
    yield b"]," + orjson.dumps(told)[1:]


async def base64_of(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`content` in base64, in pieces."""
    rest = b""
    async for chunk in content:
        rest += chunk
        if len(rest) >= _BASE64_BYTES:
            whole = len(rest) - len(rest) % 3
            yield base64.b64encode(rest[:whole])
            rest = rest[whole:]
    yield base64.b64encode(rest)


class ImageFrames:
    """Writes the events of one stream. `created` is Unix seconds, `size` what was asked for."""

    def __init__(self, kind: Kind, created: int, size: str) -> None:
        self._kind = kind
        self._created = created
        self._size = size
        self._num_partial: dict[int, int] = {}

    def begin(self) -> None:
        """A new attempt begins: its unfinished pictures are counted from the start."""
        self._num_partial.clear()

    def partial(self, shown: Mapping[str, Any]) -> bytes:
        """An unfinished picture, as a run's `preview` event has it: index, media_type, data in base64."""
        index = shown["index"]
        number = self._num_partial[index] = self._num_partial.get(index, -1) + 1
        own = {"b64_json": shown["data"], "partial_image_index": number}
        return self._event("partial_image", index, shown["media_type"], self._size, own)

    async def completed(self, index: int, picture: Painted, consumed: Consumed) -> bytes:
        """A finished picture."""
        data = b"".join([piece async for piece in base64_of(picture.content)]) if picture.content else b""
        own = {"b64_json": data.decode(), "usage": usage_of(consumed)}
        return self._event("completed", index, picture.media_type, picture.size, own)

    def _event(self, what: str, index: int, media_type: str, size: str, own: dict[str, Any]) -> bytes:
        name = f"{self._kind}.{what}"
        told = {
            "type": name,
            "created_at": self._created,
            "background": _BACKGROUND,
            "output_format": format_of(media_type),
            "quality": "auto",
            "size": size,
            "image_index": index,
        }
        return b"event: %s\n" % name.encode() + sse(told | own)
