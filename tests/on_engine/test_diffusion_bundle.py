"""Loading a model's directory: what is taken, what is left alone, what is refused and in which words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, EulerDiscreteScheduler
from fakes.diffusion_models import tiny_sd, tiny_sd_inpaint, tiny_sdxl, tiny_sdxl_inpaint
from safetensors.torch import load_file, save_file

from deployments.engines.diffusion.bundle import Bundle
from serve.domain.errors import EngineFailed

Change = Callable[[Path], Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each."""
    folder = tmp_path_factory.mktemp("made")
    for maker in (tiny_sd, tiny_sdxl, tiny_sd_inpaint, tiny_sdxl_inpaint):
        maker(folder / maker.__name__)
    return folder


def load(folder: Path, **given: Any) -> Bundle:
    return Bundle.load(folder, **{"device": "cpu", "dtype": torch.float32} | given)


@pytest.mark.parametrize(
    ("name", "architecture", "channels"),
    [
        ("tiny_sd", "sd15", 4),
        ("tiny_sdxl", "sdxl", 4),
        ("tiny_sd_inpaint", "sd15", 9),
        ("tiny_sdxl_inpaint", "sdxl", 9),
    ],
)
def test_the_four_layouts_are_told_apart(made: Path, name: str, architecture: str, channels: int) -> None:
    bundle = load(made / name)
    assert (bundle.architecture, bundle.unet_channels) == (architecture, channels)
    assert (bundle.latent_channels, bundle.latent_scale, bundle.native_size, bundle.window) == (4, 8, 64, 77)
    assert len(bundle.text_encoders) == len(bundle.tokenizers) == (2 if architecture == "sdxl" else 1)
    assert not any(weight.requires_grad for weight in bundle.unet.parameters())
    assert not bundle.unet.training


def test_weights_are_those_that_diffusers_loads(made: Path) -> None:
    bundle, pipeline = load(made / "tiny_sdxl"), DiffusionPipeline.from_pretrained(made / "tiny_sdxl")
    for ours, stock in (
        (bundle.unet, pipeline.unet),
        (bundle.vae, pipeline.vae),
        (bundle.text_encoders[0], pipeline.text_encoder),
        (bundle.text_encoders[1], pipeline.text_encoder_2),
    ):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), stock.parameters(), strict=True))


def test_a_variant_is_loaded_by_its_name(tmp_path: Path) -> None:
    tiny_sd(tmp_path / "half", variant="fp16")
    bundle = load(tmp_path / "half", variant="fp16", dtype=torch.bfloat16)
    assert (bundle.unet.dtype, bundle.text_encoders[0].dtype) == (torch.bfloat16, torch.bfloat16)
    assert bundle.vae.dtype == torch.float32


def test_a_window_is_the_tokenizers_own(tmp_path: Path) -> None:
    assert load(tiny_sd(tmp_path / "short", window=32)).window == 32


def test_other_folders_of_a_checkpoint_are_not_read(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made / "tiny_sd", tmp_path / "copy"))
    edit(folder / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    for name in ("safety_checker", "feature_extractor"):
        (folder / name).mkdir()
        (folder / name / "pytorch_model.bin").write_bytes(b"not to be read")
    assert load(folder).architecture == "sd15"


def test_weights_of_the_first_checkpoints_are_understood(made: Path, tmp_path: Path) -> None:
    """Published files name the parts of CLIP and of the autoencoder's attention as the libraries of their day did."""
    folder = Path(shutil.copytree(made / "tiny_sd", tmp_path / "copy"))
    text, vae = folder / "text_encoder/model.safetensors", folder / "vae/diffusion_pytorch_model.safetensors"
    tensors = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in load_file(text).items()}
    save_file(tensors | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, text, {"format": "pt"})
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(vae)
    for new_name, old_name in old.items():
        tensors = {name.replace(f".{new_name}.", f".{old_name}."): tensor for name, tensor in tensors.items()}
    save_file(tensors, vae, {"format": "pt"})
    ours, stock = load(folder), load(made / "tiny_sd")
    for a, b in ((ours.vae, stock.vae), (ours.text_encoders[0], stock.text_encoders[0])):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_schedulers_settings_are_those_a_stock_pipeline_has(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made / "tiny_sd", tmp_path / "copy"))
    settings = folder / "scheduler" / "scheduler_config.json"
    edit(settings, _class_name="PNDMScheduler", clip_sample=True, skip_prk_steps=True)
    edit(settings, remove=("steps_offset", "clip_sample_range", "thresholding"))
    ours = load(folder).scheduler_config
    with pytest.warns(FutureWarning):
        stock = DiffusionPipeline.from_pretrained(folder).scheduler.config
    for kind in (DDIMScheduler, EulerDiscreteScheduler):
        expected, found = dict(kind.from_config(stock).config), dict(kind.from_config(ours).config)
        assert {key: found[key] for key in expected if key[0] != "_"} == {
            key: value for key, value in expected.items() if key[0] != "_"
        }
    assert ours["steps_offset"] == 1


