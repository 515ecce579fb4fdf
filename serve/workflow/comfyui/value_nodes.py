"""Nodes that hold values, and those that tools of others take as inputs and outputs."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serve.workflow.comfyui.loading import Translator
from serve.workflow.comfyui.pictures import own_title
from serve.workflow.comfyui.source import Link
from serve.workflow.comfyui.translation import Call
from serve.workflow.comfyui.values import Flow, NoEquivalent, Value, written

_TYPES = {"STRING": "text", "INT": "number", "FLOAT": "number", "BOOLEAN": "boolean"}
_LARGEST = 2**53
_MAX_CHOICES = 256
_CASES = {"UPPERCASE": "upper", "lowercase": "lower", "Capitalize": "sentence", "Title Case": "title"}


def _constant(call: Call) -> tuple[Value, ...]:
    """A value: written down where it is used, or held by a node where several use it."""
    flow, own = call.flow("value"), frozenset({call.node.id})
    if not flow.is_known:
        return (flow,)
    if call.num_uses == 1 and call.node.id not in call.translation.marks.outputs:
        return (replace(flow, sources=own),)
    kind = _TYPES[flow.type]
    held = call.operate("constant", {"value": flow, "type": written(kind, "STRING")})
    return (replace(held.out("value", flow.type), literal=flow.literal, sources=own),)


def _joined(call: Call) -> tuple[Value, ...]:
    asked = {"text_1": call.flow("string_a", ""), "text_2": call.flow("string_b", "")}
    delimiter = call.flow("delimiter", "")
    given = asked if delimiter.literal == "" else {**asked, "separator": delimiter}
    return (call.operate("text.join", given).out("text", "STRING"),)


def _replaced(call: Call) -> tuple[Value, ...]:
    asked = {"text": call.flow("string", ""), "find": call.flow("find", ""), "replace": call.flow("replace", "")}
    return (call.operate("text.replace", asked).out("text", "STRING"),)


def _length(call: Call) -> tuple[Value, ...]:
    return (call.operate("text.length", {"text": call.flow("string", "")}).out("characters", "INT"),)


def _cased(call: Call) -> tuple[Value, ...]:
    mode = call.text("mode", "UPPERCASE")
    if mode not in _CASES:
        raise NoEquivalent(f"texts are not written in {mode[:40]!r} here")
    asked = {"text": call.flow("string", ""), "case": written(_CASES[mode], "STRING")}
    return (call.operate("text.case", asked).out("text", "STRING"),)


def _packed(call: Call) -> tuple[Value, ...]:
    """comfy-pack: the title of the node is the name; without one, that of the input it goes to."""
    widget = next((name for name in ("value", "input") if name in call.node.inputs), None)
    value = None if widget is None else call.literal(widget)
    type = _type_of(value)
    if type is None:
        raise NoEquivalent("it has no value that says what it takes")
    options = _options(call.node.original)
    low, high = (_bound(call, name, options) for name in ("min", "max"))
    choices = options.get("values")
    flow = call.translation.interface.add_input(
        own_title(call) or _consumed_as(call),
        type,
        default=value,
        minimum=low if type != "STRING" else None,
        maximum=high if type != "STRING" else None,
        enum=choices[:_MAX_CHOICES] if isinstance(choices, list) and value in choices else None,
    )
    call.credit(flow)
    return (flow,)


def _type_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INT"
    if isinstance(value, float):
        return "FLOAT"
    return "STRING" if isinstance(value, str) else None


def _options(original: Any) -> Mapping[str, Any]:
    meta = original.get("_meta") if isinstance(original, Mapping) else None
    options = meta.get("options") if isinstance(meta, Mapping) else None
    return options if isinstance(options, Mapping) else {}


def _bound(call: Call, name: str, options: Mapping[str, Any]) -> float | None:
    """Its own, or that of the value it stands for; not one that says nothing."""
    value = call.node.inputs.get(name, options.get(name) if "value" not in call.node.inputs else None)
    return _finite(value)


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= _LARGEST:
        return None
    return value


def _consumed_as(call: Call) -> str:
    return next(iter(call.translation.consumers.get(Link(call.node.id, 0), ())), "value")


def _external(call: Call) -> tuple[Value, ...]:
    """ComfyUI-Deploy: `input_id` is the name."""
    type = _EXTERNAL_TYPES[call.node.class_type.removeprefix(_EXTERNAL)]
    default = call.literal("default_value")
    flow = _added(call, type, _fitting(default, type), minimum=_limit(call, "min"), maximum=_limit(call, "max"))
    return (flow,)


def _added(call: Call, type: str, default: Any, **constraints: Any) -> Flow:
    flow = call.translation.interface.add_input(
        call.text("input_id") or call.text("name") or "value",
        type,
        default=default,
        title=call.text("display_name"),
        description=call.text("description"),
        **constraints,
    )
    call.credit(flow)
    return flow


def _limit(call: Call, word: str) -> float | None:
    return _finite(call.literal(f"{word}_value"))


def _fitting(value: Any, type: str) -> Any:
    """A default of the type; forms of ComfyUI-Deploy keep numbers as texts, too."""
    if type in ("INT", "FLOAT") and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        return None if not math.isfinite(number) else int(number) if number == int(number) else number
    return value


def _external_seed(call: Call) -> tuple[Value, ...]:
    """A default outside its bounds means that the seed is drawn."""
    low, high, value = _limit(call, "min"), _limit(call, "max"), _fitting(call.literal("default_value"), "INT")
    is_fixed = isinstance(value, int) and (low is None or value >= low) and (high is None or value <= high)
    flow = _added(call, "INT", value if is_fixed else None, minimum=0, maximum=high, optional=not is_fixed)
    return (flow,)


def _external_choice(call: Call) -> tuple[Value, ...]:
    default, options = call.literal("default_value"), call.literal("options")
    lines = options.split("\n") if isinstance(options, str) else options if isinstance(options, list) else []
    choices = [line.strip() for line in lines if isinstance(line, str) and line.strip()][:_MAX_CHOICES]
    return (_added(call, "STRING", default, enum=choices if default in choices else None),)


def _external_picture(call: Call) -> tuple[Value, ...]:
    if any(isinstance(call.node.inputs.get(name), Link) for name in ("default_value", "default_image")):
        call.warn("its default picture is not kept: callers give one")
    return (_added(call, "IMAGE", None),)


def _external_file(call: Call) -> tuple[Value, ...]:
    """A checkpoint or a LoRA that callers choose: a model or an adapter of ours."""
    is_lora = call.node.class_type.endswith("Lora")
    names = ("default_lora_name",) if is_lora else ("default_value", "default_checkpoint_name")
    file = next((value for name in names if (value := call.literal(name))), "")
    flow = _added(call, "adapter" if is_lora else "model", None)
    return (Flow(flow.written, "COMBO", default=str(file)),)


_EXTERNAL = "ComfyUIDeployExternal"
_EXTERNAL_TYPES = {
    "Text": "STRING",
    "TextAny": "STRING",
    "Number": "FLOAT",
    "NumberInt": "INT",
    "NumberSlider": "FLOAT",
    "NumberSliderInt": "INT",
    "Boolean": "BOOLEAN",
}


VALUE_NODES: Mapping[str, Translator] = {
    "PrimitiveString": _constant,
    "PrimitiveStringMultiline": _constant,
    "PrimitiveInt": _constant,
    "PrimitiveFloat": _constant,
    "PrimitiveBoolean": _constant,
    "StringConcatenate": _joined,
    "StringReplace": _replaced,
    "StringLength": _length,
    "CaseConverter": _cased,
    "CPackInputString": _packed,
    "CPackInputInt": _packed,
    "CPackInputAny": _packed,
    **{f"{_EXTERNAL}{name}": _external for name in _EXTERNAL_TYPES},
    f"{_EXTERNAL}Seed": _external_seed,
    f"{_EXTERNAL}Enum": _external_choice,
    f"{_EXTERNAL}Image": _external_picture,
    f"{_EXTERNAL}ImageAlpha": _external_picture,
    f"{_EXTERNAL}Checkpoint": _external_file,
    f"{_EXTERNAL}Lora": _external_file,
}
