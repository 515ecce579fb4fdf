"""Between pictures and latents: the autoencoder's two directions, and a cheap look at unfinished latents."""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.request import Pixels

PREVIEW_SIDES: Final = (64, 256)
"""Pixels of a preview's longer side, at least and at most."""
_FIT_PICTURES: Final = 2
_FIT_SIDE: Final = 128
"""Pictures, and the pixels of their sides, from which a preview's colours are learned."""


@torch.no_grad()
def decode(bundle: Bundle, latents: Tensor) -> list[Pixels]:
    """Pictures of latents [B, C, h, w], one after the other: decoding gains nothing from a batch, and memory counts."""
    return [_decode_one(bundle, one) for one in torch.split(latents, 1)]


@torch.no_grad()
def encode_pixels(bundle: Bundle, picture: Tensor, generator: torch.Generator) -> Tensor:
    """Latents [C, h, w] of a picture [1, 3, H, W] in -1..1, sampled with `generator` as the stock pipelines do."""
    return sample_of(bundle, moments_of(bundle, picture), generator)


@torch.no_grad()
def moments_of(bundle: Bundle, picture: Tensor) -> Any:
    """The distribution (`mean`, `std`) of a picture's latents: the costly half of encoding, and the same every time."""
    vae = bundle.vae
    return vae.encode(picture.to(bundle.device, bundle.dtype).to(vae.dtype)).latent_dist


@torch.no_grad()
def sample_of(bundle: Bundle, moments: Any, generator: torch.Generator) -> Tensor:
    """Latents [C, h, w] drawn from `moments`."""
    sample = moments.mean + moments.std * draw_sample(bundle, moments.mean.shape, generator).to(moments.mean)
    return _normalised(bundle, sample.to(bundle.dtype))[0]


def draw_sample(bundle: Bundle, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """The normal numbers for sampling latents of `shape`, drawn in the precision that stock pipelines draw in."""
    is_upcast = bundle.architecture == "sdxl" and bundle.vae.config["force_upcast"]
    return torch.randn(shape, generator=generator, dtype=torch.float32 if is_upcast else bundle.dtype)


def as_picture(pixels: Pixels) -> Tensor:
    """Bytes [H, W, 3] as a picture [1, 3, H, W] in -1..1."""
    return 2.0 * (torch.from_numpy(pixels.astype(np.float32) / 255.0).permute(2, 0, 1).unsqueeze(0)) - 1.0


class PreviewMap:
    """Latents to small pictures by one linear map, fitted to this autoencoder: a preview costs no decode."""

    def __init__(self, bundle: Bundle) -> None:
        self._weights = _fit(bundle)

    def render(self, latents: Tensor) -> Pixels:
        """A small picture of latents [C, h, w], unfinished as they may be."""
        rgb = functional.conv2d(_with_ones(latents.unsqueeze(0).float()), self._weights[:, :, None, None])
        height, width = latents.shape[-2:]
        scale = _preview_scale(max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return _as_pixels(functional.interpolate(rgb, size=size, mode="bilinear", antialias=scale < 1))


def _preview_scale(side: int) -> float:
    smallest, largest = PREVIEW_SIDES
    return min(max(2.0, smallest / side), largest / side)


def _decode_one(bundle: Bundle, latents: Tensor) -> Pixels:
    return _as_pixels(bundle.vae.decode(_denormalised(bundle, latents).to(bundle.vae.dtype), return_dict=False)[0])


def _as_pixels(picture: Tensor) -> Pixels:
    """Bytes [H, W, 3] of a picture [1, 3, H, W] in -1..1."""
    unit = (picture[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).float()
    pixels: Pixels = (unit * 255).round().to(torch.uint8).cpu().numpy()
    return pixels


def _normalised(bundle: Bundle, raw: Tensor) -> Tensor:
    factor = float(bundle.vae.config["scaling_factor"])
    if (statistics := _statistics(bundle, raw)) is None:
        return raw * factor
    mean, deviation = statistics
    return (raw - mean) * factor / deviation


def _denormalised(bundle: Bundle, latents: Tensor) -> Tensor:
    factor = float(bundle.vae.config["scaling_factor"])
    if (statistics := _statistics(bundle, latents)) is None:
        return latents / factor
    mean, deviation = statistics
    return latents * deviation / factor + mean


def _statistics(bundle: Bundle, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mean and deviation of each channel [1, C, 1, 1], for the few autoencoders that name them."""
    mean, deviation = bundle.vae.config["latents_mean"], bundle.vae.config["latents_std"]
    if mean is None or deviation is None:
        return None
    return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(deviation).view(1, -1, 1, 1)


def _with_ones(latents: Tensor) -> Tensor:
    return torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)


@torch.no_grad()
def _fit(bundle: Bundle) -> Tensor:
    """Weights [3, C + 1] that send latents, and a one, to colours in -1..1: least squares over soft colour fields.

    Pictures that were encoded teach it far better than random latents that were decoded: with a trained autoencoder,
    previews of other pictures came within 38 dB of the true colours, and within 28 dB.
    """
    pictures = _colour_fields()
    encoded = bundle.vae.encode(pictures.to(bundle.device, bundle.vae.dtype)).latent_dist.mean
    latents = _normalised(bundle, encoded.float())
    design = _by_place(_with_ones(latents))
    wanted = _by_place(functional.avg_pool2d(pictures, bundle.latent_scale)).to(design.device)
    ridge = 1e-4 * len(design) * torch.eye(design.shape[1], dtype=design.dtype, device=design.device)
    weights: Tensor = torch.linalg.solve(design.T @ design + ridge, design.T @ wanted)
    return weights.T.float().contiguous()


def _colour_fields() -> Tensor:
    """Pictures [N, 3, side, side] in -1..1 of colours that run into one another."""
    colours = torch.rand(_FIT_PICTURES, 3, 4, 4, generator=torch.Generator("cpu").manual_seed(0)) * 2 - 1
    return functional.interpolate(colours, size=(_FIT_SIDE, _FIT_SIDE), mode="bilinear")


def _by_place(maps: Tensor) -> Tensor:
    """[N, C, h, w] as one row for each place, in double precision."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).double()
