"""Nodes that work on pictures, as operations of ours."""

import math
from collections.abc import Mapping
from dataclasses import replace

from serve.workflow.comfyui.loading import Translator
from serve.workflow.comfyui.naming import port_name
from serve.workflow.comfyui.translation import Call
from serve.workflow.comfyui.values import Flow, NoEquivalent, Value, written
from serve.workflow.nodes.masks import MAX_GROWTH

_FILTERS = {
    "nearest-exact": "nearest",
    "nearest": "nearest",
    "bilinear": "bilinear",
    "area": "area",
    "bicubic": "bicubic",
    "lanczos": "lanczos",
}
_MEGAPIXEL = 1024 * 1024
_ROTATIONS = {"none": 0, "90 degrees": 90, "180 degrees": 180, "270 degrees": 270}


def _filter(call: Call) -> Flow:
    name = call.text("upscale_method", "nearest-exact")
    if name not in _FILTERS:
        raise NoEquivalent(f"pictures are not scaled by {name[:40]!r} here")
    return written(_FILTERS[name], "STRING")


def _scaled(call: Call) -> tuple[Value, ...]:
    """A width or height of 0 follows from the other one."""
    image, sides = call.picture("image"), {name: call.flow(name, 512) for name in ("width", "height")}
    given = {name: flow for name, flow in sides.items() if flow.literal != 0}
    if not given:
        call.credit(image)
        return (image,)
    crop = call.text("crop", "disabled")
    fit = {"disabled": "stretch", "center": "cover"}.get(crop)
    if fit is None:
        raise NoEquivalent(f"pictures are not cropped to {crop[:40]!r} here")
    asked = {"image": image, **given, "fit": written(fit, "STRING"), "resample": _filter(call)}
    return (call.operate("image.resize", asked).out("image", "IMAGE"),)


def _scaled_by(call: Call) -> tuple[Value, ...]:
    asked = {"image": call.picture("image"), "scale": call.flow("scale_by", 1.0), "resample": _filter(call)}
    return (call.operate("image.resize", asked).out("image", "IMAGE"),)


def _scaled_to_pixels(call: Call) -> tuple[Value, ...]:
    """The factor is reckoned from the picture's size."""
    image, resample, wanted = call.picture("image"), _filter(call), call.flow("megapixels", 1.0)
    if call.number("resolution_steps", 1) != 1:
        raise NoEquivalent("sides that are multiples of its own are not made here")
    info = call.operate("image.info", {"image": image}, "size")
    sides = [info.out(side, "INT") for side in ("width", "height")]
    pixels = _calculated(call, "multiply", sides[0], sides[1], "pixels")
    if isinstance(wanted.literal, int | float):
        total = replace(wanted, written=wanted.literal * _MEGAPIXEL, literal=wanted.literal * _MEGAPIXEL)
    else:
        total = _calculated(call, "multiply", wanted, written(_MEGAPIXEL, "INT"), "wanted")
    ratio = _calculated(call, "divide", total, pixels, "ratio")
    scale = _calculated(call, "square_root", ratio, None, "scale")
    resized = call.operate("image.resize", {"image": image, "scale": scale, "resample": resample})
    return (resized.out("image", "IMAGE"),)


def _calculated(call: Call, operation: str, a: Flow, b: Flow | None, suffix: str) -> Flow:
    asked = {"operation": written(operation, "STRING"), "a": a, "b": b}
    return call.operate("number.calculate", asked, suffix).out("result", "FLOAT")


def _cropped(call: Call) -> tuple[Value, ...]:
    asked = {
        "image": call.picture("image"),
        "width": call.flow("width", 512),
        "height": call.flow("height", 512),
        "left": call.flow("x", 0),
        "top": call.flow("y", 0),
    }
    return (call.operate("image.crop", asked).out("image", "IMAGE"),)


