"""The Ray cluster that is wanted, said in the order of the one there is.

Ray's autoscaler writes to worker groups by their place in the list, and to KubeRay a group in another place is another
cluster. So groups keep their places, new ones come last, and one that is no longer wanted stays, closed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from operators.planning.comparing import differs
from operators.planning.revisions import MUTED, revisions_of
from operators.planning.sight import Cluster
from operators.state import Manifest

ANNOTATION_PATCHED = "slipway.dev/patched-in-place"
"""On a RayCluster that the operator has changed: KubeRay's digest of it is out of date, and to KubeRay the cluster is
not what the RayService says, even where it is. KubeRay takes the annotation away when it writes the digest anew."""

_OF_SCALING = ("replicas", "minReplicas", "maxReplicas", "scaleStrategy")
_WRITTEN_BY_THE_AUTOSCALER = ("replicas", "scaleStrategy")
_MANAGED = frozenset(
    {
        "rayVersion",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "authOptions",
        "gcsFaultToleranceOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    }
)
"""What of a RayCluster is the operator's to say."""


class Change(StrEnum):
    """What differs between the cluster that is wanted and the one there is, the gravest first."""

    VERSION = "version"
    """Another Ray: its nodes do not join those of this one."""
    PODS = "pods"
    """Pods are to be others."""
    OPTIONS = "options"
    """Neither pods nor their numbers; KubeRay would make a new cluster of it all the same."""
    GROUPS = "groups"
    """Worker groups more, at the end."""
    SCALE = "scale"
    """Numbers of nodes, and taints that are put up with. KubeRay does not carry them to a running cluster."""
    NONE = "none"

    @property
    def is_new_cluster(self) -> bool:
        """Whether KubeRay makes another cluster of it, if it may."""
        return self in (Change.VERSION, Change.PODS, Change.OPTIONS)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Nodes of a worker group."""

    minimum: int
    maximum: int


def arranged(config: Manifest, groups: Sequence[Manifest]) -> Manifest:
    """`config` with its worker groups in the order of `groups`, those that are there."""
    wanted = {group["groupName"]: group for group in config.get("workerGroupSpecs") or []}
    known = {group["groupName"] for group in groups}
    kept = [wanted.get(group["groupName"]) or _closed(group) for group in groups]
    return {**config, "workerGroupSpecs": [*kept, *(wanted[name] for name in wanted if name not in known)]}


def _closed(group: Manifest) -> Manifest:
    rest = {key: value for key, value in group.items() if key not in _OF_SCALING}
    return {**rest, "minReplicas": 0, "maxReplicas": 0}


def managed(spec: Manifest) -> Manifest:
    """What of a cluster is the operator's to say; the autoscaler's numbers are not."""
    kept = {key: value for key, value in spec.items() if key in _MANAGED}
    groups = kept.get("workerGroupSpecs") or []
    kept["workerGroupSpecs"] = [
        {key: value for key, value in group.items() if key not in _WRITTEN_BY_THE_AUTOSCALER} for group in groups
    ]
    return kept


def bounded(config: Manifest, bounds: Mapping[str, Bounds]) -> Manifest:
    """`config` with the bounds of the groups that are named."""
    groups = []
    for group in config.get("workerGroupSpecs") or []:
        bound = bounds.get(group["groupName"])
        numbers = {} if bound is None else {"minReplicas": bound.minimum, "maxReplicas": bound.maximum}
        groups.append({**group, **numbers})
    return {**config, "workerGroupSpecs": groups}


def change(wanted: Manifest, there: Manifest) -> Change:
    """What is to be done to a cluster `there` to have the one `wanted`, whose groups are arranged."""
    if wanted.get("rayVersion") != there.get("rayVersion"):
        return Change.VERSION
    before, after = revisions_of(there), revisions_of(wanted)
    if any(after.get(name) != revision for name, revision in before.items()):
        return Change.PODS
    present = len(there.get("workerGroupSpecs") or [])
    first = {**wanted, "workerGroupSpecs": wanted["workerGroupSpecs"][:present]}
    if differs({"spec": _without_scaling(first)}, {"spec": _without_scaling(there)}):
        return Change.OPTIONS
    if len(wanted["workerGroupSpecs"]) > present:
        return Change.GROUPS
    return Change.SCALE if differs({"spec": wanted}, {"spec": there}) else Change.NONE


def _without_scaling(config: Manifest) -> Manifest:
    groups = [_bare(group) for group in config.get("workerGroupSpecs") or []]
    return {**config, "headGroupSpec": _bare(config.get("headGroupSpec") or {}), "workerGroupSpecs": groups}


def _bare(group: Manifest) -> Manifest:
    template = group.get("template") or {}
    spec = {key: value for key, value in (template.get("spec") or {}).items() if key not in MUTED}
    rest = {key: value for key, value in group.items() if key not in _OF_SCALING}
    return {**rest, "template": {**template, "spec": spec}}


def cluster_patch(wanted: Manifest, cluster: Cluster, annotations: Mapping[str, str | None]) -> Manifest:
    """The merge patch that makes `cluster` the one that is wanted. The autoscaler writes to it as well: its numbers
    stay, and the patch holds only for the state of the cluster that it was made for."""
    target = {key: value for key, value in cluster.spec.items() if key not in _MANAGED} | wanted
    target["workerGroupSpecs"] = [_with_numbers(group, cluster.groups) for group in wanted["workerGroupSpecs"]]
    return _conditional(cluster, annotations) | {"spec": _merge_patch(cluster.spec, target)}


def annotation_patch(cluster: Cluster, annotations: Mapping[str, str | None]) -> Manifest:
    """The merge patch that sets annotations of a cluster; None takes one away."""
    return _conditional(cluster, annotations)


def _conditional(cluster: Cluster, annotations: Mapping[str, str | None]) -> Manifest:
    metadata: Manifest = {"resourceVersion": cluster.manifest["metadata"].get("resourceVersion")}
    return {"metadata": metadata | ({"annotations": dict(annotations)} if annotations else {})}


def _with_numbers(group: Manifest, there: Mapping[str, Manifest]) -> Manifest:
    before = there.get(group["groupName"], {})
    return {**group, **{key: before[key] for key in _WRITTEN_BY_THE_AUTOSCALER if key in before}}


def _merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Manifest:
    patch: Manifest = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = _merge_patch(old, value)
            patch |= {key: inner} if inner else {}
        elif key not in before or old != value:
            patch[key] = value
    return patch
