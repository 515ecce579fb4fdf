"""What an image is painted on: its noise and, when it starts from a picture, what is known of it.

`prepare` draws the random numbers that diffusers' stock pipelines draw, in their order, so that an image equals
theirs for the same seed. Before it `source_of` brings a caller's picture, mask and margins to a size that the model can
work in, and says in a `Finish` how the result comes from what is painted there: pixels that a mask keeps are the
caller's own, to the bit.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.latents import as_picture, draw_sample, moments_of, sample_of
from deployments.engines.diffusion.request import Pixels, Source
from serve.domain.errors import InvalidRequest

MULTIPLE: Final = 8
SMALLEST_SIDE: Final = 64
"""Pixels: what a side of the size worked in is a multiple of, and at least."""
OVERLAP: Final = 16
"""Pixels of the old picture, next to a new margin, over which the two are blended."""
_HALF: Final = 128
"""A mask's byte from which a pixel is painted anew: the stock pipelines' 0.5."""
Margins = tuple[int, int, int, int]
"""Pixels beyond the left, right, top and bottom side."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """One image's beginning, on the bundle's device and in its dtype. Absent is what the model has no use for."""

    noise: Tensor
    """[C, h, w], standard normal."""
    clean: Tensor | None
    """[C, h, w]: the latents of the picture."""
    mask: Tensor | None
    """[1, h, w]: 1 is painted anew, 0 is kept."""
    masked: Tensor | None
    """[C, h, w]: the latents of the picture without what the mask covers; for UNets that take them."""
    generator: torch.Generator
    """On the CPU, and where the stock pipeline's would be: ancestral samplers draw on from it."""


class Encodings:
    """A source's pictures as the autoencoder sees them: asked once for all images of a call, which differ in what they
    draw from it alone."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._moments: dict[str, Any] = {}

    def sample(self, name: str, picture: Tensor, generator: torch.Generator) -> Tensor:
        """Latents [C, h, w] of `picture`, which is always the same under the same name."""
        if name not in self._moments:
            self._moments[name] = moments_of(self._bundle, picture)
        return sample_of(self._bundle, self._moments[name], generator)


@torch.no_grad()
def prepare(
    bundle: Bundle, source: Source | None, width: int, height: int, seed: int, encodings: Encodings | None = None
) -> Canvas:
    """Begin an image of `width` x `height` pixels, multiples of the bundle's `latent_scale`; a source has that size.

    `encodings` are kept between the images of one source.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    encodings = encodings or Encodings(bundle)
    if bundle.unet_channels != bundle.latent_channels:
        return _inpainting_model(bundle, source or _nothing(width, height), generator, encodings)
    if source is None:
        return Canvas(_noise(bundle, width, height, generator), None, None, None, generator)
    return _plain_model(bundle, source, generator, encodings)


def _plain_model(bundle: Bundle, source: Source, generator: torch.Generator, encodings: Encodings) -> Canvas:
    height, width = source.image.shape[:2]
    clean = encodings.sample("clean", as_picture(source.image), generator)
    noise = _noise(bundle, width, height, generator)
    if source.mask is None:
        return Canvas(noise, clean, None, None, generator)
    # The stock pipeline encodes the masked picture even where the UNet does not take it: these numbers are its sample.
    draw_sample(bundle, torch.Size((1, *clean.shape)), generator)
    return Canvas(noise, clean, _latent_mask(bundle, source.mask), None, generator)


def _inpainting_model(bundle: Bundle, source: Source, generator: torch.Generator, encodings: Encodings) -> Canvas:
    height, width = source.image.shape[:2]
    mask = np.full((height, width), 255, np.uint8) if source.mask is None else source.mask
    picture = as_picture(source.image)
    clean = None if source.strength >= 1.0 else encodings.sample("clean", picture, generator)
    noise = _noise(bundle, width, height, generator)
    kept = torch.from_numpy(mask < _HALF)
    masked = encodings.sample("masked", picture * kept, generator)
    return Canvas(noise, clean, _latent_mask(bundle, mask), masked, generator)


def _nothing(width: int, height: int) -> Source:
    """What an inpainting model is given to paint from words alone: a picture that is all mask."""
    return Source(image=np.full((height, width, 3), 128, np.uint8), strength=1.0)


