"""The served model that a checkpoint's file name means, if there is one beyond doubt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from serve.domain.task import Task
from serve.workflow.facts import ModelFacts

_FILE = re.compile(r"\.(safetensors|ckpt|pt|pth|bin|gguf|sft)$")
_FAMILIES = (
    (re.compile(r"^(stable[-_ ]?diffusion|sd)?[-_ ]?v?1[-_. ]?5(?![0-9])"), "sd15 "),
    (re.compile(r"^(stable[-_ ]?diffusion[-_ ]?xl|sd[-_ ]?xl)(?![0-9])"), "sdxl "),
    (re.compile(r"^(stable[-_ ]?diffusion|sd)?[-_ ]?v?2[-_. ]?1(?![0-9])"), "sd21 "),
)
"""The names that these have been published under."""
_INPAINTING = re.compile(r"\binpaint(ing)?\b")
_SAYS_NOTHING = frozenset(
    {"base", "pruned", "emaonly", "ema", "only", "nonema", "fp32", "fp16", "bf16", "fp8", "e4m3fn", "vae", "v1", "v10"}
    | {"0", "1", "9vae", "0vae", "official", "model", "checkpoint"}
)
"""How a file is stored, or which version of it: the weights are meant to be the same."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """`name` of a served model, or None with the reason. `is_guess`: the names are not the same."""

    name: str | None
    is_guess: bool = False
    reason: str = ""


def model_for(checkpoint: str, task: Task, models: Mapping[str, ModelFacts], chosen: Mapping[str, str]) -> ModelChoice:
    """The model for a checkpoint: the one that was chosen, the one of this name, or the only one of a name that says
    the same; of those that do `task`. A fine-tuned checkpoint is never taken for what it was made from."""
    for key in (checkpoint, stem_of(checkpoint)):
        if key in chosen:
            return ModelChoice(chosen[key])
    able = [name for name, facts in models.items() if task in facts.tasks]
    plain = _plain(stem_of(checkpoint))
    if same := [name for name in able if _plain(name) == plain]:
        return ModelChoice(same[0])
    meaning = _meaning(checkpoint)
    like = [name for name in able if meaning and _meaning(name) == meaning]
    if len(like) == 1:
        return ModelChoice(like[0], is_guess=True)
    if like:
        return ModelChoice(None, reason=f"it may be each of {', '.join(sorted(like)[:8])}: choose one")
    return ModelChoice(None, reason=f"no served model that does {task} has its name: choose one")


def stem_of(name: str) -> str:
    """The name of a file without folder and ending."""
    last = re.split(r"[\\/]", name.strip())[-1]
    return _FILE.sub("", last) or last


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _meaning(name: str) -> frozenset[str]:
    text = stem_of(name).lower()
    for known, word in _FAMILIES:
        text = known.sub(word, text, count=1)
    words = re.split(r"[^a-z0-9]+", _INPAINTING.sub("inpainting", text.replace("_", " ").replace("-", " ")))
    return frozenset(word for word in words if word and word not in _SAYS_NOTHING)
