"""What an image starts from, on small random models: the same as what diffusers' own pipelines start from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from fakes.diffusion_models import tiny_sd, tiny_sd_inpaint, tiny_sdxl, tiny_sdxl_inpaint
from PIL import Image

from deployments.engines.diffusion import canvas
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.canvas import Canvas
from deployments.engines.diffusion.latents import PreviewMap, as_picture, decode, encode_pixels
from deployments.engines.diffusion.prompts import PromptEncoder, SizeCondition, chunks, cuts
from deployments.engines.diffusion.request import Pixels, Source
from serve.domain.errors import InvalidRequest

MAKERS: dict[str, Callable[..., Path]] = {
    "sd": tiny_sd,
    "sdxl": tiny_sdxl,
    "sd-inpaint": tiny_sd_inpaint,
    "sdxl-inpaint": tiny_sdxl_inpaint,
}
IMG2IMG = {"sd": StableDiffusionImg2ImgPipeline, "sdxl": StableDiffusionXLImg2ImgPipeline}
INPAINT = {"sd": StableDiffusionInpaintPipeline, "sdxl": StableDiffusionXLInpaintPipeline}
PLAIN = ["sd", "sdxl"]
INPAINTING = ["sd-inpaint", "sdxl-inpaint"]
PROMPT = "a large red circle on a blue background"
SIZE = SizeCondition((48, 96), (64, 72), (3, 5))
WIDTH, HEIGHT = 72, 64


@dataclass(frozen=True)
class Model:
    """A model as ours and as diffusers'."""

    kind: str
    bundle: Bundle
    pipeline: Any

    def stock(self, classes: dict[str, Any]) -> Any:
        made = classes[self.kind.removesuffix("-inpaint")](**self.pipeline.components, **_switches(self.kind))
        made.set_progress_bar_config(disable=True)
        return made


def _switches(kind: str) -> dict[str, bool]:
    return {"add_watermarker": False} if "xl" in kind else {"requires_safety_checker": False}


