"""The interface of an imported workflow, while it comes together."""

from typing import Any

from serve.domain.workflow import MAX_PORTS
from serve.workflow.comfyui.naming import port_name, unused
from serve.workflow.comfyui.values import Flow

_TYPES = {"STRING": "text", "INT": "number", "FLOAT": "number", "BOOLEAN": "boolean", "IMAGE": "image", "MASK": "mask"}
_MAX_WORDS = 120


class InterfaceFull(Exception):
    """There is no room for another input or output."""


class InterfaceParts:
    """Inputs and outputs as documents write them."""

    def __init__(self) -> None:
        self.inputs: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[str, Any]] = {}

    def add_input(
        self,
        words: str,
        type: str,
        *,
        default: Any = None,
        title: str = "",
        description: str = "",
        is_list: bool = False,
        **constraints: Any,
    ) -> Flow:
        """A new input. `type` is ComfyUI's word, or one of ours; an INT takes whole numbers. Without a default it is
        required, unless it is a seed, which is then drawn. Raises InterfaceFull."""
        if len(self.inputs) >= MAX_PORTS:
            raise InterfaceFull
        name = unused(port_name(words, "value"), self.inputs)
        ours = _TYPES.get(type, type)
        bounds = {key: value for key, value in constraints.items() if value is not None and key != "optional"}
        bounds |= {"integer": True} if type == "INT" else {}
        told = {"title": title or (words if words != name else ""), "description": description}
        self.inputs[name] = {
            "name": name,
            "type": f"list[{ours}]" if is_list else ours,
            **{key: value[:_MAX_WORDS] if key == "title" else value[:2000] for key, value in told.items() if value},
            **({"default": default} if default is not None else {}),
            **({"optional": True} if constraints.get("optional") else {}),
            **({"constraints": bounds} if bounds else {}),
        }
        return Flow({"$input": name}, type, default=default, is_list=is_list)

    def set_default(self, flow: Flow, default: Any) -> None:
        """Of an input that was added without one."""
        self.inputs[flow.written["$input"]]["default"] = default

    def add_output(self, words: str, node: str, port: str, *, title: str = "", is_first: bool = False) -> str:
        """A new output, and its name. Raises InterfaceFull."""
        if len(self.outputs) >= MAX_PORTS:
            raise InterfaceFull
        name = unused(port_name(words, "image"), self.outputs)
        is_primary = is_first and not any(one.get("primary") for one in self.outputs.values())
        self.outputs[name] = {
            "name": name,
            "from": [node, port],
            **({"title": title[:_MAX_WORDS]} if title else {}),
            **({"primary": True} if is_primary else {}),
        }
        return name
