"""What a graph gives: its nodes that save and show pictures, and those whose titles say so, as outputs."""

import re
from collections.abc import Mapping
from typing import Any

from serve.workflow.comfyui.classes import CLASSES
from serve.workflow.comfyui.interface import InterfaceFull
from serve.workflow.comfyui.marks import Mark
from serve.workflow.comfyui.naming import port_name
from serve.workflow.comfyui.source import SourceNode
from serve.workflow.comfyui.translation import Call, Translation
from serve.workflow.comfyui.values import Flow, NoEquivalent, Value, written

_USUAL_PREFIXES = frozenset({"", "comfyui", "cpack_output_", "output_images"})
_PICTURE_INPUTS = ("images", "image", "mask")
_FORMATS = {"png": "png", "jpg": "jpeg", "webp": "webp"}
_HELD = {"IMAGE": "constant.image", "MASK": "constant.mask"}


def save(call: Call) -> tuple[Value, ...]:
    """A node that saves or shows pictures."""
    name = next((one for one in _PICTURE_INPUTS if one in call.node.inputs), "images")
    picture = call.picture(name)
    if call.node.class_type == "ComfyDeployOutputImage":
        picture = _in_format(call, picture)
    mark = call.translation.marks.outputs.get(call.node.id)
    words = (mark.words if mark is not None else "") or _words(call)
    give(call, picture, words, mark)
    return ()


def _in_format(call: Call, picture: Flow) -> Flow:
    format = _FORMATS.get(call.text("file_type", "png"))
    if format is None:
        raise NoEquivalent(f"pictures are not saved as {call.text('file_type')[:20]!r} here")
    if format == "png":
        return picture
    asked = {"image": picture, "format": written(format, "STRING"), "quality": call.flow("quality", 80)}
    return call.operate("image.convert", asked).out("image", "IMAGE")


def _words(call: Call) -> str:
    """What to call an output: as its node is titled, or else as its files begin."""
    node = call.node
    prefixes = [str(node.inputs.get(name) or "") for name in ("output_id", "filename_prefix")]
    prefix = next((one for one in prefixes if one.lower() not in _USUAL_PREFIXES), "")
    plain = re.sub(r"%[^%]*%", "", prefix).replace("\\", "/").strip("/").rpartition("/")[2]
    usual = "preview" if node.class_type.startswith("Preview") else "mask" if "Mask" in node.class_type else "image"
    return next((word for word in (call.translation.own_title(node), plain) if port_name(word, "")), usual)


def give(call: Call, flow: Flow, words: str, mark: Mark | None) -> None:
    """Add an output. What callers have given themselves is held by a node, since only nodes give anything.

    Raises:
        NoEquivalent: the interface is full.
    """
    translation = call.translation
    reference = flow.written.get("$ref") if isinstance(flow.written, Mapping) else None
    if reference is None:
        held = call.operate(_HELD.get(flow.type, "constant"), {"value": flow}, "given")
        reference = [held.name, "value"]
    title = words if port_name(words, "image") != words else ""
    try:
        name = translation.interface.add_output(
            words, *reference, title=title, is_first=mark is not None and mark.is_of_app
        )
    except InterfaceFull:
        raise NoEquivalent("the interface has no room for another output") from None
    for source in {call.node.id, *flow.sources}:
        translation.credit(source, f"output:{name}")


def give_marked(translation: Translation, node: SourceNode) -> None:
    """An output for the first value of a node whose title marks it as one."""
    mark = translation.marks.outputs.get(node.id)
    known = CLASSES.get(node.class_type)
    if mark is None or (known is not None and known.is_output):
        return
    values: list[Any] = [one for one in translation.values.get(node.id, ()) if isinstance(one, Flow)]
    if not values:
        translation.warn(f"{node.told}: it is marked as an output, and gives nothing that could be one")
        return
    call = Call(translation, node)
    try:
        give(call, values[0], mark.words or translation.own_title(node) or "result", mark)
    except NoEquivalent as none:
        call.warn(none.reason)


OUTPUT_CLASSES = frozenset({"SaveImage", "PreviewImage", "MaskPreview", "CPackOutputImage", "ComfyDeployOutputImage"})
