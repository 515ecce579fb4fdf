"""Operations that put pictures together."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFont

from serve.domain.errors import InvalidRequest
from serve.domain.workflow import MAX_ITEMS
from serve.media.images import check_mask
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.pictures import (
    ANCHOR,
    COLOR,
    OFFSET,
    RGBA,
    SIDE,
    PictureOperation,
    Pictures,
    canvas,
    color_of,
    placed,
)
from serve.workflow.nodes.schemas import between, one_of, whole
from serve.workflow.operation import In, Out

_CATEGORY = "Image"
_BLENDS: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "normal": lambda _, over: over,
    "multiply": ImageChops.multiply,
    "screen": ImageChops.screen,
    "overlay": ImageChops.overlay,
    "soft_light": ImageChops.soft_light,
    "hard_light": ImageChops.hard_light,
    "darken": ImageChops.darker,
    "lighten": ImageChops.lighter,
    "add": ImageChops.add,
    "difference": ImageChops.difference,
}
_MAX_LABEL = 200
_MIDDLE_GREY = 128


class Composite(PictureOperation):
    """One picture over another."""

    name = "image.composite"
    title = "Composite"
    description = "Lays one picture over another: through a mask, at a place, more or less opaque, blended."
    category = _CATEGORY
    inputs = {
        "image": In("image", "The picture below."),
        "overlay": In("image", "The picture above; its own transparency counts."),
        "mask": In("mask", "As large as the overlay: only where it is white is that laid.", required=False),
        "left": In("number", "Where, in pixels; unset, as the anchor says.", required=False, schema=OFFSET),
        "top": In("number", "Where, in pixels; unset, as the anchor says.", required=False, schema=OFFSET),
        "anchor": In("text", "Where it is laid.", required=False, default="center", schema=ANCHOR),
        "opacity": In("number", "0 is nothing, 1 all of it.", required=False, default=1, schema=between(0, 1)),
        "blend": In("text", "How the colours mix.", required=False, default="normal", schema=one_of(_BLENDS)),
    }
    outputs = {"image": Out("image")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        base, overlay = pictures.image("image"), pictures.image("overlay")
        if pictures.has("mask"):
            check_mask(pictures.info("overlay"), pictures.info("mask"), "mask")
        anchored = placed(given.text("anchor"), base.size, overlay.size)
        left, top = given.whole_or_none("left"), given.whole_or_none("top")
        at = anchored[0] if left is None else left, anchored[1] if top is None else top
        cover = _cover(overlay, pictures.mask("mask") if pictures.has("mask") else None, given.number("opacity"))
        return {"image": laid(base, overlay, cover, at, given.text("blend"))}


def _cover(overlay: Image.Image, mask: Image.Image | None, opacity: float) -> Image.Image:
    """How opaque each pixel of the overlay is."""
    cover = overlay.getchannel("A") if overlay.mode == "RGBA" else Image.new("L", overlay.size, 255)
    if mask is not None:
        cover = ImageChops.multiply(cover, mask)
    return cover if opacity == 1 else cover.point(lambda level: round(level * opacity))


def laid(
    base: Image.Image, overlay: Image.Image, cover: Image.Image, at: tuple[int, int], blend: str = "normal"
) -> Image.Image:
    """`base` with `overlay` on it, as opaque as `cover` says; what lies outside is cut off."""
    left, top = max(at[0], 0), max(at[1], 0)
    right, bottom = min(at[0] + overlay.width, base.width), min(at[1] + overlay.height, base.height)
    result = base.copy() if base.mode == "RGBA" else base.convert("RGB")
    if left >= right or top >= bottom:
        return result
    part = (left - at[0], top - at[1], right - at[0], bottom - at[1])
    below, above = result.crop((left, top, right, bottom)), overlay.convert("RGB").crop(part)
    mixed = _BLENDS[blend](below.convert("RGB"), above)
    if result.mode == "RGBA":
        mixed.putalpha(cover.crop(part))
        result.alpha_composite(mixed, (left, top))
    else:
        result.paste(mixed, (left, top), cover.crop(part))
    return result


class Grid(PictureOperation):
    """Many pictures in one."""

    name = "image.grid"
    title = "Image grid"
    description = "Puts the pictures of a list side by side, row by row; with labels below them."
    category = _CATEGORY
    inputs = {
        "images": In("list[image]", "The pictures."),
        "columns": In("number", "Unset, as many as rows.", required=False, schema=whole(1, MAX_ITEMS)),
        "cell_width": In("number", "Pixels; unset, of the widest picture.", required=False, schema=SIDE),
        "cell_height": In("number", "Pixels; unset, of the highest picture.", required=False, schema=SIDE),
        "gap": In("number", "Pixels between them.", required=False, default=8, schema=whole(0, 512)),
        "background": In("text", "A colour.", required=False, default="white", schema=COLOR),
        "labels": In("list[text]", "One for each picture.", required=False),
        "label_size": In("number", "Of their letters, in pixels.", False, 16, whole(6, 256)),
    }
    outputs = {"image": Out("image"), "columns": Out("number"), "rows": Out("number")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        num_images = len(given.items("images"))
        if not num_images:
            raise InvalidRequest("images is an empty list", "invalid_value", "images")
        if num_images > MAX_ITEMS:
            raise InvalidRequest(f"images has more than {MAX_ITEMS} pictures", "too_large", "images")
        labels = given.value("labels") or []
        if labels and len(labels) != num_images:
            told = f"there are {len(labels)} labels for {num_images} images"
            raise InvalidRequest(told, "invalid_value", "labels")
        return _Sheet(given, pictures, num_images, labels).drawn()


class _Sheet:
    """A grid while it is drawn."""

    def __init__(self, given: Given, pictures: Pictures, num_images: int, labels: list[str]) -> None:
        self._pictures = pictures
        self._labels = labels
        self._columns = min(given.whole_or_none("columns") or math.ceil(math.sqrt(num_images)), num_images)
        self._rows = -(-num_images // self._columns)
        self._gap = given.whole("gap")
        self._letters = given.whole("label_size")
        self._strip = math.ceil(self._letters * 1.5) if labels else 0
        self._cell = self._cell_size(given)
        self._background = color_of(given, "background")

    def _cell_size(self, given: Given) -> tuple[int, int]:
        width, height = given.whole_or_none("cell_width"), given.whole_or_none("cell_height")
        if width is not None and height is not None:
            return width, height
        sizes = self._pictures.sizes("images")
        return width or max(size[0] for size in sizes), height or max(size[1] for size in sizes)

    def drawn(self) -> Mapping[str, Any]:
        """The outputs."""
        width, height = self._cell
        size = (
            self._columns * (width + self._gap) - self._gap,
            self._rows * (height + self._strip + self._gap) - self._gap,
        )
        self._pictures.check_size(*size, "images")
        sheet = canvas("RGB", size, self._background)
        for place, image in enumerate(self._pictures.each("images")):
            self._draw(sheet, place, image)
        return {"image": sheet, "columns": self._columns, "rows": self._rows}

    def _draw(self, sheet: Image.Image, place: int, image: Image.Image) -> None:
        row, column = divmod(place, self._columns)
        left = column * (self._cell[0] + self._gap)
        top = row * (self._cell[1] + self._strip + self._gap)
        fitting = _fitting(image, self._cell)
        across, down = placed("center", self._cell, fitting.size)
        _stick(sheet, fitting, (left + across, top + down))
        if self._labels:
            middle = left + self._cell[0] // 2, top + self._cell[1] + self._strip // 2
            _write(sheet, self._labels[place], middle, self._letters, self._cell[0], self._background)


def _fitting(image: Image.Image, room: tuple[int, int]) -> Image.Image:
    """The picture, smaller if it has to be."""
    ratio = min(room[0] / image.width, room[1] / image.height, 1)
    size = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _stick(sheet: Image.Image, image: Image.Image, at: tuple[int, int]) -> None:
    if sheet.mode == "RGBA":
        sheet.alpha_composite(image.convert("RGBA"), at)
    else:
        sheet.paste(image.convert("RGB"), at, image.getchannel("A") if image.mode == "RGBA" else None)


def _write(sheet: Image.Image, text: str, middle: tuple[int, int], letters: int, room: int, background: RGBA) -> None:
    """One line around `middle`, cut where there is no more room, black or white, whichever can be read."""
    font, line = ImageFont.load_default(letters), " ".join(text[:_MAX_LABEL].split())
    whole_line = line
    while line and font.getlength(line if line == whole_line else f"{line}…") > room:
        line = line[:-1]
    luminance = sum(weight * level for weight, level in zip((0.299, 0.587, 0.114), background, strict=False))
    ink = (0, 0, 0, 255) if luminance >= _MIDDLE_GREY or background[3] < _MIDDLE_GREY else (255, 255, 255, 255)
    drawn = line if line == whole_line else f"{line}…"
    ImageDraw.Draw(sheet).text(middle, drawn, fill=ink if sheet.mode == "RGBA" else ink[:3], font=font, anchor="mm")


class New(PictureOperation):
    """An empty picture."""

    name = "image.new"
    title = "New image"
    description = "Makes a picture of one colour, which may be transparent (#00000000)."
    category = _CATEGORY
    inputs = {
        "width": In("number", "Pixels.", schema=SIDE),
        "height": In("number", "Pixels.", schema=SIDE),
        "color": In("text", "The colour.", required=False, default="white", schema=COLOR),
    }
    outputs = {"image": Out("image")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        size = given.whole("width"), given.whole("height")
        pictures.check_size(*size, "width")
        return {"image": canvas("RGB", size, color_of(given, "color"))}
