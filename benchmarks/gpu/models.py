"""Full-size models without their weights: the public configurations, random numbers, made where they are to run.

What they paint means nothing; what they cost is what the real ones cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from deployments.engines.diffusion.assembly import blank_rows, native_shape
from deployments.engines.diffusion.bundle import Architecture, Bundle
from deployments.engines.diffusion.predictors import EagerPredictor
from deployments.reference_models.tokenizer import END, START, merges, tokens

WINDOW: Final = 77
_VOCABULARY: Final = 49408
Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A model to be made. `tflop` is what one row's forward pass costs at its native size: 2 per multiply and add,
    attention included.
    """

    architecture: Architecture
    unet: Config
    vae: Config
    text: tuple[Config, ...]
    tflop: float
    pads: tuple[str, ...] = field(default=(END,))


_SD_VAE: Final[Config] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_CLIP_L: Final[Config] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
_CLIP_G: Final[Config] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
SD15: Final = Made(
    architecture="sd15",
    unet={
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    vae=_SD_VAE,
    text=(_CLIP_L,),
    tflop=0.803,
)
SDXL: Final = Made(
    architecture="sdxl",
    unet={
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    vae=_SD_VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
    text=(_CLIP_L, _CLIP_G),
    tflop=6.761,
    pads=(END, "!"),
)
_TINY: Final[Config] = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
_TINY_VAE: Final[Config] = {"block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4, "layers_per_block": 1}
_TINY_CLIP: Final[Config] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "projection_dim": 32}
_TINY_CLIP_HEADS: Final[Config] = {"num_attention_heads": 4}
TINY_SD15: Final = Made(
    architecture="sd15",
    unet=_TINY | {"cross_attention_dim": 32},
    vae=_SD_VAE | _TINY_VAE,
    text=(_TINY_CLIP | _TINY_CLIP_HEADS,),
    tflop=2.5e-5,
)
TINY_SDXL: Final = Made(
    architecture="sdxl",
    unet=SDXL.unet
    | _TINY
    | {
        "cross_attention_dim": 64,
        "transformer_layers_per_block": (1, 2),
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 32,
    },
    vae=_SD_VAE | _TINY_VAE | {"scaling_factor": 0.13025},
    text=(_TINY_CLIP | _TINY_CLIP_HEADS,) * 2,
    tflop=2.5e-5,
    pads=(END, "!"),
)
FULL: Final[Mapping[str, Made]] = {"sd15": SD15, "sdxl": SDXL}
TINY: Final[Mapping[str, Made]] = {"sd15": TINY_SD15, "sdxl": TINY_SDXL}
_NOISING: Final[dict[str, Any]] = {
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}


def make(made: Made, device: str, dtype: torch.dtype, seed: int = 0) -> Bundle:
    """The model as `Bundle.load` would place it: evaluation mode, channels last, no gradients."""
    torch.manual_seed(seed)
    kinds = (CLIPTextModel, CLIPTextModelWithProjection)
    with torch.device(device):
        unet = UNet2DConditionModel(**made.unet)
        vae = AutoencoderKL(**made.vae)
        encoders = [kind(_text_config(config)) for kind, config in zip(kinds, made.text, strict=False)]
    for network in (unet, vae, *encoders):
        network.requires_grad_(False).eval().to(device=device, dtype=dtype)
    for network in (unet, vae):
        network.to(memory_format=torch.channels_last)
    bundle = Bundle(
        architecture=made.architecture,
        unet=unet,
        vae=vae,
        text_encoders=tuple(encoders),
        tokenizers=tuple(_tokenizer(pad) for pad in made.pads),
        scheduler_config=_scheduler_config(made.architecture),
        device=device,
        dtype=dtype,
        empty_negative_is_zero=made.architecture == "sdxl",
    )
    _calibrate(bundle)
    return bundle


@torch.inference_mode()
def _calibrate(bundle: Bundle) -> None:
    """Have random networks speak as loudly as trained ones: noise of deviation 1, pictures of contrast.

    Else every picture is the same grey, and any two are equal.
    """
    height, width, *_ = shape = native_shape(bundle)
    said = EagerPredictor(bundle)(blank_rows(bundle, 1, shape))
    bundle.unet.conv_out.weight.div_(said.std().item())
    latents = 5 * torch.randn(1, bundle.latent_channels, height, width, device=bundle.device, dtype=bundle.vae.dtype)
    picture = bundle.vae.decode(latents, return_dict=False)[0].float()
    bundle.vae.decoder.conv_out.weight.mul_(0.5 / picture.std().item())


def _scheduler_config(architecture: Architecture) -> dict[str, Any]:
    """As the public models of this architecture come."""
    if architecture == "sdxl":
        return dict(EulerDiscreteScheduler.from_config({**_NOISING, "timestep_spacing": "leading"}).config)
    return dict(PNDMScheduler.from_config(_NOISING).config)


def _vocabulary() -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens())}


def _tokenizer(pad: str) -> CLIPTokenizer:
    """A small vocabulary within the real one's size, and the real window: an encoder's cost is its window's."""
    return CLIPTokenizer(_vocabulary(), merges(), pad_token=pad, model_max_length=WINDOW)


def _text_config(config: Config) -> CLIPTextConfig:
    vocabulary = _vocabulary()
    return CLIPTextConfig(
        **config,
        vocab_size=_VOCABULARY,
        max_position_embeddings=WINDOW,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
