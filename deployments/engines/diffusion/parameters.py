"""How a picture was made, as text in its file: the lines that the widely used interfaces write and read back.

a large red circle
Negative prompt: blurry
Steps: 25, Sampler: euler, CFG scale: 7.5, Seed: 1, Size: 128x128, Model: shapes-sd, Version: slipway
"""

from collections.abc import Mapping

from deployments.engines.diffusion.request import ImageRequest

_VERSION = "slipway"


def parameters_of(request: ImageRequest, index: int, model: str) -> Mapping[str, str]:
    """The text of image `index`, under the name it is looked for."""
    settings = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "CFG scale": f"{request.guidance_scale:g}",
        "Seed": request.seed + index,
        "Size": f"{request.width}x{request.height}",
        "Model": model,
    }
    if request.source is not None:
        settings["Denoising strength"] = f"{request.source.strength:g}"
    settings["Version"] = _VERSION
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return {"parameters": "\n".join(lines)}
