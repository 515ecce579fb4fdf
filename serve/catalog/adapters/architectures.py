"""Which kind of base an adapter was made for, by its modules' names and sizes.

Names decide: SDXL alone has a second text encoder, size conditioning and stacks of transformer blocks. Where only
blocks are changed that both kinds have, the width of cross-attention tells the published models apart, then what the
caller says, then what is missing and where the blocks lie, then what the file says of itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from serve.catalog.adapters.modules import AdapterModule
from serve.domain.adapters import AdapterArchitecture

_SDXL_ONLY = re.compile(r"unet\.(add_embedding\.|.*\.transformer_blocks\.[1-9])|text_encoder_2\.")
_CROSS_ATTENTION = re.compile(r"unet\..*\.attn2\.to_[kv]")
_WIDTHS = {768: AdapterArchitecture.SD15, 1024: AdapterArchitecture.SD15, 2048: AdapterArchitecture.SDXL}
"""1024 is Stable Diffusion 2's, whose names are those of 1.5: its sizes tell that it does not fit."""
_PREFIXES = {"lora_te_": AdapterArchitecture.SD15, "lora_te1_": AdapterArchitecture.SDXL}
_SD15_PLACES = re.compile(r"unet\.(down_blocks\.0\.attentions|(down|up)_blocks\.3)\.")
_SDXL_PLACES = re.compile(r"unet\.up_blocks\.0\.attentions\.")


def architecture_of(
    modules: Sequence[AdapterModule], metadata: Mapping[str, str], base: AdapterArchitecture | None
) -> AdapterArchitecture:
    """The kind of base. `base` is a hint."""
    names = [module.name for module in modules]
    if any(module.component == "language_model" for module in modules):
        return AdapterArchitecture.LANGUAGE
    if any(_SDXL_ONLY.match(name) for name in names):
        return AdapterArchitecture.SDXL
    hint = None if base is AdapterArchitecture.LANGUAGE else base
    found = _by_prefix(modules) or _by_width(modules) or hint or _by_place(names) or _by_metadata(metadata)
    return found or AdapterArchitecture.SD15


def _by_prefix(modules: Iterable[AdapterModule]) -> AdapterArchitecture | None:
    """kohya's scripts number text encoders only where there are two."""
    for key in (key for module in modules for key in module.tensors.values()):
        for prefix, architecture in _PREFIXES.items():
            if key.startswith(prefix):
                return architecture
    return None


def _by_width(modules: Iterable[AdapterModule]) -> AdapterArchitecture | None:
    for module in modules:
        if _CROSS_ATTENTION.fullmatch(module.name) and module.in_features in _WIDTHS:
            return _WIDTHS[module.in_features]
    return None


def _by_place(names: Sequence[str]) -> AdapterArchitecture | None:
    """The published models' blocks; and who trains SDXL's text encoders trains both."""
    if any(name.startswith("text_encoder.") or _SD15_PLACES.match(name) for name in names):
        return AdapterArchitecture.SD15
    return AdapterArchitecture.SDXL if any(_SDXL_PLACES.match(name) for name in names) else None


def _by_metadata(metadata: Mapping[str, str]) -> AdapterArchitecture | None:
    said = " ".join(metadata.get(key, "") for key in ("modelspec.architecture", "ss_base_model_version")).lower()
    if "xl" in said:
        return AdapterArchitecture.SDXL
    return AdapterArchitecture.SD15 if "v1" in said else None
