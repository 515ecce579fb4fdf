"""What the cards of image models accept, how they say no, and the schema that forms are made from."""

from typing import Any

import pytest
from fakes.effort import effort

from serve.catalog.builtin import builtin_documents
from serve.catalog.cards import Card
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.errors import InvalidRequest
from serve.domain.images import ImageFormat, ImageToImageInput, Sampler, TextToImageInput
from serve.domain.task import Task

T2I, I2I = Task.TEXT_TO_IMAGE, Task.IMAGE_TO_IMAGE
CIRCLE = {"prompt": "a red circle"}
EDIT = {"prompt": "a red circle", "image": "asset:a"}
BUILTIN = ["sd15", "sd15-inpainting", "sdxl-base", "sdxl-inpainting", "shapes-sd", "shapes-sdxl", "ssd-1b"]


def card(inputs: dict[str, Any] | None = None, tasks: str = "text_to_image image_to_image", **engine: Any) -> Card:
    family = tasks.split()[0]
    document = ModelDocument.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "Model",
            "metadata": {"name": "m"},
            "spec": {
                "family": family,
                "tasks": tasks.split(),
                "weights": {"uri": "builtin://m"},
                "engine": {"kind": "diffusion"} | engine,
                "card": {"title": "M", "inputs": inputs or {}},
            },
        }
    )
    return Card(document, document.digest())


