"""What there is of the Ray cluster, as the planner sees it: the service's clusters, and their pods by group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from operators.desired.strategy import Strategy
from operators.planning.revisions import HEAD, revision_of
from operators.state import RAY_API, Manifest, ObjectKey, World

_CLUSTER_LABEL = "ray.io/cluster"
_GROUP_LABEL = "ray.io/group"
_TYPE_LABEL = "ray.io/node-type"
_UNSETTLED_APPLICATIONS = frozenset({"NOT_STARTED", "DEPLOYING", "UNHEALTHY"})
_UNSETTLED_DEPLOYMENTS = frozenset({"UPDATING", "UNHEALTHY"})
_INVALID = "ValidationFailed"
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Pod:
    """One Ray node."""

    name: str
    uid: str
    cluster: str
    group: str
    """HEAD, or the worker group's."""
    revision: str
    is_up: bool
    """Its containers run. Readiness says something else: a worker without replicas is never ready, on purpose."""
    is_ready: bool
    is_ending: bool
    is_scheduled: bool
    """It has a node, or has had one."""
    complaint: str = ""
    """Why it does not start, where Kubernetes says so."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One RayCluster."""

    manifest: Manifest
    pods: tuple[Pod, ...]

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def spec(self) -> Manifest:
        spec: Manifest = self.manifest.get("spec") or {}
        return spec

    @property
    def groups(self) -> dict[str, Manifest]:
        """Worker groups by name, in their order."""
        return {group["groupName"]: group for group in self.spec.get("workerGroupSpecs") or []}

    @property
    def annotations(self) -> Mapping[str, str]:
        annotations: Mapping[str, str] = self.manifest["metadata"].get("annotations") or {}
        return annotations

    def nodes(self, group: str) -> int:
        """Nodes that a group has or is about to have: pods, those that end included, or as many as are asked for."""
        pods = sum(1 for pod in self.pods if pod.group == group)
        return max(pods, wanted_nodes(self.groups.get(group, {})))


@dataclass(frozen=True, slots=True)
class Sight:
    """The RayService with all that comes of it."""

    service: Manifest | None
    active: Cluster | None
    pending: Cluster | None
    others: tuple[Cluster, ...] = ()
    """Clusters that KubeRay is about to delete."""
    expected: tuple[str, ...] = ()
    """Clusters that the RayService names, whether they are there or not."""

    @property
    def serving(self) -> Cluster | None:
        """The one that serves, or that will: before the first is ready it is pending."""
        return self.active or self.pending

    @property
    def is_upgrading(self) -> bool:
        """Whether KubeRay has two clusters: it moves from one to the other."""
        return len(self.expected) == 2

    @property
    def is_observed(self) -> bool:
        """Whether KubeRay has seen the RayService as it is now, and so begun what it begins because of it. What it
        does not take as valid it has seen: it begins nothing, and waits for another."""
        if self.service is None:
            return False
        status, generation = self.service.get("status") or {}, self.service["metadata"].get("generation", 1)
        return self.complaint != "" or bool(status.get("observedGeneration", generation) == generation)

    @property
    def complaint(self) -> str:
        """Why KubeRay does not take the RayService as valid; empty: it does."""
        told = ((self.service or {}).get("status") or {}).get("conditions") or ()
        return next((row.get("message") or row["reason"] for row in told if row.get("reason") == _INVALID), "")

    @property
    def strategy(self) -> Strategy | None:
        """What the RayService says."""
        if self.service is None:
            return None
        kind = (self.service["spec"].get("upgradeStrategy") or {}).get("type")
        return Strategy.INCREMENTAL if kind == Strategy.INCREMENTAL.upgrade_type else Strategy.IN_PLACE

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """All there are."""
        return tuple(cluster for cluster in (self.active, self.pending, *self.others) if cluster is not None)

    def unsettled(self) -> tuple[str, ...]:
        """Applications of the serving cluster that are on their way, or not well."""
        if self.service is None or self.active is None:
            return ()
        report = self._report("activeServiceStatus").get("applicationStatuses") or {}
        return tuple(sorted(name for name, state in report.items() if _is_unsettled(state)))

    def traffic_percent(self) -> int | None:
        """The new cluster's share."""
        share = self._report("pendingServiceStatus").get("trafficRoutedPercent")
        return None if share is None else int(share)

    def _report(self, part: str) -> Mapping[str, Any]:
        status = (self.service or {}).get("status") or {}
        report: Mapping[str, Any] = status.get(part) or {}
        return report


