"""Adapters of text encoders apply while a text is encoded, and give what diffusers gives with the same adapters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from fakes.adapters import (
    FILE,
    Maker,
    Shapes,
    dora,
    full,
    load_in_diffusers,
    loha,
    lora,
    random_weights,
    shapes_of,
    write_diffusers,
    write_kohya,
    write_old_diffusers,
)
from fakes.diffusion_models import tiny_sd, tiny_sdxl
from safetensors.torch import load_file
from torch import Tensor

from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.deltas import ImageAdapter
from deployments.engines.diffusion.merging import module_name
from deployments.engines.diffusion.prompts import Encoded, PromptEncoder, SizeCondition
from deployments.engines.diffusion.text_adapters import TextAdapters, text_key
from deployments.engines.engine import AdapterFolder
from serve.catalog.layouts import Layout, layout_of

MAKERS: dict[str, Callable[..., Path]] = {"sd": tiny_sd, "sdxl": tiny_sdxl}
SWITCHES = {"sd": {"requires_safety_checker": False}, "sdxl": {"add_watermarker": False}}
PROMPT, NEGATIVE = "a large red circle on a blue background", "grey"
SIZE = SizeCondition((64, 64), (64, 64))
MLP = ("fc1", "fc2")
Applied = Sequence[tuple[ImageAdapter, float]]


@dataclass(frozen=True)
class Model:
    """A model as ours and as diffusers'."""

    kind: str
    folder: Path
    bundle: Bundle
    layout: Layout

    def shapes(self, *components: str, endings: Sequence[str] = ("q_proj", "out_proj", *MLP, "to_q", "to_v")) -> Shapes:
        encoders = dict(zip(("text_encoder", "text_encoder_2"), self.bundle.text_encoders, strict=False))
        networks = {"unet": self.bundle.unet} | encoders
        return shapes_of({name: networks[name] for name in components or networks if name in networks}, endings)

    def read(self, folder: AdapterFolder) -> ImageAdapter:
        return read_image_adapter(folder, self.layout, torch.float32)

    def encoder(self, max_entries: int = 16, max_adapter_bytes: int = 2**20) -> PromptEncoder:
        return PromptEncoder(self.bundle, max_entries, max_adapter_bytes)

    def encode(self, applied: Applied, encoder: PromptEncoder | None = None, **more: Any) -> Encoded:
        encoder = encoder or self.encoder()
        return encoder.encode(PROMPT, NEGATIVE, guided=True, size=SIZE, adapters=applied, **more)

    def stock(self, adapters: Sequence[tuple[AdapterFolder, float]]) -> list[Tensor]:
        """Context and pooled embedding of PROMPT and NEGATIVE, as diffusers encodes them."""
        pipeline: Any = DiffusionPipeline.from_pretrained(self.folder, **SWITCHES[self.kind])
        load_in_diffusers(pipeline, adapters)
        _give_magnitudes(pipeline, [folder for folder, _ in adapters])
        with torch.no_grad():
            if self.kind == "sd":
                return list(pipeline.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE))
            embeds = pipeline.encode_prompt(
                PROMPT, device="cpu", do_classifier_free_guidance=True, negative_prompt=NEGATIVE
            )
            return list(embeds)


def _give_magnitudes(pipeline: Any, folders: Sequence[AdapterFolder]) -> None:
    """transformers drops DoRA's magnitudes from what diffusers hands it (and says so in a table of unexpected keys)."""
    for index, folder in enumerate(folders):
        for key, magnitude in load_file(folder.path / FILE).items():
            component, _, name = key.removesuffix(".lora_magnitude_vector").partition(".")
            if key.endswith("lora_magnitude_vector") and component.startswith("text_encoder"):
                encoder = getattr(pipeline, component)
                layer = encoder.get_submodule(module_name(encoder, name))
                layer.lora_magnitude_vector[f"adapter-{index}"].weight.data.copy_(magnitude)


