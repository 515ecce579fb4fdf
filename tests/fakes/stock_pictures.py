"""One picture by a stock pipeline of diffusers, alone: what every batch of ours is held against."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from deployments.engines.diffusion.request import ImageRequest, Pixels


def painted_alone(pipeline: Any, request: ImageRequest, index: int) -> tuple[torch.Tensor, Pixels]:
    """(latents, pixels) of image `index` of `request`, from the random numbers that ours draws."""
    given: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or None,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "generator": torch.Generator("cpu").manual_seed(request.seed + index),
    }
    source = request.source
    if source is not None:
        given |= {"image": Image.fromarray(source.image), "strength": source.strength}
    if source is None or source.mask is not None:
        given |= {"width": request.width, "height": request.height}
    if source is not None and source.mask is not None:
        given["mask_image"] = Image.fromarray(source.mask)
    seen: list[torch.Tensor] = []

    def keep(_: Any, __: int, ___: Any, values: dict[str, Any]) -> dict[str, Any]:
        seen.append(values["latents"].clone())
        return values

    with torch.inference_mode():
        image = pipeline(**given, output_type="np", callback_on_step_end=keep).images[0]
    return seen[-1][0], (image * 255).round().astype(np.uint8)
