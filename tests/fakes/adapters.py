"""Small adapter files of every format and kind, with random weights for whatever modules a test names.

A test says which modules (`unet.down_blocks.0.attentions.0...to_q` and the shape of their weights) and which kind;
the parts of each are made here, and written as PEFT, diffusers or kohya write them.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from math import isqrt, prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deployments.engines.engine import AdapterFolder

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""Weights' shapes by `component.module`."""
Parts = dict[str, Tensor]
Weights = Mapping[str, Parts]
"""What an adapter has for each `component.module`, by part: down, up, magnitude, alpha, hada_w1_a..."""
Maker = Callable[[Shape, torch.Generator], Parts]

FILE = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")

_PEFT = {"down": "lora_A.weight", "up": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
_KOHYA = {
    "down": "lora_down.weight",
    "up": "lora_up.weight",
    "mid": "lora_mid.weight",
    "magnitude": "dora_scale",
    "weight_diff": "diff",
    "bias_diff": "diff_b",
}
_TEXT_PREFIXES = {"text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}


# Which modules


def shapes_of(networks: Mapping[str, nn.Module], endings: Iterable[str] = ATTENTION + TEXT_ATTENTION) -> Shapes:
    """Modules of `networks` (by component) whose name ends so; text encoders' as files name them."""
    found = {}
    for component, network in networks.items():
        for name, module in network.named_modules():
            if name.endswith(tuple(endings)) and isinstance(getattr(module, "weight", None), Tensor):
                is_bare = component.startswith("text_encoder") and not name.startswith(("text_model.", "text_proj"))
                found[f"{component}.{'text_model.' * is_bare}{name}"] = tuple(module.weight.shape)
    return found


def sdxl_attention() -> Shapes:
    """The 560 linear modules of attention in a real SDXL's UNet."""
    found: dict[str, Shape] = {}
    stages = [("down_blocks.1", 2, 2, 640), ("down_blocks.2", 2, 10, 1280), ("mid_block", 1, 10, 1280)]
    stages += [("up_blocks.0", 3, 10, 1280), ("up_blocks.1", 3, 2, 640)]
    for stage, num_attentions, num_blocks, width in stages:
        for at in (f"{i}.transformer_blocks.{j}" for i in range(num_attentions) for j in range(num_blocks)):
            for attention, context in (("attn1", width), ("attn2", 2048)):
                for name in ATTENTION:
                    reads = context if name in ("to_k", "to_v") else width
                    found[f"unet.{stage}.attentions.{at}.{attention}.{name}"] = (width, reads)
    return found


# What each has


def lora(rank: int = 4, alpha: float | None = None, mid: bool = False) -> Maker:
    """Two matrices; on a convolution with its kernel in `down`, or with `mid` in a third tensor."""

    def make(shape: Shape, generator: torch.Generator) -> Parts:
        out, reads, *kernel = shape
        ones = [1] * len(kernel)
        parts = {
            "down": _random([rank, reads, *(ones if mid else kernel)], generator),
            "up": _random([out, rank, *ones], generator),
        }
        return parts | ({"mid": _random([rank, rank, *kernel], generator)} if mid else {}) | _alpha(alpha)

    return make


def dora(rank: int = 4, alpha: float | None = None) -> Maker:
    """LoRA with the length of every output's weights [out]."""

    def make(shape: Shape, generator: torch.Generator) -> Parts:
        return lora(rank, alpha)(shape, generator) | {"magnitude": torch.rand(shape[0], generator=generator) + 0.2}

    return make


def loha(rank: int = 4, alpha: float | None = None, tucker: bool = False) -> Maker:
    """The product, number by number, of two low-rank matrices."""

    def make(shape: Shape, generator: torch.Generator) -> Parts:
        out, reads, *kernel = shape
        parts: Parts = {}
        for one in ("hada_w1", "hada_w2"):
            a, b = ([rank, out], [rank, reads]) if tucker else ([out, rank], [rank, reads * prod(kernel)])
            parts |= {f"{one}_a": _random(a, generator), f"{one}_b": _random(b, generator)}
            if tucker:
                parts[one.replace("w", "t")] = _random([rank, rank, *kernel], generator)
        return parts | _alpha(alpha)

    return make


def lokr(rank: int | None = 4, alpha: float | None = None, both: bool = False, tucker: bool = False) -> Maker:
    """The Kronecker product of two matrices: the larger one (with `both`, each) of low rank; whole without a rank."""

    def make(shape: Shape, generator: torch.Generator) -> Parts:
        out, reads, *kernel = shape
        (a, b), (c, d) = _factors(out), _factors(reads)
        parts: Parts = {}
        if both and rank is not None:
            parts |= {"lokr_w1_a": _random([a, rank], generator), "lokr_w1_b": _random([rank, c], generator)}
        else:
            parts["lokr_w1"] = _random([a, c], generator)
        if rank is None:
            parts["lokr_w2"] = _random([b, d, *kernel], generator)
        elif tucker:
            parts |= {"lokr_t2": _random([rank, rank, *kernel], generator)}
            parts |= {"lokr_w2_a": _random([rank, b], generator), "lokr_w2_b": _random([rank, d], generator)}
        else:
            parts["lokr_w2_a"] = _random([b, rank], generator)
            parts["lokr_w2_b"] = _random([rank, d * prod(kernel)], generator)
        return parts | _alpha(alpha)

    return make


def full(bias: bool = False) -> Maker:
    """The whole difference of a weight, and of its bias."""

    def make(shape: Shape, generator: torch.Generator) -> Parts:
        parts = {"weight_diff": _random(list(shape), generator)}
        return parts | ({"bias_diff": _random([shape[0]], generator)} if bias else {})

    return make


def random_weights(shapes: Shapes, make: Maker, seed: int = 0, dtype: torch.dtype = torch.float32) -> Weights:
    """`make`'s parts for every module."""
    generator = torch.Generator().manual_seed(seed)
    made = {name: make(shape, generator) for name, shape in shapes.items()}
    return {name: {part: tensor.to(dtype) for part, tensor in parts.items()} for name, parts in made.items()}


# How they are written


def write_peft(folder: Path, weights: Weights, **config: Any) -> AdapterFolder:
    """A directory as `save_pretrained` of a PeftModel leaves it, of one component, whose name it does not tell."""
    tensors = {f"base_model.model.{_module(name)}": tensor for name, tensor in _as_peft(weights)}
    targets = sorted({_module(name) for name in weights})
    ranks, alphas = _settings(weights)
    told = {"peft_type": "LORA", "r": ranks, "lora_alpha": alphas, "target_modules": targets} | config
    return _write(folder, tensors, config=told)


def write_diffusers(folder: Path, weights: Weights, tell: bool = True, **more: Any) -> AdapterFolder:
    """One file as `save_lora_weights` of diffusers writes it, its settings among the metadata if it is to `tell`."""
    tensors = dict(_as_peft(weights))
    metadata = {"format": "pt"}
    if tell:
        metadata["lora_adapter_metadata"] = json.dumps(_diffusers_settings(weights, more))
    return _write(folder, tensors, metadata)


def write_old_diffusers(folder: Path, weights: Weights) -> AdapterFolder:
    """One file with the attention processors' names of before PEFT."""
    tensors: Parts = {}
    for name, parts in weights.items():
        stem, last = name.rsplit(".", 1) if not name.endswith("to_out.0") else (name[: -len(".to_out.0")], "to_out")
        last = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}.get(last, last)
        stem += ".processor" if name.startswith("unet.") else ""
        tensors |= {f"{stem}.{last}_lora.{part}.weight": parts[part] for part in ("down", "up")}
    return _write(folder, tensors)


def write_kohya(
    folder: Path, weights: Weights, sgm: bool = False, num_layers: int = 2, **metadata: str
) -> AdapterFolder:
    """One file as kohya's scripts and LyCORIS write it. With `sgm`, the UNet's blocks are named as in the original
    code, which counts them through: `num_layers` is the layers of a block of the base.
    """
    has_two = any(name.startswith("text_encoder_2.") for name in weights)
    tensors: Parts = {}
    for name, parts in weights.items():
        stem = _kohya_name(name, sgm, num_layers, has_two)
        for part, tensor in parts.items():
            shape = [-1, *[1] * (parts["down"].ndim - 1)] if part == "magnitude" else list(tensor.shape)
            tensors[f"{stem}.{_KOHYA.get(part, part)}"] = tensor.reshape(shape)
    return _write(folder, tensors, metadata)


def stored(folder: Path, adapter_id: str | None = None) -> AdapterFolder:
    """The adapter's files in `folder`, with their digests as they are now."""
    digests = {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    digest = sha256(json.dumps(digests).encode()).hexdigest()
    return AdapterFolder(adapter_id or f"acme/{folder.name}@sha256:{digest}", folder, digests)


def load_in_diffusers(pipeline: Any, adapters: Sequence[tuple[AdapterFolder, float]]) -> None:
    """The same adapters with the same scales in a stock pipeline: `load_lora_weights` and `set_adapters`."""
    names = [f"adapter-{index}" for index in range(len(adapters))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # which is what several adapters are
        for name, (folder, _) in zip(names, adapters, strict=True):
            pipeline.load_lora_weights(folder.path, weight_name=FILE, adapter_name=name)
    pipeline.set_adapters(names, [scale for _, scale in adapters])


def _write(
    folder: Path, tensors: Parts, metadata: Mapping[str, str] | None = None, config: dict[str, Any] | None = None
) -> AdapterFolder:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / FILE, dict(metadata or {}))
    if config is not None:
        (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return stored(folder)


def _as_peft(weights: Weights) -> Iterator[tuple[str, Tensor]]:
    """Tensors by PEFT's names below the component's; alphas are in a configuration."""
    for name, parts in weights.items():
        for part, tensor in parts.items():
            if part != "alpha":
                is_conv = part == "magnitude" and parts["down"].ndim == 4
                yield f"{name}.{_PEFT.get(part, part)}", tensor.view(1, -1, 1, 1) if is_conv else tensor


def _module(name: str) -> str:
    return name.split(".", 1)[1]


def _settings(weights: Weights) -> tuple[int, float]:
    """(rank, alpha) of modules that have them in common."""
    parts = next(iter(weights.values()))
    rank = next((parts[part].shape[0] for part in ("down", "hada_w1_b", "lokr_w2_b") if part in parts), 1)
    return rank, float(parts.get("alpha", torch.tensor(float(rank))))


def _diffusers_settings(weights: Weights, more: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for component in dict.fromkeys(name.split(".", 1)[0] for name in weights):
        mine = {name: parts for name, parts in weights.items() if name.startswith(f"{component}.")}
        rank, alpha = _settings(mine)
        own = {
            "r": rank,
            "lora_alpha": alpha,
            "target_modules": sorted(_module(name).removeprefix("text_model.") for name in mine),
        }
        own["use_dora"] = any("magnitude" in parts for parts in mine.values())
        told |= {f"{component}.{key}": value for key, value in (own | more).items()}
    return told


def _kohya_name(name: str, sgm: bool, num_layers: int, has_two: bool) -> str:
    component, module = name.split(".", 1)
    if component != "unet":
        prefix = _TEXT_PREFIXES[component] if has_two else "lora_te"
        return f"{prefix}_{module.replace('.', '_')}"
    module = _sgm_name(module, num_layers) if sgm else module
    return f"lora_unet_{module.replace('.', '_')}"


_SGM_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_SGM_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _sgm_name(module: str, num_layers: int) -> str:
    if module in _SGM_OUTSIDE:
        return _SGM_OUTSIDE[module]
    stage, *rest = module.split(".")
    if stage == "mid_block":
        at = {("resnets", "0"): 0, ("attentions", "0"): 1, ("resnets", "1"): 2}[rest[0], rest[1]]
        return ".".join([f"middle_block.{at}", *_sgm_inner(rest[0], rest[2:])])
    block, kind, layer = int(rest[0]), rest[1], int(rest[2])
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * (num_layers + 1)}.0.op"
    if kind == "upsamplers":
        raise ValueError("whether a block that upsamples has attention decides its number: name it by hand")
    first = 1 + block * (num_layers + 1) if stage == "down_blocks" else block * (num_layers + 1)
    side = "input_blocks" if stage == "down_blocks" else "output_blocks"
    return ".".join([side, str(first + layer), "0" if kind == "resnets" else "1", *_sgm_inner(kind, rest[3:])])


def _sgm_inner(kind: str, rest: list[str]) -> list[str]:
    return [_SGM_RESNET[rest[0]], *rest[1:]] if kind == "resnets" else rest


def _random(shape: list[int], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * 0.3


def _alpha(alpha: float | None) -> Parts:
    return {} if alpha is None else {"alpha": torch.tensor(float(alpha))}


def _factors(number: int) -> tuple[int, int]:
    """Two factors as near one another as can be, the smaller first."""
    low = next(n for n in range(isqrt(number), 0, -1) if number % n == 0)
    return low, number // low
