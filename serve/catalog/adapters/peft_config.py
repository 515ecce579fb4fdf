"""What a PEFT configuration says of scales: `adapter_config.json`, and the copy that diffusers writes as metadata.

Patterns are matched as PEFT matches them (the end of the module's name; the first that fits wins), except that they
come from strangers: plain names are looked up, and of real expressions only those are run whose worst case is short.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.catalog.adapters.modules import CONFIG_FILE, MAX_RANK, refused
from serve.domain.errors import InvalidRequest

MAX_CONFIG_BYTES = 2**20
_MAX_EXPRESSION_LENGTH = 200
_MAX_REPEATS, _MAX_CHOICES = 2, 6
_MAX_STEPS = 200_000_000
"""Of matching, by the worst case of every expression on every module: a second or two."""
_PLAIN = re.compile(r"\^?(?P<name>[\w.]|\\\.)+\$?", re.ASCII)
_SAFE = re.compile(r"(?:[\w.|^$()]|\\[.d]|\[0-9\]|(?:\.|\\d|\[0-9\])[*+](?![*+?{]))*", re.ASCII)
_NOT_SERVED = (
    *("modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication", "megatron_config"),
    *("use_qalora", "use_bdlora", "arrow_config", "kasa_config", "lora_bias", "alora_invocation_tokens"),
)
_KINDS = ("LORA", "LOHA", "LOKR")
_CHANGES_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Ways to begin a training that take something out of the base's weights: the adapter alone is not the whole change."""


class Patterns:
    """Numbers by pattern of module names."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        """Raises InvalidRequest: `adapter_config_invalid`, for an expression that is too much to run."""
        self._order = {pattern: index for index, pattern in enumerate(numbers)}
        self._numbers = list(numbers.values())
        self._plain: dict[str, int] = {}
        self._whole: dict[str, int] = {}
        self._expressions: list[_Expression] = []
        self._steps_left = _MAX_STEPS
        for pattern, index in self._order.items():
            self._add(pattern, index)

    def _add(self, pattern: str, index: int) -> None:
        if _PLAIN.fullmatch(pattern):
            name = pattern.removesuffix("$").replace("\\.", ".")
            table = self._whole if name.startswith("^") else self._plain
            table.setdefault(name.removeprefix("^"), index)
        else:
            self._expressions.append(_compiled(pattern, index))

    def of(self, module: str) -> float | None:
        """The number of the first pattern that fits the end of `module`.

        Raises:
            InvalidRequest: `adapter_config_invalid`: the expressions and modules together are too much.
        """
        words = module.split(".")
        ends = (".".join(words[at:]) for at in range(len(words)))
        fitting = [self._plain[end] for end in ends if end in self._plain]
        if module in self._whole:
            fitting.append(self._whole[module])
        fitting += [each.index for each in self._expressions if self._matches(each, module)]
        return self._numbers[min(fitting)] if fitting else None

    def _matches(self, expression: "_Expression", module: str) -> bool:
        self._steps_left -= expression.num_steps(len(module))
        if self._steps_left < 0:
            raise _invalid("its patterns are too much to run for so many modules: write the modules' names instead")
        return expression.compiled.match(module) is not None


@dataclass(frozen=True, slots=True)
class _Expression:
    """A pattern that is more than a name; `index` is its turn among all."""

    index: int
    compiled: re.Pattern[str]
    num_repeats: int
    num_choices: int

    def num_steps(self, length: int) -> int:
        """The most that matching a name of this length takes: every way to cut it between what repeats (the start is
        one), times every way to choose."""
        return math.comb(length + self.num_repeats + 1, self.num_repeats + 1) << self.num_choices


def _compiled(pattern: str, index: int) -> _Expression:
    """Repetition inside a group that repeats is what takes forever; none is let in."""
    num_repeats, num_choices = len(re.findall(r"[*+]", pattern)), pattern.count("|")
    is_short = len(pattern) <= _MAX_EXPRESSION_LENGTH and num_repeats <= _MAX_REPEATS and num_choices <= _MAX_CHOICES
    if not is_short or not _SAFE.fullmatch(pattern):
        raise _invalid(f"the pattern {pattern[:80]!r} is not run: write the modules' names instead")
    try:
        return _Expression(index, re.compile(rf"(.*\.)?({pattern})$"), num_repeats, num_choices)
    except (re.error, RecursionError, OverflowError):
        raise _invalid(f"the pattern {pattern[:80]!r} is no regular expression") from None


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """The part of a configuration that numbers depend on."""

    kind: str
    rank: int
    alpha: float
    is_rank_stabilized: bool
    ranks: Patterns
    alphas: Patterns
    base_model: str
    """What the configuration says the base is; told, never trusted."""

    def rank_of(self, module: str) -> int:
        """What the configuration says the module's rank is."""
        return int(self.ranks.of(module) or self.rank)

    def scale_of(self, module: str) -> float:
        """Alpha over the rank, or over its square root (rsLoRA)."""
        alpha, rank = self.alphas.of(module), self.rank_of(module)
        alpha = self.alpha if alpha is None else alpha
        return alpha / math.sqrt(rank) if self.is_rank_stabilized else alpha / rank


