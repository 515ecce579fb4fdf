"""Every kind of adapter changes weights as those who made the kind say: PEFT, diffusers, LyCORIS."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from fakes.adapters import (
    CONFIG,
    FILE,
    Maker,
    Shapes,
    Weights,
    dora,
    full,
    load_in_diffusers,
    loha,
    lokr,
    lora,
    random_weights,
    shapes_of,
    stored,
    write_diffusers,
    write_kohya,
    write_old_diffusers,
    write_peft,
)
from fakes.diffusion_models import tiny_sd
from peft import LoHaConfig, LoHaModel, LoKrConfig, LoKrModel, LoraConfig, LoraModel
from peft import get_peft_model_state_dict as state_of
from torch import Tensor, nn
from torch.nn import functional as F

from deployments.engines.diffusion.adapter_files import read_image_adapter
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.deltas import Delta, ImageAdapter, LowRank
from deployments.engines.diffusion.layers import adapt
from deployments.engines.diffusion.merging import Merged, deltas_of
from deployments.engines.diffusion.mixtures import Floorplan, Mixer
from deployments.engines.engine import AdapterFolder
from serve.catalog.layouts import Layout, layout_of
from serve.domain.errors import InvalidRequest, Unprocessable

BLOCK = "down_blocks.1.attentions.0"
MODULES = {
    "linear": f"{BLOCK}.transformer_blocks.0.attn1.to_q",
    "1x1": f"{BLOCK}.proj_in",
    "3x3": "down_blocks.0.resnets.0.conv1",
}
NORM = f"{BLOCK}.norm"
SCALE = 0.7


@dataclass(frozen=True)
class Model:
    """A model as ours and as diffusers'."""

    folder: Path
    bundle: Bundle
    layout: Layout

    def read(self, folder: AdapterFolder, dtype: torch.dtype = torch.float32) -> ImageAdapter:
        return read_image_adapter(folder, self.layout, dtype)

    def pipeline(self) -> Any:
        """diffusers' own, afresh: what an adapter leaves behind in one is not met by the next test."""
        return StableDiffusionPipeline.from_pretrained(self.folder, requires_safety_checker=False)

    def weight(self, name: str) -> Tensor:
        return self.bundle.unet.get_submodule(name).weight

    def shapes(self, *names: str) -> Shapes:
        return {f"unet.{name}": tuple(self.weight(name).shape) for name in names}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small Stable Diffusion 1.5, whose projections are convolutions of one point."""
    folder = tiny_sd(tmp_path_factory.mktemp("models") / "sd")
    return Model(folder, Bundle.load(folder, device="cpu", dtype=torch.float32), layout_of(folder))


def _distance(found: Tensor, expected: Tensor) -> float:
    """Relative to the largest number that is expected."""
    return float((found - expected).abs().max() / expected.abs().max())


# Against PEFT

PEFT_KINDS: dict[str, tuple[type[Any], Any]] = {
    "lora": (LoraModel, partial(LoraConfig, r=4, lora_alpha=6, init_lora_weights=False)),
    "rslora": (LoraModel, partial(LoraConfig, r=4, lora_alpha=6, use_rslora=True, init_lora_weights=False)),
    "dora": (LoraModel, partial(LoraConfig, r=4, lora_alpha=6, use_dora=True, init_lora_weights=False)),
    "loha": (LoHaModel, partial(LoHaConfig, r=4, alpha=6, init_weights=False)),
    "loha-tucker": (LoHaModel, partial(LoHaConfig, r=4, alpha=6, use_effective_conv2d=True, init_weights=False)),
    "lokr": (LoKrModel, partial(LoKrConfig, r=2, alpha=6, init_weights=False)),
    "lokr-both": (
        LoKrModel,
        partial(LoKrConfig, r=2, alpha=6, decompose_both=True, decompose_factor=8, init_weights=False),
    ),
    "lokr-whole": (LoKrModel, partial(LoKrConfig, r=64, alpha=32, init_weights=False)),
    "lokr-tucker": (LoKrModel, partial(LoKrConfig, r=2, alpha=6, use_effective_conv2d=True, init_weights=False)),
}


@dataclass(frozen=True)
class Made:
    """A kind of adapter, made by PEFT on the three modules, and what PEFT adds to their weights at SCALE."""

    adapter: ImageAdapter
    differences: Mapping[str, Tensor]


@pytest.fixture(scope="module", params=PEFT_KINDS)
def made(request: pytest.FixtureRequest, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Each kind, saved as PEFT saves it."""
    kind, config_of = PEFT_KINDS[request.param]
    config = config_of(target_modules=list(MODULES.values()))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet = model.pipeline().unet
        tuned = kind(unet, {"default": config}, "default")
        if getattr(config, "use_dora", False):
            _vary_magnitudes(tuned)
    folder = tmp_path_factory.mktemp(request.param)
    config.save_pretrained(folder)
    _save(folder, {f"base_model.{key}": tensor for key, tensor in state_of(tuned).items()})
    return Made(model.read(stored(folder)), {name: _peft_difference(unet, name) for name in MODULES.values()})


