"""How often a model paints what it is told: held-out captions, read back from the pixels. Writes JSON.

    python -m deployments.reference_models.evaluate DIR --captions 500 --json figures.json --grid samples.png

The gate is `all_three`: colour, shape and background of a caption with one thing, all as said.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from deployments.reference_models import reading, scenes

BATCH: Final = 50
GUIDANCE: Final = 5.0
STEPS: Final = 25
SEED: Final = 2026
GRID_COLUMNS: Final = 8


def main() -> None:
    """Read the command line, paint, read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="DIR")
    parser.add_argument("--captions", type=int, default=500, help="with one thing; a fifth as many with two")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="else to standard output")
    parser.add_argument("--grid", type=Path, help="a PNG of the first pictures")
    chosen = parser.parse_args()
    pipeline = DiffusionPipeline.from_pretrained(chosen.model, local_files_only=True).to(chosen.device)
    pipeline.set_progress_bar_config(disable=True)
    figures, pictures = evaluate(pipeline, chosen.captions, steps=chosen.steps, guidance=chosen.guidance)
    text = json.dumps({"model": chosen.model.name} | figures, indent=2) + "\n"
    if chosen.json:
        chosen.json.write_text(text)
    else:
        sys.stdout.write(text)
    if chosen.grid:
        grid(pictures).save(chosen.grid, optimize=True)


def evaluate(pipeline: Any, count: int, *, steps: int, guidance: float) -> tuple[dict[str, Any], list[scenes.Picture]]:
    """Figures for `count` held-out scenes of one thing and a fifth as many of two, and some of the pictures of both."""
    alone = scenes.held_out_scenes(count, SEED)
    pairs = scenes.held_out_scenes(max(1, count // 5), SEED, two=True)
    started = time.monotonic()
    painted = paint(pipeline, [scenes.caption(scene) for scene in alone], steps=steps, guidance=guidance)
    seconds = time.monotonic() - started
    painted_pairs = paint(pipeline, [scenes.caption(scene) for scene in pairs], steps=steps, guidance=guidance)
    figures = {
        "captions": len(alone),
        "steps": steps,
        "guidance": guidance,
        "scheduler": type(pipeline.scheduler).__name__,
        **one_thing(alone, painted),
        "captions_of_two": len(pairs),
        "two_things": _share(
            reading.agrees(scene, reading.read(one)) for scene, one in zip(pairs, painted_pairs, strict=True)
        ),
        "seconds_per_picture": round(seconds / len(alone), 3),
    }
    return figures, painted[: 3 * GRID_COLUMNS] + painted_pairs[:GRID_COLUMNS]


def paint(
    pipeline: Any, captions: Sequence[str], *, steps: int = STEPS, guidance: float = GUIDANCE, seed: int = SEED
) -> list[scenes.Picture]:
    """A picture for each caption, from noise that depends on `seed` and the caption's place alone."""
    painted: list[scenes.Picture] = []
    for start in range(0, len(captions), BATCH):
        batch = list(captions[start : start + BATCH])
        noise = [torch.Generator().manual_seed(seed + start + index) for index in range(len(batch))]
        made = pipeline(batch, num_inference_steps=steps, guidance_scale=guidance, generator=noise, output_type="np")
        painted += [(picture * 255).round().astype(np.uint8) for picture in made.images]
    return painted


def one_thing(asked: Sequence[scenes.Scene], painted: Sequence[scenes.Picture]) -> dict[str, Any]:
    """Shares of the pictures that are right in all three facts, in all five, and how many are wrong in each."""
    wrong = [reading.wrong_parts(scene, reading.read(one)) for scene, one in zip(asked, painted, strict=True)]
    gate = {"background", "colour", "shape", "count"}
    return {
        "all_three": _share(not gate & set(parts) for parts in wrong),
        "size_and_position_too": _share(not parts for parts in wrong),
        "wrong": dict(Counter(part for parts in wrong for part in parts)),
    }


def grid(pictures: Sequence[scenes.Picture]) -> Image.Image:
    """The pictures side by side, eight a row."""
    rows = [np.hstack(pictures[at : at + GRID_COLUMNS]) for at in range(0, len(pictures), GRID_COLUMNS)]
    return Image.fromarray(np.vstack([row for row in rows if row.shape == rows[0].shape]))


def _share(facts: Any) -> float:
    return round(float(np.mean([bool(fact) for fact in facts])), 4)


if __name__ == "__main__":
    main()
