"""The endings of tensor names: what part of a module's change a tensor is. The formats share them, and mix them."""

_LYCORIS = (
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
)
_PARTS: dict[str, str] = {
    # PEFT, and diffusers since it writes PEFT's names.
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_A.default.weight": "down",
    "lora_B.default.weight": "up",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    # diffusers before that.
    "lora.down.weight": "down",
    "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    # kohya's scripts and LyCORIS.
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "dora_scale": "magnitude",
    "diff": "weight_diff",
    "diff_b": "bias_diff",
    "w_norm": "weight_diff",
    "b_norm": "bias_diff",
    "alpha": "alpha",
    **{part: part for part in _LYCORIS},
    **{f"{part}.default": part for part in _LYCORIS},
}
_OLDEST = {"_lora.down.weight": "down", "_lora.up.weight": "up", "_lora.alpha": "alpha"}
"""Attention processors: the layer's name runs into the ending (`processor.to_q_lora.down.weight`)."""
_LONGEST_ENDING = 3


def split(key: str) -> tuple[str, str] | None:
    """The name before the ending, and the part; None for a tensor that no format knows."""
    for ending, part in _OLDEST.items():
        if key.endswith(ending):
            return key.removesuffix(ending), part
    words = key.split(".")
    for num_words in range(min(_LONGEST_ENDING, len(words) - 1), 0, -1):
        ending = ".".join(words[-num_words:])
        if ending in _PARTS:
            return ".".join(words[:-num_words]), _PARTS[ending]
    return None
