"""What is found in an adapter's files by their headers: facts, scales, the kind of base, what the metadata tell."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fakes.adapter_headers import Shapes, adapter_folder, kohya, lora
from fakes.effort import effort

from serve.catalog.adapters.fit import misfit
from serve.catalog.adapters.peft_config import parse_config
from serve.catalog.adapters.reading import read_adapter
from serve.domain.adapters import AdapterArchitecture, AdapterFormat, ModuleKind
from serve.domain.errors import InvalidRequest

SD15, SDXL, LANGUAGE = AdapterArchitecture.SD15, AdapterArchitecture.SDXL, AdapterArchitecture.LANGUAGE
MID = "mid_block.attentions.0.transformer_blocks.0"
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}


def test_a_file_of_diffusers_is_read(tmp_path: Path) -> None:
    stem = f"unet.{MID}.attn1.to_q"
    contents = read_adapter(adapter_folder(tmp_path, lora(stem, rank=4, reads=64, gives=32)))
    (module,) = contents.modules
    assert module.name == stem
    assert module.tensors == {"down": f"{stem}.lora_A.weight", "up": f"{stem}.lora_B.weight"}
    assert module.shapes == {"down": (4, 64), "up": (32, 4)}
    assert (module.kind, module.rank, module.scale) == (ModuleKind.LORA, 4, None)
    assert contents.facts.model_dump() == {
        "format": AdapterFormat.DIFFUSERS,
        "architecture": SD15,
        "kinds": (ModuleKind.LORA,),
        "components": ("unet",),
        "rank": 4,
        "num_modules": 1,
        "num_parameters": 4 * 64 + 32 * 4,
        "trained_on": None,
        "trigger_words": (),
    }


def test_a_file_of_kohya_is_read(tmp_path: Path) -> None:
    names = {"lora_unet_mid_block_attentions_0_proj_in": "unet", "lora_te2_text_projection": "text_encoder_2"}
    shapes = {key: shape for name in names for key, shape in kohya(name, rank=8).items()}
    contents = read_adapter(adapter_folder(tmp_path, shapes))
    assert [module.component for module in contents.modules] == list(names.values())
    assert all(module.scale is None and "alpha" in module.tensors for module in contents.modules)
    assert contents.facts.num_parameters == 2 * 2 * 8 * 64
    assert (contents.facts.format, contents.facts.components) == (AdapterFormat.KOHYA, ("text_encoder_2", "unet"))


SCALES: dict[str, tuple[dict[str, Any], float]] = {
    "alpha over rank": ({}, 2.0),
    "alpha over its root": ({"use_rslora": True}, 4.0),
    "an alpha of its own": ({"alpha_pattern": {"q_proj": 2}}, 0.5),
    "of its whole name": ({"alpha_pattern": {"^model.layers.0.self_attn.q_proj$": 2}}, 0.5),
    "the first that fits": ({"alpha_pattern": {"self_attn.q_proj": 1, "q_proj": 2}}, 0.25),
    "by an expression": ({"alpha_pattern": {r"layers\.\d+\.self_attn\.(q|k)_proj": 2}}, 0.5),
    "of other modules": ({"alpha_pattern": {"k_proj": 2, "^q_proj": 3, "j_proj$": 3}}, 2.0),
    "a rank of its own": ({"r": 16, "rank_pattern": {"q_proj": 4}}, 2.0),
}


@pytest.mark.parametrize(("more", "scale"), SCALES.values(), ids=SCALES)
def test_scales_are_what_peft_makes_of_its_configuration(more: dict[str, Any], scale: float, tmp_path: Path) -> None:
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    contents = read_adapter(adapter_folder(tmp_path, lora(stem, rank=4), CONFIG | more))
    assert contents.modules[0].scale == pytest.approx(scale)
    assert (contents.facts.format, contents.facts.architecture) == (AdapterFormat.PEFT, LANGUAGE)


def test_diffusers_own_metadata_tell_scales_by_component(tmp_path: Path) -> None:
    told = {"unet.r": 4, "unet.lora_alpha": 2, "text_encoder.r": 4, "text_encoder.lora_alpha": 12}
    shapes = lora(f"unet.{MID}.attn1.to_q") | lora("text_encoder.text_model.encoder.layers.0.self_attn.q_proj")
    folder = adapter_folder(tmp_path, shapes, metadata={"lora_adapter_metadata": json.dumps(told)})
    assert [module.scale for module in read_adapter(folder).modules] == [0.5, 3.0]


def test_a_rank_that_the_configuration_contradicts_is_refused(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path, lora("base_model.model.lm_head", rank=5), CONFIG)
    with pytest.raises(InvalidRequest, match="has rank 5, and its configuration says 4") as caught:
        read_adapter(folder)
    assert caught.value.code == "adapter_incomplete"


REFUSED_CONFIGS: dict[str, tuple[dict[str, Any] | str, str]] = {
    "another method": ({"peft_type": "IA3"}, "adapter_unsupported"),
    "no method": ({}, "adapter_unsupported"),
    "whole modules": (CONFIG | {"modules_to_save": ["lm_head"]}, "adapter_unsupported"),
    "biases": (CONFIG | {"bias": "all"}, "adapter_unsupported"),
    "a changed base": (CONFIG | {"init_lora_weights": "pissa_niter_16"}, "adapter_unsupported"),
    "a changed base, OLoRA's": (CONFIG | {"init_lora_weights": "OLoRA"}, "adapter_unsupported"),
    "a changed base, LoftQ's": (CONFIG | {"init_lora_weights": "loftq"}, "adapter_unsupported"),
    "rank 0": (CONFIG | {"r": 0}, "adapter_rank"),
    "rank 10^6": (CONFIG | {"r": 10**6}, "adapter_rank"),
    "rank 10^6 of some": (CONFIG | {"rank_pattern": {"x": 10**6}}, "adapter_rank"),
    "an alpha that is none": (CONFIG | {"lora_alpha": math.nan}, "adapter_config_invalid"),
    "an infinite alpha": (CONFIG | {"alpha_pattern": {"lm_head": math.inf}}, "adapter_config_invalid"),
    "a rank in words": (CONFIG | {"r": "4"}, "adapter_config_invalid"),
    "patterns that are none": (CONFIG | {"rank_pattern": [4]}, "adapter_config_invalid"),
    "an expression that takes forever": (CONFIG | {"alpha_pattern": {"(a+)+b": 1}}, "adapter_config_invalid"),
    "an expression with much repetition": (CONFIG | {"alpha_pattern": {".*.*.*b": 1}}, "adapter_config_invalid"),
    "an expression with many choices": (CONFIG | {"alpha_pattern": {"(a|a)" * 30: 1}}, "adapter_config_invalid"),
    "a broken expression": (CONFIG | {"alpha_pattern": {"(a": 1}}, "adapter_config_invalid"),
    "no JSON": ("{", "adapter_config_invalid"),
    "a list": ("[]", "adapter_config_invalid"),
    "a nested one": ('{"a":' * 10_000, "adapter_config_invalid"),
    "a huge one": (" " * (2**20 + 1), "adapter_config_invalid"),
}


@pytest.mark.parametrize(("config", "code"), REFUSED_CONFIGS.values(), ids=REFUSED_CONFIGS)
def test_a_configuration_that_is_not_served_is_refused(config: dict[str, Any] | str, code: str, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path, lora("base_model.model.lm_head"))
    (folder / "adapter_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(InvalidRequest) as caught:
        read_adapter(folder)
    assert caught.value.code == code


@pytest.mark.parametrize("start", [True, False, "gaussian", "eva", "orthogonal"])
def test_a_start_that_leaves_the_base_as_it_is_is_served(start: bool | str) -> None:
    assert parse_config(CONFIG | {"init_lora_weights": start}).rank == CONFIG["r"]


def test_a_configuration_in_metadata_is_as_bounded_as_a_file(tmp_path: Path) -> None:
    told = json.dumps({"unet.r": 4} | {f"unet.rank_pattern.{n}": n for n in range(50_000)})
    folder = adapter_folder(tmp_path, lora(f"unet.{MID}.attn1.to_q"), metadata={"lora_adapter_metadata": told})
    with pytest.raises(InvalidRequest) as caught:
        read_adapter(folder)
    assert caught.value.code == "adapter_config_invalid"


def test_thousands_of_patterns_over_thousands_of_modules_take_no_time() -> None:
    names = [f"model.layers.{n}.mlp.experts.{n}.up_proj" for n in range(5000)]
    config = parse_config(CONFIG | {"alpha_pattern": {name.removeprefix("model."): n for n, name in enumerate(names)}})
    with effort() as spent:
        assert [config.scale_of(name) for name in names] == [n / 4 for n in range(5000)]
    assert spent.seconds < 2.0


def test_the_worst_that_expressions_can_cost_is_bounded() -> None:
    config = parse_config(CONFIG | {"alpha_pattern": {"(.*)(.*)(x|x|x|x)": 1}})
    with effort() as spent, pytest.raises(InvalidRequest, match="too much to run for so many modules"):
        [config.scale_of("a." * 128) for _ in range(1000)]
    assert spent.seconds < 10.0


def to_k(width: int, block: str = MID) -> Shapes:
    return lora(f"unet.{block}.attn2.to_k", reads=width)


UP = "up_blocks.0.attentions.0.transformer_blocks.0"
DOWN = "down_blocks.0.attentions.0.transformer_blocks.0"
ARCHITECTURES: dict[str, tuple[Shapes, AdapterArchitecture | None, dict[str, str], AdapterArchitecture]] = {
    "a second text encoder": (lora("text_encoder_2.text_projection"), None, {}, SDXL),
    "a stack of blocks": (lora("unet.mid_block.attentions.0.transformer_blocks.1.attn1.to_q"), SD15, {}, SDXL),
    "a stack of ten blocks": (lora("unet.mid_block.attentions.0.transformer_blocks.9.attn1.to_q"), None, {}, SDXL),
    "size conditioning": (lora("unet.add_embedding.linear_1"), None, {}, SDXL),
    "kohya's label embedding": (kohya("lora_unet_label_emb_0_0"), None, {}, SDXL),
    "kohya's numbered encoder": (kohya("lora_te1_text_model_encoder_layers_0_mlp_fc1"), None, {}, SDXL),
    "kohya's only encoder": (kohya("lora_te_text_model_encoder_layers_0_mlp_fc1"), SDXL, {}, SD15),
    "a width of 768": (to_k(768), SDXL, {}, SD15),
    "a width of 2048": (to_k(2048), SD15, {}, SDXL),
    "a width of neither, and a hint": (to_k(64, DOWN), SDXL, {}, SDXL),
    "a hint of another family": (to_k(64, UP), LANGUAGE, {}, SDXL),
    "one encoder": (lora("text_encoder.text_model.encoder.layers.0.mlp.fc1") | to_k(64, UP), None, {}, SD15),
    "the place of attention": (to_k(64, UP), None, {"ss_base_model_version": "sd_v1"}, SDXL),
    "the place of attention in 1.5": (to_k(64, DOWN), None, {"ss_base_model_version": "sdxl_base_v1-0"}, SD15),
    "what it says of itself": (to_k(64), None, {"ss_base_model_version": "sdxl_base_v1-0"}, SDXL),
    "what its model card says": (to_k(64), None, {"modelspec.architecture": "stable-diffusion-v1/lora"}, SD15),
    "nothing at all": (to_k(64), None, {}, SD15),
}


@pytest.mark.parametrize(("shapes", "hint", "metadata", "expected"), ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_kind_of_base_is_told(
    shapes: Shapes,
    hint: AdapterArchitecture | None,
    metadata: dict[str, str],
    expected: AdapterArchitecture,
    tmp_path: Path,
) -> None:
    contents = read_adapter(adapter_folder(tmp_path, shapes, metadata=metadata), hint)
    assert contents.facts.architecture is expected


TOLD: dict[str, tuple[dict[str, str], str | None, tuple[str, ...]]] = {
    "nothing": ({}, None, ()),
    "kohya's nothing": ({"ss_sd_model_name": "None", "ss_tag_frequency": "{}"}, None, ()),
    "a model": ({"ss_sd_model_name": "base.safetensors", "ss_base_model_version": "sd_v1"}, "base.safetensors", ()),
    "a version": ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl_base_v1-0", ()),
    "a trigger": ({"modelspec.trigger_phrase": "in the style of zorp"}, None, ("in the style of zorp",)),
    "tags": (
        {"ss_tag_frequency": json.dumps({"10_a": {"zorp": 9, "cat": 2, " ": 99}, "1_b": {"cat": 8, "x": "many"}})},
        *(None, ("cat", "zorp")),
    ),
    "too many tags": (
        {"ss_tag_frequency": json.dumps({"a": {f"t{n}": 99 - n for n in range(50)}})},
        *(None, tuple(f"t{n}" for n in range(8))),
    ),
    "tags that are no JSON": ({"ss_tag_frequency": "{"}, None, ()),
    "tags that are a list": ({"ss_tag_frequency": "[[1]]"}, None, ()),
    "control characters": ({"modelspec.trigger_phrase": "a\x00\x1b[31m\u202eb\n c"}, None, ("a[31mb c",)),
    "a long phrase": ({"modelspec.trigger_phrase": "z" * 5000}, None, ("z" * 80,)),
}


@pytest.mark.parametrize(("metadata", "base", "words"), TOLD.values(), ids=TOLD)
def test_metadata_tell_the_base_and_the_words(
    metadata: dict[str, str], base: str | None, words: tuple[str, ...], tmp_path: Path
) -> None:
    facts = read_adapter(adapter_folder(tmp_path, to_k(64), metadata=metadata)).facts
    assert (facts.trained_on, facts.trigger_words) == (base, words)


def test_a_peft_configuration_names_its_base(tmp_path: Path) -> None:
    config = CONFIG | {"base_model_name_or_path": "org/model\n"}
    facts = read_adapter(adapter_folder(tmp_path, lora("base_model.model.lm_head"), config)).facts
    assert facts.trained_on == "org/model"


LAYOUT = {
    "unet.conv_in": (32, 4, 3, 3),
    f"unet.{MID}.attn2.to_k": (64, 32),
    "unet.mid_block.attentions.0.proj_in": (64, 64, 1, 1),
    "unet.mid_block.attentions.0.norm": (64,),
    "language_model.layers.0.mlp.up_proj": (48, 32),
}
FITS: dict[str, tuple[Shapes, str | None]] = {
    "a linear module": (lora(f"unet.{MID}.attn2.to_k", reads=32), None),
    "a convolution": ({"unet.conv_in.lora_A.weight": (2, 4, 3, 3), "unet.conv_in.lora_B.weight": (32, 2, 1, 1)}, None),
    "a 1 x 1 convolution as a matrix": (lora("unet.mid_block.attentions.0.proj_in"), None),
    "a convolution as a matrix": (
        {
            **{"unet.conv_in.hada_w1_a": (32, 2), "unet.conv_in.hada_w1_b": (2, 36)},
            **{"unet.conv_in.hada_w2_a": (32, 2), "unet.conv_in.hada_w2_b": (2, 36)},
        },
        None,
    ),
    "a norm": ({"unet.mid_block.attentions.0.norm.diff": (64,)}, None),
    "a bias": ({"unet.conv_in.diff_b": (32,)}, None),
    "other inputs": (
        lora(f"unet.{MID}.attn2.to_k", reads=2048),
        "it was made for a model whose unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k reads 2048 numbers "
        "and gives 64, and this model's reads 32 numbers and gives 64",
    ),
    "other outputs": (
        {"unet.mid_block.attentions.0.norm.diff": (63,)},
        "it was made for a model whose unet.mid_block.attentions.0.norm has 63 numbers, and this model's has 64 "
        "numbers",
    ),
    "another kernel": (
        {"unet.conv_in.lora_A.weight": (2, 4, 1, 3), "unet.conv_in.lora_B.weight": (32, 2, 1, 1)},
        "it was made for a model whose unet.conv_in reads 4 numbers and gives 32 through a kernel of 1 x 3, and this "
        "model's reads 4 numbers and gives 32 through a kernel of 3 x 3",
    ),
    "a matrix on a convolution": (
        lora("unet.conv_in", reads=36, gives=32),
        "it was made for a model whose unet.conv_in reads 36 numbers and gives 32, and this model's reads 4 numbers "
        "and gives 32 through a kernel of 3 x 3",
    ),
    "a matrix on a norm": (
        lora("unet.mid_block.attentions.0.norm"),
        "it was made for a model whose unet.mid_block.attentions.0.norm reads 64 numbers and gives 64, and this "
        "model's has 64 numbers",
    ),
    "a module that is not there": (
        lora("unet.down_blocks.3.resnets.0.time_emb_proj"),
        "it changes unet.down_blocks.3.resnets.0.time_emb_proj, which this model does not have",
    ),
}


@pytest.mark.parametrize(("shapes", "why"), FITS.values(), ids=FITS)
def test_an_adapter_fits_or_is_told_both_sizes(shapes: Shapes, why: str | None, tmp_path: Path) -> None:
    assert misfit(read_adapter(adapter_folder(tmp_path, shapes)).modules, LAYOUT) == why


def test_a_language_model_may_leave_out_the_name_around_its_layers(tmp_path: Path) -> None:
    shapes = lora("base_model.model.model.layers.0.mlp.up_proj", reads=32, gives=48)
    modules = read_adapter(adapter_folder(tmp_path, shapes, CONFIG)).modules
    assert misfit(modules, LAYOUT) is None
    assert misfit(modules, {"language_model.layers.0.mlp.up_proj": (48, 31)}) is not None
