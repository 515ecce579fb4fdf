"""The denoisers, with the text encoders that are trained together with them, and what they learn from.

`ShapesSD` is shaped as Stable Diffusion 1.5, `ShapesSDXL` as Stable Diffusion XL: the same classes, the same names of
tensors, the same conditioning, only narrower. Both learn to predict the noise (DDPM, arXiv:2006.11239).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from deployments.reference_models import scenes, tokenizer
from deployments.reference_models.latents import Latents

WIDTH: Final = 128
"""Of a token's embedding, in every text encoder, and of the pooled one."""
CHANNELS: Final = (64, 96, 128)
HEADS: Final = (1, 2, 4)
SIZE_WIDTH: Final = 16
"""Of the sinusoids for each of SDXL's six size numbers."""
DROPPED_SHARE: Final = 0.1
STRANGE_SHARE: Final = 0.03
BETA_START: Final = 0.00085
BETA_END: Final = 0.012
SCHEDULE: Final = {
    "num_train_timesteps": 1000,
    "beta_start": BETA_START,
    "beta_end": BETA_END,
    "beta_schedule": "scaled_linear",
}
"""Stable Diffusion's noise schedule, under the names of diffusers' schedulers."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Latents N x 4 x 16 x 16, token ids N x 32 for each tokenizer, sizes N x 6, and which captions were dropped."""

    latents: Tensor
    ids: Tensor
    ids_2: Tensor
    sizes: Tensor
    zeroed: Tensor


class ShapesSD(nn.Module):
    """Stable Diffusion 1.5's denoiser and text encoder."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(_text_config(num_tokens, layers=3))
        self.unet = UNet2DConditionModel(
            sample_size=scenes.SIDE // 8,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=CHANNELS,
            layers_per_block=1,
            attention_head_dim=HEADS,
            cross_attention_dim=WIDTH,
            norm_num_groups=16,
        )

    def forward(self, noisy: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        text = self.text_encoder(batch.ids).last_hidden_state
        predicted: Tensor = self.unet(noisy, timesteps, text).sample
        return predicted


class ShapesSDXL(nn.Module):
    """SDXL's denoiser and two text encoders. As there, an encoder's last layer serves the pooled embedding only."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        config = _text_config(num_tokens, layers=4)
        self.text_encoder = CLIPTextModel(config)
        self.text_encoder_2 = CLIPTextModelWithProjection(config)
        self.unet = UNet2DConditionModel(
            sample_size=scenes.SIDE // 8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=CHANNELS,
            layers_per_block=1,
            transformer_layers_per_block=(1, 1, 2),
            attention_head_dim=HEADS,
            cross_attention_dim=2 * WIDTH,
            norm_num_groups=16,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=SIZE_WIDTH,
            projection_class_embeddings_input_dim=WIDTH + 6 * SIZE_WIDTH,
        )

    def forward(self, noisy: Tensor, timesteps: Tensor, batch: Batch) -> Tensor:
        first = self.text_encoder(batch.ids, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(batch.ids_2, output_hidden_states=True)
        kept = (~batch.zeroed).to(first.dtype)
        text = torch.cat([first, second.hidden_states[-2]], dim=-1) * kept[:, None, None]
        added = {"text_embeds": second.text_embeds * kept[:, None], "time_ids": batch.sizes}
        predicted: Tensor = self.unet(noisy, timesteps, text, added_cond_kwargs=added).sample
        return predicted


def _text_config(num_tokens: int, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=num_tokens,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.WINDOW,
        bos_token_id=num_tokens - 2,
        eos_token_id=num_tokens - 1,
        pad_token_id=num_tokens - 1,
    )


class FullPrecisionAttention:
    """Attention whose products are in float32 under autocast: on a CPU that is the quicker of the two."""

    def __call__(
        self, layer: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projection(given).unflatten(-1, (layer.heads, -1)).transpose(1, 2).float()
            for projection, given in ((layer.to_q, hidden_states), (layer.to_k, context), (layer.to_v, context))
        )
        with torch.autocast(query.device.type, enabled=False):
            attended = functional.scaled_dot_product_attention(query, key, value)
        mixed: Tensor = layer.to_out[0](attended.transpose(1, 2).flatten(2))
        return mixed


class Captioned:
    """Endless batches from a cache of latents, each scene in a phrasing of the moment.

    `sdxl` takes the enlarged and cropped pictures too, and drops a caption as SDXL's pipeline does: all zeros.
    """

    def __init__(
        self, cache: Latents, first: CLIPTokenizer, second: CLIPTokenizer, size: int, *, sdxl: bool, device: str = "cpu"
    ) -> None:
        self.cache, self.tokenizers, self.size, self.sdxl, self.device = cache, (first, second), size, sdxl, device

    def __call__(self, seed: int) -> Iterator[Batch]:
        rng = np.random.default_rng(seed)
        rows = len(self.cache.scenes) if self.sdxl else self.cache.num_plain
        while True:
            yield self._batch(np.sort(rng.integers(0, rows, self.size)), rng)

    def _batch(self, rows: Any, rng: np.random.Generator) -> Batch:
        dropped = rng.random(self.size) < DROPPED_SHARE
        # A negative prompt that is given but empty is encoded, even by SDXL's pipeline: it must work as well.
        zeroed = dropped & (rng.random(self.size) < 0.7) & self.sdxl
        captions = [
            "" if drop else _spoken(self.cache.scenes[row], rng) for row, drop in zip(rows, dropped, strict=True)
        ]
        ids, ids_2 = (
            one(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(self.device)
            for one in self.tokenizers
        )
        latents = torch.from_numpy(self.cache.latents[rows].astype(np.float32)).to(self.device)
        sizes = torch.from_numpy(self.cache.sizes[rows].astype(np.float32)).to(self.device)
        return Batch(latents, ids, ids_2, sizes, torch.from_numpy(zeroed).to(self.device))


def _spoken(scene: scenes.Scene, rng: np.random.Generator) -> str:
    """A caption, now and then with words nobody taught the model, which it should learn to pass over."""
    words = scenes.caption(scene, rng)
    if rng.random() > STRANGE_SHARE:
        return words
    letters = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), int(rng.integers(2, 9))))
    return f"{words}, {letters}" if rng.random() < 0.5 else f"{letters} {words}"


class NoisePrediction:
    """The loss: mean squared error of the predicted noise, weighted by timestep.

    The weight falls at little noise as min-SNR's does (arXiv:2303.09556, gamma 5) and rises gently at much noise, where
    the words alone decide on colours and background, and where an error is magnified most on the way to a picture.
    """

    def __init__(self, model: nn.Module, device: str = "cpu") -> None:
        betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, 1000) ** 2
        self.model, self.kept = model, torch.cumprod(1 - betas, 0).to(device)
        ratio = self.kept / (1 - self.kept)
        weights = ratio.clamp(max=5) / ratio * (1 + 1 / ratio).sqrt()
        self.weights = weights / weights.mean()

    def __call__(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, float]:
        device = batch.latents.device
        timesteps = torch.randint(0, 1000, (len(batch.latents),), generator=generator, device=device)
        noise = torch.randn(batch.latents.shape, generator=generator, device=device)
        kept = self.kept[timesteps][:, None, None, None]
        noisy = kept.sqrt() * batch.latents + (1 - kept).sqrt() * noise
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        errors = (self.model(noisy, timesteps, batch).float() - noise).square().mean(dim=(1, 2, 3))
        weighted = (self.weights[timesteps] * errors).mean()
        return weighted, float(weighted.detach())
