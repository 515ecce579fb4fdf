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
TEXT_ENCODERS: Final[Mapping[Architecture, tuple[str, ...]]] = {
    "sd15": ("text_encoder",),
    "sdxl": ("text_encoder", "text_encoder_2"),
}
TOKENIZERS: Final[Mapping[Architecture, tuple[str, ...]]] = {
    "sd15": ("tokenizer",),
    "sdxl": ("tokenizer", "tokenizer_2"),
}
CLASSES: Final[Mapping[str, Any]] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
MAX_WHOLE_SIDE: Final = 2048
"""Pixels that the autoencoder takes in one piece; larger pictures go through it in overlapping tiles of this side."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One loaded model. Networks are in evaluation mode, without gradients, on `device`."""

    architecture: Architecture
    unet: Any
    """UNet2DConditionModel; diffusers' classes are typed in part only, so their attributes are taken as they are."""
    vae: Any
    """AutoencoderKL, in a precision of its own (see `_vae_dtype`)."""
    text_encoders: tuple[Any, ...]
    """CLIPTextModel; for SDXL also CLIPTextModelWithProjection, whose pooled embedding the UNet is told."""
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
    def prediction_type(self) -> str:
        """What the UNet predicts: epsilon, v_prediction or sample."""
        return str(self.scheduler_config.get("prediction_type", "epsilon"))

    @property
    def window(self) -> int:
        """Tokens that the text encoders read at once, start and end included."""
        positions = (int(encoder.config.max_position_embeddings) for encoder in self.text_encoders)
        return min(*(int(tokenizer.model_max_length) for tokenizer in self.tokenizers), *positions)

    @classmethod
    def load(cls, folder: Path, *, device: str, dtype: torch.dtype, variant: str | None = None) -> "Bundle":
        """Load the model in `folder`. `variant` picks weights such as `model.fp16.safetensors`.

        Raises:
            EngineFailed: the directory is not such a model, or a piece is missing or of an unknown kind.
        """
        index = _read_index(folder)
        architecture = _architecture(folder, index)
        for name in ("unet", "vae", *TEXT_ENCODERS[architecture]):
            _check_component(folder, index, name, CLASSES[name].__name__)
            _check_weights(folder, name, variant)
        for name in TOKENIZERS[architecture]:
            _check_component(folder, index, name, "CLIPTokenizer", "CLIPTokenizerFast")
        parts = _load_parts(folder, architecture, _dtypes(folder, architecture, device, dtype), variant)
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
    found = str(index.get("_class_name"))
    if found not in PIPELINES:
        raise EngineFailed(f"{folder} holds a {found}: this engine runs {', '.join(PIPELINES)}")
    if index.get("requires_aesthetics_score"):
        raise EngineFailed(f"{folder} holds an SDXL refiner, which this engine does not run: give it a base model")
    return PIPELINES[found]


def _check_component(folder: Path, index: Mapping[str, Any], name: str, *known: str) -> None:
    entry = index.get(name)
    found = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if found not in known:
        raise EngineFailed(f"{folder} says that its {name} is {found or 'absent'}: {' or '.join(known)} is expected")
    if not (folder / name).is_dir():
        raise EngineFailed(f"{folder} has no folder {name}, which its model_index.json names")


def _check_weights(folder: Path, name: str, variant: str | None) -> None:
    """Safetensors must be there, in one file or many, before a library looks for anything else."""
    folder, stem = folder / name, "model" if name in TEXT_ENCODERS["sdxl"] else "diffusion_pytorch_model"
    marked = f".{variant}" if variant else ""
    one, many = f"{stem}{marked}.safetensors", f"{stem}.safetensors.index{marked}.json"
    if (folder / one).is_file() or (folder / many).is_file():
        return
    there = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".ckpt", ".pt"))
    raise EngineFailed(f"{folder} has no {one}: found {', '.join(there) or 'no weights'}")


def _dtypes(folder: Path, architecture: Architecture, device: str, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """Precision of each network. SDXL's autoencoder overflows in half precision unless it says that it does not."""
    vae = dtype
    if device == "cpu":
        vae = torch.float32
    elif architecture == "sdxl" and dtype == torch.float16 and _upcasts(folder):
        vae = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return {"unet": dtype, "vae": vae, "text_encoder": dtype, "text_encoder_2": dtype}


def _upcasts(folder: Path) -> bool:
    """Absent means yes: it is the default of AutoencoderKL."""
    return bool(_read_json(folder / "vae" / "config.json").get("force_upcast", True))


def _load_parts(
    folder: Path, architecture: Architecture, dtypes: Mapping[str, torch.dtype], variant: str | None
) -> dict[str, Any]:
    def tokenizer(name: str) -> Any:
        return CLIPTokenizer.from_pretrained(folder / name, local_files_only=True)

    def network(name: str) -> Any:
        return _load_network(folder, name, dtypes[name], variant)

    try:
        return {
            "unet": network("unet"),
            "vae": network("vae"),
            "text_encoders": tuple(network(name) for name in TEXT_ENCODERS[architecture]),
            "tokenizers": tuple(tokenizer(name) for name in TOKENIZERS[architecture]),
        }
    except EngineFailed:
        raise
    except Exception as error:
        # The libraries raise whatever a broken file makes them stumble over.
        raise EngineFailed(f"the model in {folder} cannot be loaded: {error}") from error


def _load_network(folder: Path, name: str, dtype: torch.dtype, variant: str | None) -> Any:
    network, report = CLASSES[name].from_pretrained(
        folder / name,
        dtype=dtype,
        use_safetensors=True,
        variant=variant,
        local_files_only=True,
        output_loading_info=True,
    )
    if missing := sorted(report["missing_keys"]):
        # The libraries would go on with random numbers in their place.
        raise EngineFailed(f"the weights in {folder / name} lack {len(missing)} tensors, {missing[0]} among them")
    return network


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
    channels, known = bundle.unet_channels, (bundle.latent_channels, 2 * bundle.latent_channels + 1)
    if channels not in known:
        raise EngineFailed(
            f"{folder}: the UNet takes {channels} channels; {known[0]} or, for inpainting, {known[1]} are expected"
        )
    told = bundle.unet.config["addition_embed_type"]
    if told != ("text_time" if bundle.architecture == "sdxl" else None):
        raise EngineFailed(f"{folder}: the UNet of a {bundle.architecture} model has the added embedding {told}")
    if bundle.unet.config["time_cond_proj_dim"] is not None:
        raise EngineFailed(f"{folder}: the UNet has guidance distilled into it, which this engine does not run")


def _place(bundle: Bundle) -> None:
    for network in (bundle.unet, bundle.vae, *bundle.text_encoders):
        network.requires_grad_(False).eval().to(device=bundle.device)
    bundle.unet.to(memory_format=torch.channels_last)
    bundle.vae.to(memory_format=torch.channels_last)
    bundle.vae.tile_sample_min_size = MAX_WHOLE_SIDE
    bundle.vae.tile_latent_min_size = MAX_WHOLE_SIDE // bundle.latent_scale
    bundle.vae.enable_tiling()
