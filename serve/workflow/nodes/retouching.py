"""Operations that change how a picture looks, or its file."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageStat

from serve.domain.images import ImageFormat
from serve.media.images import check_mask
from serve.workflow.nodes.operation_inputs import Given
from serve.workflow.nodes.pictures import COLOR, Drawn, PictureOperation, Pictures, canvas, color_of
from serve.workflow.nodes.schemas import between, one_of, whole
from serve.workflow.operation import In, Out

_CATEGORY = "Image"
_MAX_RADIUS = 256
_QUARTERS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
_FLIPS = {
    "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "both": Image.Transpose.ROTATE_180,
}
_FACTOR = between(0, 4)
_ADJUSTMENTS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


class Blur(PictureOperation):
    """Softer."""

    name = "image.blur"
    title = "Blur"
    description = "Blurs a picture, or only where a mask is white; of a mask it makes the edges soft."
    category = _CATEGORY
    keeps_kind = True
    inputs = {
        "image": In("image", "The picture."),
        "radius": In("number", "Pixels.", required=False, default=4, schema=between(0, _MAX_RADIUS)),
        "mask": In("mask", "As large as the picture: where to blur.", required=False),
    }
    outputs = {"image": Out("image")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image = pictures.image("image")
        blurred = _blurred(image, given.number("radius"))
        if pictures.has("mask"):
            check_mask(pictures.info("image"), pictures.info("mask"), "mask")
            blurred = Image.composite(blurred, image, pictures.mask("mask"))
        return {"image": blurred}


def _blurred(image: Image.Image, radius: float) -> Image.Image:
    """Transparent pixels have colours, too; weighed by their opacity they leave no halo."""
    if image.mode != "RGBA":
        return image.filter(ImageFilter.GaussianBlur(radius))
    return image.convert("RGBa").filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")


class Rotate(PictureOperation):
    """Turned."""

    name = "image.rotate"
    title = "Rotate"
    description = "Turns a picture clockwise; quarter turns lose nothing."
    category = _CATEGORY
    keeps_kind = True
    inputs = {
        "image": In("image", "The picture."),
        "degrees": In("number", "Clockwise.", schema=between(-360, 360)),
        "expand": In("boolean", "Grow, so that no corner is cut off.", required=False, default=True),
        "background": In("text", "Of the corners that become free.", required=False, default="black", schema=COLOR),
    }
    outputs = {"image": Out("image"), "width": Out("number"), "height": Out("number")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image, degrees = pictures.image("image"), given.number("degrees") % 360
        expand = given.flag("expand")
        if degrees in _QUARTERS and (expand or degrees == 180):
            made = image.transpose(_QUARTERS[int(degrees)])
        elif degrees:
            made = _rotated(image, degrees, expand, given, pictures)
        else:
            made = image
        return {"image": made, "width": made.width, "height": made.height}


def _rotated(image: Image.Image, degrees: float, expand: bool, given: Given, pictures: Pictures) -> Image.Image:
    across, down = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    if expand:
        size = image.width * across + image.height * down + 2, image.width * down + image.height * across + 2
        pictures.check_size(*size, "degrees")
    ground = canvas(image.mode, (1, 1), color_of(given, "background"))
    color = ground.getpixel((0, 0))
    turning = image.convert(ground.mode)
    return turning.rotate(-degrees, Image.Resampling.BICUBIC, expand=expand, fillcolor=color)


class Flip(PictureOperation):
    """Mirrored."""

    name = "image.flip"
    title = "Flip"
    description = "Mirrors a picture: left and right (horizontal), top and bottom (vertical), or both."
    category = _CATEGORY
    keeps_kind = True
    inputs = {
        "image": In("image", "The picture."),
        "direction": In("text", "What changes places.", False, "horizontal", one_of(_FLIPS)),
    }
    outputs = {"image": Out("image")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        return {"image": pictures.image("image").transpose(_FLIPS[given.text("direction")])}


class Adjust(PictureOperation):
    """Brighter, richer, sharper."""

    name = "image.adjust"
    title = "Adjust"
    description = "Changes brightness, contrast, saturation and sharpness: 1 leaves them, 0 takes them away."
    category = _CATEGORY
    inputs = {
        "image": In("image", "The picture."),
        **{name: In("number", "A factor.", required=False, default=1, schema=_FACTOR) for name in _ADJUSTMENTS},
    }
    outputs = {"image": Out("image")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image = pictures.image("image")
        made = image.convert("RGB")
        for name, enhance in _ADJUSTMENTS.items():
            if (factor := given.number(name)) != 1:
                made = enhance(made).enhance(factor)
        if image.mode == "RGBA":
            made.putalpha(image.getchannel("A"))
        return {"image": made}


class Convert(PictureOperation):
    """Another file."""

    name = "image.convert"
    title = "Convert"
    description = "Writes a picture as PNG, JPEG or WebP, in colour or in shades of grey; `flatten` ends transparency."
    category = _CATEGORY
    inputs = {
        "image": In("image", "The picture."),
        "format": In("text", "Of the file.", required=False, default="png", schema=one_of(map(str, ImageFormat))),
        "quality": In("number", "Of JPEG and WebP; WebP at 100 is lossless.", False, 90, whole(1, 100)),
        "greyscale": In("boolean", "Take the colours away.", required=False, default=False),
        "flatten": In("boolean", "Lay it on the background; JPEG files have it done.", required=False, default=False),
        "background": In("text", "What is put behind transparent parts.", False, "white", COLOR),
    }
    outputs = {"image": Out("image")}

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image, form = pictures.image("image"), ImageFormat(given.text("format"))
        if image.mode == "RGBA" and (given.flag("flatten") or form is ImageFormat.JPEG):
            ground = Image.new("RGB", image.size, color_of(given, "background")[:3])
            ground.paste(image, mask=image.getchannel("A"))
            image = ground
        if given.flag("greyscale"):
            image = _grey(image)
        return {"image": Drawn(image, form, given.whole("quality"))}


def _grey(image: Image.Image) -> Image.Image:
    grey = image.convert("L")
    if image.mode != "RGBA":
        return grey
    seen = grey.convert("RGB")
    seen.putalpha(image.getchannel("A"))
    return seen


class Info(PictureOperation):
    """What a picture is."""

    name = "image.info"
    title = "Image info"
    description = "The size of a picture, its shape, and what its file is."
    category = _CATEGORY
    inputs = {"image": In("image", "The picture.")}
    outputs = {
        "width": Out("number", "Pixels."),
        "height": Out("number", "Pixels."),
        "aspect": Out("number", "Width divided by height."),
        "orientation": Out("text", "landscape, portrait or square."),
        "media_type": Out("text"),
        "bytes": Out("number", "Of the file."),
    }

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        info, num_bytes = pictures.info("image"), len(pictures.file("image"))
        shape = "square" if info.width == info.height else "landscape" if info.width > info.height else "portrait"
        return {
            "width": info.width,
            "height": info.height,
            "aspect": info.width / info.height,
            "orientation": shape,
            "media_type": info.media_type,
            "bytes": num_bytes,
        }


class Statistics(PictureOperation):
    """How a picture looks, in numbers: for conditions."""

    name = "image.statistics"
    title = "Image statistics"
    description = "Brightness, contrast, saturation and detail of a picture, 0 to 1: a flat or black picture has none."
    category = _CATEGORY
    inputs = {"image": In("image", "The picture.")}
    outputs = {
        "brightness": Out("number", "The mean of its shades; of a mask, how much of it is white."),
        "contrast": Out("number", "How far the shades are from their mean."),
        "saturation": Out("number", "The mean difference between the strongest and the weakest colour."),
        "detail": Out("number", "The mean difference between neighbours."),
    }

    def work(self, given: Given, pictures: Pictures) -> Mapping[str, Any]:
        """See `PictureOperation`."""
        image = pictures.image("image").convert("RGB")
        grey = image.convert("L")
        shades = ImageStat.Stat(grey)
        levels, colors = np.asarray(grey, np.int16), np.asarray(image)
        across, down = np.abs(np.diff(levels, axis=1)), np.abs(np.diff(levels, axis=0))
        return {
            "brightness": shades.mean[0] / 255,
            "contrast": shades.stddev[0] / 127.5,
            "saturation": float((colors.max(axis=2) - colors.min(axis=2)).mean()) / 255,
            "detail": float((across.sum() + down.sum()) / max(1, across.size + down.size)) / 255,
        }
