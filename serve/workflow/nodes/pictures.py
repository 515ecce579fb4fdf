"""What operations on pictures share: reading, doing the work in one thread, writing.

A picture is 8-bit grey (as masks are), RGB, or RGBA where it has transparency, and it stays what it is.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image, ImageColor

from serve.domain.errors import InvalidRequest
from serve.domain.images import ImageFormat
from serve.domain.media import Asset
from serve.domain.port_types import Kind, PortType
from serve.media import images
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.schemas import one_of, whole
from serve.workflow.operation import Files, In, OnFiles

MAX_INPUT_BYTES = 512 * 2**20
"""Of all the files that one operation reads: they are in memory together."""
SIDE = whole(1, images.MAX_SIDE)
OFFSET = whole(-images.MAX_SIDE, images.MAX_SIDE)
MULTIPLE = whole(1, 256)
COLOR: Mapping[str, Any] = {"format": "color", "maxLength": 40}
ANCHORS: Mapping[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "top_left": (0, 0),
    "top": (0.5, 0),
    "top_right": (1, 0),
    "left": (0, 0.5),
    "right": (1, 0.5),
    "bottom_left": (0, 1),
    "bottom": (0.5, 1),
    "bottom_right": (1, 1),
}
ANCHOR = one_of(ANCHORS)
RGBA = tuple[int, int, int, int]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that was made, and how its file is to be."""

    image: Image.Image
    format: ImageFormat = ImageFormat.PNG
    quality: int = 90


class Pictures:
    """The pictures that an operation was given, decoded when they are asked for."""

    def __init__(self, files: Mapping[str, list[bytes]], max_pixels: int) -> None:
        self._files = files
        self._max_pixels = max_pixels

    def has(self, name: str) -> bool:
        """Whether something was given."""
        return name in self._files

    def image(self, name: str) -> Image.Image:
        """The picture as it is. Raises InvalidRequest."""
        return images.decode_whole(self.file(name), max_pixels=self._max_pixels, param=name)

    def mask(self, name: str) -> Image.Image:
        """The picture as a mask, 8-bit grey. Raises InvalidRequest."""
        return images.decode_mask(self.file(name), max_pixels=self._max_pixels, param=name)

    def sizes(self, name: str) -> list[tuple[int, int]]:
        """What the files of a list declare: (width, height). Raises InvalidRequest."""
        infos = [
            images.inspect(data, max_pixels=self._max_pixels, param=f"{name}.{place}")
            for place, data in enumerate(self._files[name])
        ]
        return [(info.width, info.height) for info in infos]

    def each(self, name: str) -> Iterator[Image.Image]:
        """The pictures of a list, one after the other, so that one is in memory at a time."""
        for place, data in enumerate(self._files[name]):
            yield images.decode_whole(data, max_pixels=self._max_pixels, param=f"{name}.{place}")

    def file(self, name: str) -> bytes:
        """A picture's file."""
        if name not in self._files:
            raise InvalidRequest(f"{name} is missing", "missing_input", name)
        return self._files[name][0]

    def info(self, name: str) -> images.ImageInfo:
        """What a picture's file declares. Raises InvalidRequest."""
        return images.inspect(self.file(name), max_pixels=self._max_pixels, param=name)

    def check_size(self, width: float, height: float, param: str) -> None:
        """Whether a picture of this size may be made: asked before it is. Raises InvalidRequest `image_too_large`."""
        limit = min(self._max_pixels, images.MAX_PIXELS)
        if width * height > limit or max(width, height) > images.MAX_SIDE:
            raise InvalidRequest(
                f"the result would be {width:.0f} x {height:.0f} pixels; at most {limit} pixels are made, and "
                f"{images.MAX_SIDE} on a side",
                "image_too_large",
                param,
            )


