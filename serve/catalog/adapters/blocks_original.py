"""The UNet's names in the original code of Stable Diffusion (`input_blocks.4.1...`), read as diffusers names them.

Blocks are numbered through in the original, three to a level in SD 1.5 and in SDXL alike (two layers and what changes
the size): https://github.com/Stability-AI/generative-models, sgm/modules/diffusionmodules/openaimodel.py
"""

_PER_LEVEL = 3
_WHOLE = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_IN_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}


def unet_from_original(dotted: str) -> str | None:
    """The module in diffusers' names; None where the name is not of the original code."""
    if dotted in _WHOLE:
        return _WHOLE[dotted]
    block, _, rest = dotted.partition(".")
    if block == "middle_block":
        place, _, inner = rest.partition(".")
        return _inside(f"mid_block.{_MIDDLE[place]}", inner) if place in _MIDDLE else None
    number, _, rest = rest.partition(".")
    place, _, inner = rest.partition(".")
    if block not in ("input_blocks", "output_blocks") or not (number.isdecimal() and place.isdecimal()):
        return None
    return _input(int(number), inner) if block == "input_blocks" else _output(int(number), inner)


def _input(number: int, inner: str) -> str | None:
    """Block 0 is conv_in, and the last of each three makes the picture smaller."""
    level, layer = divmod(number - 1, _PER_LEVEL)
    if number < 1:
        return None
    if inner == "op":
        return f"down_blocks.{level}.downsamplers.0.conv"
    return _inside(f"down_blocks.{level}.{_container(inner)}.{layer}", inner)


def _output(number: int, inner: str) -> str | None:
    level, layer = divmod(number, _PER_LEVEL)
    if inner == "conv":
        return f"up_blocks.{level}.upsamplers.0.conv"
    return _inside(f"up_blocks.{level}.{_container(inner)}.{layer}", inner)


def _container(inner: str) -> str:
    return "resnets" if inner in _IN_RESNET else "attentions"


def _inside(container: str, inner: str) -> str | None:
    if ".resnets." in container:
        return f"{container}.{_IN_RESNET[inner]}" if inner in _IN_RESNET else None
    return f"{container}.{inner}" if inner and inner not in _IN_RESNET else None
