"""The four kinds, as `kubectl` knows them: their names, what a listing shows, and their definitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from operators.crds.rules import NAME_FORM, RULES
from operators.crds.statuses import (
    AdapterResourceStatus,
    ModelResourceStatus,
    PlatformResourceStatus,
    ResourceStatus,
    WorkflowResourceStatus,
)
from operators.crds.structural import VALIDATIONS, structural
from operators.state import GROUP
from serve.domain.documents import AdapterDocument, ModelDocument, Spec
from serve.domain.kinds import AnyDocument
from serve.domain.platform import PlatformDocument
from serve.domain.workflow import WorkflowDocument

VERSION = "v1alpha1"
CATEGORY = "slipway"
"""`kubectl get slipway` lists all four kinds."""
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    is_wide: bool = False
    """Whether it is shown with `-o wide` alone."""

    def as_schema(self) -> Manifest:
        """As a definition has it."""
        about = {"description": self.description} if self.description else {}
        wide = {"priority": 1} if self.is_wide else {}
        return {"name": self.name, "type": self.type, "jsonPath": self.path} | about | wide


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """One kind of resource."""

    document: type[AnyDocument]
    status: type[ResourceStatus]
    plural: str
    short: str
    columns: tuple[Column, ...]
    scale: tuple[tuple[str, str], ...] = ()
    """The scale subresource's paths."""
    selectable: tuple[str, ...] = ()
    """Fields that `--field-selector` takes."""
    has_defaults: bool = True
    """Whether the server fills defaults in. Settings gain by that; a workflow's nodes would only grow."""

    @property
    def name(self) -> str:
        """As documents write it: `Model`."""
        return self.document.__name__.removesuffix("Document")

    @property
    def definition_name(self) -> str:
        """Of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


_READY = Column("Ready", _ready("status"), description="Whether it can be used.")
_REASON = Column("Reason", _ready("reason"), description="Why it is, or is not, ready.")
_MESSAGE = Column("Message", _ready("message"), description="The same in a sentence.", is_wide=True)
_AGE = Column("Age", ".metadata.creationTimestamp", "date")

PLATFORM = ResourceKind(
    PlatformDocument,
    PlatformResourceStatus,
    "platforms",
    "plat",
    (
        _READY,
        _REASON,
        Column("Models", ".status.models.total", "integer", "All models."),
        Column("Serving", ".status.models.ready", "integer", "Models that are ready."),
        Column("Endpoint", ".status.endpoint", description="The address within the cluster."),
        Column("Upgrading", '.status.conditions[?(@.type=="Upgrading")].status', is_wide=True),
        Column("URL", ".status.url", description="The address from outside.", is_wide=True),
        Column("Version", ".status.version", is_wide=True),
        Column("Cluster", ".status.activeCluster", description="The RayCluster that serves.", is_wide=True),
        _MESSAGE,
        _AGE,
    ),
)
MODEL = ResourceKind(
    ModelDocument,
    ModelResourceStatus,
    "models",
    "mdl",
    (
        _READY,
        _REASON,
        Column("Replicas", ".status.replicas.ready", "integer", "Replicas that take requests."),
        Column("Wanted", ".status.replicas.desired", "integer", "Replicas that there should be."),
        Column("Pool", ".spec.placement.pool", description="Where they run."),
        Column("GPUs", ".spec.placement.gpus", "number", "GPUs of one replica."),
        Column("Engine", ".spec.engine.kind"),
        Column("Cold start", ".status.coldStartSeconds", "number", "Seconds until a new replica answers."),
        Column("Tasks", ".spec.tasks", description="What it does.", is_wide=True),
        Column("Weights", ".spec.weights.uri", is_wide=True),
        Column("Endpoint", ".status.endpoint", is_wide=True),
        _MESSAGE,
        _AGE,
    ),
    scale=(
        ("specReplicasPath", ".spec.scaling.replicas"),
        ("statusReplicasPath", ".status.replicas.ready"),
        ("labelSelectorPath", ".status.selector"),
    ),
    selectable=(".spec.family", ".spec.placement.pool"),
)
ADAPTER = ResourceKind(
    AdapterDocument,
    AdapterResourceStatus,
    "adapters",
    "lora",
    (
        _READY,
        _REASON,
        Column("Base", ".status.base", description="The model that it fits."),
        Column("Scale", ".spec.defaultScale", "number", "How strong it is where a call does not say."),
        Column("Title", ".spec.title", is_wide=True),
        Column("Tenant", ".status.tenant", is_wide=True),
        Column("Version", ".status.version", description="The digest of its files.", is_wide=True),
        Column("Weights", ".spec.weights.uri", is_wide=True),
        _MESSAGE,
        _AGE,
    ),
)
WORKFLOW = ResourceKind(
    WorkflowDocument,
    WorkflowResourceStatus,
    "workflows",
    "swf",
    (
        _READY,
        _REASON,
        Column("Version", ".status.version", "integer", "The version that was published last."),
        Column("Title", ".spec.title"),
        Column("Tenant", ".status.tenant", is_wide=True),
        _MESSAGE,
        _AGE,
    ),
    has_defaults=False,
)
RESOURCE_KINDS: dict[str, ResourceKind] = {kind.name: kind for kind in (PLATFORM, MODEL, ADAPTER, WORKFLOW)}
"""By the word that documents say of themselves."""


def definition(kind: ResourceKind) -> Manifest:
    """The CustomResourceDefinition of a kind."""
    singular = kind.name.lower()
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": singular,
        "shortNames": [kind.short],
        "categories": [CATEGORY],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.definition_name, "labels": {"app.kubernetes.io/part-of": "slipway"}},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [_version(kind)]},
    }


def _version(kind: ResourceKind) -> Manifest:
    version: Manifest = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.as_schema() for column in kind.columns],
        "subresources": {"status": {}} | ({"scale": dict(kind.scale)} if kind.scale else {}),
        "schema": {"openAPIV3Schema": root_schema(kind)},
    }
    return version | ({"selectableFields": [{"jsonPath": p} for p in kind.selectable]} if kind.selectable else {})


def root_schema(kind: ResourceKind) -> Manifest:
    """The schema of a whole resource. Of metadata a definition may only bound the name."""
    spec_class = _spec_class(kind)
    spec = structural(spec_class, has_defaults=kind.has_defaults)
    if kind.document.model_fields["spec"].is_required():
        required: Sequence[str] = ["spec"]
    else:
        required, spec = [], spec | {"default": {}}
    properties = {
        "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
        "kind": {"type": "string", "description": f"{kind.name}."},
        "metadata": {"type": "object", "properties": {"name": {"type": "string"} | NAME_FORM}},
        "spec": spec,
        "status": structural(kind.status, has_defaults=False),
    }
    schema: Manifest = {"type": "object", "description": " ".join((kind.document.__doc__ or "").split())}
    schema |= {"required": required} if required else {}
    schema["properties"] = properties
    rules = [rule.as_schema() for rule in RULES.get(kind.document.__name__, ())]
    return schema | ({VALIDATIONS: rules} if rules else {})


def _spec_class(kind: ResourceKind) -> type[Spec]:
    spec_class = kind.document.model_fields["spec"].annotation
    if not isinstance(spec_class, type) or not issubclass(spec_class, Spec):
        raise TypeError(f"{kind.name} has a spec of no known class")
    return spec_class