def wanted_nodes(group: Mapping[str, Any]) -> int:
    """Nodes that a worker group asks for, as KubeRay takes it: between its bounds."""
    replicas = int(group.get("replicas") or 0)
    hosts = int(group.get("numOfHosts") or 1)
    return min(max(replicas, int(group.get("minReplicas") or 0)), int(group.get("maxReplicas") or 0)) * hosts


def sight_of(world: World) -> Sight:
    """What the world has of its platform's Ray cluster."""
    if world.platform is None:
        return Sight(None, None, None)
    service = world.live.objects.get(ObjectKey(RAY_API, "RayService", world.platform.name))
    status = (service or {}).get("status") or {}
    names = [(status.get(part) or {}).get("rayClusterName") for part in ("activeServiceStatus", "pendingServiceStatus")]
    pods = [_pod(manifest) for manifest in world.live.pods]
    clusters = {name: _cluster(world, name, pods) for name in sorted(world.live.ray_clusters)}
    others = tuple(cluster for name, cluster in clusters.items() if name not in names)
    active, pending = (clusters.get(name or "") for name in names)
    return Sight(service, active, pending, others, tuple(name for name in names if name))


def _cluster(world: World, name: str, pods: Iterable[Pod]) -> Cluster:
    mine = sorted((pod for pod in pods if pod.cluster == name), key=lambda pod: pod.name)
    return Cluster(world.live.ray_clusters[name], tuple(mine))


def _pod(manifest: Manifest) -> Pod:
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    labels = metadata.get("labels") or {}
    containers = status.get("containerStatuses") or []
    conditions = {row["type"]: row.get("status") for row in status.get("conditions") or []}
    running = bool(containers) and all("running" in (row.get("state") or {}) for row in containers)
    return Pod(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        cluster=labels.get(_CLUSTER_LABEL, ""),
        group=HEAD if labels.get(_TYPE_LABEL) == "head" else labels.get(_GROUP_LABEL, ""),
        revision=revision_of(manifest),
        is_up=status.get("phase") == "Running" and running and "deletionTimestamp" not in metadata,
        is_ready=conditions.get("Ready") == "True",
        is_ending="deletionTimestamp" in metadata,
        is_scheduled=bool((manifest.get("spec") or {}).get("nodeName")),
        complaint=_complaint(status),
    )


def _complaint(status: Mapping[str, Any]) -> str:
    for row in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = row.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason", "") not in _STARTING:
            return f"{row['name']}: {waiting['reason']} {waiting.get('message', '')}".strip()
        if ended.get("exitCode", 0) != 0:
            return f"{row['name']} ended with {ended['exitCode']} {ended.get('reason', '')}".strip()
    for row in status.get("conditions") or []:
        if row["type"] == "PodScheduled" and row.get("status") == "False":
            return str(row.get("message") or "no node has room for it")
    return "it failed" if status.get("phase") == "Failed" else ""


def _is_unsettled(state: Mapping[str, Any]) -> bool:
    deployments = (state.get("serveDeploymentStatuses") or {}).values()
    return state.get("status") in _UNSETTLED_APPLICATIONS or any(
        row.get("status") in _UNSETTLED_DEPLOYMENTS for row in deployments
    )


def moment(text: str) -> datetime:
    """An instant as Kubernetes writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
