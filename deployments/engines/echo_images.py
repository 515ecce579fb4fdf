"""How the echo engine paints: a picture is a pattern of 64 colours made from prompt, sampler, guidance, steps and seed.

Equal inputs give equal files. From a picture, the result is a blend of it with the pattern by `strength`; a mask's
black part stays as it was, margins are pattern alone. The names of adapters are mixed into the pattern, and stand
before the prompt in the metadata.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from deployments.engines.engine import EngineBatch, Produced
from deployments.engines.generation_plan import read_inputs
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.generation import ModelCall, Preview, Progress
from serve.domain.images import IMAGE_FIELDS, MAX_SIDE, Denoising, ImageToImageInput, TextToImageInput
from serve.domain.task import Task
from serve.media import images

PREVIEW_SIDE = 64
MAX_PIXELS = 4 * MAX_SIDE * MAX_SIDE
InThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Painting:
    """One call, read and ready to be painted. `source` and `mask` are as large as the result."""

    inputs: Denoising
    width: int
    height: int
    num_steps: int
    source: Image.Image | None = None
    mask: Image.Image | None = None
    tag: str = ""
    """The names of the call's adapters."""
    num_input_images: int = 0
    """Pictures that came with the call: a mask of margins is none of them."""

    @property
    def num_prompt_tokens(self) -> int:
        """Words of both prompts, where both are used."""
        guidance = self.inputs.negative_prompt if self.inputs.guidance_scale > 1 else ""
        return len(self.inputs.prompt.split()) + len(guidance.split())

    def picture(self, index: int) -> Image.Image:
        """Image `index` of the call."""
        pattern = self._pattern(index)
        if self.source is None or not isinstance(self.inputs, ImageToImageInput):
            return pattern
        if self.mask is None:
            return Image.blend(self.source, pattern, self.inputs.strength)
        return Image.composite(pattern, self.source, self.mask)

    def _pattern(self, index: int) -> Image.Image:
        inputs = self.inputs
        facts = (inputs.prompt, inputs.negative_prompt, inputs.sampler, inputs.guidance_scale, inputs.steps)
        made_from = (self.tag + repr((*facts, (inputs.seed or 0) + index))).encode()
        colours = hashlib.shake_128(made_from).digest(8 * 8 * 3)
        grid = Image.frombytes("RGB", (8, 8), colours)
        return grid.resize((self.width, self.height), Image.Resampling.BILINEAR)

    def output(self, index: int) -> Produced:
        """The file of image `index`."""
        inputs = self.inputs
        parameters = f"{self.tag}{inputs.prompt}\nseed: {(inputs.seed or 0) + index}"
        metadata = {"parameters": parameters} if inputs.metadata else None
        data = images.encode(self.picture(index), inputs.output_format, inputs.quality, metadata)
        media_type = images.MEDIA_TYPES[inputs.output_format]
        return Produced(f"image-{index}.{inputs.output_format}", media_type, data, index, self.width, self.height)

    def preview(self, index: int) -> Preview:
        """A small picture of image `index`."""
        small = self.picture(index)
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        return Preview(index, "image/jpeg", images.encode_preview(small))


def read_painting(call: ModelCall) -> Painting:
    """The call's inputs, its pictures decoded. Blocks for as long as that takes.

    Raises:
        InvalidRequest: what the inputs or the pictures are not.
    """
    if call.task is Task.TEXT_TO_IMAGE:
        inputs = read_inputs(TextToImageInput, call.inputs)
        return Painting(inputs, inputs.width, inputs.height, inputs.steps)
    return _from_picture(call.inputs)


def _from_picture(given: Mapping[str, Any]) -> Painting:
    pictures = {name: given[name] for name in IMAGE_FIELDS[Task.IMAGE_TO_IMAGE] if given.get(name) is not None}
    if not all(isinstance(data, bytes) for data in pictures.values()):
        raise EngineFailed("An engine is given the bytes of pictures, and got an address.")
    asked = read_inputs(ImageToImageInput, {**given, **{name: "asset:input" for name in pictures}})
    image = images.decode(pictures["image"], max_pixels=MAX_PIXELS, param="image")
    width, height = asked.result_size(image.width, image.height)
    if width * height > MAX_SIDE * MAX_SIDE:
        raise InvalidRequest(
            f"{width} x {height} pixels are more than this model's {MAX_SIDE * MAX_SIDE}. Ask for a smaller one.",
            "image_too_large",
            "image",
        )
    at = None if asked.width is not None else (asked.outpaint_left, asked.outpaint_top)
    source = _placed(image, (width, height), at, background=0)
    mask = None
    if "mask" in pictures:
        drawn = images.decode_mask(pictures["mask"], max_pixels=MAX_PIXELS, param="mask")
        mask = _placed(drawn, (width, height), at, background=255)
    elif asked.has_margins:
        mask = _placed(Image.new("L", image.size), (width, height), at, background=255)
    return Painting(asked, width, height, int(asked.steps * asked.strength), source, mask, "", len(pictures))


def _placed(image: Image.Image, size: tuple[int, int], at: tuple[int, int] | None, background: int) -> Image.Image:
    """`image` resized to `size`, or laid at a place in a canvas of that size."""
    if at is None:
        return image.resize(size)
    canvas = Image.new(image.mode, size, background if image.mode == "L" else (background,) * 3)
    canvas.paste(image, at)
    return canvas


async def paint(
    painting: Painting, is_streamed: bool, step: Callable[[], Awaitable[None]], in_thread: InThread
) -> AsyncGenerator[EngineBatch, None]:
    """Progress after every `step`, previews in between, and the files. All images make their steps together; a batch is
    empty where there is nobody to be told of its step."""
    inputs, num_steps = painting.inputs, painting.num_steps
    due = {num_steps * (i + 1) // (inputs.previews + 1) for i in range(inputs.previews)} if is_streamed else set()
    for done in range(1, num_steps + 1):
        await step()
        batch: EngineBatch = []
        if is_streamed:
            batch.append(Progress(done * inputs.num_images, num_steps * inputs.num_images, "denoising"))
        if done in due:
            batch += [await in_thread(painting.preview, index) for index in range(inputs.num_images)]
        yield batch
    for index in range(inputs.num_images):
        yield [await in_thread(painting.output, index)]