def _inverted(call: Call) -> tuple[Value, ...]:
    """The difference to white."""
    image = call.picture("image")
    size = call.operate("image.info", {"image": image}, "size")
    sides = {side: size.out(side, "INT") for side in ("width", "height")}
    white = call.operate("image.new", {**sides, "color": written("white", "STRING")}, "white")
    asked = {"image": image, "overlay": white.out("image", "IMAGE"), "blend": written("difference", "STRING")}
    return (call.operate("image.composite", asked).out("image", "IMAGE"),)


def _blurred(call: Call) -> tuple[Value, ...]:
    """ComfyUI's sigma counts in radii, and its kernel ends at the radius; ours is a Gaussian of the same spread."""
    image, radius, sigma = call.picture("image"), call.number("blur_radius", 1), call.number("sigma", 1.0)
    if not 0.01 <= sigma <= 1000 or not 0 <= radius <= 256:
        raise NoEquivalent("its radius or sigma is out of bounds")
    edge = 1 / sigma
    inside = math.erf(edge / math.sqrt(2))
    density = math.exp(-edge * edge / 2) / math.sqrt(2 * math.pi)
    spread = radius * sigma * math.sqrt(max(1 - 2 * edge * density / inside, 0))
    call.warn(f"its blur of radius {radius:g} and sigma {sigma:g} is a Gaussian one of {spread:.2g} pixels here")
    asked = {"image": image, "radius": written(round(spread, 3), "FLOAT")}
    return (call.operate("image.blur", asked).out("image", "IMAGE"),)


def _composed(call: Call) -> tuple[Value, ...]:
    below, above = call.picture("destination"), call.picture("source")
    mask = call.picture("mask") if "mask" in call.node.inputs else None
    if call.literal("resize_source", False):
        if mask is not None:
            raise NoEquivalent("a mask is not brought to another size with its picture here")
        size = call.operate("image.info", {"image": below}, "size")
        sides = {side: size.out(side, "INT") for side in ("width", "height")}
        asked = {"image": above, **sides, "fit": written("stretch", "STRING")}
        above = call.operate("image.resize", asked, "source").out("image", "IMAGE")
    laid = {"image": below, "overlay": above, "mask": mask, "left": call.flow("x", 0), "top": call.flow("y", 0)}
    return (call.operate("image.composite", laid).out("image", "IMAGE"),)


def _batched(call: Call) -> tuple[Value, ...]:
    first, second = call.picture("image1"), call.picture("image2")
    call.warn("pictures of a list keep their sizes here; ComfyUI brings the second to the size of the first")
    is_single = not (first.is_list or second.is_list)
    operation, port = ("list.make", "item") if is_single else ("list.concat", "list")
    made = call.operate(operation, {f"{port}_1": first, f"{port}_2": second})
    counts = [1 if not flow.is_list else flow.num_items for flow in (first, second)]
    known = [count for count in counts if count is not None]
    num_items = sum(known) if len(known) == 2 else None
    return (replace(made.out("items", "IMAGE"), is_list=True, num_items=num_items),)


def _of_batch(call: Call) -> tuple[Value, ...]:
    image = call.picture("image")
    if not image.is_list:
        call.credit(image)
        return (image,)
    length = call.flow("length", 1)
    sliced = call.operate("list.slice", {"items": image, "start": call.flow("batch_index", 0), "count": length})
    num_items = length.literal if isinstance(length.literal, int) else None
    return (replace(sliced.out("items", "IMAGE"), is_list=True, num_items=num_items),)


def _repeated(call: Call) -> tuple[Value, ...]:
    image, amount = call.picture("image"), call.flow("amount", 1)
    if image.is_list:
        raise NoEquivalent("it repeats several pictures at once")
    made = call.operate("list.repeat", {"item": image, "count": amount})
    num_items = amount.literal if isinstance(amount.literal, int) else None
    return (replace(made.out("items", "IMAGE"), is_list=True, num_items=num_items),)


