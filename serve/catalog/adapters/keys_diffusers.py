"""Keys as diffusers writes them: `unet.down_blocks...to_q.lora_A.weight`, `text_encoder.text_model...`.

Three ages: attention processors without a component (`...attn1.processor.to_q_lora.down.weight`), the same under
`unet.` and `text_encoder.`, and PEFT's names. https://github.com/huggingface/diffusers, loaders/lora_base.py
"""

import re

from serve.catalog.adapters.modules import Component, TensorName
from serve.catalog.adapters.parts import split

_UNET = re.compile(
    r"(down_blocks|up_blocks)\.\d+\.\w[\w.]*|mid_block\.\w[\w.]*|(time|add)_embedding\.\w+|conv_(in|out|norm_out)"
)
_TEXT = re.compile(r"(encoder\.layers\.\d+\.\w[\w.]*|embeddings\.\w+|final_layer_norm)")
_TEXT_LAYERS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_TEXT_ENCODERS: tuple[Component, ...] = ("text_encoder", "text_encoder_2")


def parse(key: str) -> TensorName | None:
    """What the tensor is, or None where the key is not of this form."""
    found = split(key)
    if found is None:
        return None
    written, part = found
    first, _, module = written.partition(".")
    for component in _TEXT_ENCODERS:
        if first == component:
            text = text_module(module)
            return None if text is None else TensorName(component, text, part, module)
    module = module if first == "unet" else written
    unet = unet_module(module)
    return None if unet is None else TensorName("unet", unet, part, module)


def unet_module(written: str) -> str | None:
    """The UNet's module of this name: processors are no modules of their own, and `to_out` is a list."""
    module = written.replace(".processor.", ".")
    if module.endswith(".to_out"):
        module += ".0"
    return module if _UNET.fullmatch(module) else None


def text_module(written: str) -> str | None:
    """The text encoder's module of this name, with `text_model.` in front."""
    module = written.removeprefix("text_model.")
    if module == "text_projection":
        return module
    stem, _, layer = module.rpartition(".")
    if stem.endswith(".self_attn"):
        module = f"{stem}.{_TEXT_LAYERS.get(layer, layer)}"
    return f"text_model.{module}" if _TEXT.fullmatch(module) else None