class PictureOperation(OnFiles):
    """An operation on pictures. `work` runs in a thread; each image among its outputs becomes an asset.

    With `keeps_kind`, its output `image` is a mask where its input `image` is one.
    """

    keeps_kind = False

    def output_types(self, given: Mapping[str, PortType], values: Mapping[str, Any]) -> Mapping[str, PortType] | None:
        """See `Operation`."""
        if not self.keeps_kind or given.get("image") != PortType(Kind.MASK):
            return None
        others = {name: PortType(Kind(out.type)) for name, out in self.outputs.items()}
        return {**others, "image": PortType(Kind.MASK)}

    def problems(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Colours that are none."""
        named = [(name, value) for name, value in values.items() if isinstance(value, str)]
        of_colors = [(name, value) for name, value in named if _is_color(self.inputs.get(name))]
        return [(name, _no_color(name, value)) for name, value in of_colors if _color(value) is None]

    @abstractmethod
    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """The outputs; a picture as PIL's image, or `Drawn`. Blocks. Raises InvalidRequest."""

    async def apply(self, values: Mapping[str, Any], files: Files) -> Mapping[str, Any]:
        """See `OnFiles`."""
        pictures = Pictures(await _read(values, files), files.max_pixels)
        made = await in_thread(lambda: _encoded(self.work(Given(self, values), pictures)))
        return {name: await _written(name, value, files) for name, value in made.items()}


def _is_color(port: In | None) -> bool:
    return port is not None and port.schema.get("format") == "color"


async def _read(values: Mapping[str, Any], files: Files) -> dict[str, list[bytes]]:
    """The files of all assets among `values`, by input."""
    assets = {name: _assets(value) for name, value in values.items() if _assets(value)}
    if sum(asset.num_bytes for given in assets.values() for asset in given) > MAX_INPUT_BYTES:
        raise InvalidRequest(f"the pictures are more than {MAX_INPUT_BYTES} bytes together", "too_large", min(assets))
    return {name: [await files.read(asset) for asset in given] for name, given in assets.items()}


def _assets(value: Any) -> Sequence[Asset]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Asset)]


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    format: ImageFormat
    width: int
    height: int


def _encoded(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _file(value) for name, value in outputs.items()}


def _file(value: Any) -> Any:
    drawn = Drawn(value) if isinstance(value, Image.Image) else value
    if not isinstance(drawn, Drawn):
        return value
    data = images.encode(drawn.image, drawn.format, drawn.quality)
    return _File(data, drawn.format, drawn.image.width, drawn.image.height)


async def _written(name: str, value: Any, files: Files) -> Any:
    if not isinstance(value, _File):
        return value
    media_type = images.MEDIA_TYPES[value.format]
    return await files.write(f"{name}.{value.format}", value.data, media_type, value.width, value.height)


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """`work()` in a thread. Whoever cancels waits for its end, since a thread cannot be stopped: what is freed with the
    caller's place is then free indeed."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            try:
                await asyncio.wait({running})
            except asyncio.CancelledError:
                continue
        if not running.cancelled():
            running.exception()
        raise


def color_of(given: Given, name: str) -> RGBA:
    """A colour: a name, #rgb, #rrggbb, #rrggbbaa. Raises InvalidRequest."""
    text = given.text(name)
    if (color := _color(text)) is None:
        raise InvalidRequest(_no_color(name, text), "invalid_value", name)
    return color


def _color(text: str) -> RGBA | None:
    try:
        red, green, blue, *alpha = ImageColor.getrgb(text.strip())
    except ValueError:
        return None
    return (red, green, blue, alpha[0] if alpha else 255)


def _no_color(name: str, text: str) -> str:
    return f"{name} is no colour: {text[:40]!r}; write a name as white, or #rrggbb, or #rrggbbaa"


def canvas(mode: str, size: tuple[int, int], color: RGBA) -> Image.Image:
    """A picture of one colour, in `mode`, or in the next one that has this colour."""
    red, green, blue, alpha = color
    if alpha < 255 or mode == "RGBA":
        return Image.new("RGBA", size, color)
    if mode == "L" and red == green == blue:
        return Image.new("L", size, red)
    return Image.new("RGB", size, color[:3])


def placed(anchor: str, room: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Where the top left corner of something of `size` is, anchored in a `room`."""
    across, down = ANCHORS[anchor]
    return round((room[0] - size[0]) * across), round((room[1] - size[1]) * down)
