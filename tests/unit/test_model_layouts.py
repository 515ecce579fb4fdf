"""The sizes of a model's weights from its files' headers."""

import json
from pathlib import Path

import pytest
from fakes.adapter_headers import Shapes, adapter_bytes

from serve.catalog.layouts import layout_of
from serve.catalog.sources.builtin import reference_models
from serve.domain.errors import InvalidRequest


def written(folder: Path, files: dict[str, Shapes]) -> Path:
    for name, shapes in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(adapter_bytes(shapes))
    return folder


def test_a_diffusion_model_has_its_denoiser_and_its_text_encoders(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {
            "unet/diffusion_pytorch_model.safetensors": {"conv_in.weight": (32, 4, 3, 3), "conv_in.bias": (32,)},
            "text_encoder/model.safetensors": {"encoder.layers.0.mlp.fc1.weight": (64, 32)},
            "text_encoder_2/model.safetensors": {
                "text_model.encoder.layers.0.mlp.fc1.weight": (64, 32),
                "text_projection.weight": (24, 32),
            },
            "vae/diffusion_pytorch_model.safetensors": {"decoder.conv_in.weight": (8, 4, 3, 3)},
        },
    )
    (folder / "model_index.json").write_text("{}")
    assert layout_of(folder) == {
        "unet.conv_in": (32, 4, 3, 3),
        "text_encoder.text_model.encoder.layers.0.mlp.fc1": (64, 32),
        "text_encoder_2.text_model.encoder.layers.0.mlp.fc1": (64, 32),
        "text_encoder_2.text_projection": (24, 32),
    }


def test_a_language_model_may_lie_in_shards(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        {
            "model-00001-of-00002.safetensors": {"model.layers.0.mlp.up_proj.weight": (48, 32)},
            "model-00002-of-00002.safetensors": {"model.norm.weight": (32,), "scalar.weight": ()},
            "consolidated.safetensors": {"layers.0.weight": (1, 1)},
        },
    )
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert layout_of(folder) == {
        "language_model.model.layers.0.mlp.up_proj": (48, 32),
        "language_model.model.norm": (32,),
    }


def test_of_several_variants_one_is_read(tmp_path: Path) -> None:
    names = ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors")
    folder = written(tmp_path, {f"unet/{name}": {"conv_in.weight": (32, 4, 3, 3)} for name in names})
    (folder / "model_index.json").write_text("{}")
    assert layout_of(folder) == {"unet.conv_in": (32, 4, 3, 3)}


def test_a_folder_without_weights_has_no_layout(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        layout_of(tmp_path)
    assert caught.value.code == "no_weights"


def test_a_broken_file_has_no_layout(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x02pickle")
    with pytest.raises(InvalidRequest) as caught:
        layout_of(tmp_path)
    assert caught.value.code.startswith("safetensors_")


@pytest.mark.parametrize(("model", "width"), [("shapes-sd", 128), ("shapes-sdxl", 256)])
def test_the_models_that_ship_with_the_project_have_layouts(model: str, width: int) -> None:
    layout = layout_of(reference_models() / model)
    key = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    assert layout[key] == (128, width)
    assert layout["text_encoder.text_model.encoder.layers.0.self_attn.q_proj"] == (128, 128)
    assert ("text_encoder_2.text_projection" in layout) is (model == "shapes-sdxl")
