"""Diffusion batched at the denoising step: requests join and leave a running batch, as tokens do in a language model.

    lane       the images of one shape: they can share a forward pass
    slot       one image being made: its latents, history, embeddings, sampler
    row        one line of a forward pass; an image with guidance takes two, one without takes one
    mixture    the adapters of one call and their scales: in an arena, which gives each row its own, or merged into
               weights, which a lane has in common

What this package knows: UNet models of the Stable Diffusion 1.5 and XL kind, on a CPU or a GPU. What it does not: Ray,
HTTP, assets, tenants. `front.py` alone speaks the platform's vocabulary; everything under it runs by itself, which is
how the benchmarks drive it.
"""