def edit(path: Path, remove: tuple[str, ...] = (), **values: Any) -> None:
    content = {key: value for key, value in json.loads(path.read_text()).items() if key not in remove} | values
    path.write_text(json.dumps(content))


def _drop_tensor(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    del tensors["conv_in.weight"]
    save_file(tensors, path, {"format": "pt"})


def _pickle(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda f: (f / "model_index.json").unlink(), "has no model_index.json", id="no index"),
        pytest.param(lambda f: (f / "model_index.json").write_text("{"), "cannot be read", id="a broken index"),
        pytest.param(
            lambda f: edit(f / "model_index.json", _class_name="FluxPipeline"),
            "holds a FluxPipeline: this engine runs StableDiffusionPipeline",
            id="another pipeline",
        ),
        pytest.param(
            lambda f: edit(f / "model_index.json", requires_aesthetics_score=True), "SDXL refiner", id="a refiner"
        ),
        pytest.param(
            lambda f: edit(f / "model_index.json", unet=["diffusers", "UNet3DConditionModel"]),
            "its unet is UNet3DConditionModel: UNet2DConditionModel is expected",
            id="another component",
        ),
        pytest.param(
            lambda f: edit(f / "model_index.json", vae=[None, None]), "its vae is absent", id="an absent component"
        ),
        pytest.param(lambda f: shutil.rmtree(f / "tokenizer"), "has no folder tokenizer", id="a missing folder"),
        pytest.param(
            _pickle,
            "has no diffusion_pytorch_model.safetensors: found diffusion_pytorch_model.bin",
            id="a pickle",
        ),
        pytest.param(
            lambda f: (f / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99),
            "cannot be loaded",
            id="broken weights",
        ),
        pytest.param(_drop_tensor, "lack 1 tensors, conv_in.weight among them", id="a missing tensor"),
        pytest.param(lambda f: edit(f / "unet" / "config.json", in_channels=5), "cannot be loaded", id="another width"),
        pytest.param(
            lambda f: edit(f / "scheduler" / "scheduler_config.json", _class_name="MagicScheduler"),
            "the scheduler MagicScheduler",
            id="an unknown scheduler",
        ),
        pytest.param(
            lambda f: edit(f / "scheduler" / "scheduler_config.json", _class_name="UNet2DConditionModel"),
            "the scheduler UNet2DConditionModel",
            id="no scheduler at all",
        ),
    ],
)
def test_what_is_no_such_model_is_refused_in_a_sentence(made: Path, tmp_path: Path, change: Change, words: str) -> None:
    folder = Path(shutil.copytree(made / "tiny_sd", tmp_path / "copy"))
    change(folder)
    with pytest.raises(EngineFailed, match=words):
        load(folder)


def test_a_variant_that_is_not_there_is_named_with_what_is(made: Path) -> None:
    with pytest.raises(EngineFailed, match=r"has no diffusion_pytorch_model.fp16.safetensors: found diffusion_pytorch"):
        load(made / "tiny_sd", variant="fp16")


def test_a_unet_of_the_other_architecture_is_refused(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made / "tiny_sdxl", tmp_path / "copy"))
    edit(folder / "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(EngineFailed, match="the UNet of a sd15 model has the added embedding text_time"):
        load(folder)