@pytest.fixture(scope="module", params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """One text encoder, and two."""
    folder = MAKERS[request.param](tmp_path_factory.mktemp("models") / request.param)
    bundle = Bundle.load(folder, device="cpu", dtype=torch.float32)
    return Model(request.param, folder, bundle, layout_of(folder))


def _tensors(encoded: Encoded) -> list[Tensor]:
    assert encoded.negative is not None
    rows = [encoded.positive, encoded.negative]
    pooled = [row.pooled for row in rows if row.pooled is not None]
    return [*(row.context for row in rows), *pooled]


def _distance(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in ((a, b.reshape(a.shape)) for a, b in pairs))


def _differs(found: Encoded, other: Encoded) -> bool:
    return all(float((a - b).abs().max()) > 1e-2 for a, b in zip(_tensors(found), _tensors(other), strict=True))


# The same as diffusers


def _written(model: Model, tmp_path: Path, case: str) -> list[AdapterFolder]:
    everything, text_only = model.shapes(), model.shapes("text_encoder", "text_encoder_2")
    attention = model.shapes(endings=("q_proj", "out_proj", "to_q", "to_v"))
    kohya = write_kohya(tmp_path / "kohya", random_weights(everything, lora(4, alpha=2), seed=1))
    match case:
        case "kohya":
            return [kohya]
        case "diffusers":
            return [write_diffusers(tmp_path / "new", random_weights(everything, lora(4, alpha=6)))]
        case "old-diffusers":
            return [write_old_diffusers(tmp_path / "old", random_weights(attention, lora(4)))]
        case "text-only":
            return [write_diffusers(tmp_path / "text", random_weights(text_only, lora(4)))]
        case "dora":
            return [write_diffusers(tmp_path / "dora", random_weights(everything, dora(4)))]
        case "two-ranks":
            return [kohya, write_diffusers(tmp_path / "text", random_weights(text_only, lora(7), seed=2))]
        case "lora-then-dora":
            return [kohya, write_diffusers(tmp_path / "dora", random_weights(text_only, dora(4), seed=2))]
        case _:
            raise ValueError(case)


CASES = ["kohya", "diffusers", "old-diffusers", "text-only", "dora", "two-ranks", "lora-then-dora"]


@pytest.mark.parametrize("case", CASES)
def test_prompts_are_encoded_as_diffusers_encodes_them(model: Model, tmp_path: Path, case: str) -> None:
    folders = _written(model, tmp_path, case)
    scales = [0.8, -1.3][: len(folders)]
    applied = [(model.read(folder), scale) for folder, scale in zip(folders, scales, strict=True)]

    found = model.encode(applied)

    assert _distance(_tensors(found), model.stock(list(zip(folders, scales, strict=True)))) < 1e-5
    assert _differs(found, model.encode([]))


@pytest.mark.parametrize("which", ["text_encoder", "text_encoder_2"])
def test_an_adapter_of_one_encoder_leaves_the_other_alone(model: Model, tmp_path: Path, which: str) -> None:
    if model.kind == "sd":
        which = "text_encoder"
    folder = write_diffusers(tmp_path / "one", random_weights(model.shapes(which), lora(4)))
    found = model.encode([(model.read(folder), 1.0)])
    assert _distance(_tensors(found), model.stock([(folder, 1.0)])) < 1e-5
    if model.kind == "sdxl":
        plain, half = model.encode([]).positive.context, 32
        same = [torch.equal(found.positive.context[:, s], plain[:, s]) for s in (slice(half), slice(half, None))]
        assert same == [which == "text_encoder_2", which == "text_encoder"]


# What is not low rank


@pytest.mark.parametrize("make", [loha(3, alpha=2), full()], ids=["loha", "whole"])
def test_other_kinds_are_worked_into_the_weights(model: Model, tmp_path: Path, make: Maker) -> None:
    folder = write_kohya(tmp_path / "other", random_weights(model.shapes("text_encoder"), make))
    adapter = model.read(folder)
    encoder = model.bundle.text_encoders[0]
    expected = Bundle.load(model.folder, device="cpu", dtype=torch.float32)
    for name, delta in adapter.components["text_encoder"].items():
        bare = name if hasattr(encoder, "text_model") else name.removeprefix("text_model.")
        weight = expected.text_encoders[0].get_submodule(bare).weight
        weight += delta.weight(weight, 0.6)

    found = model.encode([(adapter, 0.6)])

    reference = PromptEncoder(expected, 16).encode(PROMPT, NEGATIVE, guided=True, size=SIZE)
    assert _distance(_tensors(found), _tensors(reference)) < 1e-6
    assert not torch.equal(found.positive.context, model.encode([]).positive.context)


# What stays as it was


@pytest.fixture
def adapter(model: Model, tmp_path: Path) -> ImageAdapter:
    return model.read(write_kohya(tmp_path / "adapter", random_weights(model.shapes(), lora(4))))


def test_calls_without_adapters_are_untouched_by_those_with(model: Model, adapter: ImageAdapter) -> None:
    encoder = model.encoder()
    before = model.encode([], encoder)
    model.encode([(adapter, 1.0)], encoder)

    for fresh in (encoder, model.encoder()):
        after = model.encode([], fresh)
        assert all(torch.equal(a, b) for a, b in zip(_tensors(after), _tensors(before), strict=True))


def test_an_adapter_of_the_unet_alone_shares_the_plain_prompts(model: Model, tmp_path: Path) -> None:
    unet_only = model.read(write_kohya(tmp_path / "unet", random_weights(model.shapes("unet"), lora(4))))
    encoder = model.encoder()

    plain, found = model.encode([], encoder), model.encode([(unet_only, 1.0)], encoder)

    assert text_key([(unet_only, 1.0)]) == ()
    assert found.positive.context is plain.positive.context


def test_encoded_prompts_are_remembered_by_adapter_and_scale(model: Model, adapter: ImageAdapter) -> None:
    encoder = model.encoder()
    first = model.encode([(adapter, 1.0)], encoder)

    assert model.encode([(adapter, 1.0)], encoder).positive.context is first.positive.context
    assert _differs(model.encode([(adapter, 0.5)], encoder), first)


def test_padding_of_a_shorter_text_is_encoded_with_the_adapters_too(model: Model, adapter: ImageAdapter) -> None:
    encoder = model.encoder()
    encoded = encoder.encode(f"{PROMPT}, " * 12, NEGATIVE, guided=True, size=SIZE, adapters=[(adapter, 1.0)])
    empty = encoder.encode("", "", guided=False, size=SIZE, adapters=[(adapter, 1.0)])

    assert encoded.negative is not None
    window = model.bundle.window
    assert torch.equal(encoded.negative.context[window : 2 * window], empty.positive.context)


def test_an_encoder_that_fails_is_as_it_was(model: Model, adapter: ImageAdapter) -> None:
    before = model.encode([])
    text = TextAdapters(model.bundle.text_encoders, 2**20)

    def encode() -> None:
        with text.applied([(adapter, 1.0)]):
            raise ArithmeticError("an encoder that fails")

    with pytest.raises(ArithmeticError):
        encode()

    assert all(torch.equal(a, b) for a, b in zip(_tensors(model.encode([])), _tensors(before), strict=True))


def test_what_is_too_much_to_keep_is_computed_anew(model: Model, adapter: ImageAdapter) -> None:
    small = model.encoder(max_entries=0, max_adapter_bytes=0)
    expected = model.encode([(adapter, 1.0)])
    for _ in range(2):
        found = model.encode([(adapter, 1.0)], small)
        assert all(torch.equal(a, b) for a, b in zip(_tensors(found), _tensors(expected), strict=True))


def test_memory_that_runs_short_is_given_back_and_nothing_else_changes(model: Model, adapter: ImageAdapter) -> None:
    encoder = model.encoder(max_entries=1)
    before = model.encode([(adapter, 1.0)], encoder)
    kept = encoder._adapters._recent
    assert kept.num_bytes > 0
    encoder.forget()
    assert kept.num_bytes == 0
    again = model.encode([(adapter, 1.0)], encoder)
    assert torch.equal(before.positive.context, again.positive.context)
