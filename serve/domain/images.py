"""What the image families are asked: the inputs of text-to-image and image-to-image.

Names are those that users of diffusion models know. The bounds are the widest any card may offer; a card narrows
them. An image travels as a string: an asset of the caller's (`asset:<id>`), a `data:` URL, or an http(s) address that
the gateway fetches. What reaches a run's row, and a replica, is always an asset.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from serve.domain.chat import Strict
from serve.domain.task import Task

MIN_SIDE = 64
MAX_SIDE = 2048
MAX_STEPS = 150
MAX_IMAGES = 8
MAX_PREVIEWS = 8
MAX_MARGIN = 1024
SIZE_MULTIPLE = 8
"""Pixels per latent, in each direction, of every model of these families."""
ASSET_SCHEME = "asset:"


class Sampler(StrEnum):
    """How noise becomes a picture. The first group runs as one fused update for a whole batch, the others step by
    step through diffusers' own scheduler of that name; results are the same as diffusers' in both."""

    EULER = "euler"
    EULER_KARRAS = "euler_karras"
    EULER_ANCESTRAL = "euler_ancestral"
    DDIM = "ddim"
    DPMPP_2M = "dpmpp_2m"
    DPMPP_2M_KARRAS = "dpmpp_2m_karras"
    DPMPP_2M_SDE = "dpmpp_2m_sde"
    DPMPP_2M_SDE_KARRAS = "dpmpp_2m_sde_karras"
    UNIPC = "unipc"
    UNIPC_KARRAS = "unipc_karras"
    LCM = "lcm"

    DDPM = "ddpm"
    DEIS = "deis"
    DPM2 = "dpm2"
    DPM2_KARRAS = "dpm2_karras"
    DPM2_ANCESTRAL = "dpm2_ancestral"
    DPM2_ANCESTRAL_KARRAS = "dpm2_ancestral_karras"
    DPMPP_2S = "dpmpp_2s"
    DPMPP_2S_KARRAS = "dpmpp_2s_karras"
    DPMPP_3M_SDE = "dpmpp_3m_sde"
    DPMPP_3M_SDE_KARRAS = "dpmpp_3m_sde_karras"
    HEUN = "heun"
    HEUN_KARRAS = "heun_karras"
    PNDM = "pndm"
    SA_SOLVER = "sa_solver"
    TCD = "tcd"


MAX_STEPS_OF = {Sampler.LCM: 50, Sampler.TCD: 50}
"""Samplers that choose their steps out of the few that a model was distilled on."""


class ImageFormat(StrEnum):
    """How a picture is encoded."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


ImageSource = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64 * 2**20),
    Field(json_schema_extra={"format": "image"}),
]
MaskSource = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64 * 2**20),
    Field(json_schema_extra={"format": "mask"}),
]
PromptText = Annotated[str, StringConstraints(max_length=16_384)]
Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIZE_MULTIPLE)]
Margin = Annotated[int, Field(ge=0, le=MAX_MARGIN)]


class Denoising(Strict):
    """What every denoising takes, whatever it starts from."""

    prompt: PromptText = Field(description="What to paint. `(word:1.3)` weighs a word, `(word)` is 1.1.")
    negative_prompt: PromptText = Field(default="", description="What to keep out; needs guidance above 1.")
    steps: int = Field(default=25, ge=1, le=MAX_STEPS, description="Denoising steps.")
    guidance_scale: float = Field(
        default=7.5, ge=0, le=30, description="How closely to follow the prompt; 1 and below go without guidance."
    )
    sampler: Sampler = Field(default=Sampler.EULER, strict=False, description="How noise becomes a picture.")
    seed: int | None = Field(
        default=None, ge=0, lt=2**53, description="Drawn when absent. Image i of a call is made from seed + i."
    )
    num_images: int = Field(default=1, ge=1, le=MAX_IMAGES, description="Images to make.")
    output_format: ImageFormat = Field(default=ImageFormat.PNG, strict=False, description="Of the file.")
    quality: int = Field(default=90, ge=1, le=100, description="Of JPEG and WebP; WebP at 100 is lossless.")
    previews: int = Field(default=0, ge=0, le=MAX_PREVIEWS, description="Unfinished pictures to send of each image.")
    metadata: bool = Field(default=True, description="Whether the image's file names the parameters it was made with.")

    @model_validator(mode="after")
    def _makeable(self) -> "Denoising":
        most = MAX_STEPS_OF.get(self.sampler, MAX_STEPS)
        if self.steps > most:
            raise ValueError(f"steps must be at most {most} with the sampler {self.sampler}")
        return self


class TextToImageInput(Denoising):
    """A picture from words."""

    width: Side = Field(default=512, description="Pixels, a multiple of 8.")
    height: Side = Field(default=512, description="Pixels, a multiple of 8.")


class ImageToImageInput(Denoising):
    """A picture from a picture: all of it, what a mask leaves free (inpainting), or around it (outpainting)."""

    image: ImageSource = Field(description="The picture to start from: asset:<id>, a data: URL or an http(s) address.")
    mask: MaskSource | None = Field(
        default=None, description="As large as the image: white is painted anew, black stays as it is."
    )
    strength: float = Field(default=0.75, gt=0, le=1, description="How much of the picture is painted anew.")
    width: Side | None = Field(default=None, description="Of the result. Absent: the image's own, to the next 8.")
    height: Side | None = Field(default=None, description="Of the result. Absent: the image's own, to the next 8.")
    outpaint_left: Margin = Field(default=0, description="Pixels to paint beyond this side.")
    outpaint_right: Margin = Field(default=0, description="Pixels to paint beyond this side.")
    outpaint_top: Margin = Field(default=0, description="Pixels to paint beyond this side.")
    outpaint_bottom: Margin = Field(default=0, description="Pixels to paint beyond this side.")

    @model_validator(mode="after")
    def _consistent(self) -> "ImageToImageInput":
        if int(self.steps * self.strength) < 1:
            raise ValueError("steps times strength leaves no step to run: raise one of them")
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together: give both, or none")
        if self.has_margins and self.width is not None:
            raise ValueError("outpaint_* already says how large the result is: leave out width and height")
        return self

    def result_size(self, image_width: int, image_height: int) -> tuple[int, int]:
        """(width, height) in pixels of what is worked in when an image of this size is given."""
        if self.width is not None and self.height is not None:
            return self.width, self.height
        return (
            _work_side(image_width + self.outpaint_left + self.outpaint_right),
            _work_side(image_height + self.outpaint_top + self.outpaint_bottom),
        )

    @property
    def has_margins(self) -> bool:
        """Whether the result is larger than the image."""
        return any((self.outpaint_left, self.outpaint_right, self.outpaint_top, self.outpaint_bottom))


def _work_side(pixels: int) -> int:
    return max(MIN_SIDE, -(-pixels // SIZE_MULTIPLE) * SIZE_MULTIPLE)


IMAGE_FIELDS: dict[Task, dict[str, Literal["image", "mask"]]] = {
    Task.IMAGE_TO_IMAGE: {"image": "image", "mask": "mask"},
}
"""The inputs that hold pictures. The gateway turns them into assets, a replica reads their bytes."""
