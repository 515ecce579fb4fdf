"""The echo engine's pictures: the same for the same call, counted exactly, at a set pace."""

import io
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deployments.engines.echo import EchoEngine
from deployments.engines.engine import Produced
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import CallContext, Completed, Event, ModelCall, Preview, Progress
from serve.domain.images import ImageToImageInput, TextToImageInput
from serve.domain.task import Task
from serve.media.images import PREVIEW_BYTES, inspect, pixels
from serve.media.metadata import read_metadata

CONTEXT = CallContext("r", "t", "p", "k")
SMALL: dict[str, Any] = {"prompt": "a red circle", "width": 64, "height": 72, "steps": 4, "seed": 7}


def engine(**spec: Any) -> EchoEngine:
    return EchoEngine(EchoSpec.model_validate({"kind": "echo", **spec}))


def words(**inputs: Any) -> ModelCall:
    given = TextToImageInput.model_validate(SMALL | inputs).model_dump(mode="json")
    return ModelCall(Task.TEXT_TO_IMAGE, given, CONTEXT)


def edit(image: bytes, mask: bytes | None = None, **inputs: Any) -> ModelCall:
    """As a replica hands it on: pictures are bytes."""
    shown = {"image": "asset:a", "mask": mask and "asset:b"}
    given = {"prompt": "a red circle", "steps": 10, "seed": 7} | shown | inputs
    complete = ImageToImageInput.model_validate(given).model_dump(mode="json")
    return ModelCall(Task.IMAGE_TO_IMAGE, complete | {"image": image, "mask": mask}, CONTEXT)


async def answer(call: ModelCall, made: EchoEngine | None = None) -> list[Event | Produced]:
    return [event async for batch in (made or engine()).stream(call) for event in batch]


async def outputs(call: ModelCall) -> list[Produced]:
    return [event for event in await answer(call) if isinstance(event, Produced)]


def png(colour: int | tuple[int, ...] = (9, 200, 30), size: tuple[int, int] = (64, 64)) -> bytes:
    stream = io.BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def read(produced: Produced) -> np.ndarray:
    return pixels(produced.data, max_pixels=1 << 24, param="image")


async def test_equal_calls_give_equal_files() -> None:
    first, again, other = [await outputs(words(seed=seed)) for seed in (7, 7, 8)]
    assert first == again
    assert first[0].data != other[0].data
    assert (first[0].name, first[0].media_type, first[0].width, first[0].height) == (
        "image-0.png",
        "image/png",
        64,
        72,
    )
    assert read_metadata(first[0].data) == {"parameters": "a red circle\nseed: 7"}
    assert read_metadata((await outputs(words(metadata=False)))[0].data) == {}


async def test_image_i_is_made_from_the_seed_and_i() -> None:
    several = await outputs(words(num_images=3, metadata=False))
    alone = await outputs(words(seed=9, metadata=False))
    assert [each.index for each in several] == [0, 1, 2]
    assert several[2].data == alone[0].data


async def test_usage_is_exact() -> None:
    made = engine()
    told = await answer(words(num_images=2, negative_prompt="blurry"), made)
    completed = told[-1]
    assert isinstance(completed, Completed)
    assert completed.usage.nonzero() == {
        "prompt_tokens": 4,
        "images": 2,
        "pixels": 2 * 64 * 72,
        "steps": 2 * 4,
        "pixel_steps": 2 * 64 * 72 * 4,
    }
    assert made.counters()["finished"] == 1
    assert made.counters()["prompt_tokens_total"] == 4
    unguided = (await answer(words(negative_prompt="blurry", guidance_scale=1)))[-1]
    assert isinstance(unguided, Completed)
    assert unguided.usage.prompt_tokens == 3, "without guidance nobody reads the negative prompt"


async def test_progress_comes_at_every_step_and_previews_between() -> None:
    told = await answer(words(num_images=2, previews=1))
    progress = [(event.done, event.total) for event in told if isinstance(event, Progress)]
    assert progress == [(2, 8), (4, 8), (6, 8), (8, 8)]
    previews = [event for event in told if isinstance(event, Preview)]
    assert [preview.index for preview in previews] == [0, 1]
    assert all(len(preview.data) <= PREVIEW_BYTES for preview in previews)
    assert inspect(previews[0].data, max_pixels=1 << 12, param="preview").media_type == "image/jpeg"


async def test_an_answer_that_is_not_streamed_is_one_message() -> None:
    batches = [batch async for batch in engine().stream(replace(words(previews=2), stream=False)) if batch]
    assert [[type(event) for event in batch] for batch in batches] == [[Produced, Completed]]


async def test_steps_take_their_time_and_closing_ends_them() -> None:
    made, began = engine(step_ms=10), time.monotonic()
    await answer(words(), made)
    assert time.monotonic() - began >= 0.04
    stream = made.stream(words(steps=150))
    await anext(stream)
    await stream.aclose()
    assert made.counters()["aborted"] == 1
    assert made.counters()["running"] == 0


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        ({}, (64, 64)),
        ({"width": 128, "height": 64}, (128, 64)),
        ({"outpaint_left": 8, "outpaint_top": 16}, (72, 80)),
        ({"outpaint_right": 3}, (72, 64)),
    ],
    ids=["its own", "asked for", "margins", "margins to the next 8"],
)
async def test_a_picture_from_a_picture_has_the_size_that_was_promised(
    inputs: dict[str, Any], size: tuple[int, int]
) -> None:
    (made,) = await outputs(edit(png(), **inputs))
    assert (made.width, made.height) == size
    assert read(made).shape == (size[1], size[0], 3)


async def test_strength_says_how_much_changes() -> None:
    (faint,), (strong,) = [await outputs(edit(png(), strength=strength)) for strength in (0.1, 1.0)]
    source = np.full((64, 64, 3), (9, 200, 30), np.int16)
    assert np.abs(read(faint) - source).mean() < np.abs(read(strong) - source).mean() / 4
    usage = (await answer(edit(png(), strength=0.25)))[-1]
    assert isinstance(usage, Completed)
    assert usage.usage.pixel_steps == 64 * 64 * 2
    assert usage.usage.input_images == 1


async def test_a_mask_keeps_what_is_black() -> None:
    half = np.zeros((64, 64), np.uint8)
    half[:, 32:] = 255
    stream = io.BytesIO()
    Image.fromarray(half).save(stream, "PNG")
    (made,) = await outputs(edit(png(), stream.getvalue()))
    assert (read(made)[:, :32] == (9, 200, 30)).all()
    assert (read(made)[:, 32:] != (9, 200, 30)).any()


async def test_margins_are_painted_and_the_picture_stays() -> None:
    (made,) = await outputs(edit(png(), outpaint_left=64))
    assert (read(made)[:, 64:] == (9, 200, 30)).all()
    assert (read(made)[:, :64] != (9, 200, 30)).any()


async def test_pictures_must_be_bytes_and_readable() -> None:
    with pytest.raises(InvalidRequest, match="image is no PNG"):
        await answer(edit(b"<svg/>"))
    with pytest.raises(EngineFailed, match="given the bytes"):
        await answer(replace(edit(png()), inputs=edit(png()).inputs | {"image": "asset:a"}))


async def test_a_prompt_that_is_an_order_is_obeyed() -> None:
    with pytest.raises(RuntimeError, match="told to crash"):
        await answer(words(prompt="!crash"))
