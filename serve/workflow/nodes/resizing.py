"""Operations that change a picture's size."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from serve.domain.errors import InvalidRequest
from serve.media.images import MAX_SIDE
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.pictures import (
    ANCHOR,
    COLOR,
    MULTIPLE,
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
_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
_MAX_MARGIN = 8192
_MARGIN = whole(0, _MAX_MARGIN)
_PLACE = whole(0, MAX_SIDE)
_PADDINGS = {"edge": "edge", "mirror": "symmetric"}


@dataclass(frozen=True, slots=True)
class Resizing:
    """What is to be done: scale to `scaled`, then cut the middle of it to `size`. (width, height) in pixels."""

    scaled: tuple[int, int]
    size: tuple[int, int]


def plan_resizing(
    old: tuple[int, int], width: int | None, height: int | None, scale: float | None, fit: str, multiple: int
) -> Resizing:
    """How a picture of `old` pixels gets into the size that is asked for.

    cover      exactly width x height, without distortion: what juts out is cut off, equally on both sides
    inside     without distortion, as large as fits into width x height
    stretch    exactly width x height, distorted where the shapes differ

    With one of width and height the other follows from the picture. Sides become multiples of `multiple`.
    """
    factor = 1.0 if scale is None else scale
    if width is None and height is None:
        target = old[0] * factor, old[1] * factor
    elif width is None or height is None:
        ratio = (width / old[0]) if width is not None else (height or 1) / old[1]
        target = old[0] * ratio * factor, old[1] * ratio * factor
    elif fit == "inside":
        ratio = min(width / old[0], height / old[1]) * factor
        target = old[0] * ratio, old[1] * ratio
    else:
        target = width * factor, height * factor
    size = _multiple(target[0], multiple), _multiple(target[1], multiple)
    if fit == "stretch":
        return Resizing(size, size)
    ratio = max(size[0] / old[0], size[1] / old[1])
    scaled = max(size[0], round(old[0] * ratio)), max(size[1], round(old[1] * ratio))
    return Resizing(scaled, size)


def _multiple(side: float, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple


class Resize(PictureOperation):
    """To another size."""

    name = "image.resize"
    title = "Resize"
    description = "Scales a picture, or a mask, to a size or by a factor."
    category = _CATEGORY
    keeps_kind = True
    inputs = {
        "image": In("image", "The picture."),
        "width": In("number", "Pixels; without height, that follows.", required=False, schema=SIDE),
        "height": In("number", "Pixels; without width, that follows.", required=False, schema=SIDE),
        "scale": In("number", "A factor, on top of width and height.", required=False, schema=between(0.01, 16)),
        "fit": In(
            "text",
            "With width and height: `cover` cuts off what juts out, `inside` keeps everything, `stretch` distorts.",
            required=False,
            default="cover",
            schema=one_of(("cover", "inside", "stretch")),
        ),
        "multiple_of": In("number", "Round sides to multiples of this.", required=False, default=1, schema=MULTIPLE),
        "resample": In("text", "The filter.", required=False, default="lanczos", schema=one_of(_FILTERS)),
    }
    outputs = {"image": Out("image"), "width": Out("number"), "height": Out("number")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image = pictures.image("image")
        width, height, scale = (
            given.whole_or_none("width"),
            given.whole_or_none("height"),
            given.number_or_none("scale"),
        )
        if width is None and height is None and scale is None and given.whole("multiple_of") == 1:
            raise InvalidRequest("give width, height, scale, or multiple_of", "missing_input", "width")
        plan = plan_resizing(image.size, width, height, scale, given.text("fit"), given.whole("multiple_of"))
        pictures.check_size(*plan.scaled, "scale" if width is None and height is None else "width")
        scaled = image if image.size == plan.scaled else image.resize(plan.scaled, _FILTERS[given.text("resample")])
        left, top = placed("center", plan.scaled, plan.size)
        made = scaled.crop((left, top, left + plan.size[0], top + plan.size[1]))
        return {"image": made, "width": made.width, "height": made.height}


class Crop(PictureOperation):
    """A part of a picture."""

    name = "image.crop"
    title = "Crop"
    description = "Cuts a rectangle out of a picture: at left and top, or held by an anchor."
    category = _CATEGORY
    keeps_kind = True
    inputs = {
        "image": In("image", "The picture."),
        "width": In("number", "Pixels; unset, all there are.", required=False, schema=SIDE),
        "height": In("number", "Pixels; unset, all there are.", required=False, schema=SIDE),
        "left": In("number", "From the picture's left side; unset, as the anchor says.", required=False, schema=_PLACE),
        "top": In("number", "From the picture's top; unset, as the anchor says.", required=False, schema=_PLACE),
        "anchor": In("text", "What part to keep.", required=False, default="center", schema=ANCHOR),
        "multiple_of": In("number", "Round sides down to multiples.", required=False, default=1, schema=MULTIPLE),
    }
    outputs = {"image": Out("image"), "width": Out("number"), "height": Out("number")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image = pictures.image("image")
        left, top = given.whole_or_none("left"), given.whole_or_none("top")
        multiple = given.whole("multiple_of")
        width = _side(given.whole_or_none("width"), image.width - (left or 0), multiple, "width")
        height = _side(given.whole_or_none("height"), image.height - (top or 0), multiple, "height")
        anchored = placed(given.text("anchor"), image.size, (width, height))
        left, top = anchored[0] if left is None else left, anchored[1] if top is None else top
        made = image.crop((left, top, left + width, top + height))
        return {"image": made, "width": width, "height": height}


def _side(wanted: int | None, room: int, multiple: int, param: str) -> int:
    side = room if wanted is None else wanted
    side -= side % multiple
    if side < 1 or side > room:
        raise InvalidRequest(f"{param} must be within the picture: there are {room} pixels", "outside_image", param)
    return side


class Pad(PictureOperation):
    """More around a picture."""

    name = "image.pad"
    title = "Pad"
    description = "Adds margins to a picture; the mask is white where they are, for painting there."
    category = _CATEGORY
    inputs = {
        "image": In("image", "The picture."),
        "left": In("number", "Pixels.", required=False, default=0, schema=_MARGIN),
        "right": In("number", "Pixels.", required=False, default=0, schema=_MARGIN),
        "top": In("number", "Pixels.", required=False, default=0, schema=_MARGIN),
        "bottom": In("number", "Pixels.", required=False, default=0, schema=_MARGIN),
        "width": In("number", "At least as many pixels, margins included.", required=False, schema=SIDE),
        "height": In("number", "At least as many pixels, margins included.", required=False, schema=SIDE),
        "anchor": In("text", "Where the picture stays in width x height.", False, "center", ANCHOR),
        "multiple_of": In("number", "Round sides up to multiples.", required=False, default=1, schema=MULTIPLE),
        "fill": In("text", "What the margins show.", False, "color", one_of(("color", *_PADDINGS))),
        "color": In("text", "Of the margins.", required=False, default="black", schema=COLOR),
    }
    outputs = {"image": Out("image"), "mask": Out("mask"), "width": Out("number"), "height": Out("number")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image = pictures.image("image")
        left, top, right, bottom = margins(given, image.size)
        size = left + image.width + right, top + image.height + bottom
        pictures.check_size(*size, "image")
        if (fill := given.text("fill")) == "color":
            made = canvas(image.mode, size, color_of(given, "color"))
            made.paste(image.convert(made.mode), (left, top))
        else:
            made = _extended(image, (left, top, right, bottom), _PADDINGS[fill])
        mask = Image.new("L", size, 255)
        mask.paste(0, (left, top, left + image.width, top + image.height))
        return {"image": made, "mask": mask, "width": size[0], "height": size[1]}


def margins(given: Given, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom margin in pixels around a picture of `size`."""
    left, top, right, bottom = (given.whole(name) for name in ("left", "top", "right", "bottom"))
    multiple = given.whole("multiple_of")
    width = max(left + size[0] + right, given.whole_or_none("width") or 0)
    height = max(top + size[1] + bottom, given.whole_or_none("height") or 0)
    width, height = width + -width % multiple, height + -height % multiple
    inner = left + size[0] + right, top + size[1] + bottom
    across, down = placed(given.text("anchor"), (width, height), inner)
    return left + across, top + down, width - inner[0] - across + right, height - inner[1] - down + bottom


def _extended(image: Image.Image, sides: tuple[int, int, int, int], mode: Any) -> Image.Image:
    left, top, right, bottom = sides
    around = [(top, bottom), (left, right), (0, 0)][: 2 if image.mode == "L" else 3]
    return Image.fromarray(np.pad(np.asarray(image), around, mode=mode))
