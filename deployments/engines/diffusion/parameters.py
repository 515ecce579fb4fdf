"""How a picture was made, as text in its file: the lines that the widely used interfaces write and read back.

a large red circle
Negative prompt: blurry
Steps: 25, Sampler: euler, CFG scale: 7.5, Seed: 1, Size: 128x128, Model: shapes-sd, Adapters: "stripes@1f0c9ab2: 0.8,
outline@00c1d2e3: 1", Version: slipway

An adapter is its name, the first 8 digits of its version's digest, and its scale; values with commas are in quotes.
"""

import json
from collections.abc import Mapping

from deployments.engines.diffusion.request import ImageRequest
from serve.domain.adapters import parse_id

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
    if request.mixture is not None:
        settings["Adapters"] = json.dumps(", ".join(_told(a.id, scale) for a, scale in request.mixture.adapters))
    settings["Version"] = _VERSION
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return {"parameters": "\n".join(lines)}


def _told(adapter_id: str, scale: float) -> str:
    version = parse_id(adapter_id)
    return f"{version.name}@{version.digest.removeprefix('sha256:')[:8]}: {scale:g}"
