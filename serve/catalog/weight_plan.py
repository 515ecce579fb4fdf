"""What to do with a source's files, decided from their names alone: fetch, use, pass over, convert, refuse; and why."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from serve.catalog.diffusers_layout import MODEL_INDEX, DiffusersLayout
from serve.catalog.sources.source import Listing, RemoteFile, refusal

MAX_FILES = 10_000
MAX_SEGMENT_LENGTH = 255

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh")
_NEEDED = (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken", ".vocab", ".merges", ".spm")
_OTHER_FORMATS = frozenset({"original", "metal", "onnx", "openvino", "coreml", "flax", "tf"})
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\\:]")


class Action(StrEnum):
    """What happens to a file."""

    FETCH = "fetch"
    USE = "use"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Decision:
    """One file's fate, and the reason as text."""

    file: RemoteFile
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class WeightPlan:
    """Every file's fate. `convert` names the GGUF file that is made into safetensors, if that is how it is."""

    decisions: tuple[Decision, ...]
    convert: str | None

    @property
    def chosen(self) -> tuple[RemoteFile, ...]:
        """The files that make the weights, by path."""
        return tuple(d.file for d in self.decisions if d.action is not Action.SKIP)

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.chosen)


def plan_weights(listing: Listing, passes_over_pickles: bool, variant: str | None = None) -> WeightPlan:
    """The plan for `listing`; `variant` is which of several precisions of a diffusers repository is wanted.

    Raises:
        InvalidRequest: unsafe_path, too_many_files, pickle_refused, code_refused, no_weights, ambiguous_weights,
            variant_missing.
    """
    _check_paths([file.path for file in listing.files])
    formats = [file.path for file in listing.files if file.path.endswith(".safetensors")]
    ggufs = [file.path for file in listing.files if file.path.endswith(".gguf")]
    _check_contents(listing.files, passes_over_pickles and bool(formats))
    if not formats and len(ggufs) > 1:
        raise refusal("ambiguous_weights", f"there are {len(ggufs)} GGUF files; name one: {', '.join(ggufs[:5])}")
    if not formats and not ggufs:
        raise refusal("no_weights", "there is no safetensors file (and no GGUF file) in it")
    taking = Action.USE if listing.root else Action.FETCH
    if any(file.path == MODEL_INDEX for file in listing.files):
        return _diffusers_plan(listing, taking, variant)
    decided = (_decide(file, taking, formats, bool(ggufs and not formats)) for file in listing.files)
    return WeightPlan(
        tuple(sorted(decided, key=lambda d: d.file.path)), convert=ggufs[0] if ggufs and not formats else None
    )


def _diffusers_plan(listing: Listing, taking: Action, variant: str | None) -> WeightPlan:
    layout = DiffusersLayout((file.path for file in listing.files), variant)
    decided = []
    for file in sorted(listing.files, key=lambda file: file.path):
        is_part, reason = layout.verdict(file.path)
        decided.append(Decision(file, taking if is_part else Action.SKIP, reason))
    return WeightPlan(tuple(decided), convert=None)


def _decide(file: RemoteFile, taking: Action, formats: list[str], is_converted: bool) -> Decision:
    name = file.path.rsplit("/", 1)[-1]
    if is_converted:
        if name.endswith(".gguf"):
            return Decision(file, taking, "converted into safetensors, once")
        return Decision(file, Action.SKIP, "a GGUF file carries its own configuration and tokenizer")
    if file.path.split("/", 1)[0] in _OTHER_FORMATS and "/" in file.path:
        return Decision(file, Action.SKIP, "the same model in another format")
    if name.startswith("consolidated") and any(not _is_consolidated(path) for path in formats):
        return Decision(file, Action.SKIP, "the same tensors as the other safetensors files")
    if name.endswith(_PICKLES):
        return Decision(file, Action.SKIP, "a pickle beside safetensors; pickles are never fetched")
    if not name.endswith(_NEEDED):
        return Decision(file, Action.SKIP, "not needed to serve the model")
    return Decision(file, taking, "weights" if name.endswith(".safetensors") else "configuration or tokenizer")


def _is_consolidated(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith("consolidated")


def _check_paths(paths: list[str]) -> None:
    if len(paths) > MAX_FILES:
        raise refusal("too_many_files", f"there are {len(paths)} files; a model has at most {MAX_FILES}")
    if len(set(paths)) != len(paths):
        raise refusal("unsafe_path", "two files have the same path")
    for path in paths:
        if not _is_safe(path):
            raise refusal("unsafe_path", f"{path[:200]!r} is not a path inside the model's folder")


def _is_safe(path: str) -> bool:
    segments = path.split("/")
    if _UNPRINTABLE.search(path) or not path.isprintable():
        return False
    return all(s not in ("", ".", "..") and len(s.encode()) <= MAX_SEGMENT_LENGTH for s in segments)


def _check_contents(files: Iterable[RemoteFile], passes_over_pickles: bool) -> None:
    for file in files:
        name = file.path.lower()
        if name.endswith(_CODE):
            raise refusal("code_refused", f"{file.path} is code, and models that bring code are not served")
        if name.endswith(_PICKLES) and not passes_over_pickles:
            raise refusal(
                "pickle_refused",
                f"{file.path} is a pickle, and loading one runs what it says; convert the weights to safetensors",
            )
