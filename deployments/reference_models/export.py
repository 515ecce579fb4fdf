"""From trained weights to directories that `DiffusionPipeline.from_pretrained` loads with none of our code."""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor

from deployments.reference_models import tokenizer
from deployments.reference_models.denoiser import SCHEDULE, ShapesSD, ShapesSDXL

SD_PAD: Final = tokenizer.END
SDXL_SECOND_PAD: Final = "!"


def shapes_sd(model: ShapesSD, vae: AutoencoderKL) -> StableDiffusionPipeline:
    """The pipeline around a denoiser, with Stable Diffusion 1.5's noise schedule.

    Its own sampler, PNDM, is not the default here: at 25 steps and a guidance of 5 it got a quarter of the captions
    wrong that Euler's gets right.
    """
    with tempfile.TemporaryDirectory() as scratch:
        words = tokenizer.build(Path(scratch))
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=words,
        unet=model.unet,
        scheduler=_published(EulerDiscreteScheduler(**SCHEDULE, steps_offset=1, timestep_spacing="leading")),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def shapes_sdxl(model: ShapesSDXL, vae: AutoencoderKL) -> StableDiffusionXLPipeline:
    """The pipeline around a denoiser, with SDXL's scheduler. A negative prompt that is not given is all zeros."""
    with tempfile.TemporaryDirectory() as scratch:
        first = tokenizer.build(Path(scratch) / "first")
        second = tokenizer.build(Path(scratch) / "second", pad=SDXL_SECOND_PAD)
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=first,
        tokenizer_2=second,
        unet=model.unet,
        scheduler=_published(EulerDiscreteScheduler(**SCHEDULE, steps_offset=1, timestep_spacing="leading")),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def _published(scheduler: Any) -> Any:
    """With the settings that the real models' files carry for schedulers other than their own: DDIM and DDPM would cut
    latents to the range of pixels, DDIM and PNDM end on a step that was never trained, and PNDM warm up at length."""
    scheduler.register_to_config(clip_sample=False, set_alpha_to_one=False, skip_prk_steps=True)
    return scheduler


def write(pipeline: StableDiffusionPipeline | StableDiffusionXLPipeline, folder: Path) -> None:
    """Put the pipeline's files into `folder` in float16, in place of those there; other files there stay.

    Each file is replaced at once, so that who loads the directory meanwhile finds whole files.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent if folder.parent.exists() else None) as scratch:
        pipeline.to(torch.float16).save_pretrained(scratch)
        _finish(Path(scratch))
        for source in sorted(path for path in Path(scratch).rglob("*") if path.is_file()):
            target = folder / source.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(target.name + ".partial")
            shutil.copyfile(source, partial)
            os.replace(partial, target)


def _finish(folder: Path) -> None:
    """What `save_pretrained` leaves out: the tokenizers' older files, and a dtype that agrees with the denoiser's.

    transformers loads in the dtype its config names, diffusers in float32: without a word from the caller a pipeline
    would be half of each, and fail.
    """
    for config in folder.glob("text_encoder*/config.json"):
        config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    for part, pad in (("tokenizer", SD_PAD), ("tokenizer_2", SDXL_SECOND_PAD)):
        if (folder / part).exists():
            tokenizer.build(folder / part, pad=pad)


def load_average(model: ShapesSD | ShapesSDXL, checkpoint: Path) -> int:
    """Load a checkpoint's running average into `model`; returns the step it was taken at."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    average: dict[str, Tensor] = state["average"]
    model.load_state_dict(average)
    return int(state["step"])


def from_checkpoint(name: str, out: Path, folder: Path) -> int:
    """Write the directory of model `name` from `out`'s checkpoint and autoencoder; returns the checkpoint's step."""
    vae = AutoencoderKL.from_pretrained(out / "vae")
    num_tokens = len(tokenizer.tokens())
    if name == "shapes-sdxl":
        model = ShapesSDXL(num_tokens)
        step = load_average(model, out / f"{name}.pt")
        write(shapes_sdxl(model, vae), folder)
        return step
    plain = ShapesSD(num_tokens)
    step = load_average(plain, out / f"{name}.pt")
    write(shapes_sd(plain, vae), folder)
    return step


def main() -> None:
    """Write one model's directory anew, from the checkpoint and the autoencoder that there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["shapes-sd", "shapes-sdxl"])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where training left its files")
    parser.add_argument("--to", type=Path, help="the directory to write; else DIR/NAME")
    chosen = parser.parse_args()
    from_checkpoint(chosen.name, chosen.out, chosen.to or chosen.out / chosen.name)


if __name__ == "__main__":
    main()
