"""Start `shapes-sdxl` from `shapes-sd`: every tensor of the same role, as far as its shape reaches.

The two differ in which levels attend and in how deep, so blocks are matched by level and by place within it, not by
name alone. A text embedding twice as wide meets its old half where SDXL puts its first text encoder.
"""

import re
from typing import Final

import torch
from torch import Tensor

from deployments.reference_models.denoiser import ShapesSD, ShapesSDXL

RENAMED: Final = (("text_encoder_2.text_model.", "text_encoder."),)
"""SDXL's second text encoder starts from the one there is."""


_READS_TEXT: Final = re.compile(r"attn2\.to_[kv]\.weight$")
_DEEPER: Final = re.compile(r"transformer_blocks\.[1-9]\.(attn[12]\.to_out|ff\.net\.2)\.")
"""What a further layer of a stack adds to its input with. Zero at the start, and so is what leaves a block that is new:
the larger network begins as the smaller one and grows from there."""


@torch.no_grad()
def copy(source: ShapesSD, target: ShapesSDXL, ids: Tensor) -> int:
    """Copy what fits from `source` into `target`, in place; returns how many of `target`'s tensors were found.

    `ids` are the tokens of some captions, N x 32.
    """
    known = source.state_dict()
    scale = _text_scale(source, ids)
    known |= {name: weight * scale for name, weight in known.items() if _READS_TEXT.search(name)}
    found = 0
    for name, tensor in target.state_dict().items():
        original = known.get(_source_name(name))
        if original is not None and _fill(tensor, original):
            found += 1
            silent = _DEEPER.search(name) is not None
        else:
            silent = name.startswith("unet.") and (".proj_out." in name or "add_embedding.linear_2." in name)
        if silent:
            tensor.zero_()
    return found


def _text_scale(source: ShapesSD, ids: Tensor) -> Tensor:
    """By channel, about what the text encoder's final normalisation does: SDXL reads the layer before it."""
    text = source.text_encoder(ids, output_hidden_states=True)
    norm = source.text_encoder.final_layer_norm
    deviation: Tensor = text.hidden_states[-1].std(dim=-1).mean()
    scale: Tensor = norm.weight.detach() / deviation
    return scale


def _source_name(name: str) -> str:
    for new, old in RENAMED:
        name = name.replace(new, old, 1)
    # A deeper stack's further layers start as its first one does.
    return re.sub(r"transformer_blocks\.\d+\.", "transformer_blocks.0.", name)


def _fill(tensor: Tensor, original: Tensor) -> bool:
    if tensor.ndim == 2 and original.ndim == 4 and original.shape[2:] == (1, 1):
        original = original[:, :, 0, 0]
    if tensor.shape == original.shape:
        tensor.copy_(original)
        return True
    if tensor.ndim == 2 and tensor.shape == (original.shape[0], 2 * original.shape[1]):
        # Both halves see encoders that start alike; half of each gives the old sum.
        tensor.copy_(torch.cat([original, original], dim=1) / 2)
        return True
    return False