@pytest.fixture(scope="module", params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Each of the four layouts."""
    folder = MAKERS[request.param](tmp_path_factory.mktemp("models") / request.param)
    bundle = Bundle.load(folder, device="cpu", dtype=torch.float32)
    return Model(request.param, bundle, DiffusionPipeline.from_pretrained(folder, **_switches(request.param)))


# Prompts


def _stock_prompt(model: Model, prompt: str, negative: str | None, guided: bool) -> tuple[Any, ...]:
    pipeline = model.pipeline
    if model.bundle.architecture == "sd15":
        context, against = pipeline.encode_prompt(prompt, "cpu", 1, guided, negative)
        return context, against, None, None
    return tuple(
        pipeline.encode_prompt(
            prompt, device="cpu", do_classifier_free_guidance=guided, negative_prompt=negative or None
        )
    )


@pytest.mark.parametrize("negative", ["", "a small green square, blurry"])
@pytest.mark.parametrize("prompt", [PROMPT, "", "Ärger, 😀!  two   SPACES"])
def test_a_prompt_is_embedded_as_diffusers_does_it(model: Model, prompt: str, negative: str) -> None:
    ours = PromptEncoder(model.bundle, 4).encode(prompt, negative, guided=True, size=SIZE)
    context, against, pooled, against_pooled = _stock_prompt(model, prompt, negative, True)
    assert ours.negative is not None
    assert torch.allclose(ours.positive.context, context[0], atol=1e-6)
    assert torch.allclose(ours.negative.context, against[0], atol=1e-6)
    if pooled is not None:
        assert ours.positive.pooled is not None
        assert ours.negative.pooled is not None
        assert torch.allclose(ours.positive.pooled, pooled[0], atol=1e-6)
        assert torch.allclose(ours.negative.pooled, against_pooled[0], atol=1e-6)


def test_an_absent_negative_prompt_is_zeros_for_sdxl_alone(model: Model) -> None:
    negative = PromptEncoder(model.bundle, 4).encode(PROMPT, "", guided=True, size=SIZE).negative
    assert negative is not None
    assert bool(negative.context.any()) == (model.bundle.architecture == "sd15")


def test_without_guidance_there_is_no_negative(model: Model) -> None:
    encoded = PromptEncoder(model.bundle, 4).encode(PROMPT, "ugly", guided=False, size=SIZE)
    assert encoded.negative is None
    assert encoded.positive.num_tokens == 8


@pytest.mark.parametrize("model", ["sdxl"], indirect=True)
def test_sdxl_is_told_the_sizes_as_diffusers_tells_them(model: Model) -> None:
    told = PromptEncoder(model.bundle, 4).encode(PROMPT, "", guided=True, size=SIZE).positive.time_ids
    stock = model.pipeline._get_add_time_ids(SIZE.original, SIZE.crop, SIZE.target, torch.float32, 24)
    assert told is not None
    assert torch.equal(told, stock[0])


@pytest.mark.parametrize("model", PLAIN, indirect=True)
def test_a_long_prompt_is_read_in_windows_that_end_at_a_comma(model: Model) -> None:
    encoder, window = PromptEncoder(model.bundle, 8), model.bundle.window
    first = " ".join(["red"] * 69) + ","
    second = " ".join(["blue"] * 30)
    whole = encoder.encode(f"{first} {second}", "green", guided=True, size=SIZE)
    parts = [encoder.encode(part, "green", guided=True, size=SIZE) for part in (first, second)]
    together = torch.cat([part.positive.context for part in parts])
    assert torch.allclose(whole.positive.context, together, atol=1e-6)
    assert whole.positive.num_tokens == 100
    assert whole.negative is not None
    assert whole.negative.context.shape == (2 * window, together.shape[1])
    empty = encoder.encode("", "", guided=False, size=SIZE).positive.context
    assert torch.equal(whole.negative.context[window:], empty)
    if whole.positive.pooled is not None:
        assert torch.allclose(whole.positive.pooled, parts[0].positive.pooled, atol=1e-6)


def test_the_negative_may_be_the_longer_one(model: Model) -> None:
    encoded = PromptEncoder(model.bundle, 8).encode("red", "blue, " * 60, guided=True, size=SIZE)
    assert encoded.negative is not None
    assert len(encoded.positive.context) == len(encoded.negative.context) == 2 * model.bundle.window


def test_a_prompt_without_end_is_refused_by_name(model: Model) -> None:
    with pytest.raises(InvalidRequest, match="more than 1275 tokens, and 1200 are read") as refused:
        PromptEncoder(model.bundle, 4).encode("red", "blue " * 1300, guided=True, size=SIZE)
    assert refused.value.param == "negative_prompt"


def test_a_weight_moves_a_token_away_from_the_empty_prompt(model: Model) -> None:
    encoder = PromptEncoder(model.bundle, 8)
    plain, weighed, empty = (
        encoder.encode(prompt, "", guided=False, size=SIZE).positive.context
        for prompt in (PROMPT, "a large (red:1.5) circle on a blue background", "")
    )
    expected = plain.clone()
    expected[3] = empty[3] + 1.5 * (plain[3] - empty[3])
    assert torch.allclose(weighed, expected, atol=1e-5)


def test_a_weight_of_one_changes_nothing(model: Model) -> None:
    encoder = PromptEncoder(model.bundle, 8)
    plain = encoder.encode(PROMPT, "", guided=False, size=SIZE).positive
    same = encoder.encode("a large (red:1.0) circle on a blue background", "", guided=False, size=SIZE).positive
    assert torch.equal(plain.context, same.context)


def test_long_texts_take_the_room_of_as_many_short_ones(model: Model) -> None:
    encoder = PromptEncoder(model.bundle, 4)
    for word in ("red", "blue", "green"):
        encoder.encode(f"{word}, " * 60, "", guided=False, size=SIZE)
    assert sum(len(text.context) for text in encoder._texts.values()) <= 4 * model.bundle.window


def test_embeddings_of_known_texts_are_kept_and_the_oldest_forgotten(model: Model) -> None:
    encoder = PromptEncoder(model.bundle, 2)
    first = encoder.encode("red", "blue", guided=True, size=SIZE).positive.context
    assert encoder.encode("red", "", guided=False, size=SIZE).positive.context is first
    encoder.encode("green", "white", guided=True, size=SIZE)
    again = encoder.encode("red", "", guided=False, size=SIZE).positive.context
    assert again is not first
    assert torch.equal(again, first)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param(["a</w>"] * 8, [], id="it fits"),
        pytest.param(["a</w>"] * 6 + [",</w>"] + ["a</w>"] * 9, [7, 15], id="at a comma"),
        pytest.param(["a</w>"] * 7 + ["a"] + ["a</w>"] * 4, [7], id="before a broken word"),
        pytest.param(["a"] * 20, [8, 16], id="a word without end"),
        pytest.param([",</w>"] + ["a</w>"] * 9, [8], id="a comma too far back"),
    ],
)
def test_chunks_end_where_a_reader_would_pause(tokens: list[str], expected: list[int]) -> None:
    assert cuts(tokens, 8) == expected


def test_no_token_is_lost_between_chunks(model: Model) -> None:
    tokenizer = model.bundle.tokenizers[0]
    text = "a red circle, (a blue square:1.2) and " * 20
    ids = [token for chunk in chunks(tokenizer, text, 30) for token in chunk.ids]
    plain = text.replace("(", " ").replace(":1.2)", " ")
    assert ids == tokenizer(plain, add_special_tokens=False).input_ids


# Starts


class _Started(Exception):
    """The stock pipeline is about to make its first step."""


@dataclass
class Start:
    """What a stock pipeline starts from."""

    latents: torch.Tensor
    outputs: tuple[torch.Tensor, ...]
    mask: torch.Tensor | None
    masked: torch.Tensor | None
    timestep: torch.Tensor | None
    generator_state: torch.Tensor


def _start_of(pipeline: Any, **call: Any) -> Start:
    """Run a stock pipeline up to its first step, and note what its own methods prepared."""
    seen: dict[str, Any] = {}

    def noting(name: str) -> Callable[..., Any]:
        method = getattr(type(pipeline), name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            seen[f"{name}-timestep"] = kwargs.get("timestep", args[1] if len(args) > 1 else None)
            seen[name] = method(pipeline, *args, **kwargs)
            return seen[name]

        return noted

    def stop(*_: Any, **__: Any) -> None:
        raise _Started

    pipeline.prepare_latents = noting("prepare_latents")
    if hasattr(pipeline, "prepare_mask_latents"):
        pipeline.prepare_mask_latents = noting("prepare_mask_latents")
    generator = torch.Generator("cpu").manual_seed(11)
    hook = pipeline.unet.register_forward_pre_hook(stop)
    try:
        with pytest.raises(_Started):
            pipeline(prompt=PROMPT, num_inference_steps=10, generator=generator, **call)
    finally:
        hook.remove()
    made = seen["prepare_latents"]
    outputs = made if isinstance(made, tuple) else (made,)
    mask, masked = seen.get("prepare_mask_latents", (None, None))
    return Start(outputs[0], outputs, mask, masked, seen["prepare_latents-timestep"], generator.get_state())


def _picture() -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def _mask() -> Pixels:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:50, 20:61] = 255
    mask[50:56, :] = 127
    mask[56:60, :] = 128
    return mask


def _same(ours: torch.Tensor | None, stock: torch.Tensor) -> bool:
    assert ours is not None
    return torch.allclose(ours, stock[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("model", PLAIN, indirect=True)
def test_words_alone_start_from_the_noise_that_diffusers_draws(model: Model) -> None:
    stock = _start_of(model.pipeline, width=WIDTH, height=HEIGHT)
    ours = canvas.prepare(model.bundle, None, WIDTH, HEIGHT, 11)
    assert _same(ours.noise * float(model.pipeline.scheduler.init_noise_sigma), stock.latents)
    assert torch.equal(ours.generator.get_state(), stock.generator_state)
    assert (ours.clean, ours.mask, ours.masked) == (None, None, None)


@pytest.mark.parametrize("model", PLAIN, indirect=True)
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_picture_starts_from_its_latents_and_the_noise_drawn_after_them(model: Model, strength: float) -> None:
    pipeline = model.stock(IMG2IMG)
    stock = _start_of(pipeline, image=Image.fromarray(_picture()), strength=strength)
    ours = canvas.prepare(model.bundle, Source(_picture(), strength), WIDTH, HEIGHT, 11)
    assert ours.clean is not None
    noised = pipeline.scheduler.add_noise(ours.clean[None], ours.noise[None], stock.timestep)
    assert torch.allclose(noised, stock.latents, atol=1e-5, rtol=0)
    assert torch.equal(ours.generator.get_state(), stock.generator_state)


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_a_mask_starts_from_what_diffusers_prepares_for_it(model: Model, strength: float) -> None:
    stock = _start_of(
        model.stock(INPAINT),
        image=Image.fromarray(_picture()),
        mask_image=Image.fromarray(_mask()),
        strength=strength,
        width=WIDTH,
        height=HEIGHT,
    )
    ours = canvas.prepare(model.bundle, Source(_picture(), strength, _mask()), WIDTH, HEIGHT, 11)
    assert torch.equal(ours.generator.get_state(), stock.generator_state)
    assert stock.mask is not None
    assert stock.masked is not None
    assert torch.equal(_known(ours.mask), stock.mask[0])
    assert _same(ours.noise, stock.outputs[1])
    if model.bundle.unet_channels == 4:
        assert _same(ours.clean, stock.outputs[2])
        assert ours.masked is None
    else:
        assert _same(ours.masked, stock.masked)
        assert (ours.clean is None) == (strength == 1.0)


def _known(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None
    return tensor


@pytest.mark.parametrize("model", INPAINTING, indirect=True)
def test_an_inpainting_model_paints_from_words_as_if_all_were_masked(model: Model) -> None:
    stock = _start_of(
        model.stock(INPAINT),
        image=Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128)),
        mask_image=Image.new("L", (WIDTH, HEIGHT), 255),
        strength=1.0,
        width=WIDTH,
        height=HEIGHT,
    )
    ours: Canvas = canvas.prepare(model.bundle, None, WIDTH, HEIGHT, 11)
    assert stock.masked is not None
    assert _same(ours.masked, stock.masked)
    assert _same(ours.noise, stock.outputs[1])
    assert bool(_known(ours.mask).all())


@pytest.mark.parametrize("maker", [tiny_sd, tiny_sdxl_inpaint])
def test_in_half_precision_noise_is_drawn_as_diffusers_draws_it(maker: Callable[..., Path], tmp_path: Path) -> None:
    folder = maker(tmp_path / "model")
    bundle = Bundle.load(folder, device="cpu", dtype=torch.bfloat16)
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    ours = canvas.prepare(bundle, Source(_picture(), 0.6, _mask()), WIDTH, HEIGHT, 11)
    stock = _start_of(
        INPAINT["sdxl" if bundle.architecture == "sdxl" else "sd"](
            **pipeline.components, **_switches(bundle.architecture)
        ),
        image=Image.fromarray(_picture()),
        mask_image=Image.fromarray(_mask()),
        strength=0.6,
        width=WIDTH,
        height=HEIGHT,
    )
    assert torch.equal(ours.noise, stock.outputs[1][0])
    assert torch.equal(ours.generator.get_state(), stock.generator_state)
    assert {made.dtype for made in (ours.noise, ours.clean, ours.mask) if made is not None} == {torch.bfloat16}
    assert decode(bundle, ours.noise[None])[0].shape == (HEIGHT, WIDTH, 3)
    encoded = PromptEncoder(bundle, 2).encode("a (red:1.2) circle", "", guided=True, size=SIZE)
    assert encoded.positive.context.dtype == torch.bfloat16


# Pictures of latents


@pytest.mark.parametrize("model", PLAIN, indirect=True)
def test_latents_are_decoded_as_diffusers_does_it(model: Model) -> None:
    latents = torch.randn(3, 4, 8, 9, generator=torch.Generator().manual_seed(1))
    pipeline = model.pipeline
    with torch.no_grad():
        raw = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    stock = pipeline.image_processor.postprocess(raw, output_type="pil")
    ours = decode(model.bundle, latents)
    assert [pixels.shape for pixels in ours] == [(64, 72, 3)] * 3
    for pixels, picture in zip(ours, stock, strict=True):
        difference = np.abs(pixels.astype(int) - np.asarray(picture).astype(int))
        assert difference.max() <= 1
        assert pixels.std() > 10


@pytest.mark.parametrize("model", ["sdxl"], indirect=True)
def test_an_autoencoder_that_names_its_statistics_is_read_by_them(model: Model) -> None:
    statistics = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.5, 0.5, 2.0, 1.0]}
    model.bundle.vae.register_to_config(**statistics)
    model.pipeline.vae.register_to_config(**statistics)
    try:
        test_a_picture_starts_from_its_latents_and_the_noise_drawn_after_them(model, 0.6)
    finally:
        for vae in (model.bundle.vae, model.pipeline.vae):
            vae.register_to_config(latents_mean=None, latents_std=None)


class ColourAutoencoder:
    """Latents that are the colours of 8 x 8 pixels, mixed: what a trained autoencoder comes near."""

    dtype = torch.float32
    mixing = 6 * torch.tensor([[0.9, 0.2, -0.4], [-0.3, 1.2, 0.1], [0.5, 0.4, 0.8], [1.0, -1.0, 0.3]])

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def encode(self, picture: torch.Tensor) -> Any:
        colours = torch.nn.functional.avg_pool2d(picture, 8)
        mean = torch.einsum("kc,nchw->nkhw", self.mixing, colours) + 4.0
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, std=torch.full_like(mean, 1e-3)))


@pytest.mark.parametrize("model", PLAIN, indirect=True)
def test_a_preview_shows_the_colours_of_the_picture(model: Model) -> None:
    bundle = replace(model.bundle, vae=ColourAutoencoder(model.bundle.vae.config))
    blocks = np.random.default_rng(2).integers(30, 226, (16, 16, 3), np.uint8)
    picture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    latents = encode_pixels(bundle, as_picture(picture), torch.Generator().manual_seed(0))
    preview = PreviewMap(bundle).render(latents)
    expected = np.asarray(Image.fromarray(blocks).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(preview.astype(int) - expected.astype(int)).max() <= 4


@pytest.mark.parametrize("model", ["sd"], indirect=True)
@pytest.mark.parametrize(
    ("latents", "shape"),
    [((8, 8), (64, 64)), ((16, 8), (64, 32)), ((64, 64), (128, 128)), ((96, 128), (192, 256)), ((256, 8), (256, 8))],
)
def test_a_preview_is_small_and_not_too_small(model: Model, latents: tuple[int, int], shape: tuple[int, int]) -> None:
    assert PreviewMap(model.bundle).render(torch.zeros(4, *latents)).shape == (*shape, 3)
