"""The sizes of a model's weights by module, from the headers of its files: what an adapter must fit.

Modules are named as `serve.catalog.adapters` names them: `unet.down_blocks.0...`, `text_encoder.text_model.encoder...`,
`language_model.model.layers.0...`. Weights of layers are kept, and of norms; not biases, nor the autoencoder's.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from serve.catalog.safetensors import read_header
from serve.catalog.sources.source import refusal

Layout = Mapping[str, tuple[int, ...]]
"""Weight shapes ([out, in, ...], norms [size]) by `component.module`."""

_COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
_WEIGHT = ".weight"


def layout_of(folder: Path) -> Layout:
    """The layout of a model's folder, in diffusers' or in transformers' form; sharded or not.

    Raises:
        InvalidRequest: `no_weights`, or a code of `check_safetensors`.
    """
    if (folder / "model_index.json").exists():
        layout = {
            f"{component}.{_module(component, key)}": shape
            for component in _COMPONENTS
            for key, shape in _weights(folder / component)
        }
    else:
        layout = {f"language_model.{key}": shape for key, shape in _weights(folder)}
    if not layout:
        raise refusal("no_weights", f"{folder.name} holds no safetensors whose layers an adapter could change")
    return layout


def _module(component: str, key: str) -> str:
    """CLIP's text model has its prefix or not, by the version that saved it; here it always has."""
    is_flat = component != "unet" and not key.startswith(("text_model.", "text_projection"))
    return f"text_model.{key}" if is_flat else key


def _weights(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for path in _files(folder):
        for key, tensor in read_header(path, path.name).tensors.items():
            if key.endswith(_WEIGHT) and tensor.shape:
                yield key.removesuffix(_WEIGHT), tensor.shape


def _files(folder: Path) -> list[Path]:
    """The files that are loaded: of one variant, since each holds all the tensors."""
    paths = sorted(folder.glob("*.safetensors"))
    indexes = sorted(folder.glob("*.safetensors.index*.json"))
    if not indexes:
        return paths[:1] if len(paths) > 1 and folder.name in _COMPONENTS else paths
    named = set(json.loads(indexes[0].read_bytes())["weight_map"].values())
    return [path for path in paths if path.name in named]
