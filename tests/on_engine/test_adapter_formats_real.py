"""Adapter files written by the libraries themselves, on real layouts: every module is found, with its sizes and scale.

Names are checked against networks of the published sizes, made without memory.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya
from fakes.diffusion_models import tiny_sd, tiny_sdxl
from peft import LoHaConfig, LoKrConfig, LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, LlamaConfig, LlamaForCausalLM

from serve.catalog.adapters import keys_kohya
from serve.catalog.adapters.blocks_original import unet_from_original
from serve.catalog.adapters.fit import misfit
from serve.catalog.adapters.modules import WEIGHTS_FILE, AdapterContents, AdapterModule
from serve.catalog.adapters.packing import pack
from serve.catalog.adapters.reading import read_adapter
from serve.catalog.layouts import Layout, layout_of
from serve.domain.adapters import AdapterArchitecture, AdapterFormat, ModuleKind

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
EVERYTHING = [*ATTENTION, "proj", "net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_shortcut", "time_emb_proj"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
SHARED: dict[str, Any] = {"in_channels": 4, "out_channels": 4, "layers_per_block": 2}
SD15: dict[str, Any] = SHARED | {"cross_attention_dim": 768, "attention_head_dim": 8}
SDXL: dict[str, Any] = SHARED | {
    "cross_attention_dim": 2048,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sdxl(tmp_path_factory.mktemp("models") / "sdxl")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="20KB")
    return folder


def real_unet(config: Mapping[str, Any]) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def adapted(component: str, network: nn.Module) -> dict[str, BaseTunerLayer]:
    """The layers that PEFT changed, by the names that the project gives them."""
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, BaseTunerLayer):
            found[f"{component}.{canonical(component, name)}"] = layer
    return found


def canonical(component: str, name: str) -> str:
    """CLIP's text model is flattened in the library, and is not in files."""
    is_flat = component.startswith("text_encoder") and not name.startswith(("text_model.", "text_projection"))
    return f"text_model.{name}" if is_flat else name


def check(contents: AdapterContents, expected: Mapping[str, BaseTunerLayer], layout: Layout) -> None:
    """Everything PEFT knows of its layers was found in the file, and fits the model."""
    found = {module.name: module for module in contents.modules}
    assert found.keys() == expected.keys()
    for name, layer in expected.items():
        module, weight = found[name], layer.get_base_layer().weight
        (adapter,) = layer.scaling
        assert module.rank == layer.r[adapter]
        assert scale_of(module) == pytest.approx(layer.scaling[adapter])
        assert tuple(weight.shape) == layout[name]
        if module.kind in (ModuleKind.LORA, ModuleKind.CONV, ModuleKind.DORA):
            assert (module.out_features, module.in_features) == tuple(weight.shape[:2])
            assert (module.kernel or ()) == tuple(weight.shape[2:] if weight[0][0].numel() > 1 else ())
    assert misfit(contents.modules, layout) is None


def scale_of(module: AdapterModule) -> float:
    """Of files here that say no scale, alpha is the rank."""
    return 1.0 if module.scale is None else module.scale


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_what_diffusers_saves_of_sd_is_read_whole(sd: Path, tmp_path: Path, dora: bool) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(sd)
    pipeline.unet.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=EVERYTHING, use_dora=dora))
    pipeline.text_encoder.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=TEXT, use_rslora=True))
    save_with_diffusers(StableDiffusionPipeline, tmp_path, unet=pipeline.unet, text_encoder=pipeline.text_encoder)
    contents = read_adapter(tmp_path)
    expected = adapted("unet", pipeline.unet) | adapted("text_encoder", pipeline.text_encoder)
    check(contents, expected, layout_of(sd))
    assert contents.facts.format is AdapterFormat.DIFFUSERS
    assert contents.facts.architecture is AdapterArchitecture.SD15
    assert contents.facts.components == ("text_encoder", "unet")
    assert (ModuleKind.DORA if dora else ModuleKind.CONV) in contents.facts.kinds


def test_what_diffusers_saves_of_sdxl_is_read_whole(sdxl: Path, tmp_path: Path) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl)
    networks = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder, "text_encoder_2": pipeline.text_encoder_2}
    pattern = {"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": 8}
    for component, network in networks.items():
        is_unet = component == "unet"
        network.add_adapter(
            LoraConfig(
                r=4,
                lora_alpha=6,
                target_modules=EVERYTHING if is_unet else TEXT,
                rank_pattern=pattern if is_unet else {},
                alpha_pattern=pattern if is_unet else {},
            )
        )
    save_with_diffusers(StableDiffusionXLPipeline, tmp_path, **networks)
    contents = read_adapter(tmp_path)
    expected = {name: layer for component, net in networks.items() for name, layer in adapted(component, net).items()}
    check(contents, expected, layout_of(sdxl))
    assert contents.facts.architecture is AdapterArchitecture.SDXL
    assert contents.facts.rank == 8


