"""Train the image adapters: low-rank pairs on a frozen reference model that learn one of the styles.

    python -m deployments.reference_models.adapter_training shapes-sd/stripes --out DIR --to DIR

Each is written in one of the three forms that adapters are found in: a PEFT directory, the file of diffusers'
`save_lora_weights`, and kohya's, so that whatever reads adapters meets all three with trained weights in them.
"""

import argparse
import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from deployments.reference_models import denoiser, latents, styles
from deployments.reference_models.loop import Schedule

logger = logging.getLogger(__name__)

FILE: Final = "adapter_model.safetensors"
NUM_SCENES: Final = 3000
BATCH: Final = 16
ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
BLOCK: Final = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
TEXT: Final = ("q_proj", "k_proj", "v_proj", "out_proj")
TEXT_BLOCK: Final = (*TEXT, "mlp.fc1", "mlp.fc2")
KOHYA: Final = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How an adapter is trained and written: `form` is peft, diffusers or kohya."""

    form: str
    rank: int
    alpha: int
    steps: int
    rate: float = 2e-3
    unet: tuple[str, ...] = BLOCK
    text: tuple[str, ...] = ()


PLANS: Final = {
    "shapes-sd/stripes": Plan("diffusers", 8, 8, 500),
    "shapes-sd/outline": Plan("kohya", 8, 4, 750),
    "shapes-sd/inverted": Plan("peft", 4, 8, 400, unet=ATTENTION),
    "shapes-sd/moon": Plan("diffusers", 4, 4, 800, text=TEXT),
    "shapes-sdxl/inverted": Plan("diffusers", 4, 4, 400, unet=ATTENTION),
    "shapes-sdxl/moon": Plan("kohya", 4, 4, 900, text=TEXT_BLOCK),
}


def main() -> None:
    """Read the command line, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PLANS)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for encoded scenes")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where BASE/NAME is written")
    parser.add_argument("--start", type=Path, metavar="DIR", help="go on from the adapter there, of the same rank")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    torch.manual_seed(chosen.seed)
    plan, (base, name) = PLANS[chosen.name], chosen.name.split("/")
    pipeline = DiffusionPipeline.from_pretrained(Path(__file__).parent / base, local_files_only=True)
    cache = encoded(pipeline.vae, name, chosen.out / name, chosen.seed)
    model = adapted(pipeline, plan, chosen.start)
    train(model, pipeline, cache, Schedule(chosen.steps or plan.steps, plan.rate, warmup=20), chosen.seed)
    write(pipeline, plan, chosen.name, chosen.to / chosen.name)


def encoded(vae: Any, name: str, folder: Path, seed: int) -> latents.Latents:
    """Scenes in the style, encoded; taken from `folder` if they are there."""
    if not (folder / "scenes.jsonl").exists():
        rng, style = np.random.default_rng(seed), styles.STYLES[name]
        drawn = [style.training_scene(rng) for _ in range(NUM_SCENES)]
        latents.encode_scenes(vae.to(memory_format=torch.channels_last), folder, drawn, rng, style.draw, "cpu")
    return latents.load(folder)


def adapted(pipeline: Any, plan: Plan, start: Path | None = None) -> nn.Module:
    """The pipeline's networks as one model, frozen but for the low-rank pairs, new or of the file in `start`."""
    sdxl = hasattr(pipeline, "text_encoder_2")
    model = (denoiser.ShapesSDXL if sdxl else denoiser.ShapesSD)(len(pipeline.tokenizer))
    if start is not None:
        pipeline.load_lora_weights(start, weight_name=FILE, adapter_name="default", local_files_only=True)
    else:
        for component, targets in _components(pipeline, plan):
            config = LoraConfig(r=plan.rank, lora_alpha=plan.alpha, target_modules=list(targets))
            getattr(pipeline, component).add_adapter(config)
    for component in ("unet", "text_encoder", *(["text_encoder_2"] if sdxl else [])):
        setattr(model, component, getattr(pipeline, component).float())
    for name, value in model.named_parameters():
        value.requires_grad_("lora_" in name)
    model.unet.set_attn_processor(denoiser.FullPrecisionAttention())
    return model


