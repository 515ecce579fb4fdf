"""The kinds that the server knows: some that are built in, and those of the definitions that were applied."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from fakes.api_server import Admission
from fakes.strict.shapes import Manifest, Schema, Shape

_VERSION = "v1.36.0-local-strict"


@dataclass(slots=True)
class Kind:
    """One kind of object in one version."""

    group: str
    version: str
    kind: str
    plural: str
    is_namespaced: bool = True
    subresources: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    definition: Manifest | None = None
    """Of a custom kind: the entry of `spec.versions`."""
    admission: Admission | None = None
    shape: Shape = field(default_factory=lambda: Shape({}, {}))

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core's."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_status(self) -> bool:
        """Whether the status is a part of its own."""
        return "status" in self.subresources

    @property
    def qualified(self) -> str:
        """`models.slipway.dev`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def scale(self) -> Mapping[str, str]:
        """The paths of the scale subresource."""
        found: Mapping[str, str] = ((self.definition or {}).get("subresources") or {}).get("scale") or {}
        return found


_S = ("status",)
_BUILT_IN = (
    ("", "v1", "Namespace", "namespaces", False, ("status", "finalize"), ("ns",)),
    ("", "v1", "Pod", "pods", True, _S, ("po",)),
    ("", "v1", "Service", "services", True, _S, ("svc",)),
    ("", "v1", "ConfigMap", "configmaps", True, (), ("cm",)),
    ("", "v1", "Secret", "secrets", True, (), ()),
    ("", "v1", "ServiceAccount", "serviceaccounts", True, (), ("sa",)),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, _S, ("pvc",)),
    ("", "v1", "ResourceQuota", "resourcequotas", True, _S, ("quota",)),
    ("events.k8s.io", "v1", "Event", "events", True, (), ("ev",)),
    ("apps", "v1", "Deployment", "deployments", True, _S, ("deploy",)),
    ("apps", "v1", "StatefulSet", "statefulsets", True, _S, ("sts",)),
    ("batch", "v1", "Job", "jobs", True, _S, ()),
    ("batch", "v1", "CronJob", "cronjobs", True, _S, ()),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", True, _S, ("ing",)),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True, (), ("netpol",)),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True, _S, ("pdb",)),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", True, (), ()),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", True, (), ()),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False, (), ()),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", False, (), ()),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", False, (), ("pc",)),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False, _S, ("crd",)),
)


@cache
def built_in_refs() -> Schema:
    """The definitions that schemas of built-in kinds refer to."""
    found: Schema = schema_file("_definitions.json")["$defs"]
    return found


@cache
def schema_file(name: str) -> Any:
    """One of the files that Kubernetes' schemas are in."""
    folder = resources.files("kubernetes_validate").joinpath("kubernetes-json-schema", _VERSION)
    return json.loads(folder.joinpath(name).read_text())


def built_in_schema(kind: str, group: str, version: str) -> Schema:
    """The strict schema of a built-in kind."""
    prefix = f"{group.split('.')[0]}-" if group else ""
    found: Schema = schema_file(f"{kind.lower()}-{prefix}{version}.json")
    return found


@cache
def built_in() -> tuple[Kind, ...]:
    """The kinds that are always there."""
    return tuple(
        Kind(*row, shape=Shape(built_in_schema(row[2], row[0], row[1]), built_in_refs()))  # type: ignore[arg-type]
        for row in _BUILT_IN
    )


def custom(definition: Manifest) -> list[Kind]:
    """The kinds of a definition, one for each version that is served."""
    return _kinds_of(json.dumps(definition["spec"]))


@cache
def _kinds_of(text: str) -> list[Kind]:
    spec = json.loads(text)
    return [_custom(spec, version) for version in spec["versions"] if version.get("served", True)]


def _custom(spec: Manifest, version: Manifest) -> Kind:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    names = spec["names"]
    whole = schema if "properties" in schema else {"x-kubernetes-preserve-unknown-fields": True, "type": "object"}
    metadata = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    properties = {**whole.get("properties", {}), "metadata": metadata}
    return Kind(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        spec["scope"] == "Namespaced",
        tuple(version.get("subresources") or {}),
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
        definition=version,
        admission=Admission(_without_metadata(whole)),
        shape=Shape({**whole, "properties": properties}, built_in_refs()),
    )


def _without_metadata(schema: Schema) -> dict[str, Any]:
    """What else `kind` and `apiVersion` may be is not the definition's to say; of metadata, a name's form is."""
    typed = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return {**schema, "properties": {**typed, **schema.get("properties", {})}}
