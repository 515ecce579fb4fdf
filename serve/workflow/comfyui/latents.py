"""Latents: empty ones, those of pictures, and the way back to pictures."""

import math
from collections.abc import Mapping
from dataclasses import replace

from serve.workflow.comfyui.loading import Translator
from serve.workflow.comfyui.translation import Call
from serve.workflow.comfyui.values import Autoencoder, Flow, Latent, NoEquivalent, Value, written
from serve.workflow.nodes.masks import MAX_GROWTH


def _empty(call: Call) -> tuple[Value, ...]:
    width, height = call.flow("width", 512), call.flow("height", 512)
    count = call.flow("batch_size", 1)
    sources = frozenset({call.node.id}) | width.sources | height.sources | count.sources
    return (Latent(width, height, count, sources=sources),)


def _encoded(call: Call) -> tuple[Value, ...]:
    vae = call.part("vae", Autoencoder)
    sources = frozenset({call.node.id}) | vae.sources
    return (Latent(image=call.picture("pixels"), vae=vae, sources=sources),)


def _encoded_for_inpainting(call: Call) -> tuple[Value, ...]:
    vae, image, mask = call.part("vae", Autoencoder), call.picture("pixels"), call.picture("mask")
    growth = int(call.number("grow_mask_by", 6))
    reach = math.ceil((growth - 1) / 2)
    if reach > MAX_GROWTH:
        raise NoEquivalent(f"a mask can grow by at most {MAX_GROWTH} pixels here")
    if reach > 0:
        grown = call.operate("mask.grow", {"mask": mask, "pixels": written(reach, "INT")}, "mask")
        mask = grown.out("mask", "MASK")
    sources = frozenset({call.node.id}) | vae.sources
    return (Latent(image=image, mask=mask, vae=vae, sources=sources),)


def _masked(call: Call) -> tuple[Value, ...]:
    latent, mask = call.part("samples", Latent), call.picture("mask")
    if latent.image is None:
        raise NoEquivalent("a mask on a latent without a picture leaves nothing to keep")
    return (replace(latent, mask=mask, is_sampled=False, sources=latent.sources | {call.node.id}),)


def _repeated(call: Call) -> tuple[Value, ...]:
    latent, amount = call.part("samples", Latent), call.flow("amount", 1)
    before = latent.num_images
    if latent.is_sampled or (latent.image is not None and latent.image.is_list):
        raise NoEquivalent("it repeats several pictures at once")
    if before is not None and before.literal != 1:
        if not (_is_count(before) and _is_count(amount)):
            raise NoEquivalent("it repeats a batch whose size is computed")
        amount = replace(amount, written=(count := before.literal * amount.literal), literal=count)
    return (replace(latent, num_images=amount, sources=latent.sources | {call.node.id} | amount.sources),)


def _is_count(flow: Flow) -> bool:
    return isinstance(flow.literal, int) and not isinstance(flow.literal, bool)


def _decoded(call: Call) -> tuple[Value, ...]:
    latent, vae = call.part("samples", Latent), call.part("vae", Autoencoder)
    if latent.image is None:
        raise NoEquivalent("it decodes a latent that no model has worked on")
    if not latent.is_sampled:
        call.warn("a picture that was only encoded and decoded is taken as it was")
    elif vae.file is not None:
        call.warn(f"the VAE {vae.file[:80]} is not used: pictures are decoded by the model's own")
    elif latent.vae is not None and latent.vae.loader != vae.loader:
        call.warn("it decodes with another checkpoint's VAE; here pictures are decoded by the model's own")
    call.credit(latent.image)
    for source in vae.sources | (frozenset() if latent.is_sampled else latent.sources):
        call.translation.credit(source, *call.translation.became.get(call.node.id, []))
    return (latent.image,)


LATENTS: Mapping[str, Translator] = {
    "EmptyLatentImage": _empty,
    "EmptySD3LatentImage": _empty,
    "VAEEncode": _encoded,
    "VAEEncodeForInpaint": _encoded_for_inpainting,
    "SetLatentNoiseMask": _masked,
    "RepeatLatentBatch": _repeated,
    "VAEDecode": _decoded,
    "VAEDecodeTiled": _decoded,
}