def _vary_magnitudes(tuned: nn.Module) -> None:
    for name, parameter in tuned.named_parameters():
        if "lora_magnitude_vector" in name:
            parameter.data *= 0.5 + torch.rand(parameter.shape)


def _save(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, folder / FILE)


def _peft_difference(unet: nn.Module, name: str) -> Tensor:
    layer: Any = unet.get_submodule(name)
    layer.scaling["default"] *= SCALE
    if not getattr(layer, "lora_magnitude_vector", None):
        difference: Tensor = layer.get_delta_weight("default").detach()
        return difference
    before = layer.get_base_layer().weight.detach().clone()
    layer.merge()
    merged: Tensor = layer.get_base_layer().weight.detach()
    return merged - before


@pytest.mark.parametrize("where", MODULES)
def test_a_kind_changes_a_weight_as_peft_does(model: Model, made: Made, where: str) -> None:
    name = MODULES[where]

    delta = made.adapter.components["unet"][name]

    assert _distance(delta.weight(model.weight(name), SCALE), made.differences[name]) < 1e-5


# Against the published formulas


def _lycoris(model: Model, tmp_path: Path, name: str, make: Any, **parts: Tensor) -> tuple[Weights, Delta]:
    weights = random_weights(model.shapes(name), make, seed=3)
    weights[f"unet.{name}"].update(parts)
    adapter = model.read(write_kohya(tmp_path / "lycoris", weights))
    return weights[f"unet.{name}"], adapter.components["unet"][name]


@pytest.mark.parametrize("mid", [False, True], ids=["kernel-below", "kernel-between"])
def test_a_locon_is_convolutions_one_after_the_other(model: Model, tmp_path: Path, mid: bool) -> None:
    name = MODULES["3x3"]
    parts, delta = _lycoris(model, tmp_path, name, lora(4, alpha=2, mid=mid))
    x = torch.randn(2, parts["down"].shape[1], 8, 8, generator=torch.Generator().manual_seed(0))

    inner = F.conv2d(x, parts["down"], padding=0 if mid else 1)
    inner = F.conv2d(inner, parts["mid"], padding=1) if mid else inner
    expected = F.conv2d(inner, parts["up"]) * (2 / 4) * SCALE

    found = F.conv2d(x, delta.weight(model.weight(name), SCALE), padding=1)
    assert _distance(found, expected) < 1e-5


@pytest.mark.parametrize("where", MODULES)
def test_a_loha_multiplies_two_products(model: Model, tmp_path: Path, where: str) -> None:
    base = model.weight(MODULES[where])
    p, delta = _lycoris(model, tmp_path, MODULES[where], loha(4, alpha=2))

    product = (p["hada_w1_a"] @ p["hada_w1_b"]) * (p["hada_w2_a"] @ p["hada_w2_b"])

    assert _distance(delta.weight(base, SCALE), SCALE * 0.5 * product.reshape(base.shape)) < 1e-5


