"""What the operator asks of the Kubernetes API, kind by kind, and why: the chart's Role is rendered from this table.

Everything is namespaced. `namespaces` as well: the API server reads the right to get a namespace from within it.
Secrets are not here: their values reach pods by reference, and the operator's own key is a mounted file.
"""

from dataclasses import dataclass

from operators.state import GROUP, RAY_API

_READ = ("get", "list", "watch")
_WRITE = (*_READ, "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Permission:
    """Verbs on one resource."""

    api_version: str
    kind: str
    resource: str
    """Plural, with the subresource after a slash."""
    verbs: tuple[str, ...]
    why: str
    is_optional: bool = False
    """Whether a cluster may do without this kind."""

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        return self.api_version.rpartition("/")[0]


_OURS = f"{GROUP}/v1alpha1"
PERMISSIONS = (
    Permission(_OURS, "Platform", "platforms", _READ, "The installation's document."),
    Permission(_OURS, "Platform", "platforms/status", ("patch",), "Conditions, the endpoint, the pools' nodes."),
    Permission(_OURS, "Platform", "platforms/finalizers", ("update",), "Owner references that block its deletion."),
    Permission(_OURS, "Model", "models", _WRITE, "Models; those that were applied over HTTP are made and removed."),
    Permission(_OURS, "Model", "models/status", ("patch",), "Conditions, replicas, cold starts."),
    Permission(_OURS, "Adapter", "adapters", _READ, "Adapters."),
    Permission(_OURS, "Adapter", "adapters/status", ("patch",), "Conditions and the version."),
    Permission(_OURS, "Workflow", "workflows", _READ, "Workflows."),
    Permission(_OURS, "Workflow", "workflows/status", ("patch",), "Conditions and the version."),
    Permission(RAY_API, "RayService", "rayservices", _WRITE, "The Ray cluster and what it serves.", True),
    Permission(
        RAY_API, "RayCluster", "rayclusters", (*_READ, "patch"), "Changes that KubeRay leaves to the cluster.", True
    ),
    Permission("v1", "Pod", "pods", (*_READ, "delete"), "Pods that are replaced one after another."),
    Permission("v1", "Service", "services", _WRITE, "The stable address of the gateway."),
    Permission("networking.k8s.io/v1", "Ingress", "ingresses", _WRITE, "The gateway's host name."),
    Permission("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", _WRITE, "Nodes that are drained."),
    Permission("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", _WRITE, "The gateway's host name.", True),
    Permission("monitoring.coreos.com/v1", "PodMonitor", "podmonitors", _WRITE, "The pods' metrics.", True),
    Permission("v1", "Namespace", "namespaces", ("get",), "Its annotation names the tenant."),
    Permission("events.k8s.io/v1", "Event", "events", ("create", "patch"), "Events that say what was done and why."),
)
"""In the order in which they are read: what is decided upon before what comes of it."""


def permission_of(kind: str) -> Permission:
    """The row of a kind itself, rather than of a part of it."""
    return next(row for row in PERMISSIONS if row.kind == kind and "/" not in row.resource)