def refused(value: Any, task: Task = T2I, inputs: dict[str, Any] | None = None, **engine: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        card(inputs, **engine).validate(task, value)
    return caught.value


REFUSALS = {
    "no prompt": (T2I, {}, "missing_field", "prompt", "is required"),
    "a width of a million": (T2I, CIRCLE | {"width": 10**6}, "out_of_range", "width", "must be at most 2048"),
    "a width of no latents": (
        T2I,
        CIRCLE | {"width": 100},
        "out_of_range",
        "width",
        "must be a multiple of 8 (got 100)",
    ),
    "a billion steps": (T2I, CIRCLE | {"steps": 10**9}, "out_of_range", "steps", "must be at most 150"),
    "no step": (T2I, CIRCLE | {"steps": 0}, "out_of_range", "steps", "must be at least 1"),
    "a guidance that is no number": (
        T2I,
        CIRCLE | {"guidance_scale": float("nan")},
        "out_of_range",
        "guidance_scale",
        "finite",
    ),
    "an endless guidance": (T2I, CIRCLE | {"guidance_scale": float("inf")}, "out_of_range", "guidance_scale", "finite"),
    "ten thousand images": (T2I, CIRCLE | {"num_images": 10_000}, "out_of_range", "num_images", "must be at most 8"),
    "an unknown sampler": (
        T2I,
        CIRCLE | {"sampler": "warp"},
        "invalid_value",
        "sampler",
        "'euler', 'euler_karras', 'euler_ancestral', 'ddim'",
    ),
    "a sampler that is a number": (T2I, CIRCLE | {"sampler": 3}, "invalid_value", "sampler", "'unipc'"),
    "a format": (T2I, CIRCLE | {"output_format": "gif"}, "invalid_value", "output_format", "'png', 'jpeg' or 'webp'"),
    "a seed below zero": (T2I, CIRCLE | {"seed": -1}, "out_of_range", "seed", "at least 0"),
    "a number in quotes": (T2I, CIRCLE | {"steps": "25"}, "invalid_type", "steps", "an integer"),
    "a very long prompt": (T2I, {"prompt": "a" * 10**7}, "out_of_range", "prompt", "at most 16384"),
    "an image from words": (T2I, EDIT, "unknown_field", "image", "is not a known field"),
    "no image": (I2I, CIRCLE, "missing_field", "image", "is required"),
    "an image that is a list": (I2I, CIRCLE | {"image": [1] * 10_000}, "invalid_type", "image", "a string"),
    "a strength of nothing": (I2I, EDIT | {"strength": 0}, "out_of_range", "strength", "more than 0"),
    "a strength that leaves no step": (
        I2I,
        EDIT | {"strength": 0.1, "steps": 5},
        "invalid_value",
        "steps",
        "leaves no step",
    ),
    "half a size": (I2I, EDIT | {"width": 512}, "invalid_value", "width", "give both, or none"),
    "two sizes": (
        I2I,
        EDIT | {"width": 512, "height": 512, "outpaint_left": 8},
        "invalid_value",
        "outpaint_",
        "leave out width and height",
    ),
    "a margin of a mile": (I2I, EDIT | {"outpaint_top": 10**5}, "out_of_range", "outpaint_top", "at most 1024"),
}


@pytest.mark.parametrize(("task", "value", "code", "param", "told"), REFUSALS.values(), ids=REFUSALS)
def test_what_no_image_is_made_from_is_refused_at_once(
    task: Task, value: dict[str, Any], code: str, param: str, told: str
) -> None:
    made = card()
    made.input_model(task)
    with effort() as spent, pytest.raises(InvalidRequest) as caught:
        made.validate(task, value)
    assert spent.seconds < 0.05
    error = caught.value
    assert error.code == code
    assert told in error.message
    assert error.param == param or (param == "outpaint_" and error.param is None)


def test_the_size_is_bounded_by_the_engine_too() -> None:
    made = card(maxPixels=1024 * 1024)
    made.validate(T2I, CIRCLE | {"width": 2048, "height": 512})
    for task, value in ((T2I, CIRCLE), (I2I, EDIT)):
        error = refused(value | {"width": 2048, "height": 520}, task, maxPixels=1024 * 1024)
        assert (error.code, error.param) == ("invalid_value", "width")
        assert error.message == "width times height is 2048 x 520, and this model paints at most 1048576 pixels"


def test_an_unknown_sampler_is_told_those_of_the_card() -> None:
    inputs = {"sampler": {"default": "ddim", "enum": ["ddim", "unipc"]}}
    for sampler in ("warp", "euler"):
        error = refused(CIRCLE | {"sampler": sampler}, inputs=inputs)
        assert (error.code, error.message) == ("invalid_value", "sampler must be one of 'ddim', 'unipc'")


def test_defaults_are_values_of_their_type() -> None:
    made = card({"sampler": {"default": "unipc"}, "output_format": {"default": "webp", "enum": ["webp"]}})
    value = made.validate(T2I, b'{"prompt": "a"}')
    assert isinstance(value, TextToImageInput)
    assert value.sampler is Sampler.UNIPC
    assert value.output_format is ImageFormat.WEBP
    assert value.model_dump(mode="json")["sampler"] == "unipc"
    assert (value.width, value.steps, value.seed) == (512, 25, None)


def test_a_default_size_is_for_pictures_from_words() -> None:
    made = card({"width": {"default": 128, "maximum": 256}, "height": {"default": 128}})
    from_words, from_picture = made.validate(T2I, CIRCLE), made.validate(I2I, EDIT | {"outpaint_left": 64})
    assert isinstance(from_words, TextToImageInput)
    assert isinstance(from_picture, ImageToImageInput)
    assert (from_words.width, from_picture.width) == (128, None)
    assert (
        refused(EDIT | {"width": 264, "height": 264}, I2I, {"width": {"default": 64, "maximum": 256}}).param == "width"
    )


def test_a_multiple_survives_narrowing() -> None:
    inputs = {"width": {"maximum": 1024, "minimum": 256}}
    for task, value in ((T2I, CIRCLE), (I2I, EDIT | {"height": 512})):
        assert "a multiple of 8" in refused(value | {"width": 300}, task, inputs).message
        assert "at most 1024" in refused(value | {"width": 1032}, task, inputs).message


def test_a_card_may_demand_a_mask() -> None:
    made = card({"mask": {"required": True, "description": "White is painted."}}, tasks="image_to_image")
    with pytest.raises(InvalidRequest, match="mask is required") as caught:
        made.validate(I2I, EDIT)
    assert (caught.value.code, caught.value.param) == ("missing_field", "mask")
    with pytest.raises(InvalidRequest, match="mask must be a string"):
        made.validate(I2I, EDIT | {"mask": None})
    assert made.validate(I2I, EDIT | {"mask": "asset:b"}).model_dump()["mask"] == "asset:b"
    schema = made.input_schema(I2I)
    assert schema["required"] == ["prompt", "image", "mask"]
    assert schema["properties"]["mask"] == {
        "description": "White is painted.",
        "format": "mask",
        "maxLength": 64 * 2**20,
        "minLength": 1,
        "title": "Mask",
        "type": "string",
    }


def test_the_schema_is_one_that_forms_are_made_from() -> None:
    inputs = {
        "sampler": {"default": "ddim", "enum": ["ddim", "unipc"]},
        "width": {"default": 512, "enum": [512, 768]},
        "steps": {"maximum": 50},
    }
    schema = card(inputs).input_schema(T2I)
    properties = schema["properties"]
    assert "$defs" not in schema
    assert properties["sampler"] == {
        "type": "string",
        "enum": ["ddim", "unipc"],
        "default": "ddim",
        "description": "How noise becomes a picture.",
    }
    assert properties["output_format"] == {
        "type": "string",
        "enum": ["png", "jpeg", "webp"],
        "default": "png",
        "description": "Of the file.",
    }
    width = properties["width"]
    assert (width["enum"], width["multipleOf"], width["minimum"], width["default"]) == ([512, 768], 8, 64, 512)
    assert (properties["steps"]["minimum"], properties["steps"]["maximum"]) == (1, 50)
    edit = card(inputs).input_schema(I2I)["properties"]
    assert edit["image"]["format"] == "image"
    assert edit["mask"]["anyOf"][0]["format"] == "mask"
    assert edit["width"]["anyOf"][0]["maximum"] == 2048
    assert edit["width"]["default"] is None


def test_a_schema_with_references_keeps_them() -> None:
    (document,) = builtin_documents(["echo"])
    schema = Card(document, document.digest()).input_schema(Task.CHAT)
    assert "UserMessage" in schema["$defs"]


BAD_CARDS = {
    "a side of no latents": ({"width": {"default": 500}}, {}, "must be a multiple of 8"),
    "a sampler nobody has": ({"sampler": {"default": "warp"}}, {}, "default: 'warp' must be"),
    "a listed sampler nobody has": ({"sampler": {"default": "ddim", "enum": ["ddim", "warp"]}}, {}, "enum: 'warp'"),
    "the family's default is not listed": ({"sampler": {"enum": ["ddim"]}}, {}, "set a default that is allowed"),
    "more pixels than the engine's": (
        {"width": {"default": 2048}, "height": {"default": 2048}},
        {"maxPixels": 2**20},
        "the defaults for text_to_image: width times",
    ),
    "defaults that leave no step": (
        {"strength": {"default": 0.05}, "steps": {"default": 10}},
        {},
        "the defaults for image_to_image: steps times",
    ),
    "a required default": ({"mask": {"required": True, "default": "asset:a"}}, {}, "takes no default"),
    "a wider side": ({"width": {"maximum": 4096}}, {}, "widens what the family allows, at most 2048"),
}


@pytest.mark.parametrize(("inputs", "engine", "told"), BAD_CARDS.values(), ids=BAD_CARDS)
def test_a_card_that_cannot_be_is_refused(inputs: dict[str, Any], engine: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        card(inputs, **engine)
    assert caught.value.code == "invalid_card"
    assert told in caught.value.message


@pytest.mark.parametrize("name", BUILTIN)
def test_a_builtin_image_model_takes_a_plain_call(name: str) -> None:
    (document,) = builtin_documents([name])
    made = Card(document, document.digest())
    for task in made.tasks:
        value = made.validate(task, (CIRCLE if task is T2I else EDIT | {"mask": "asset:b"}))
        assert value.model_dump(mode="json")["seed"] is None
    assert document.spec.card.base_architecture in ("sd15", "sdxl")
    is_inpainting = name.endswith("inpainting")
    assert ("mask" in made.input_schema(I2I)["required"]) is is_inpainting
    assert document.spec.weights_variant == (None if name.startswith("shapes") else "fp16")
