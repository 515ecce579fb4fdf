"""Loaders, LoRAs and prompts: the parts that a sampler brings together."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from serve.workflow.comfyui.source import SAVED_FORMAT, SourceNode
from serve.workflow.comfyui.translation import Call
from serve.workflow.comfyui.values import (
    Autoencoder,
    Encoder,
    Flow,
    Latent,
    Lora,
    NoEquivalent,
    Value,
    Weights,
    Words,
    written,
)

Translator = Callable[[Call], tuple[Value, ...]]

_WEIGHTED = re.compile(r"(?<!\\)[()]")
_UNTOUCHED_BRACKET = re.compile(r"(?<!\\)([\[\]])")
_ALTERNATIVES = re.compile(r"\{[^{}]*\|[^{}]*\}")
_EMBEDDING = re.compile(r"\bembedding:\S", re.IGNORECASE)
_USUAL_LAYER = -1


def _own(node: SourceNode) -> frozenset[str]:
    return frozenset({node.id})


def _checkpoint(call: Call) -> tuple[Value, ...]:
    name, id, own = call.flow("ckpt_name"), call.node.id, _own(call.node)
    return Weights(id, name, sources=own | name.sources), Encoder(id, sources=own), Autoencoder(id, sources=own)


def _weights_alone(call: Call) -> tuple[Value, ...]:
    name = call.flow("unet_name")
    return (Weights(call.node.id, name, sources=_own(call.node) | name.sources),)


def _encoder_alone(call: Call) -> tuple[Value, ...]:
    return (Encoder(call.node.id, is_apart=True, sources=_own(call.node)),)


def _autoencoder(call: Call) -> tuple[Value, ...]:
    return (Autoencoder(call.node.id, file=call.text("vae_name"), sources=_own(call.node)),)


def _lora(call: Call) -> tuple[Value, ...]:
    weights, encoder = call.part("model", Weights), call.part("clip", Encoder)
    name, own = call.flow("lora_name"), _own(call.node)
    ours = Lora(call.node.id, name, call.flow("strength_model", 1.0))
    theirs = replace(ours, strength=call.flow("strength_clip", 1.0))
    own |= name.sources | ours.strength.sources | theirs.strength.sources
    return (
        replace(weights, loras=(*weights.loras, ours), sources=weights.sources | own),
        replace(encoder, loras=(*encoder.loras, theirs), sources=encoder.sources | own),
    )


def _lora_of_model(call: Call) -> tuple[Value, ...]:
    weights, name = call.part("model", Weights), call.flow("lora_name")
    lora = Lora(call.node.id, name, call.flow("strength_model", 1.0), is_for_model_alone=True)
    sources = weights.sources | _own(call.node) | name.sources | lora.strength.sources
    return (replace(weights, loras=(*weights.loras, lora), sources=sources),)


def _last_layer(call: Call) -> tuple[Value, ...]:
    encoder, layer = call.part("clip", Encoder), int(call.number("stop_at_clip_layer", _USUAL_LAYER))
    if layer != _USUAL_LAYER:
        told = f"clip skip (stop at layer {layer}) is not applied here: prompts are read to the last layer"
        call.warn(f"{told} that the model was made with")
    return (replace(encoder, sources=encoder.sources | _own(call.node)),)


def _prompt(call: Call) -> tuple[Value, ...]:
    encoder, text = call.part("clip", Encoder), call.flow("text", "")
    sources = encoder.sources | _own(call.node) | text.sources
    return (Words(_as_read_here(call, text), encoder, sources=sources),)


def _prompt_of_two(call: Call) -> tuple[Value, ...]:
    encoder, broad, local = call.part("clip", Encoder), call.flow("text_g", ""), call.flow("text_l", "")
    if broad.written != local.written:
        raise NoEquivalent("its two text encoders get different prompts")
    sizes = {name: call.node.inputs.get(name) for name in ("width", "height", "target_width", "target_height")}
    crops = [call.node.inputs.get(name) for name in ("crop_w", "crop_h")]
    if any(crops) or sizes["width"] != sizes["target_width"] or sizes["height"] != sizes["target_height"]:
        call.warn("the sizes and crops that it tells the model are left out: the model is told the picture's own size")
    sources = encoder.sources | _own(call.node) | broad.sources | local.sources
    return (Words(_as_read_here(call, broad), encoder, sources=sources),)


def _as_read_here(call: Call, text: Flow) -> Flow:
    """A prompt that means the same here: square brackets mean nothing there, and weaken words here."""
    value = text.literal if text.is_known else text.default
    if not isinstance(value, str):
        return text
    if _EMBEDDING.search(value):
        call.warn("it names an embedding, which is not loaded here: its name is read as words")
    if _WEIGHTED.search(value):
        call.warn("words with weights, as (word:1.3), are weighed in another way here, between 0 and 2")
    if _ALTERNATIVES.search(value) and call.translation.graph.format == SAVED_FORMAT:
        call.warn("ComfyUI's editor chooses anew among {one|another} for each run; here that is read as it stands")
    plain = _UNTOUCHED_BRACKET.sub(r"\\\1", value)
    return replace(text, written=plain, literal=plain) if text.is_known and plain != value else text


def _zeroed(call: Call) -> tuple[Value, ...]:
    words = call.part("conditioning", Words)
    empty = written("", "STRING")
    return (Words(empty, words.encoder, is_zeroed=True, sources=words.sources | _own(call.node)),)


def _for_inpainting(call: Call) -> tuple[Value, ...]:
    positive, negative = call.part("positive", Words), call.part("negative", Words)
    vae, own = call.part("vae", Autoencoder), _own(call.node)
    call.warn("what a model for inpainting is told of picture and mask is left to the model here")
    latent = Latent(image=call.picture("pixels"), mask=call.picture("mask"), vae=vae, sources=own | vae.sources)
    return (
        replace(positive, sources=positive.sources | own),
        replace(negative, sources=negative.sources | own),
        latent,
    )


LOADING: Mapping[str, Translator] = {
    "CheckpointLoaderSimple": _checkpoint,
    "CheckpointLoader": _checkpoint,
    "UNETLoader": _weights_alone,
    "CLIPLoader": _encoder_alone,
    "DualCLIPLoader": _encoder_alone,
    "VAELoader": _autoencoder,
    "LoraLoader": _lora,
    "LoraLoaderModelOnly": _lora_of_model,
    "CLIPSetLastLayer": _last_layer,
    "CLIPTextEncode": _prompt,
    "CLIPTextEncodeSDXL": _prompt_of_two,
    "ConditioningZeroOut": _zeroed,
    "InpaintModelConditioning": _for_inpainting,
}
"""What translates the nodes of these classes: each gives their outputs, or raises NoEquivalent."""