def read_config(folder: Path) -> PeftConfig | None:
    """The folder's `adapter_config.json`, if it has one.

    Raises:
        InvalidRequest: adapter_config_invalid, adapter_unsupported, adapter_rank.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        return None
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise _invalid(f"{CONFIG_FILE} is larger than {MAX_CONFIG_BYTES} bytes")
    return config_of(path.read_bytes())


def config_of(text: bytes) -> PeftConfig:
    """The configuration in the bytes of an `adapter_config.json`. Raises what `read_config` does."""
    return parse_config(_json(text, CONFIG_FILE))


def metadata_configs(metadata: Mapping[str, str]) -> dict[str, PeftConfig]:
    """Configurations by component, from what diffusers writes into a file: `unet.lora_alpha` and so on."""
    text = metadata.get("lora_adapter_metadata")
    if text is None:
        return {}
    if len(text) > MAX_CONFIG_BYTES:
        raise _invalid(f"lora_adapter_metadata is longer than {MAX_CONFIG_BYTES} characters")
    by_component: dict[str, dict[str, Any]] = {}
    for key, value in _json(text.encode(), "lora_adapter_metadata").items():
        component, _, name = key.partition(".")
        by_component.setdefault(component, {})[name] = value
    return {component: parse_config({"peft_type": "LORA"} | body) for component, body in by_component.items()}


def parse_config(body: Mapping[str, Any]) -> PeftConfig:
    """Raises what `read_config` does."""
    kind = str(body.get("peft_type", "")).upper()
    if kind not in _KINDS:
        raise refused(
            "adapter_unsupported", f"{CONFIG_FILE} has peft_type {kind[:40]!r}; served are {', '.join(_KINDS)}"
        )
    for key in _NOT_SERVED:
        if body.get(key):
            raise refused("adapter_unsupported", f"{CONFIG_FILE} has {key}, which is not served; train without it")
    if str(start := body.get("init_lora_weights", "")).lower().startswith(_CHANGES_BASE):
        raise refused(
            "adapter_unsupported",
            f"{CONFIG_FILE} has init_lora_weights {str(start)[:40]!r}, which changed the base that it was trained on: "
            "it fits no other. Save it with path_initial_model_for_weight_conversion, which makes it one of the base",
        )
    if body.get("bias", "none") != "none":
        raise refused("adapter_unsupported", f"{CONFIG_FILE} has trained biases; train with bias: none")
    rank = _number(body.get("r", 8), "r")
    _check_rank(rank)
    ranks = _numbers(body, "rank_pattern")
    for each in ranks.values():
        _check_rank(each)
    alpha = _number(body.get("lora_alpha" if kind == "LORA" else "alpha", 8), "alpha")
    alphas = Patterns(_numbers(body, "alpha_pattern"))
    is_rank_stabilized = body.get("use_rslora") is True
    base_model = str(body.get("base_model_name_or_path") or "")
    return PeftConfig(kind, int(rank), alpha, is_rank_stabilized, Patterns(ranks), alphas, base_model)


def _check_rank(rank: float) -> None:
    if not 1 <= rank <= MAX_RANK:
        raise refused("adapter_rank", f"{CONFIG_FILE} has rank {rank:g}; ranks from 1 to {MAX_RANK} are served")


def _numbers(body: Mapping[str, Any], key: str) -> dict[str, float]:
    pattern = body.get(key) or {}
    if not isinstance(pattern, dict):
        raise _invalid(f"{key} is not numbers by pattern")
    return {name: _number(value, key) for name, value in pattern.items()}


def _number(value: Any, key: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 2**31
    if not is_number:
        raise _invalid(f"{key} is {str(value)[:40]}, which is no number to scale by")
    return float(value)


def _json(text: bytes, name: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise _invalid(f"{name} is not JSON") from None
    if not isinstance(body, dict):
        raise _invalid(f"{name} is not a JSON object")
    return body


def _invalid(why: str) -> InvalidRequest:
    return refused("adapter_config_invalid", why)
