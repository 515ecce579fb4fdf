"""Operations that make masks, and change them: white is where something happens."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from serve.media.images import check_mask
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.pictures import COLOR, OFFSET, SIDE, PictureOperation, Pictures, color_of
from serve.workflow.nodes.schemas import between, one_of, whole
from serve.workflow.operation import In, Out

_CATEGORY = "Mask"
MAX_GROWTH = 256
"""Pixels."""
_CHANNELS = ("brightness", "red", "green", "blue", "opacity")
_COMBINATIONS: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "union": ImageChops.lighter,
    "intersection": ImageChops.darker,
    "difference": ImageChops.subtract,
    "exclusion": ImageChops.difference,
}
Bytes = NDArray[np.uint8]


class FromColor(PictureOperation):
    """Where a picture has a colour."""

    name = "mask.from_color"
    title = "Mask from colour"
    description = "Makes a mask that is white where a picture has a colour, or one close to it."
    category = _CATEGORY
    inputs = {
        "image": In("image", "The picture."),
        "color": In("text", "The colour: a name, or #rrggbb.", schema=COLOR),
        "tolerance": In("number", "How far each of red, green and blue may be off.", False, 16, between(0, 255)),
    }
    outputs = {"mask": Out("mask")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        wanted, tolerance = color_of(given, "color"), given.number("tolerance")
        image = pictures.image("image").convert("RGB")
        is_close = np.ones((image.height, image.width), np.bool_)
        for band, value in zip(image.split(), wanted, strict=False):
            level = np.asarray(band)
            is_close &= (level >= value - tolerance) & (level <= value + tolerance)
        return {"mask": Image.fromarray(is_close.astype(np.uint8) * np.uint8(255))}


class FromBox(PictureOperation):
    """A rectangle, or an ellipse."""

    name = "mask.from_box"
    title = "Mask from box"
    description = "Makes a mask that is white in a rectangle, or in the ellipse within it."
    category = _CATEGORY
    inputs = {
        "left": In("number", "Of the box, in pixels.", schema=OFFSET),
        "top": In("number", "Of the box, in pixels.", schema=OFFSET),
        "width": In("number", "Of the box, in pixels.", schema=SIDE),
        "height": In("number", "Of the box, in pixels.", schema=SIDE),
        "image": In("image", "A picture: the mask becomes as large.", required=False),
        "mask_width": In("number", "Of the mask, in pixels, where no picture is given.", required=False, schema=SIDE),
        "mask_height": In("number", "Of the mask, in pixels, where no picture is given.", required=False, schema=SIDE),
        "shape": In("text", "Of what is white.", False, "rectangle", one_of(("rectangle", "ellipse"))),
        "feather": In("number", "How soft the edge is, in pixels.", False, 0, between(0, 256)),
    }
    outputs = {"mask": Out("mask")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        size = _mask_size(given, pictures)
        pictures.check_size(*size, "mask_width")
        left, top = given.whole("left"), given.whole("top")
        box = (left, top, left + given.whole("width") - 1, top + given.whole("height") - 1)
        mask = Image.new("L", size, 0)
        draw = ImageDraw.Draw(mask)
        (draw.ellipse if given.text("shape") == "ellipse" else draw.rectangle)(box, fill=255)
        feather = given.number("feather")
        return {"mask": mask.filter(ImageFilter.GaussianBlur(feather)) if feather else mask}


def _mask_size(given: Given, pictures: Pictures) -> tuple[int, int]:
    if pictures.has("image"):
        info = pictures.info("image")
        return info.width, info.height
    return given.whole("mask_width"), given.whole("mask_height")


class FromImage(PictureOperation):
    """A picture's shades."""

    name = "mask.from_image"
    title = "Mask from image"
    description = "Makes a mask of a picture's brightness, of one of its colours, or of its opacity."
    category = _CATEGORY
    inputs = {
        "image": In("image", "The picture."),
        "channel": In("text", "Of what.", required=False, default="brightness", schema=one_of(_CHANNELS)),
        "threshold": In("number", "White from this level on, black below.", required=False, schema=between(0, 255)),
    }
    outputs = {"mask": Out("mask")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image, channel = pictures.image("image"), given.text("channel")
        if channel == "brightness":
            mask = image.convert("L")
        else:
            mask = image.convert("RGBA").getchannel(_CHANNELS.index(channel) - 1)
        threshold = given.number_or_none("threshold")
        return {"mask": mask if threshold is None else mask.point(lambda level: 255 if level >= threshold else 0)}


class Invert(PictureOperation):
    """The opposite."""

    name = "mask.invert"
    title = "Invert mask"
    description = "Makes white black and black white."
    category = _CATEGORY
    inputs = {"mask": In("mask", "The mask.")}
    outputs = {"mask": Out("mask")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        return {"mask": ImageOps.invert(pictures.mask("mask"))}


class Grow(PictureOperation):
    """More of it, or less."""

    name = "mask.grow"
    title = "Grow mask"
    description = "Widens what is white by some pixels, or with a negative number narrows it; then softens the edge."
    category = _CATEGORY
    inputs = {
        "mask": In("mask", "The mask."),
        "pixels": In("number", "How far; below 0 it shrinks.", schema=whole(-MAX_GROWTH, MAX_GROWTH)),
        "feather": In("number", "How soft the edge becomes, in pixels.", False, 0, between(0, 256)),
    }
    outputs = {"mask": Out("mask")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        pixels, feather = given.whole("pixels"), given.number("feather")
        levels = np.array(pictures.mask("mask"))
        mask = Image.fromarray(grown(levels, pixels) if pixels >= 0 else 255 - grown(255 - levels, -pixels))
        return {"mask": mask.filter(ImageFilter.GaussianBlur(feather)) if feather else mask}


def grown(levels: Bytes, reach: int) -> Bytes:
    """The highest level within `reach` pixels, across and down: [height, width]. Each pass doubles how far is seen, so
    that 256 pixels cost eight of them."""
    for axis in (0, 1):
        done = 0
        while done < reach:
            step = min(max(1, done), reach - done)
            levels = _spread(levels, step, axis)
            done += step
    return levels


def _spread(levels: Bytes, step: int, axis: int) -> Bytes:
    moved = np.moveaxis(levels, axis, 0)
    if step >= len(moved):
        return np.broadcast_to(levels.max(axis=axis, keepdims=True), levels.shape).copy()
    result = moved.copy()
    np.maximum(result[step:], moved[:-step], out=result[step:])
    np.maximum(result[:-step], moved[step:], out=result[:-step])
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


class Combine(PictureOperation):
    """Two masks in one."""

    name = "mask.combine"
    title = "Combine masks"
    description = (
        "White where either is (union), both are (intersection), a is without b (difference), one is (exclusion)."
    )
    category = _CATEGORY
    inputs = {
        "a": In("mask", "A mask."),
        "b": In("mask", "Another one, as large."),
        "operation": In("text", "How.", required=False, default="union", schema=one_of(_COMBINATIONS)),
    }
    outputs = {"mask": Out("mask")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        check_mask(pictures.info("a"), pictures.info("b"), "b")
        return {"mask": _COMBINATIONS[given.text("operation")](pictures.mask("a"), pictures.mask("b"))}