@pytest.mark.parametrize("where", MODULES)
@pytest.mark.parametrize(("rank", "scale"), [(None, 1.0), (2, 1.5)], ids=["whole-ignores-alpha", "low-rank"])
def test_a_lokr_is_a_kronecker_product(
    model: Model, tmp_path: Path, where: str, rank: int | None, scale: float
) -> None:
    base = model.weight(MODULES[where])
    p, delta = _lycoris(model, tmp_path, MODULES[where], lokr(rank, alpha=3))

    large = (p["lokr_w2"] if rank is None else p["lokr_w2_a"] @ p["lokr_w2_b"]).flatten(1)
    expected = torch.kron(p["lokr_w1"], large).reshape(base.shape)

    assert _distance(delta.weight(base, SCALE), SCALE * scale * expected) < 1e-5


@pytest.mark.parametrize("make", [lora(4, alpha=2), loha(3, alpha=2), lokr(2)], ids=["lora", "loha", "lokr"])
@pytest.mark.parametrize("axis", [0, 1], ids=["by-output", "by-input"])
@pytest.mark.parametrize("where", MODULES)
def test_a_magnitude_is_the_length_of_weights_after_any_kind_of_change(
    model: Model, tmp_path: Path, where: str, axis: int, make: Maker
) -> None:
    base = model.weight(MODULES[where])
    shape = [size if at == axis else 1 for at, size in enumerate(base.shape)]
    lengths = torch.rand(shape) + 0.5
    write_kohya(tmp_path / "lycoris", random_weights(model.shapes(MODULES[where]), make, seed=3))
    _add_tensor(tmp_path / "lycoris", "dora_scale", lengths)

    delta = model.read(stored(tmp_path / "lycoris")).components["unet"][MODULES[where]]
    changed = base + delta.weight(base, SCALE)

    found = changed.transpose(0, axis).flatten(1).norm(dim=1)
    assert _distance(found, lengths.flatten()) < 1e-5


def _add_tensor(folder: Path, part: str, tensor: Tensor) -> None:
    from safetensors.torch import load_file

    tensors = load_file(folder / FILE)
    stem = next(iter(tensors)).split(".")[0]
    _save(folder, tensors | {f"{stem}.{part}": tensor})


def test_whole_differences_are_added_to_weights_norms_and_biases(model: Model, tmp_path: Path) -> None:
    """Also where the base has no bias."""
    names = [NORM, *MODULES.values()]
    weights = random_weights(model.shapes(*names), full(bias=True))
    adapter = model.read(write_kohya(tmp_path / "full", weights))
    unet = model.bundle.unet
    expected = {name: _with_difference(unet.get_submodule(name), weights[f"unet.{name}"]) for name in names}

    with Merged.of(unet, deltas_of([(adapter, SCALE)], "unet")).applied():
        for name, (weight, bias) in expected.items():
            module = unet.get_submodule(name)
            assert torch.allclose(module.weight, weight)
            assert torch.allclose(module.bias, bias)

    assert unet.get_submodule(MODULES["linear"]).bias is None


