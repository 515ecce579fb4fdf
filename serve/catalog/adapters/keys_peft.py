"""Keys as PEFT writes them beside an adapter_config.json: `base_model.model.<module>.lora_A.weight`.

The base is whatever was wrapped: a language model, or a diffusion model's UNet or text encoder alone.
"""

import re

from serve.catalog.adapters import keys_diffusers, keys_kohya
from serve.catalog.adapters.modules import TensorName
from serve.catalog.adapters.parts import split

PREFIX = "base_model.model."
_DOTTED = re.compile(r"\w+(\.\w+)*", re.ASCII)


def parse(key: str) -> TensorName | None:
    """What the tensor is, or None where the key is not of this form."""
    found = split(key.removeprefix(PREFIX))
    if found is None or not _DOTTED.fullmatch(found[0]) or found[0].startswith(tuple(keys_kohya.PREFIXES)):
        return None
    written, part = found
    if written.startswith(("unet.", "text_encoder.", "text_encoder_2.")):
        return keys_diffusers.parse(key.removeprefix(PREFIX))
    if unet := keys_diffusers.unet_module(written):
        return TensorName("unet", unet, part, written)
    if _is_clip(written) and (text := keys_diffusers.text_module(written)):
        return TensorName("text_encoder", text, part, written)
    return TensorName("language_model", written, part, written)


def _is_clip(written: str) -> bool:
    """CLIP's text model by its layers' names; flattened in new versions of transformers."""
    return written.startswith(("text_model.encoder.layers.", "encoder.layers."))
