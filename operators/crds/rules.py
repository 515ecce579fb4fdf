"""What holds between the fields of a document, as the API server checks it: rules in CEL, each with its sentence.

They say again what the validators of `serve.domain` say, so that a wrong document is refused when it is applied; a test
holds each against the other. A rule looks at a field only after `has()`: the server also checks the defaults of a
schema, which are sparse. What needs another resource, as a pool does, is a condition and no rule.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import AfterValidator

from serve.domain.documents import ENGINES
from serve.domain.money import UsdText
from serve.domain.names import MAX_NAME_LENGTH, Digest, Name
from serve.domain.port_types import Kind, TypeText
from serve.domain.task import TASKS, Family
from serve.domain.workflow import MAX_NODES

LABEL_PATTERN = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
NAME_FORM = {"pattern": f"^{LABEL_PATTERN}$", "minLength": 1, "maxLength": MAX_NAME_LENGTH}
_DIGEST_PATTERN = "sha256:[0-9a-f]{64}"
_ADAPTER_PATTERN = f"{LABEL_PATTERN}/{LABEL_PATTERN}"
_MAX_ADAPTER = 2 * MAX_NAME_LENGTH + 1
_MAX_DIGEST = len("sha256:") + 64
_KINDS = "|".join(Kind)


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression that holds of `self`, and what to say where it does not."""

    rule: str
    message: str
    field_path: str = ""
    """The field that the message is about, from `self`: `.family`."""

    def as_schema(self) -> dict[str, str]:
        """As `x-kubernetes-validations` has it."""
        about = {"fieldPath": self.field_path} if self.field_path else {}
        return {"rule": self.rule, "message": self.message} | about


@dataclass(frozen=True, slots=True)
class Change:
    """What the schema of one field is given besides what pydantic says, and what it is spared."""

    without: Collection[str] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)


def _validator(annotated: Any) -> Callable[..., Any]:
    """The function that checks a type of ours."""
    (check,) = [one for one in get_args(annotated) if isinstance(one, AfterValidator)]
    return check.func


FORMS: dict[Callable[..., Any], dict[str, Any]] = {
    _validator(Name): NAME_FORM,
    _validator(Digest): {"pattern": f"^{_DIGEST_PATTERN}$", "maxLength": _MAX_DIGEST},
    _validator(UsdText): {"pattern": r"^([0-9]{1,6}(\.[0-9]{1,18})?|1000000(\.0{1,18})?)$", "maxLength": 26},
    _validator(TypeText): {"pattern": rf"^({_KINDS}|list\[({_KINDS})\])$", "maxLength": 20},
}
"""How the types look whose validators are functions."""