def save_with_diffusers(kind: type[Any], folder: Path, **networks: nn.Module) -> None:
    layers: dict[str, Any] = {}
    for component, network in networks.items():
        state = get_peft_model_state_dict(network)
        layers[f"{component}_lora_layers"] = convert_state_dict_to_diffusers(state)
        layers[f"{component}_lora_adapter_metadata"] = network.peft_config["default"].to_dict()
    kind.save_lora_weights(folder, weight_name=WEIGHTS_FILE, **layers)


@pytest.mark.parametrize("config", [LoHaConfig, LoKrConfig], ids=["loha", "lokr"])
@pytest.mark.parametrize("effective", [False, True], ids=["flat", "tucker"])
def test_what_peft_saves_of_a_unet_is_read_whole(sd: Path, tmp_path: Path, config: type[Any], effective: bool) -> None:
    unet = UNet2DConditionModel.from_pretrained(sd, subfolder="unet")
    settings = config(r=3, alpha=5, target_modules=EVERYTHING, use_effective_conv2d=effective)
    model = get_peft_model(unet, settings)
    model.save_pretrained(tmp_path)
    contents = read_adapter(tmp_path)
    expected = {name: layer for name, layer in adapted("unet", model.base_model.model).items()}
    found = {module.name: module for module in contents.modules}
    assert found.keys() == expected.keys()
    assert all(module.scale == pytest.approx(5 / 3) for module in contents.modules)
    assert misfit(contents.modules, layout_of(sd)) is None


PEFT_SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rank-stabilized": {"r": 4, "lora_alpha": 8, "use_rslora": True},
    "dora": {"r": 4, "lora_alpha": 8, "use_dora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"q_proj": 2, "layers.1.mlp.down_proj": 6, r"^model\.layers\.0\.self_attn\.k_proj$": 3},
        "alpha_pattern": {r"layers\.\d+\.self_attn\.v_proj": 5, "self_attn.(q|k)_proj": 1, "q_proj": 7},
    },
}


@pytest.mark.parametrize("settings", PEFT_SETTINGS.values(), ids=PEFT_SETTINGS)
def test_what_peft_saves_of_a_language_model_is_read_whole(
    llama: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(LlamaForCausalLM.from_pretrained(llama), LoraConfig(target_modules=linear, **settings))
    model.save_pretrained(tmp_path / "saved")
    packed = pack({p.name: p for p in (tmp_path / "saved").iterdir()}, tmp_path / "packed", 2**20)
    loaded = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(llama), tmp_path / "saved")
    check(packed.contents, adapted("language_model", loaded.base_model.model), layout_of(llama))
    assert packed.contents.facts.architecture is AdapterArchitecture.LANGUAGE
    assert [file.name for file in packed.files] == ["adapter_config.json", "adapter_model.safetensors"]


def test_what_diffusers_turns_into_kohyas_form_is_read_whole(sdxl: Path, tmp_path: Path) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl)
    networks = {"lora_unet": pipeline.unet, "lora_te1": pipeline.text_encoder, "lora_te2": pipeline.text_encoder_2}
    tensors: dict[str, torch.Tensor] = {}
    for prefix, network in networks.items():
        targets = EVERYTHING if prefix == "lora_unet" else TEXT
        network.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=targets))
        state = {f"base_model.model.{k}": v for k, v in get_peft_model_state_dict(network).items()}
        turned = convert_state_dict_to_kohya(state)
        tensors |= {f"{prefix}_{key.removeprefix('base_model_model_')}": each for key, each in turned.items()}
    save_file({key: each.contiguous() for key, each in tensors.items()}, tmp_path / WEIGHTS_FILE)
    contents = read_adapter(tmp_path)
    components = ("unet", "text_encoder", "text_encoder_2")
    by_component = zip(components, networks.values(), strict=True)
    check(contents, {n: each for c, net in by_component for n, each in adapted(c, net).items()}, layout_of(sdxl))
    assert (contents.facts.format, contents.facts.architecture) == (AdapterFormat.KOHYA, AdapterArchitecture.SDXL)


def weighted(network: nn.Module) -> list[str]:
    """Modules that have a weight."""
    return [name for name, module in network.named_modules() if getattr(module, "weight", None) is not None]


@pytest.mark.parametrize("config", [SD15, SDXL], ids=["sd15", "sdxl"])
def test_every_module_of_a_real_unet_is_known_under_kohyas_name(config: Mapping[str, Any]) -> None:
    names = weighted(real_unet(config))
    flat = {name: keys_kohya.parse(f"lora_unet_{name.replace('.', '_')}.lora_down.weight") for name in names}
    assert len(names) > 300
    assert {name: each and each.module for name, each in flat.items()} == {name: name for name in names}


