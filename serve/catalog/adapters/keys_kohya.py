"""Keys as kohya's scripts and LyCORIS write them: `lora_unet_down_blocks_0_..._to_q.lora_down.weight`.

Dots became underscores, so names are read by the words that diffusers' UNet and CLIP consist of. Scripts for SDXL, and
some for SD 1.5, name the UNet's blocks as the original code does (`input_blocks_4_1_...`); `blocks_original` reads
those. https://github.com/kohya-ss/sd-scripts, networks/lora.py; https://github.com/KohakuBlueleaf/LyCORIS
"""

from functools import lru_cache

from serve.catalog.adapters import keys_diffusers
from serve.catalog.adapters.blocks_original import unet_from_original
from serve.catalog.adapters.modules import Component, TensorName
from serve.catalog.adapters.parts import split

PREFIXES: dict[str, Component] = {
    "lora_unet_": "unet",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te_": "text_encoder",
}
_DIFFUSERS_WORDS = (
    *("down_blocks", "mid_block", "up_blocks", "attentions", "resnets", "downsamplers", "upsamplers"),
    *("transformer_blocks", "attn1", "attn2", "to_q", "to_k", "to_v", "to_out", "ff", "net", "proj"),
    *("proj_in", "proj_out", "norm", "norm1", "norm2", "norm3", "conv", "conv1", "conv2", "conv_in", "conv_out"),
    *("conv_shortcut", "conv_norm_out", "time_emb_proj", "time_embedding", "add_embedding", "linear_1", "linear_2"),
)
_ORIGINAL_WORDS = (
    *("input_blocks", "middle_block", "output_blocks", "in_layers", "out_layers", "emb_layers", "skip_connection"),
    *("op", "out", "time_embed", "label_emb"),
)
_TEXT_WORDS = (
    *("text_model", "encoder", "layers", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "mlp", "fc1", "fc2"),
    *("layer_norm1", "layer_norm2", "final_layer_norm", "text_projection"),
    *("embeddings", "token_embedding", "position_embedding"),
)
_WORDS = frozenset(_DIFFUSERS_WORDS + _ORIGINAL_WORDS + _TEXT_WORDS)
_LONGEST_NAME = 200
_MOST_PIECES = max(word.count("_") for word in _WORDS) + 1


def parse(key: str) -> TensorName | None:
    """What the tensor is, or None where the key is not of this form."""
    found = split(key)
    if found is None:
        return None
    written, part = found
    for prefix, component in PREFIXES.items():
        if written.startswith(prefix):
            flat = written.removeprefix(prefix)
            module = _module(component, flat) if len(flat) <= _LONGEST_NAME else None
            return None if module is None else TensorName(component, module, part, written)
    return None


@lru_cache(maxsize=4096)
def _module(component: Component, flat: str) -> str | None:
    """Each is asked for several times by one file, and again by the next file for the same base."""
    dotted = _dotted(flat)
    if dotted is None:
        return None
    if component == "unet":
        return keys_diffusers.unet_module(unet_from_original(dotted) or dotted)
    return keys_diffusers.text_module(dotted)


def _dotted(flat: str) -> str | None:
    """`down_blocks_0_attn1_to_q` with its dots again: the longest known word at each place, or a number."""
    pieces, words = flat.split("_"), []
    while pieces:
        for num_pieces in range(min(_MOST_PIECES, len(pieces)), 0, -1):
            word = "_".join(pieces[:num_pieces])
            if word in _WORDS or (word.isdecimal() and word.isascii()):
                break
        else:
            return None
        words.append(word)
        pieces = pieces[num_pieces:]
    return ".".join(words)