def _with_difference(module: Any, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    bias = 0 if module.bias is None else module.bias
    return module.weight + SCALE * parts["weight_diff"], bias + SCALE * parts["bias_diff"]


# Formats


def test_every_format_of_the_same_weights_reads_the_same(model: Model, tmp_path: Path) -> None:
    attention = {name: shape for name, shape in shapes_of({"unet": model.bundle.unet}).items() if "attn1" in name}
    weights = random_weights(attention, lora(4, alpha=4))
    bare = {name: {part: parts[part] for part in ("down", "up")} for name, parts in weights.items()}

    read = [
        model.read(write_peft(tmp_path / "peft", weights)),
        model.read(write_diffusers(tmp_path / "diffusers", weights)),
        model.read(write_diffusers(tmp_path / "untold", weights, tell=False)),
        model.read(write_old_diffusers(tmp_path / "old", bare)),
        model.read(write_kohya(tmp_path / "kohya", weights)),
    ]

    for adapter in read:
        found = adapter.components["unet"]
        assert {f"unet.{name}" for name in found} == weights.keys()
        for name, delta in found.items():
            assert isinstance(delta, LowRank)
            assert torch.equal(delta.down, weights[f"unet.{name}"]["down"])
            assert torch.equal(delta.up, weights[f"unet.{name}"]["up"])


def test_blocks_named_as_in_the_original_code_are_the_same_modules(tmp_path: Path) -> None:
    """Of a real SDXL, whose blocks of two and three layers are what the original code counts through."""
    shapes = {
        "unet.conv_in": (32, 4, 3, 3),
        "unet.down_blocks.0.resnets.1.conv1": (32, 32, 3, 3),
        "unet.down_blocks.1.resnets.0.conv_shortcut": (64, 32, 1, 1),
        "unet.down_blocks.1.downsamplers.0.conv": (64, 64, 3, 3),
        "unet.down_blocks.2.attentions.1.transformer_blocks.9.ff.net.0.proj": (64, 16),
        "unet.mid_block.attentions.0.transformer_blocks.3.attn2.to_k": (16, 24),
        "unet.mid_block.resnets.1.time_emb_proj": (16, 48),
        "unet.up_blocks.0.attentions.2.proj_out": (16, 16),
        "unet.up_blocks.1.resnets.2.conv2": (16, 16, 3, 3),
    }
    weights = random_weights(shapes, lora(2, alpha=2))
    by_blocks = read_image_adapter(write_kohya(tmp_path / "ours", weights), shapes, torch.float32)
    counted = read_image_adapter(write_kohya(tmp_path / "theirs", weights, sgm=True), shapes, torch.float32)

    assert {f"unet.{name}" for name in counted.components["unet"]} == shapes.keys()
    for name, delta in counted.components["unet"].items():
        base = torch.zeros(shapes[f"unet.{name}"])
        assert torch.equal(delta.weight(base, 1.0), by_blocks.components["unet"][name].weight(base, 1.0))


@pytest.mark.parametrize("stored_as", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("run_as", [torch.bfloat16, torch.float32], ids=str)
def test_low_rank_terms_are_in_the_networks_precision_with_their_scale_in(
    model: Model, tmp_path: Path, stored_as: torch.dtype, run_as: torch.dtype
) -> None:
    name = MODULES["1x1"]
    weights = random_weights(model.shapes(name), lora(4, alpha=1.5), dtype=stored_as)
    delta = model.read(write_kohya(tmp_path / "file", weights), run_as).components["unet"][name]

    assert isinstance(delta, LowRank)
    assert delta.rank == 4
    assert delta.down.dtype == delta.up.dtype == run_as
    parts = weights[f"unet.{name}"]
    expected = (1.5 / 4) * parts["up"].flatten(1).float() @ parts["down"].flatten(1).float()
    within = 0.02 if torch.bfloat16 in (stored_as, run_as) else 1e-5
    assert _distance(delta.up.float() @ delta.down.float(), expected) < within


def test_an_adapter_weighs_what_it_holds(model: Model, tmp_path: Path) -> None:
    shapes = model.shapes(MODULES["linear"])
    as_stored = write_kohya(tmp_path / "same", random_weights(shapes, lora(64)))
    converted = write_kohya(tmp_path / "other", random_weights(shapes, lora(64), dtype=torch.bfloat16))
    num_file_bytes = (as_stored.path / FILE).stat().st_size

    assert num_file_bytes <= model.read(as_stored).num_bytes <= num_file_bytes + 64
    assert model.read(converted).num_bytes == sum(4 * 64 * sum(shape) for shape in shapes.values())


# What is refused


def test_files_that_are_no_longer_those_that_were_checked_are_refused(model: Model, tmp_path: Path) -> None:
    shapes = model.shapes(MODULES["linear"])
    folder = write_peft(tmp_path / "one", random_weights(shapes, lora(4)))
    other = write_peft(tmp_path / "two", random_weights(shapes, lora(4), seed=1), lora_alpha=400)

    for name in (FILE, CONFIG):
        kept = (folder.path / name).read_bytes()
        (folder.path / name).write_bytes((other.path / name).read_bytes())
        _assert_changed(model, folder, name)
        (folder.path / name).write_bytes(kept[:-1])
        _assert_changed(model, folder, name)
        (folder.path / name).unlink()
        _assert_changed(model, folder, name)
        (folder.path / name).write_bytes(kept)
    assert model.read(folder).id == folder.id


def test_a_link_is_not_followed(model: Model, tmp_path: Path) -> None:
    folder = write_kohya(tmp_path / "one", random_weights(model.shapes(MODULES["linear"]), lora(4)))
    (folder.path / FILE).rename(tmp_path / "elsewhere")
    (folder.path / FILE).symlink_to(tmp_path / "elsewhere")
    _assert_changed(model, folder, FILE)


def _assert_changed(model: Model, folder: AdapterFolder, name: str) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        model.read(folder)
    assert caught.value.code == "adapter_changed"


def test_an_adapter_of_another_base_is_refused_naming_both(model: Model, tmp_path: Path) -> None:
    name = MODULES["linear"]
    weights = random_weights({f"unet.{name}": (640, 640)}, lora(4))
    with pytest.raises(Unprocessable, match=r"640.*64") as caught:
        model.read(write_kohya(tmp_path / "sdxl", weights))
    assert caught.value.code == "wrong_base"


# Merged into a network

MIXTURES: dict[str, dict[str, Any]] = {
    "lora": {"linear": lora(4, alpha=2), "1x1": lora(2), "3x3": lora(3)},
    "dora": {"linear": dora(4), "1x1": dora(2), "3x3": dora(3)},
}


def _mixed(model: Model, tmp_path: Path, kind: str, seed: int) -> AdapterFolder:
    weights: dict[str, Any] = {}
    for where, make in MIXTURES[kind].items():
        weights |= random_weights(model.shapes(MODULES[where]), make, seed=seed)
    rank = {name: int(parts["down"].shape[0]) for name, parts in weights.items()}
    patterns = {
        "rank_pattern": {name.removeprefix("unet."): r for name, r in rank.items()},
        "alpha_pattern": {name.removeprefix("unet."): 1.5 * r for name, r in rank.items()},
    }
    return write_diffusers(tmp_path / f"{kind}-{seed}", weights, **patterns)


def _answer(unet: Any) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    sample, context = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 7, 32, generator=generator)
    with torch.no_grad():
        out: Tensor = unet(sample, torch.tensor([999.0, 20.0]), encoder_hidden_states=context, return_dict=False)[0]
    return out


@pytest.mark.parametrize(
    "kinds", [["lora"], ["dora"], ["lora", "dora"], ["dora", "lora"], ["dora", "dora"]], ids="-then-".join
)
def test_a_merged_unet_answers_as_diffusers_with_the_same_adapters(
    model: Model, tmp_path: Path, kinds: list[str]
) -> None:
    folders = [_mixed(model, tmp_path, kind, seed=index) for index, kind in enumerate(kinds)]
    scales = [0.8, -0.5][: len(folders)]
    applied = [(model.read(folder), scale) for folder, scale in zip(folders, scales, strict=True)]
    pipeline = model.pipeline()
    load_in_diffusers(pipeline, list(zip(folders, scales, strict=True)))
    without = _answer(model.bundle.unet)

    with Merged.of(model.bundle.unet, deltas_of(applied, "unet")).applied():
        found = _answer(model.bundle.unet)

    expected = _answer(pipeline.unet)
    assert _distance(found, expected) < 1e-5
    assert _distance(found, without) > 1e-2


@pytest.fixture
def merged(model: Model, tmp_path: Path) -> Merged:
    adapter = model.read(_mixed(model, tmp_path, "dora", seed=0))
    return Merged.of(model.bundle.unet, deltas_of([(adapter, 1.0)], "unet"))


def test_the_base_is_restored_bit_for_bit_whatever_happens(model: Model, merged: Merged) -> None:
    unet = model.bundle.unet
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in unet.state_dict().items()}

    def step() -> None:
        with merged.applied():
            assert any(t.data_ptr() != before[name][0] for name, t in unet.state_dict().items())
            raise ArithmeticError("a step that fails")

    with pytest.raises(ArithmeticError):
        step()

    after = unet.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].data_ptr() == at and torch.equal(after[name], was) for name, (at, was) in before.items())