def test_every_module_of_a_real_text_encoder_is_known_under_kohyas_name() -> None:
    with torch.device("meta"):
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=1280, projection_dim=1280))
    names = weighted(encoder)
    flat = {name: keys_kohya.parse(f"lora_te2_{name.replace('.', '_')}.lora_up.weight") for name in names}
    assert "text_projection" in names
    assert {name: each and each.module for name, each in flat.items()} == {name: name for name in names}


@pytest.mark.parametrize("config", [SD15, SDXL], ids=["sd15", "sdxl"])
def test_every_module_of_a_real_unet_is_known_under_its_original_name(config: Mapping[str, Any]) -> None:
    """diffusers' own conversion of whole checkpoints is the witness."""
    unet = real_unet(config)
    originals = original_names(config)
    checkpoint = {
        f"model.diffusion_model.{name}.{kind}": torch.tensor(at)
        for at, name in enumerate(originals)
        for kind in ("weight", "bias")
    }
    witness = convert_ldm_unet_checkpoint(checkpoint, dict(unet.config))
    told = {originals[int(at)]: key.removesuffix(".weight") for key, at in witness.items() if key.endswith(".weight")}
    assert set(told.values()) == set(weighted(unet))
    assert {name: unet_from_original(name) for name in originals} == told


def original_names(config: Mapping[str, Any]) -> list[str]:
    """Weights of the UNet in the original code, whose constructor numbers its blocks through."""
    is_xl = "addition_embed_type" in config
    depths = (0, 2, 10) if is_xl else (1, 1, 1, 0)
    names = [f"time_embed.{n}" for n in (0, 2)] + ["input_blocks.0.0", "out.0", "out.2"]
    names += ["label_emb.0.0", "label_emb.0.2"] if is_xl else []
    number, widths = 1, [320, 640, 1280, 1280][: len(depths)]
    for level, depth in enumerate(depths):
        for layer in range(2):
            is_wider = layer == 0 and level > 0 and widths[level] != widths[level - 1]
            names += resnet(f"input_blocks.{number}.0", is_wider) + transformer(f"input_blocks.{number}.1", depth)
            number += 1
        if level < len(depths) - 1:
            names.append(f"input_blocks.{number}.0.op")
            number += 1
    names += resnet("middle_block.0", False) + transformer("middle_block.1", 10 if is_xl else 1)
    names += resnet("middle_block.2", False)
    number = 0
    for level, depth in reversed(list(enumerate(depths))):
        for layer in range(3):
            names += resnet(f"output_blocks.{number}.0", True) + transformer(f"output_blocks.{number}.1", depth)
            if layer == 2 and level:
                names.append(f"output_blocks.{number}.{2 if depth else 1}.conv")
            number += 1
    return names


def resnet(at: str, is_wider: bool) -> list[str]:
    inner = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    return [f"{at}.{name}" for name in [*inner, *(["skip_connection"] if is_wider else [])]]


def transformer(at: str, depth: int) -> list[str]:
    attention: Iterable[str] = (f"{a}.{name}" for a in ("attn1", "attn2") for name in ATTENTION)
    inner = [*attention, "ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"]
    blocks = [f"{at}.transformer_blocks.{n}.{name}" for n in range(depth) for name in inner]
    return [f"{at}.norm", f"{at}.proj_in", *blocks, f"{at}.proj_out"] if depth else []


@pytest.mark.parametrize("name", ["sd", "sdxl", "llama"])
def test_a_layout_is_that_of_the_loaded_model(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    layout = layout_of(folder)
    if name == "llama":
        networks: dict[str, nn.Module] = {"language_model": LlamaForCausalLM.from_pretrained(folder)}
        assert len(list(folder.glob("*.safetensors"))) > 1
    else:
        kind = StableDiffusionPipeline if name == "sd" else StableDiffusionXLPipeline
        parts = kind.from_pretrained(folder).components
        networks = {c: parts[c] for c in ("unet", "text_encoder", "text_encoder_2") if c in parts}
    loaded = {
        f"{component}.{canonical(component, each)}": tuple(network.get_submodule(each).weight.shape)
        for component, network in networks.items()
        for each in weighted(network)
    }
    assert dict(layout) == loaded


def test_an_adapter_of_another_base_is_told_by_both_sizes(sd: Path, sdxl: Path, tmp_path: Path) -> None:
    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl)
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=r"mid_block.*transformer_blocks.0.attn2.to_k"))
    save_with_diffusers(StableDiffusionXLPipeline, tmp_path, unet=pipeline.unet)
    contents = read_adapter(tmp_path)
    assert misfit(contents.modules, layout_of(sdxl)) is None
    assert misfit(contents.modules, layout_of(sd)) == (
        "it was made for a model whose unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k reads 64 numbers "
        "and gives 64, and this model's reads 32 numbers and gives 64"
    )