def _padded(call: Call) -> tuple[Value, ...]:
    """The mask reaches into the picture by the feathering, where ComfyUI's falls off with the square of the way."""
    sides = {side: call.flow(side, 0) for side in ("left", "top", "right", "bottom")}
    image, feathering = call.picture("image"), call.number("feathering", 40)
    padded = call.operate("image.pad", {"image": image, **sides, "color": written("#808080", "STRING")})
    mask = padded.out("mask", "MASK")
    if feathering > 0 and call.is_used(1):
        soft = min(feathering / 4, MAX_GROWTH)
        reach = min(round(feathering / 4), MAX_GROWTH)
        call.warn(f"its mask is feathered otherwise: it is widened by {reach} pixels here, and blurred by {soft:g}")
        asked = {"mask": mask, "pixels": written(reach, "INT"), "feather": written(soft, "FLOAT")}
        mask = call.operate("mask.grow", asked, "mask").out("mask", "MASK")
    return padded.out("image", "IMAGE"), mask


def _flipped(call: Call) -> tuple[Value, ...]:
    method = call.text("flip_method", "x-axis: vertically")
    direction = {"x": "vertical", "y": "horizontal"}.get(method[:1])
    if direction is None:
        raise NoEquivalent(f"pictures are not flipped {method[:40]!r} here")
    asked = {"image": call.picture("image"), "direction": written(direction, "STRING")}
    return (call.operate("image.flip", asked).out("image", "IMAGE"),)


def _rotated(call: Call) -> tuple[Value, ...]:
    rotation = call.text("rotation", "none")
    if rotation not in _ROTATIONS:
        raise NoEquivalent(f"pictures are not rotated by {rotation[:40]!r} here")
    asked = {"image": call.picture("image"), "degrees": written(_ROTATIONS[rotation], "INT")}
    return (call.operate("image.rotate", asked).out("image", "IMAGE"),)


def _plain(call: Call) -> tuple[Value, ...]:
    if call.number("batch_size", 1) != 1:
        raise NoEquivalent("it makes several pictures of one colour")
    color = int(call.number("color", 0)) & 0xFFFFFF
    asked = {name: call.flow(name, 512) for name in ("width", "height")}
    made = call.operate("image.new", {**asked, "color": written(f"#{color:06x}", "STRING")})
    return (made.out("image", "IMAGE"),)


def _size(call: Call) -> tuple[Value, ...]:
    image = call.picture("image")
    if image.is_list:
        raise NoEquivalent("it asks several pictures for one size")
    info = call.operate("image.info", {"image": image})
    return info.out("width", "INT"), info.out("height", "INT"), written(1, "INT")


def _loaded(call: Call) -> tuple[Value, ...]:
    """A file of ComfyUI's folder: here callers give the picture."""
    image = picture_input(call, "image", str(call.node.inputs.get("image") or ""))
    return image, _transparency(call, image) if call.is_used(1) else image


def picture_input(call: Call, fallback: str, file: str) -> Flow:
    """An input for a picture, named by a mark, or by the node's own title."""
    translation, id = call.translation, call.node.id
    mark = translation.marks.inputs.get((id, "image"))
    name = mark.words if mark is not None and mark.words != "image" else own_title(call) or fallback
    described = f"Stands for the file {file[:200]} of the imported graph." if file else ""
    image = translation.interface.add_input(name, "IMAGE", description=described)
    translation.promote(call.node, "image", image)
    return image


def own_title(call: Call) -> str:
    """The title of the node, if it has one of its own that could be a name."""
    return call.translation.own_title(call.node) if port_name(call.node.title, "") else ""


def _transparency(call: Call, image: Flow) -> Flow:
    """ComfyUI's mask of a picture: white where it is transparent."""
    asked = {"image": image, "channel": written("opacity", "STRING")}
    opacity = call.operate("mask.from_image", asked, "opacity").out("mask", "MASK")
    return call.operate("mask.invert", {"mask": opacity}, "mask").out("mask", "MASK")


