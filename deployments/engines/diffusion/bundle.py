"""A model's directory, loaded: the networks that denoise, and what must be known of them to do it.

The directory is the layout of diffusers: `model_index.json` and a folder for each component. Components are loaded
one by one and only those that are needed, from safetensors alone; a safety checker or a feature extractor beside them
is never read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from serve.domain.errors import EngineFailed

Architecture = Literal["sd15", "sdxl"]

PIPELINES: Final[Mapping[str, Architecture]] = {
    "StableDiffusionPipeline": "sd15",
    "StableDiffusionImg2ImgPipeline": "sd15",
    "StableDiffusionInpaintPipeline": "sd15",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
}
COMPONENTS: Final[Mapping[Architecture, Mapping[str, tuple[str, ...]]]] = {
    "sd15": {
        "unet": ("UNet2DConditionModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModel",),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    },
    "sdxl": {
        "unet": ("UNet2DConditionModel",),
        "vae": ("AutoencoderKL",),
        "text_encoder": ("CLIPTextModel",),
        "text_encoder_2": ("CLIPTextModelWithProjection",),
        "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
        "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
    },
}
WEIGHTS_STEMS: Final = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
TEXT_WEIGHTS_STEM: Final = "model"


@dataclass(frozen=True, slots=True)
class Bundle:
    """One loaded model. Networks are in evaluation mode, without gradients, on `device`."""

    architecture: Architecture
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    scheduler_config: dict[str, Any]
    device: str
    dtype: torch.dtype
    empty_negative_is_zero: bool
    """Whether an absent negative prompt is embedded as zeros (most SDXL models) and not as an empty text."""

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config["latent_channels"])

    @property
    def unet_channels(self) -> int:
        """4, or 9 when the UNet also takes the mask and the masked picture."""
        return int(self.unet.config["in_channels"])

    @property
    def latent_scale(self) -> int:
        """Pixels per latent, in each direction."""
        return int(2 ** (len(self.vae.config["block_out_channels"]) - 1))

    @property
    def native_size(self) -> int:
        """The side, in pixels, that the model was trained on."""
        size = self.unet.config["sample_size"]
        return int(max(size) if isinstance(size, (list, tuple)) else size) * self.latent_scale

    @property
    def window(self) -> int:
        """Tokens that the text encoders read at once, start and end included."""
        return min(int(tokenizer.model_max_length) for tokenizer in self.tokenizers)

    @classmethod
    def load(cls, folder: Path, *, device: str, dtype: torch.dtype, variant: str | None = None) -> "Bundle":
        """Load the model in `folder`. `variant` picks weights such as `model.fp16.safetensors`.

        Raises:
            EngineFailed: the directory is not such a model, or a piece is missing or of an unknown kind.
        """
        index = _read_index(folder)
        architecture = _architecture(folder, index)
        for name in COMPONENTS[architecture]:
            _check_component(folder, index, architecture, name, variant)
        try:
            parts = _load_parts(folder, architecture, dtype, variant)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise EngineFailed(f"the model in {folder} cannot be loaded: {error}") from error
        bundle = cls(
            architecture=architecture,
            scheduler_config=_scheduler_config(folder, architecture),
            device=device,
            dtype=dtype,
            empty_negative_is_zero=architecture == "sdxl" and bool(index.get("force_zeros_for_empty_prompt", True)),
            **parts,
        )
        _check_shapes(folder, bundle)
        _place(bundle)
        return bundle


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    if not path.is_file():
        raise EngineFailed(f"{folder} has no model_index.json: a directory in diffusers' layout is expected")
    index = _read_json(path)
    if not isinstance(index, dict):
        raise EngineFailed(f"{path} does not hold an object")
    return index


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineFailed(f"{path} cannot be read: {error}") from error


def _architecture(folder: Path, index: Mapping[str, Any]) -> Architecture:
    found = index.get("_class_name")
    if found not in PIPELINES:
        raise EngineFailed(f"{folder} holds a {found}: this engine runs {', '.join(PIPELINES)}")
    if index.get("requires_aesthetics_score"):
        raise EngineFailed(f"{folder} holds an SDXL refiner, which this engine does not run: give it a base model")
    return PIPELINES[found]


def _check_component(
    folder: Path, index: Mapping[str, Any], architecture: Architecture, name: str, variant: str | None
) -> None:
    known = COMPONENTS[architecture][name]
    entry = index.get(name)
    found = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if found not in known:
        raise EngineFailed(f"{folder} says that its {name} is {found or 'absent'}: {' or '.join(known)} is expected")
    if not (folder / name).is_dir():
        raise EngineFailed(f"{folder} has no folder {name}, which its model_index.json names")
    if not name.startswith("tokenizer"):
        _check_weights(folder / name, WEIGHTS_STEMS.get(name, TEXT_WEIGHTS_STEM), variant)


def _check_weights(folder: Path, stem: str, variant: str | None) -> None:
    """Safetensors must be there, in one file or many, before a library looks for anything else."""
    marked = f".{variant}" if variant else ""
    one, many = f"{stem}{marked}.safetensors", f"{stem}.safetensors.index{marked}.json"
    if (folder / one).is_file() or (folder / many).is_file():
        return
    there = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".ckpt", ".pt"))
    raise EngineFailed(f"{folder} has no {one}: found {', '.join(there) or 'no weights'}")


def _load_parts(folder: Path, architecture: Architecture, dtype: torch.dtype, variant: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {"use_safetensors": True, "variant": variant, "local_files_only": True}
    names = COMPONENTS[architecture]
    text_classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    return {
        "unet": UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, **given),
        "vae": AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, **given),
        "text_encoders": tuple(
            kind.from_pretrained(folder / name, dtype=dtype, **given)
            for name, kind in text_classes.items()
            if name in names
        ),
        "tokenizers": tuple(
            CLIPTokenizer.from_pretrained(folder / name, local_files_only=True)
            for name in ("tokenizer", "tokenizer_2")
            if name in names
        ),
    }


def _scheduler_config(folder: Path, architecture: Architecture) -> dict[str, Any]:
    """The scheduler's settings with its class's defaults, as a stock pipeline would hand them to another scheduler."""
    raw = _read_json(folder / "scheduler" / "scheduler_config.json")
    name = raw.get("_class_name") if isinstance(raw, dict) else None
    kind = getattr(diffusers, name, None) if isinstance(name, str) and name.endswith("Scheduler") else None
    if kind is None:
        raise EngineFailed(f"{folder} asks for the scheduler {name}, which diffusers {diffusers.__version__} lacks")
    config = dict(kind.from_config(raw).config)
    if architecture == "sd15":
        # What the stock Stable Diffusion pipelines correct in the first checkpoints' files.
        config.update({key: value for key, value in (("steps_offset", 1), ("clip_sample", False)) if key in config})
    return config


def _check_shapes(folder: Path, bundle: Bundle) -> None:
    channels, latents = bundle.unet_channels, bundle.latent_channels
    if channels not in (latents, 2 * latents + 1):
        raise EngineFailed(
            f"{folder}: the UNet takes {channels} channels; {latents} or, for inpainting, {2 * latents + 1} are expected"
        )
    told = bundle.unet.config["addition_embed_type"]
    if told != ("text_time" if bundle.architecture == "sdxl" else None):
        raise EngineFailed(f"{folder}: the UNet of a {bundle.architecture} model has the added embedding {told}")
    if bundle.unet.config["time_cond_proj_dim"] is not None:
        raise EngineFailed(f"{folder}: the UNet has guidance distilled into it, which this engine does not run")


def _place(bundle: Bundle) -> None:
    for network in (bundle.unet, bundle.vae, *bundle.text_encoders):
        network.requires_grad_(False).eval()
    bundle.unet.to(device=bundle.device, memory_format=torch.channels_last)
    bundle.vae.to(device=bundle.device, dtype=_vae_dtype(bundle), memory_format=torch.channels_last)
    for encoder in bundle.text_encoders:
        encoder.to(device=bundle.device)


def _vae_dtype(bundle: Bundle) -> torch.dtype:
    """SDXL's autoencoder overflows in half precision unless it says that it does not."""
    if bundle.device == "cpu":
        return torch.float32
    if bundle.architecture == "sdxl" and bundle.dtype == torch.float16 and bundle.vae.config["force_upcast"]:
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return bundle.dtype
