"""Train the reference models, one stage after the other; every stage resumes where it stopped.

    python -m deployments.reference_models.train vae --out DIR
    python -m deployments.reference_models.train decoder --out DIR
    python -m deployments.reference_models.train latents --out DIR
    python -m deployments.reference_models.train shapes-sd --out DIR
    python -m deployments.reference_models.train shapes-sdxl --out DIR

A stage finds what the one before it left in DIR. The last two leave a directory of their own name there, which
`DiffusionPipeline.from_pretrained` loads. `--device cuda` takes a GPU; otherwise all is done by the CPU.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from deployments.reference_models import autoencoder, denoiser, export, latents, scenes, tokenizer, warm_start
from deployments.reference_models.loop import Schedule, Training

logger = logging.getLogger(__name__)

NUM_SCENES: Final = 24_000
STEPS: Final = {"vae": 3600, "decoder": 900, "shapes-sd": 5700, "shapes-sdxl": 1700}
RATES: Final = {"shapes-sd": 7e-4, "shapes-sdxl": 3e-4}
"""The second starts from the first one's weights, and at the higher rate would lose what they know."""
VAE_BATCH: Final = 16
BATCH: Final = 16


def main() -> None:
    """Read the command line, train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["vae", "decoder", "latents", "shapes-sd", "shapes-sdxl"])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, help="of the optimizer; for latents, the number of scenes")
    parser.add_argument("--batch", type=int, default=BATCH, help="scenes a step, for the two denoisers")
    parser.add_argument("--workers", type=int, default=1, help="processes that train the same weights, on a CPU")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    torch.manual_seed(chosen.seed)
    if chosen.workers > 1:
        torch.set_num_threads(1)
    if chosen.stage == "vae":
        train_vae(chosen.out, chosen.steps or STEPS["vae"], chosen.seed, chosen.device)
    elif chosen.stage == "decoder":
        train_decoder(chosen.out, chosen.steps or STEPS["decoder"], chosen.seed, chosen.device, chosen.workers)
    elif chosen.stage == "latents":
        encode_scenes(chosen.out, chosen.steps or NUM_SCENES, chosen.seed, chosen.device)
    else:
        steps = chosen.steps or STEPS[chosen.stage]
        train_denoiser(chosen.stage, chosen.out, steps, chosen.batch, chosen.seed, chosen.device, chosen.workers)


def train_vae(out: Path, steps: int, seed: int, device: str) -> None:
    """Train the autoencoder; leaves `vae.pt`, and `vae/` with whitened latents."""
    model = autoencoder.build().to(memory_format=torch.channels_last)
    training = Training(model, Schedule(steps, 2e-3), out / "vae.pt", seed, device)

    def loss(batch: Tensor, _: torch.Generator) -> tuple[Tensor, float]:
        # The last steps are taken in full precision, which settles the colours.
        with torch.autocast(device, torch.bfloat16, enabled=training.step < 0.85 * steps):
            return autoencoder.loss(model, batch.to(device, memory_format=torch.channels_last))

    training.run(lambda start: autoencoder.batches(start, VAE_BATCH), loss, bf16=False, on_checkpoint=lambda: None)
    model.load_state_dict(training.average)
    autoencoder.whiten(model.eval(), next(autoencoder.plain_batches(seed, 256)).to(device))
    model.to(memory_format=torch.contiguous_format).save_pretrained(out / "vae")


def train_decoder(out: Path, steps: int, seed: int, device: str, num_workers: int) -> None:
    """Train the decoder further; the latents stay what they are, so this can be done at any time. Rewrites `vae/`."""
    model = AutoencoderKL.from_pretrained(out / "vae").to(device, memory_format=torch.channels_last)
    network = nn.ModuleList([model.post_quant_conv, model.decoder])
    training = Training(network, Schedule(steps, 1e-3), out / "decoder.pt", seed, device)

    def loss(batch: Tensor, _: torch.Generator) -> tuple[Tensor, float]:
        return autoencoder.decoder_loss(model, batch.to(device, memory_format=torch.channels_last))

    def write() -> None:
        finished = AutoencoderKL.from_pretrained(out / "vae")
        nn.ModuleList([finished.post_quant_conv, finished.decoder]).load_state_dict(training.average)
        finished.save_pretrained(out / "vae")

    batches = partial(autoencoder.batches, size=VAE_BATCH)
    training.run(batches, loss, bf16=True, on_checkpoint=write, num_workers=num_workers)


def encode_scenes(out: Path, count: int, seed: int, device: str) -> None:
    """Draw and encode the scenes the denoisers learn from; leaves `latents/`."""
    model = AutoencoderKL.from_pretrained(out / "vae").eval().to(device, memory_format=torch.channels_last)
    latents.encode(model, out / "latents", count, seed, device)


def train_denoiser(name: str, out: Path, steps: int, size: int, seed: int, device: str, num_workers: int) -> None:
    """Train one of the two denoisers with its text encoders; leaves `NAME.pt` and the directory `NAME/`."""
    sdxl = name == "shapes-sdxl"
    first = tokenizer.build(out / "tokenizers" / "first", pad=export.SD_PAD)
    second = tokenizer.build(out / "tokenizers" / "second", pad=export.SDXL_SECOND_PAD)
    model = denoiser.ShapesSDXL(len(first)) if sdxl else denoiser.ShapesSD(len(first))
    if isinstance(model, denoiser.ShapesSDXL) and (out / "shapes-sd.pt").exists():
        teacher = denoiser.ShapesSD(len(first))
        export.load_average(teacher, out / "shapes-sd.pt")
        words = [scenes.caption(scene) for scene in scenes.held_out_scenes(64, seed)]
        ids = first(words, padding="max_length", return_tensors="pt").input_ids
        logger.info("%d tensors from shapes-sd", warm_start.copy(teacher, model, ids))
    model.unet.to(memory_format=torch.channels_last)
    batches = denoiser.Captioned(latents.load(out / "latents"), first, second, size, sdxl=sdxl, device=device)
    model.unet.set_attn_processor(denoiser.FullPrecisionAttention())
    training = Training(model, Schedule(steps, RATES[name]), out / f"{name}.pt", seed, device)
    loss = denoiser.NoisePrediction(model, device)
    training.run(batches, loss, bf16=True, on_checkpoint=_exporting(name, out), num_workers=num_workers)


def _exporting(name: str, out: Path) -> Callable[[], None]:
    def write() -> None:
        export.from_checkpoint(name, out, out / name)

    return write


if __name__ == "__main__":
    main()