def test_merged_weights_lie_as_the_bases_do(model: Model, merged: Merged) -> None:
    conv = model.bundle.unet.get_submodule(MODULES["3x3"])
    strides = conv.weight.stride()
    with merged.applied():
        assert conv.weight.stride() == strides
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_weights_are_merged_and_applied_in_inference_mode_too(model: Model, tmp_path: Path) -> None:
    with torch.inference_mode():
        adapter = model.read(_mixed(model, tmp_path, "lora", seed=0))
        with Merged.of(model.bundle.unet, deltas_of([(adapter, 1.0)], "unet")).applied():
            inside = _answer(model.bundle.unet)
    assert _distance(inside, _answer(model.bundle.unet)) > 1e-2


def test_weights_are_computed_from_the_base_while_others_are_in_its_place(
    model: Model, merged: Merged, tmp_path: Path
) -> None:
    """Also a bias that the base does not have."""
    unet, weights = model.bundle.unet, random_weights(model.shapes(*MODULES.values()), full(bias=True))
    deltas = deltas_of([(model.read(write_kohya(tmp_path / "full", weights)), 1.0)], "unet")
    alone = Merged.of(unet, deltas)
    with merged.applied():
        beside = Merged.of(unet, deltas)
    with alone.applied():
        expected, within = _answer(unet), Merged.of(unet, deltas)
    for other in (beside, within):
        with other.applied():
            assert torch.equal(_answer(unet), expected)
    assert unet.get_submodule(MODULES["linear"]).bias is None