CHANGES: dict[tuple[str, str], Change] = {
    ("ImageSpec", "tag"): Change(without={"default"}, beside={"maxLength": 128}),
    ("ImageSpec", "gpuTag"): Change(without={"default"}, beside={"maxLength": 128}),
    ("RaySpec", "version"): Change(without={"default"}),
    ("Scaling", "replicas"): Change(without={"nullable"}),
    ("Scaling", "minReplicas"): Change(without={"default"}),
    ("Scaling", "maxReplicas"): Change(without={"default"}),
    ("AdapterPolicy", "pinned"): Change(
        beside={
            "items": {
                "type": "string",
                "pattern": f"^{_ADAPTER_PATTERN}(@{_DIGEST_PATTERN})?$",
                "maxLength": _MAX_ADAPTER + 1 + _MAX_DIGEST,
            }
        }
    ),
    ("PlatformSpec", "pools"): Change(beside={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ("WorkflowSpec", "nodes"): Change(beside={"maxProperties": MAX_NODES}),
}
"""By class and field. The server writes defaults into the resource when it is made, for good: versions stay the
operator's own, and a range of replicas that nobody wrote would stand in the way of `kubectl scale`. Null there would
stop it, too."""


def _at_most(smaller: str, larger: str, defaults: tuple[int, int]) -> str:
    low, high = (f"(has(self.{n}) ? self.{n} : {d})" for n, d in zip((smaller, larger), defaults, strict=True))
    return f"{low} <= {high}"


def _all_differ(items: str, key: str) -> str:
    return f"!has(self.{items}) || self.{items}.all(a, self.{items}.exists_one(b, b.{key} == a.{key}))"


def _quoted(words: Collection[str]) -> str:
    return f"[{', '.join(repr(str(word)) for word in words)}]"


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _of_family(family: Family) -> list[Rule]:
    tasks = sorted(str(task) for task, traits in TASKS.items() if family in traits.families)
    kinds = [str(get_args(engine.model_fields["kind"].annotation)[0]) for engine in ENGINES[family]]
    other = f"self.family != '{family}'"
    return [
        Rule(
            f"{other} || self.tasks.all(task, task in {_quoted(tasks)})",
            f"a model of the family {family} does {either(tasks)}",
            ".tasks",
        ),
        Rule(
            f"{other} || self.engine.kind in {_quoted(kinds)}",
            f"the family {family} is served by the engine {either(kinds)}",
            ".engine",
        ),
    ]


RULES: dict[str, tuple[Rule, ...]] = {
    "Toleration": (
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "a toleration with the operator Exists has no value",
        ),
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "a toleration without a key tolerates everything: its operator is Exists",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds goes with the effect NoExecute",
        ),
    ),
    "ImageSpec": tuple(
        Rule(
            f"!has(self.{name}) || self.{name} != 'latest'",
            "the tag latest is whatever was pushed last: name a version",
            f".{name}",
        )
        for name in ("tag", "gpuTag")
    ),
    "CacheVolume": (
        Rule(
            "!has(self.storageClass) || !has(self.claim)",
            "a storage class makes a volume for each pod, a claim is shared by all; name one",
        ),
    ),
    "GatewaySpec": (
        Rule(_at_most("minReplicas", "maxReplicas", (1, 1)), "minReplicas is more than maxReplicas"),
        Rule(
            "!has(self.expose) || self.expose != 'gateway' || has(self.parent)",
            "expose gateway needs parent, the Gateway that routes here",
        ),
    ),
    "PlatformDocument": (
        Rule(
            "self.metadata.name.matches('^[a-z]')",
            "a Service is named after a Platform, so its name begins with a letter",
        ),
    ),
    "Pool": (
        Rule("self.name != 'headgroup'", "headgroup is Ray's own name for its head; choose another", ".name"),
        Rule(_at_most("minNodes", "maxNodes", (0, 1)), "minNodes is more than maxNodes"),
        Rule(
            "!has(self.cpu) || !self.cpu || "
            "(!has(self.accelerator) && (!has(self.gpusPerNode) || self.gpusPerNode == 0))",
            "cpu says that the pool has no GPUs; leave out accelerator and gpusPerNode",
        ),
        Rule(
            "!has(self.accelerator) || (has(self.gpusPerNode) && self.gpusPerNode > 0) || (has(self.cpu) && self.cpu)",
            "accelerator names the pool's GPUs; say how many with gpusPerNode",
        ),
    ),
    "Placement": (
        Rule(
            "!has(self.gpus) || self.gpus <= 1.0 || double(int(self.gpus)) == self.gpus",
            "gpus above 1 is a whole number: a replica takes whole GPUs, or a share of one",
            ".gpus",
        ),
    ),
    "Scaling": (
        Rule(
            "!has(self.replicas) || (!has(self.minReplicas) && !has(self.maxReplicas))",
            "replicas is a fixed number, minReplicas and maxReplicas are a range: say one of them; to scale a model by "
            "hand, take its range away",
        ),
        Rule(_at_most("minReplicas", "maxReplicas", (0, 1)), "minReplicas is more than maxReplicas"),
    ),
    "Prices": (
        Rule(
            _all_differ("tiers", "abovePromptTokens"),
            "two tiers begin above the same number of prompt tokens",
            ".tiers",
        ),
        Rule(
            _all_differ("imageSizes", "upToPixels"),
            "two prices are for images up to the same number of pixels",
            ".imageSizes",
        ),
        Rule(
            f"!has(self.adapters) || self.adapters.all(name, name.matches('^{_ADAPTER_PATTERN}$'))",
            "adapters are named as tenant/name, without a digest",
            ".adapters",
        ),
    ),
    "ModelSpec": (
        Rule(
            "self.family == oldSelf.family",
            "the family is fixed once the model is there: its clients call it by this name for what it does; delete "
            "the Model and apply it again, or give the new one another name",
            ".family",
        ),
        *(rule for family in Family for rule in _of_family(family)),
        Rule("has(self.weights) || self.engine.kind == 'echo'", "every engine but echo needs weights", ".weights"),
        Rule(
            "!has(self.adapters) || !has(self.adapters.enabled) || !self.adapters.enabled || "
            "!(self.engine.kind == 'transformers' || (has(self.engine.runner) && self.engine.runner == 'pooling'))",
            "an engine that makes vectors takes no adapters",
            ".adapters",
        ),
    ),
}
"""By class."""