def _loaded_mask(call: Call) -> tuple[Value, ...]:
    channel = call.text("channel", "alpha")
    image = picture_input(call, "mask", str(call.node.inputs.get("image") or ""))
    if channel == "alpha":
        return (_transparency(call, image),)
    return (_channel(call, image, channel),)


def _channel(call: Call, image: Flow, channel: str) -> Flow:
    if channel not in ("red", "green", "blue", "alpha"):
        raise NoEquivalent(f"a picture has no channel {channel[:40]!r}")
    asked = {"image": image, "channel": written("opacity" if channel == "alpha" else channel, "STRING")}
    return call.operate("mask.from_image", asked).out("mask", "MASK")


def _masked_by(call: Call) -> tuple[Value, ...]:
    return (_channel(call, call.picture("image"), call.text("channel", "red")),)


def _shown(call: Call) -> tuple[Value, ...]:
    """A mask goes wherever a picture does."""
    mask = call.picture("mask")
    call.credit(mask)
    return (replace(mask, type="IMAGE"),)


def _mask_inverted(call: Call) -> tuple[Value, ...]:
    return (call.operate("mask.invert", {"mask": call.picture("mask")}).out("mask", "MASK"),)


def _mask_grown(call: Call) -> tuple[Value, ...]:
    if call.literal("tapered_corners", True):
        call.warn("the corners of the mask grow square here, and not tapered")
    asked = {"mask": call.picture("mask"), "pixels": call.flow("expand", 0)}
    return (call.operate("mask.grow", asked).out("mask", "MASK"),)


def _solid(call: Call) -> tuple[Value, ...]:
    value = call.number("value", 1.0)
    level = max(0, min(255, round(value * 255)))
    sides = {name: call.flow(name, 512) for name in ("width", "height")}
    plain = call.operate("image.new", {**sides, "color": written("#" + f"{level:02x}" * 3, "STRING")}, "color")
    return (call.operate("mask.from_image", {"image": plain.out("image", "IMAGE")}).out("mask", "MASK"),)


_COMBINED = {"or": "union", "add": "union", "and": "intersection", "subtract": "difference", "xor": "exclusion"}


def _masks_combined(call: Call) -> tuple[Value, ...]:
    """Ours combine masks of one size, which ComfyUI's are where nothing is moved."""
    operation = call.text("operation", "multiply")
    if operation not in _COMBINED or call.number("x", 0) or call.number("y", 0):
        raise NoEquivalent("masks are combined here by or, add, and, subtract and xor, and without moving one")
    call.warn("masks of different sizes are not combined here, and grey counts as it is")
    asked = {"a": call.picture("destination"), "b": call.picture("source")}
    combined = call.operate("mask.combine", {**asked, "operation": written(_COMBINED[operation], "STRING")})
    return (combined.out("mask", "MASK"),)


PICTURES: Mapping[str, Translator] = {
    "LoadImage": _loaded,
    "CPackInputImage": _loaded,
    "LoadImageMask": _loaded_mask,
    "ImageScale": _scaled,
    "ImageScaleBy": _scaled_by,
    "ImageScaleToTotalPixels": _scaled_to_pixels,
    "ImageCrop": _cropped,
    "ImageInvert": _inverted,
    "ImageBlur": _blurred,
    "ImageCompositeMasked": _composed,
    "ImageBatch": _batched,
    "ImageFromBatch": _of_batch,
    "RepeatImageBatch": _repeated,
    "ImagePadForOutpaint": _padded,
    "ImageFlip": _flipped,
    "ImageRotate": _rotated,
    "EmptyImage": _plain,
    "GetImageSize": _size,
    "MaskToImage": _shown,
    "ImageToMask": _masked_by,
    "InvertMask": _mask_inverted,
    "GrowMask": _mask_grown,
    "SolidMask": _solid,
    "MaskComposite": _masks_combined,
}
