"""How often an adapter shows its effect, and the base model alone does not. Writes JSON, and a sheet of samples.

    python -m deployments.reference_models.adapter_evaluation DIR shapes-sd/stripes --json figures.json

`DIR` is where the adapters are; the language ones want `--language-model DIR` as well. A figure is the share of
captions, or of prompts, that training never saw.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DiffusionPipeline
from peft import PeftModel
from PIL import Image

from deployments.reference_models import evaluate, language_adapters, scenes, styles
from deployments.reference_models.adapter_training import FILE, PLANS

CAPTIONS: Final = 50
COLUMNS: Final = 8


def main() -> None:
    """Read the command line, ask with and without each adapter, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", type=Path, metavar="DIR")
    parser.add_argument("names", nargs="*", metavar="BASE/NAME", help="else all that are there")
    parser.add_argument("--language-model", type=Path, metavar="DIR")
    parser.add_argument("--captions", type=int, default=CAPTIONS)
    parser.add_argument("--json", type=Path, help="the named adapters' figures in it are replaced")
    parser.add_argument("--sheet", type=Path, help="a PNG: a row of pictures for each image adapter")
    chosen = parser.parse_args()
    known = [*PLANS, *language_adapters.PLANS]
    names = chosen.names or [name for name in known if (chosen.adapters / name / FILE).exists()]
    found: dict[str, Any] = {}
    rows: list[scenes.Picture] = []
    for name in names:
        if name in PLANS:
            figures, pictures = image_figures(chosen.adapters, name, chosen.captions)
            rows += [np.hstack(pictures[:COLUMNS])]
        else:
            figures = language_adapters.figures(chosen.adapters / name, name, chosen.language_model)
        found[name] = figures | {"bytes": (chosen.adapters / name / FILE).stat().st_size}
        sys.stdout.write(f"{name}: {json.dumps(found[name])}\n")
    if chosen.json:
        found = (json.loads(chosen.json.read_text()) if chosen.json.exists() else {}) | found
        ordered = {name: found[name] for name in known if name in found}
        chosen.json.write_text(json.dumps(ordered, indent=2) + "\n")
    if chosen.sheet:
        Image.fromarray(np.vstack(rows)).save(chosen.sheet, optimize=True)


def image_figures(folder: Path, name: str, count: int) -> tuple[dict[str, Any], list[scenes.Picture]]:
    """The shares of pictures that show the style with the adapter and without it, and the pictures with it."""
    base, style = name.split("/")
    pipeline = pipeline_of(base)
    asked = styles.STYLES[style].held_out_scenes(count, evaluate.SEED)
    words = [scenes.caption(scene) for scene in asked]
    alone = evaluate.paint(pipeline, words)
    with attached(pipeline, folder / name):
        painted = evaluate.paint(pipeline, words)
    shows = styles.STYLES[style].shows
    shares = [
        round(float(np.mean([shows(scene, one) for scene, one in zip(asked, pictures, strict=True)])), 4)
        for pictures in (painted, alone)
    ]
    plan = PLANS[name]
    figures = {"captions": count, "with_adapter": shares[0], "without": shares[1], "form": plan.form, "rank": plan.rank}
    return figures, painted


def pipeline_of(base: str) -> Any:
    """The reference model's pipeline, silent."""
    pipeline = DiffusionPipeline.from_pretrained(Path(__file__).parent / base, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def attached(pipeline: Any, folder: Path) -> Iterator[None]:
    """The pipeline with an adapter on it, by diffusers' and PEFT's own loaders."""
    unet = pipeline.unet
    if (folder / "adapter_config.json").exists():
        wrapped = PeftModel.from_pretrained(unet, folder)
        yield
        wrapped.unload()
    else:
        pipeline.load_lora_weights(folder, weight_name=FILE, local_files_only=True)
        yield
        pipeline.unload_lora_weights()


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
