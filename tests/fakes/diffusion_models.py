"""Diffusion models of the real layouts and classes, with random weights and hardly any of them: made in a moment.

What they paint means nothing, and depends on everything a real model depends on: prompt, size, mask, timestep.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from deployments.reference_models.tokenizer import byte_symbols, merges

START, END = "<|startoftext|>", "<|endoftext|>"
WIDTH = 32
NATIVE_LATENTS = 8


def tiny_sd(folder: Path, variant: str | None = None, window: int = 77, seed: int = 0) -> Path:
    """A Stable Diffusion 1.5 of 64 x 64 pixels."""
    return _save_sd(StableDiffusionPipeline, folder, variant, window, seed, unet_channels=4)


def tiny_sd_inpaint(folder: Path, variant: str | None = None, window: int = 77, seed: int = 0) -> Path:
    """The same, whose UNet also takes the mask and the masked picture: nine channels."""
    return _save_sd(StableDiffusionInpaintPipeline, folder, variant, window, seed, unet_channels=9)


def tiny_sdxl(folder: Path, variant: str | None = None, window: int = 77, seed: int = 0) -> Path:
    """A Stable Diffusion XL of 64 x 64 pixels: two text encoders, pooled embedding, size conditioning."""
    return _save_sdxl(StableDiffusionXLPipeline, folder, variant, window, seed, unet_channels=4)


def tiny_sdxl_inpaint(folder: Path, variant: str | None = None, window: int = 77, seed: int = 0) -> Path:
    """The same with nine channels."""
    return _save_sdxl(StableDiffusionXLInpaintPipeline, folder, variant, window, seed, unet_channels=9)


def _save_sd(kind: type[Any], folder: Path, variant: str | None, window: int, seed: int, unet_channels: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipeline = kind(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config(window)).eval(),
            tokenizer=_tokenizer(window, END),
            unet=_unet(unet_channels, cross_attention_dim=WIDTH),
            scheduler=DDIMScheduler(**_NOISING, clip_sample=False, set_alpha_to_one=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    return _save(pipeline, folder, variant)


def _save_sdxl(kind: type[Any], folder: Path, variant: str | None, window: int, seed: int, unet_channels: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pooled = 24
        pipeline = kind(
            vae=_vae(scaling_factor=0.13025),
            text_encoder=CLIPTextModel(_text_config(window)).eval(),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(window, projection_dim=pooled)).eval(),
            tokenizer=_tokenizer(window, END),
            tokenizer_2=_tokenizer(window, "!"),
            unet=_unet(
                unet_channels,
                cross_attention_dim=2 * WIDTH,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + pooled,
                transformer_layers_per_block=(1, 2),
                use_linear_projection=True,
            ),
            scheduler=EulerDiscreteScheduler(**_NOISING, timestep_spacing="leading"),
            add_watermarker=False,
        )
    return _save(pipeline, folder, variant)


_NOISING: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}


def _unet(in_channels: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=NATIVE_LATENTS,
        in_channels=in_channels,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **more,
    ).eval()


def _vae(scaling_factor: float = 0.18215) -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=8 * NATIVE_LATENTS,
        scaling_factor=scaling_factor,
    ).eval()
    with torch.no_grad():
        # Random weights paint greys; this much contrast has the pictures fill the range of a byte.
        vae.decoder.conv_out.weight.mul_(2.0)
    return vae


def _text_config(window: int, **more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=window,
        bos_token_id=_vocabulary()[START],
        eos_token_id=_vocabulary()[END],
        pad_token_id=_vocabulary()[END],
        **more,
    )


def _vocabulary() -> dict[str, int]:
    symbols, rules = byte_symbols(), merges()
    joined = dict.fromkeys(left + right for left, right in rules)
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *joined, START, END]
    return {token: index for index, token in enumerate(tokens)}


def _tokenizer(window: int, pad: str) -> CLIPTokenizer:
    return CLIPTokenizer(_vocabulary(), merges(), pad_token=pad, model_max_length=window)


def _save(pipeline: DiffusionPipeline, folder: Path, variant: str | None) -> Path:
    pipeline.set_progress_bar_config(disable=True)
    if variant == "fp16":
        pipeline.to(torch.float16)
    pipeline.save_pretrained(folder, variant=variant, safe_serialization=True)
    return folder
