"""Which files of a diffusers repository are fetched: the lists are those of real repositories."""

import pytest

from serve.catalog.sources.source import Listing, RemoteFile
from serve.catalog.weight_plan import Action, plan_weights
from serve.domain.errors import InvalidRequest

TOKENIZER = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")


def under(folder: str, *names: str) -> list[str]:
    return [f"{folder}/{name}" for name in names]


def every_form(folder: str, stem: str, *more: str) -> list[str]:
    """A component with its tensors in every form that repositories have them in."""
    forms = [f"{stem}{mark}.safetensors" for mark in ("", ".fp16", ".non_ema")]
    pickles = [f"{'pytorch_model' if stem == 'model' else stem}{mark}.bin" for mark in ("", ".fp16")]
    return under(folder, "config.json", *forms, *pickles, "model.onnx", "flax_model.msgpack", *more)


SD15 = [
    *(".gitattributes", "README.md", "model_index.json", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors"),
    *("v1-5-pruned-emaonly.safetensors", "v1-inference.yaml"),
    *every_form("unet", "diffusion_pytorch_model"),
    *every_form("vae", "diffusion_pytorch_model"),
    *every_form("text_encoder", "model"),
    *every_form("safety_checker", "model"),
    "feature_extractor/preprocessor_config.json",
    "scheduler/scheduler_config.json",
    *under("tokenizer", *TOKENIZER),
]
SDXL = [
    *(".gitattributes", "README.md", "01.png", "model_index.json", "sd_xl_base_1.0.safetensors"),
    *("sd_xl_base_1.0_0.9vae.safetensors", "sd_xl_offset_example-lora_1.0.safetensors"),
    *every_form("unet", "diffusion_pytorch_model", "model.onnx_data", "openvino_model.bin", "openvino_model.xml"),
    *every_form("vae", "diffusion_pytorch_model"),
    *every_form("vae_1_0", "diffusion_pytorch_model"),
    *under("vae_decoder", "config.json", "model.onnx", "openvino_model.bin"),
    *every_form("text_encoder", "model"),
    *every_form("text_encoder_2", "model"),
    "scheduler/scheduler_config.json",
    *under("tokenizer", *TOKENIZER),
    *under("tokenizer_2", *TOKENIZER),
]
INPAINTING = [
    *("README.md", "config.json", "model_index.json", "sd-v1-5-inpainting.ckpt"),
    *under("unet", "config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors"),
    *under("vae", "config.json", "diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.fp16.safetensors"),
    *under("text_encoder", "config.json", "model.fp16.safetensors", "pytorch_model.bin"),
    *under("safety_checker", "config.json", "model.fp16.safetensors"),
    "scheduler/scheduler_config.json",
    *under("tokenizer", *TOKENIZER),
]


def chosen(paths: list[str], variant: str | None) -> set[str]:
    listing = Listing("r", tuple(RemoteFile(path, 1) for path in paths))
    plan = plan_weights(listing, passes_over_pickles=True, variant=variant)
    assert {decision.action for decision in plan.decisions} <= {Action.FETCH, Action.SKIP}
    assert all(decision.reason for decision in plan.decisions)
    return {file.path for file in plan.chosen}


def wanted(*networks: str, mark: str) -> set[str]:
    """Configuration, tokenizers, and one file of weights per network."""
    found = {"model_index.json", "scheduler/scheduler_config.json"}
    for folder in networks:
        stem = "model" if folder.startswith("text") else "diffusion_pytorch_model"
        found |= set(under(folder, "config.json", f"{stem}{mark}.safetensors"))
        if folder.startswith("text"):
            found |= set(under(folder.replace("text_encoder", "tokenizer"), *TOKENIZER))
    return found


SD_NETWORKS = ("unet", "vae", "text_encoder")
REPOSITORIES = {
    "SD 1.5": (SD15, None, wanted(*SD_NETWORKS, mark="")),
    "SD 1.5 in half precision": (SD15, "fp16", wanted(*SD_NETWORKS, mark=".fp16")),
    "SDXL": (SDXL, None, wanted(*SD_NETWORKS, "text_encoder_2", mark="")),
    "SDXL in half precision": (SDXL, "fp16", wanted(*SD_NETWORKS, "text_encoder_2", mark=".fp16")),
    "SD 1.5 inpainting": (INPAINTING, "fp16", wanted(*SD_NETWORKS, mark=".fp16")),
}


@pytest.mark.parametrize(("paths", "variant", "expected"), REPOSITORIES.values(), ids=REPOSITORIES)
def test_one_set_of_weights_is_fetched(paths: list[str], variant: str | None, expected: set[str]) -> None:
    assert chosen(paths, variant) == expected


def test_shards_come_with_their_list() -> None:
    shards = [f"unet/diffusion_pytorch_model{m}-0000{n}-of-00002.safetensors" for m in ("", ".fp16") for n in (1, 2)]
    lists = [f"unet/diffusion_pytorch_model.safetensors.index{mark}.json" for mark in ("", ".fp16")]
    paths = ["model_index.json", "unet/config.json", *shards, *lists]
    assert chosen(paths, None) == {"model_index.json", "unet/config.json", *shards[:2], lists[0]}
    assert chosen(paths, "fp16") == {"model_index.json", "unet/config.json", *shards[2:], lists[1]}


def test_the_other_way_to_name_shards_is_known() -> None:
    shards = [f"text_encoder/model-0000{n}-of-00002.fp16.safetensors" for n in (1, 2)]
    assert chosen(["model_index.json", *shards], "fp16") == {"model_index.json", *shards}


BAD = {
    "a variant nobody made": (SD15, "fp8", "variant_missing", "text_encoder/ has no safetensors of the variant fp8"),
    "no plain weights": (INPAINTING, None, "variant_missing", "there are fp16"),
    "pickles alone": (
        ["model_index.json", "unet/diffusion_pytorch_model.bin", "v1.safetensors"],
        None,
        "no_weights",
        "unet/ has no safetensors",
    ),
}


@pytest.mark.parametrize(("paths", "variant", "code", "told"), BAD.values(), ids=BAD)
def test_what_would_not_load_is_refused_before_the_download(
    paths: list[str], variant: str | None, code: str, told: str
) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        chosen([*paths, *([] if "unet/config.json" in paths else ["unet/config.json"])], variant)
    assert caught.value.code == code


def test_other_models_are_planned_as_before() -> None:
    paths = ["config.json", "model.safetensors", "model.fp16.safetensors", "tokenizer/vocab.json"]
    assert chosen(paths, "fp16") == set(paths)
