"""How the inputs of models read and look as ports: titles, words where a card has none, order, groups and widgets.

Families differ in this and in nothing else here; what a port takes is its card's to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.domain.chat import Sampling
from serve.domain.images import ImageToImageInput
from serve.domain.port_types import Kind, PortType

SEED_DESCRIPTION = "The same seed makes the same again. Drawn for the run where it is left empty."


@dataclass(frozen=True, slots=True)
class Look:
    """Of one input. `description` stands in where the card says nothing."""

    group: str = ""
    advanced: bool = False
    title: str = ""
    description: str = ""
    widget: str = ""


_TEXT, _SIZE, _SAMPLING, _OUTPUT = "", "Size", "Sampling", "Output"
_OUTPAINT, _TOOLS = "Outpainting", "Tools"

LOOKS: dict[str, Look] = {
    "model": Look(title="Model", description="Which of the models that do this.", widget="model"),
    "system": Look(title="System", description="What the model is, and how it is to answer.", widget="textarea"),
    "prompt": Look(widget="textarea"),
    "input": Look(title="Text", description="A text to embed.", widget="textarea"),
    "inputs": Look(title="Texts", description="Texts to embed, each by itself.", widget="texts"),
    "negative_prompt": Look(widget="textarea"),
    "image": Look(),
    "mask": Look(),
    "strength": Look(),
    "messages": Look(
        "Conversation",
        True,
        "Messages",
        "What was said before: a list of messages with role and content. The prompt comes after them.",
    ),
    "width": Look(_SIZE),
    "height": Look(_SIZE),
    "outpaint_left": Look(_OUTPAINT, True, "Left"),
    "outpaint_right": Look(_OUTPAINT, True, "Right"),
    "outpaint_top": Look(_OUTPAINT, True, "Top"),
    "outpaint_bottom": Look(_OUTPAINT, True, "Bottom"),
    "num_images": Look(_SIZE, title="Images"),
    "max_tokens": Look(_SAMPLING, title="Max tokens"),
    "temperature": Look(_SAMPLING),
    "steps": Look(_SAMPLING),
    "guidance_scale": Look(_SAMPLING, title="Guidance"),
    "sampler": Look(_SAMPLING, True),
    "seed": Look(_SAMPLING, description=SEED_DESCRIPTION, widget="seed"),
    "dimensions": Look(
        _OUTPUT, True, description="Numbers of the embedding, for models that can shorten it; all where it is left out."
    ),
    "adapter": Look("Adapters", title="Adapter", widget="adapter"),
    "adapters": Look("Adapters", widget="adapters"),
    "top_p": Look(_SAMPLING, True, "Top p", "Draw from the likeliest tokens that together are this probable."),
    "top_k": Look(_SAMPLING, True, "Top k"),
    "min_p": Look(_SAMPLING, True, "Min p", "Leave out tokens less probable than this share of the likeliest."),
    "presence_penalty": Look(_SAMPLING, True, description="Above 0, against tokens that have come up at all."),
    "frequency_penalty": Look(_SAMPLING, True, description="Above 0, against tokens the more often they have come up."),
    "repetition_penalty": Look(_SAMPLING, True, description="Above 1, against repeating prompt and answer."),
    "logit_bias": Look(
        _SAMPLING, True, description="What is added to the logits of tokens, by token id.", widget="json"
    ),
    "stop": Look(_SAMPLING, True, "Stop at", "The answer ends before any of these texts.", "texts"),
    "n": Look(_OUTPUT, True, "Answers", "How many to generate; the first is `text`, all of them are `texts`."),
    "echo": Look(_OUTPUT, True, description="Whether the text begins with the prompt."),
    "json_schema": Look(
        _OUTPUT,
        True,
        "JSON schema",
        "A JSON Schema that the answer is held to; the output `json` is then the answer, read.",
        "json",
    ),
    "response_format": Look(_OUTPUT, True, description="As in OpenAI's API: text, json_object or json_schema."),
    "tools": Look(_TOOLS, True, description="Functions that the model may call; what it calls is `tool_calls`."),
    "tool_choice": Look(_TOOLS, True, description="none, auto, required, or one function by name."),
    "parallel_tool_calls": Look(_TOOLS, True, description="Whether it may call several at once."),
    "output_format": Look(_OUTPUT, True, "Format"),
    "quality": Look(_OUTPUT, True),
    "previews": Look(_OUTPUT, True),
    "metadata": Look(_OUTPUT, True),
}
"""By name of the input, in the order in which ports are shown; one that is not here comes last, as advanced."""

_ORDER = {name: index for index, name in enumerate(LOOKS)}
_REWORDED: dict[str | None, str] = {
    Sampling.model_fields["n"].description: LOOKS["n"].description,
    ImageToImageInput.model_fields["image"].description: "The picture to start from.",
    ImageToImageInput.model_fields["seed"].description: f"{SEED_DESCRIPTION} Image i of a call is made from seed + i.",
}
"""What families say for HTTP requests, as it is said of ports. A card's own words are left as they are."""
_WIDGETS = {
    Kind.BOOLEAN: "toggle",
    Kind.JSON: "json",
    Kind.NUMBER: "number",
    Kind.TEXT: "text",
    Kind.EMBEDDING: "embedding",
    Kind.ADAPTER: "adapter",
    Kind.MODEL: "model",
}
_SLIDER_STEPS = 300
"""Positions that a slider has room for."""


def place_of(name: str) -> int:
    """Where in the order of ports an input stands."""
    return _ORDER.get(name, len(_ORDER))


def described(name: str, schema: Mapping[str, Any]) -> str:
    """What the card says of an input, or what is said where it says nothing."""
    told = str(schema.get("description") or "")
    look = LOOKS.get(name)
    return _REWORDED.get(told, told) or (look.description if look else "")


def titled(name: str) -> str:
    """What a form calls a name."""
    look = LOOKS.get(name)
    return (look.title if look else "") or name.replace("_", " ").capitalize()


def shown(name: str, port_type: PortType, schema: Mapping[str, Any]) -> dict[str, Any]:
    """How a form shows an input of a model: the schema's `x-ui`."""
    look = LOOKS.get(name, Look("Advanced", True))
    widget = look.widget or widget_of(port_type, schema)
    return {"widget": widget, "group": look.group, "order": place_of(name), "advanced": look.advanced}


def widget_of(port_type: PortType, schema: Mapping[str, Any]) -> str:
    """What a value of this type is entered with, where nobody says more."""
    if "enum" in schema:
        return "select"
    if port_type.is_list:
        return "texts" if port_type.kind is Kind.TEXT else "list"
    if port_type.kind is Kind.NUMBER and _is_short(schema):
        return "slider"
    return _WIDGETS.get(port_type.kind, str(port_type.kind))


def _is_short(schema: Mapping[str, Any]) -> bool:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None:
        return False
    step = schema.get("multipleOf") or (1 if schema.get("type") == "integer" else (high - low) / 100)
    return bool((high - low) / step <= _SLIDER_STEPS) if step else False
