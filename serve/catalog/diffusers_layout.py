"""Which files of a diffusers repository make the model: one set of safetensors per component, and nothing else.

Real repositories hold the same tensors up to eight times: whole checkpoints beside the components, pickles, other
precisions (`*.fp16.*`, `*.non_ema.*`), ONNX, OpenVINO, Flax; and components that serving has no use for.
Names as diffusers writes them: https://huggingface.co/docs/diffusers/using-diffusers/other-formats
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from serve.catalog.sources.source import refusal

MODEL_INDEX = "model_index.json"
_COMPONENT = re.compile(r"(unet|transformer|vae|text_encoder|tokenizer|scheduler)(_\d)?")
_NETWORKS = re.compile(r"(unet|transformer|vae|text_encoder)(_\d)?")
_WEIGHTS = re.compile(
    r"(diffusion_pytorch_model|model)(\.(?P<before>\w+))?(-\d{5}-of-\d{5})?(\.(?P<after>[a-z]\w*))?\.safetensors"
)
_INDEX = re.compile(r"(diffusion_pytorch_model|model)\.safetensors\.index(\.(?P<variant>\w+))?\.json")
_PLAIN = ""


class DiffusersLayout:
    """The paths of one repository, and the variant that is wanted of its weights."""

    def __init__(self, paths: Iterable[str], variant: str | None) -> None:
        """Raises InvalidRequest: `no_weights`, `variant_missing`."""
        self._variants: dict[str, set[str]] = defaultdict(set)
        folders = set()
        for path in paths:
            folder, _, name = path.rpartition("/")
            if _COMPONENT.fullmatch(folder):
                folders.add(folder)
                if _WEIGHTS.fullmatch(name):
                    self._variants[folder].add(_variant(name))
        self._wanted = variant or _PLAIN
        self._check(folders)

    def _check(self, folders: Iterable[str]) -> None:
        """Every network has the wanted weights: a model loaded from some of each is nobody's model."""
        for folder in sorted(filter(_NETWORKS.fullmatch, folders)):
            there = self._variants[folder]
            if self._wanted not in there:
                wanted = f"of the variant {self._wanted}" if self._wanted else "without a variant"
                told = ", ".join(sorted(each or "plain ones" for each in there)) or "none"
                code = "variant_missing" if there else "no_weights"
                raise refusal(code, f"{folder}/ has no safetensors {wanted} (spec.engine.variant); there are {told}")

    def verdict(self, path: str) -> tuple[bool, str]:
        """Whether the file is part of the model, and why."""
        folder, _, name = path.rpartition("/")
        if path == MODEL_INDEX:
            return True, "the list of components"
        if not _COMPONENT.fullmatch(folder):
            return False, "not in a component that is served"
        if name.endswith(".safetensors"):
            is_chosen = _WEIGHTS.fullmatch(name) is not None and _variant(name) == self._wanted
            return is_chosen, "weights" if is_chosen else "another variant, or the same tensors again"
        if found := _INDEX.fullmatch(name):
            is_chosen = (found["variant"] or _PLAIN) == self._wanted
            return is_chosen, "the list of shards" if is_chosen else "the shards of another variant"
        is_needed = name.endswith((".json", ".txt", ".model"))
        return is_needed, "configuration or tokenizer" if is_needed else "not needed to serve the model"


def _variant(name: str) -> str:
    found = _WEIGHTS.fullmatch(name)
    return (found["before"] or found["after"] or _PLAIN) if found else _PLAIN