def _noise(bundle: Bundle, width: int, height: int, generator: torch.Generator) -> Tensor:
    shape = (1, bundle.latent_channels, height // bundle.latent_scale, width // bundle.latent_scale)
    return torch.randn(shape, generator=generator, dtype=bundle.dtype)[0].to(bundle.device)


def _latent_mask(bundle: Bundle, mask: Pixels) -> Tensor:
    """The mask as the stock pipelines shrink it: the first pixel of every block of `latent_scale` speaks for it."""
    height, width = (side // bundle.latent_scale for side in mask.shape)
    free = torch.from_numpy(mask >= _HALF).to(torch.float32)[None, None]
    return functional.interpolate(free, size=(height, width))[0].to(bundle.device, bundle.dtype)


@dataclass(frozen=True, slots=True)
class Finish:
    """From what was painted to the result: cut to size and, with a mask, pasted into `image`."""

    width: int
    height: int
    image: Pixels | None = None
    mask: Pixels | None = None

    def apply(self, painted: Pixels) -> Pixels:
        """The result [height, width, 3]. Where the mask is black it is `image`, where it is grey a blend."""
        cut = painted[: self.height, : self.width]
        return cut if self.image is None or self.mask is None else _pasted(self.image, self.mask, cut)


def source_of(
    image: Pixels,
    mask: Pixels | None,
    *,
    width: int | None = None,
    height: int | None = None,
    strength: float,
    margins: Margins = (0, 0, 0, 0),
) -> tuple[Source, Finish]:
    """What to start from and how to finish. With neither mask nor margins the result has the size worked in: the one
    asked for, or the picture's own, to the next 8. Else it has exactly the size asked for, or the picture's own with
    its margins, and the picture is padded for the work and never resized without being asked.

    Raises:
        InvalidRequest: the mask is not as large as the image.
    """
    if mask is not None and mask.shape != image.shape[:2]:
        found, wanted = (f"{shape[1]} x {shape[0]}" for shape in (mask.shape, image.shape))
        raise InvalidRequest(f"the mask is {found} pixels, the image {wanted}", "mask_size_mismatch", "mask")
    if any(margins):
        extended, free = extend(image, *margins)
        given = None if mask is None else _padded(mask, margins, constant=255)
        image, mask = extended, free if given is None else np.maximum(free, given)
    size = (width or image.shape[1], height or image.shape[0])
    if mask is None:
        picture = fit(image, *work_size(*size))
        return Source(picture, strength), Finish(picture.shape[1], picture.shape[0])
    image, mask = fit(image, *size), fit(mask, *size)
    right, bottom = (work - own for work, own in zip(work_size(*size), size, strict=True))
    padding = (0, right, 0, bottom)
    source = Source(_padded(image, padding), strength, _padded(mask, padding), is_outpainted=any(margins))
    return source, Finish(*size, image, mask)


def work_size(width: int, height: int) -> tuple[int, int]:
    """The smallest size that a model works in and `width` x `height` fits in."""
    return _work_side(width), _work_side(height)


def fit(image: Pixels, width: int, height: int) -> Pixels:
    """`image`, or a mask, resized to exactly this size, whatever that does to its proportions, as img2img does."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def extend(image: Pixels, left: int, right: int, top: int, bottom: int) -> tuple[Pixels, Pixels]:
    """`image` with margins that continue its edges, and the mask that has them painted, softened into the picture."""
    margins = (left, right, top, bottom)
    height, width = image.shape[:2]
    across, down = _softening(width, left, right), _softening(height, top, bottom)
    inside = np.maximum(across[None, :], down[:, None])
    return _padded(image, margins), _padded(inside, margins, constant=255)


def compose(source: Source, painted: Pixels) -> Pixels:
    """`painted` with the pixels of `source` that its mask keeps."""
    return painted if source.mask is None else _pasted(source.image, source.mask, painted)


def _work_side(side: int) -> int:
    return max(SMALLEST_SIDE, -(-side // MULTIPLE) * MULTIPLE)


def _pasted(image: Pixels, mask: Pixels, painted: Pixels) -> Pixels:
    new = mask.astype(np.uint32)[..., None]
    blended: Pixels = ((painted * new + image * (255 - new) + 127) // 255).astype(np.uint8)
    return blended


def _padded(pixels: Pixels, margins: Margins, constant: int | None = None) -> Pixels:
    """With margins that repeat the edges, or hold a constant."""
    left, right, top, bottom = margins
    sides = ((top, bottom), (left, right), (0, 0))[: pixels.ndim]
    if constant is None:
        return np.pad(pixels, sides, mode="edge")
    return np.pad(pixels, sides, mode="constant", constant_values=constant)


def _softening(side: int, before: int, after: int) -> Pixels:
    """A line of a mask [side] that falls from white beside a new margin to black within OVERLAP pixels."""
    reach = min(OVERLAP, side // 4)
    fall = np.linspace(255, 0, reach + 2)[1:-1].astype(np.uint8)
    line = np.zeros(side, np.uint8)
    if before and reach:
        line[:reach] = fall
    if after and reach:
        line[-reach:] = np.maximum(line[-reach:], fall[::-1])
    return line