def test_two_mixtures_are_never_in_place_at_once(model: Model, merged: Merged) -> None:
    before = _answer(model.bundle.unet)
    with merged.applied():
        inside = _answer(model.bundle.unet)
        with pytest.raises(RuntimeError, match="already"), merged.applied():
            pass
        assert torch.equal(_answer(model.bundle.unet), inside)
    assert torch.equal(_answer(model.bundle.unet), before)


def test_wrapped_layers_are_merged_below_their_wrapper(tmp_path: Path, model: Model) -> None:
    bundle = Bundle.load(model.folder, device="cpu", dtype=torch.float32)
    adapter = model.read(_mixed(model, tmp_path, "dora", seed=0))
    deltas = deltas_of([(adapter, 1.0)], "unet")
    with Merged.of(bundle.unet, deltas).applied():
        expected = _answer(bundle.unet)

    adapt(bundle.unet, [MODULES["linear"], MODULES["1x1"]])

    with Merged.of(bundle.unet, deltas).applied():
        assert torch.equal(_answer(bundle.unet), expected)


def test_a_scale_of_zero_is_off_whatever_the_kind(model: Model, tmp_path: Path) -> None:
    """Also DoRA's, which would stretch the weights all the same: nobody means that who writes 0."""
    stretching, plain = (model.read(_mixed(model, tmp_path, kind, seed=0)) for kind in ("dora", "lora"))
    mixer = Mixer(Floorplan(model.bundle.unet), 32, torch.float32)
    assert mixer.mix([(stretching, 0.0)]) is None
    both, alone = mixer.mix([(stretching, -0.0), (plain, 1.0)]), mixer.mix([(plain, 1.0)])
    assert both is not None
    assert alone is not None
    assert both.key == alone.key
