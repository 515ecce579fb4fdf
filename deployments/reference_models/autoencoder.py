"""The image autoencoder: Stable Diffusion's, with few channels where the pixels are many.

Trained on drawn scenes, on scenes in colours of no name, and on smooth colour fields, so that a picture from elsewhere
comes back recognisable as well. After training the latents are whitened, by folding the transform into the two 1x1
convolutions that meet there: the denoiser then sees four channels of mean 0, deviation 1 and no correlation.
"""

from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from deployments.reference_models import scenes

SCALING_FACTOR = 0.18215
"""Stable Diffusion's own, so that code with the number written in it works on these latents too."""
CROP = 64
KL_WEIGHT = 2e-4
LATENT_NOISE = 0.04
ANCHOR_WEIGHT = 0.5
"""Draws three of the channels towards the mean colour of their 8 x 8 pixels. Without it training found a latent that
mixed colours up, and had not left it after 1,200 steps."""


def build() -> AutoencoderKL:
    """An untrained autoencoder: RGB in [-1, 1] to four channels at an eighth of the side."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=scenes.SIDE,
        scaling_factor=SCALING_FACTOR,
    )


def pixels(pictures: list[scenes.Picture]) -> Tensor:
    """Pictures as one float32 batch, N x 3 x H x W in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def batches(seed: int, size: int, side: int = CROP) -> Iterator[Tensor]:
    """Endless batches of pictures to learn from, `side` pixels square, cut from drawings of full size."""
    rng = np.random.default_rng(seed)
    while True:
        yield pixels([_example(rng, side) for _ in range(size)])


def decoder_loss(model: AutoencoderKL, batch: Tensor) -> tuple[Tensor, float]:
    """As `loss`, for the decoder alone: the latents, once a denoiser has learnt them, must stay what they are."""
    with torch.no_grad():
        latents = model.encode(batch).latent_dist.mean
    # After whitening a latent's deviation is the inverse of the scaling factor.
    rebuilt = model.decode(latents + LATENT_NOISE / SCALING_FACTOR * torch.randn_like(latents)).sample
    objective = _likeness(rebuilt, batch)
    return objective, float(functional.l1_loss(rebuilt.detach(), batch))


def _likeness(rebuilt: Tensor, batch: Tensor) -> Tensor:
    """Mean absolute error of the pixels and, at half the weight, of their differences: edges are to be sharp."""
    across, down = (functional.l1_loss(rebuilt.diff(dim=axis), batch.diff(dim=axis)) for axis in (3, 2))
    return functional.l1_loss(rebuilt, batch) + 0.5 * (across + down)


def plain_batches(seed: int, size: int) -> Iterator[Tensor]:
    """Endless batches of whole scenes as the denoisers will see them."""
    rng = np.random.default_rng(seed)
    while True:
        yield pixels([scenes.draw(scenes.training_scene(rng, two_share=0.35), rng) for _ in range(size)])


def _example(rng: np.random.Generator, side: int) -> scenes.Picture:
    kind = rng.random()
    if kind < 0.05:
        return _field(rng, side)
    scene = scenes.training_scene(rng, two_share=0.5)
    picture = scenes.draw(scene, rng) if kind < 0.6 else _recoloured(scene, rng)
    x, y = _corner(scene, rng, side)
    return picture[y : y + side, x : x + side]


def _corner(scene: scenes.Scene, rng: np.random.Generator, side: int) -> tuple[int, int]:
    """A corner for a crop whose middle is near one of the things: edges are what there is to learn."""
    places = scenes.centres(scene)
    middle = np.array(places[int(rng.integers(len(places)))]) * scenes.SIDE + rng.normal(0, side / 4, 2)
    x, y = np.clip(middle - side / 2, 0, scenes.SIDE - side).astype(int)
    return int(x), int(y)


def _recoloured(scene: scenes.Scene, rng: np.random.Generator) -> scenes.Picture:
    """The scene's outlines in any colours at all."""
    canvas = np.empty((scenes.SIDE, scenes.SIDE, 3), np.float32)
    canvas[:] = rng.uniform(0, 255, 3)
    for thing, (x, y) in zip(scene.things, scenes.centres(scene), strict=True):
        mask = scenes.coverage(thing.shape, x, y, scenes.RADII[thing.size])[..., None]
        canvas += mask * (rng.uniform(0, 255, 3).astype(np.float32) - canvas)
    return canvas.round().astype(np.uint8)


def _field(rng: np.random.Generator, side: int) -> scenes.Picture:
    """A smooth field of colours: a 5 x 5 grid at random, interpolated."""
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 5, 5)).astype(np.float32))
    smooth = functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    return np.asarray(smooth[0].permute(1, 2, 0).clamp(0, 255).numpy().astype(np.uint8))


def loss(model: AutoencoderKL, batch: Tensor) -> tuple[Tensor, float]:
    """What training minimises, and the mean absolute error alone (in units of the range [-1, 1])."""
    posterior = model.encode(batch).latent_dist
    latents = posterior.sample()
    # The denoiser's latents will be a little off: the decoder meets such ones here.
    rebuilt = model.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample
    anchor = functional.mse_loss(posterior.mean[:, :3], functional.avg_pool2d(batch, 8))
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    objective = _likeness(rebuilt, batch) + ANCHOR_WEIGHT * anchor + KL_WEIGHT * kl
    return objective, float(functional.l1_loss(rebuilt.detach(), batch))


@torch.no_grad()
def whiten(model: AutoencoderKL, batch: Tensor) -> None:
    """Give the latents of pictures like `batch` mean 0, no correlation, and deviation 1 after the scaling factor.

    Changes the weights of `quant_conv` and `post_quant_conv` in place; what is decoded stays the same.
    """
    means = model.encode(batch).latent_dist.mean.permute(0, 2, 3, 1).reshape(-1, 4).double()
    centre = means.mean(0)
    variances, axes = torch.linalg.eigh((means - centre).T.cov())
    forward = torch.diag(variances.rsqrt()) @ axes.T / SCALING_FACTOR
    _fold_into_encoder(model, forward, centre)
    _fold_into_decoder(model, torch.linalg.inv(forward), centre)


def _fold_into_encoder(model: AutoencoderKL, forward: Tensor, centre: Tensor) -> None:
    weight, bias = model.quant_conv.weight, model.quant_conv.bias
    weight[:4] = torch.einsum("oi,ixyz->oxyz", forward, weight[:4].double()).float()
    bias[:4] = (forward @ (bias[:4].double() - centre)).float()
    # A diagonal Gaussian does not stay diagonal under a rotation; the spread of each new axis is exact all the same
    # only where the old ones agree. Nothing here samples from it but training, which is over.
    bias[4:] += 2 * float(forward.norm(dim=1).log().mean())


def _fold_into_decoder(model: AutoencoderKL, backward: Tensor, centre: Tensor) -> None:
    weight, bias = model.post_quant_conv.weight, model.post_quant_conv.bias
    bias += (weight[:, :, 0, 0].double() @ centre).float()
    weight[:] = torch.einsum("oi,ixyz->oxyz", weight[:, :, 0, 0].double(), backward[..., None, None]).float()
