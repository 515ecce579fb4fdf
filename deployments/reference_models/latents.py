"""A cache of scenes already encoded, so that the denoiser's training touches no pixels.

A folder of `latents.npy` (N x 4 x 16 x 16, float16, scaled), `sizes.npy` (N x 6, int16: SDXL's original size, crop
corner and target size, height before width) and `scenes.jsonl`. The first scenes are plain; the others are drawn at
half the side and enlarged, or drawn larger and cropped, which is what SDXL's size conditioning is about.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image

from deployments.reference_models import autoencoder, scenes

logger = logging.getLogger(__name__)

TWO_SHARE: Final = 0.35
PLAIN_SHARE: Final = 0.8
LARGE_SIDE: Final = 160
BATCH: Final = 64

Draw = Callable[[scenes.Scene, np.random.Generator, int], scenes.Picture]
"""As `scenes.draw`, of a scene, at so many pixels a side."""


@dataclass(frozen=True, slots=True)
class Latents:
    """The cache, opened: `latents` and `sizes` row by row belong to `scenes`."""

    latents: NDArray[np.float16]
    sizes: NDArray[np.int16]
    scenes: list[scenes.Scene]

    @property
    def num_plain(self) -> int:
        """How many rows, from the first, are of pictures that were neither enlarged nor cropped."""
        return int(len(self.scenes) * PLAIN_SHARE)


def encode(model: AutoencoderKL, folder: Path, count: int, seed: int, device: str = "cpu") -> None:
    """Draw and encode `count` training scenes into `folder`."""
    rng = np.random.default_rng(seed)
    drawn = [scenes.training_scene(rng, two_share=TWO_SHARE) for _ in range(count)]
    encode_scenes(model, folder, drawn, rng, scenes.draw, device)


def encode_scenes(
    model: AutoencoderKL, folder: Path, drawn: list[scenes.Scene], rng: np.random.Generator, draw: Draw, device: str
) -> None:
    """Encode these scenes, as `draw` shows them, into `folder`."""
    count = len(drawn)
    folder.mkdir(parents=True, exist_ok=True)
    latents = np.empty((count, 4, 16, 16), np.float16)
    sizes = np.empty((count, 6), np.int16)
    for start in range(0, count, BATCH):
        rows = range(start, min(start + BATCH, count))
        views = [_view(drawn[row], rng, draw, plain=row < int(count * PLAIN_SHARE)) for row in rows]
        sizes[rows.start : rows.stop] = [size for _, size in views]
        batch = autoencoder.pixels([picture for picture, _ in views]).to(device, memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            mean = model.encode(batch).latent_dist.mean * autoencoder.SCALING_FACTOR
        latents[rows.start : rows.stop] = mean.float().cpu().numpy()
        if start % (BATCH * 50) == 0:
            logger.info("encoded %d of %d scenes", rows.stop, count)
    np.save(folder / "latents.npy", latents)
    np.save(folder / "sizes.npy", sizes)
    (folder / "scenes.jsonl").write_text("".join(json.dumps(asdict(scene)) + "\n" for scene in drawn))


def load(folder: Path) -> Latents:
    """Open a cache without reading it whole."""
    found = []
    for line in (folder / "scenes.jsonl").read_text().splitlines():
        facts = json.loads(line)
        second = facts.pop("second")
        found.append(
            scenes.Scene(
                **facts
                | {"first": scenes.Thing(**facts["first"]), "second": scenes.Thing(**second) if second else None}
            )
        )
    return Latents(np.load(folder / "latents.npy", mmap_mode="r"), np.load(folder / "sizes.npy"), found)


def _view(
    scene: scenes.Scene, rng: np.random.Generator, draw: Draw, *, plain: bool
) -> tuple[scenes.Picture, tuple[int, ...]]:
    side = scenes.SIDE
    if plain:
        return draw(scene, rng, side), (side, side, 0, 0, side, side)
    if rng.random() < 0.5:
        coarse = Image.fromarray(draw(scene, rng, side // 2)).resize((side, side), Image.Resampling.BICUBIC)
        return np.asarray(coarse), (side // 2, side // 2, 0, 0, side, side)
    top, left = (int(corner) for corner in rng.integers(0, LARGE_SIDE - side + 1, 2))
    picture = draw(scene, rng, LARGE_SIDE)[top : top + side, left : left + side]
    return picture, (LARGE_SIDE, LARGE_SIDE, top, left, side, side)