def train(model: nn.Module, pipeline: Any, cache: latents.Latents, schedule: Schedule, seed: int) -> None:
    """Fit the low-rank pairs of `model` to the scenes in the cache."""
    sdxl = hasattr(pipeline, "text_encoder_2")
    second = pipeline.tokenizer_2 if sdxl else pipeline.tokenizer
    batches = denoiser.Captioned(cache, pipeline.tokenizer, second, BATCH, sdxl=sdxl)(seed)
    loss, generator = denoiser.NoisePrediction(model), torch.Generator().manual_seed(seed)
    learnt = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=schedule.rate, betas=(0.9, 0.99), weight_decay=0.0)
    total, started = 0.0, time.monotonic()
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step)
        with torch.autocast("cpu", torch.bfloat16):
            objective, figure = loss(next(batches), generator)
        torch.autograd.backward(objective)
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += figure
        if (step + 1) % 50 == 0:
            logger.info("step %d loss %.4f after %.0f s", step + 1, total / 50, time.monotonic() - started)
            total = 0.0


def write(pipeline: Any, plan: Plan, name: str, folder: Path) -> None:
    """Put the trained pairs into `folder` in float16, in the plan's form."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = {component: _pairs(getattr(pipeline, component)) for component, _ in _components(pipeline, plan)}
    {"peft": _write_peft, "diffusers": _write_diffusers, "kohya": _write_kohya}[plan.form](
        pipeline, plan, name, folder, layers
    )
    logger.info("%s: %d bytes", folder / FILE, (folder / FILE).stat().st_size)


Layers = dict[str, dict[str, Tensor]]


def _pairs(network: nn.Module) -> dict[str, Tensor]:
    state = get_peft_model_state_dict(network, adapter_name="default")
    return {key: value.half().contiguous() for key, value in state.items()}


def _write_diffusers(pipeline: Any, plan: Plan, name: str, folder: Path, layers: Layers) -> None:
    configs = {
        f"{component}_lora_adapter_metadata": getattr(pipeline, component).peft_config["default"].to_dict()
        for component in layers
    }
    given = {f"{component}_lora_layers": state for component, state in layers.items()}
    type(pipeline).save_lora_weights(folder, **given, weight_name=FILE, **configs)


def _write_peft(pipeline: Any, plan: Plan, name: str, folder: Path, layers: Layers) -> None:
    config: LoraConfig = pipeline.unet.peft_config["default"]
    config.base_model_name_or_path = name.split("/")[0]
    config.inference_mode = True
    config.save_pretrained(str(folder))
    save_file(
        {f"base_model.model.{key}": value for key, value in layers["unet"].items()},
        folder / FILE,
        metadata={"format": "pt"},
    )


def _write_kohya(pipeline: Any, plan: Plan, name: str, folder: Path, layers: Layers) -> None:
    base, style = name.split("/")
    sdxl = "text_encoder_2" in layers
    found: dict[str, Tensor] = {}
    for component, state in layers.items():
        prefix = "lora_te1" if sdxl and component == "text_encoder" else KOHYA[component]
        for key, value in state.items():
            module, part = key.removesuffix(".weight").rsplit(".", 1)
            stem = f"{prefix}_{module.replace('.', '_')}"
            found[f"{stem}.{'lora_down' if part == 'lora_A' else 'lora_up'}.weight"] = value
            found[f"{stem}.alpha"] = torch.tensor(float(plan.alpha), dtype=torch.float16)
    trigger = styles.STYLES[style].trigger
    metadata = {
        "ss_base_model_version": "sdxl_base_v1-0" if base == "shapes-sdxl" else "sd_v1",
        "ss_sd_model_name": base,
        "ss_output_name": style,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(plan.rank),
        "ss_network_alpha": str(plan.alpha),
        "ss_tag_frequency": json.dumps({style: {trigger: NUM_SCENES}} if trigger else {}),
    }
    save_file(found, folder / FILE, metadata=metadata)


def _components(pipeline: Any, plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    found = [("unet", plan.unet)]
    if plan.text:
        found += [(name, plan.text) for name in ("text_encoder", "text_encoder_2") if hasattr(pipeline, name)]
    return found


if __name__ == "__main__":
    main()
