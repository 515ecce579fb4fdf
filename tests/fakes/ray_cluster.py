"""What KubeRay, Ray's autoscaler and the nodes make of a RayService: enough of them to see what a plan leads to.

After the source of KubeRay 1.7: when it makes a second cluster, when it overwrites the one there is, whom it deletes.
Time goes on only when told to. Nothing here is random; what comes next is the test's to choose.
"""

import copy
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from operators.planning.sight import wanted_nodes
from operators.state import Action, Live, Manifest, ObjectKey, Resource, Verb, World
from serve.domain.documents import ModelDocument
from serve.domain.platform import PlatformDocument

NAMESPACE = "models"
PLATFORM_UID = "platform-uid"
ROUTES = ("gateway.networking.k8s.io/v1", "HTTPRoute")
_MUTED = ("replicas", "minReplicas", "maxReplicas", "scaleStrategy")
_HASH, _GROUPS = "ray.io/hash-without-replicas-and-workers-to-delete", "ray.io/num-worker-groups"
_STEP = 20
"""Percent of traffic that moves at once."""


@dataclass(slots=True)
class RayCluster:
    """A namespace with KubeRay in it."""

    platform: PlatformDocument
    models: tuple[ModelDocument, ...] = ()
    knows_routes: bool = True
    now: datetime = datetime(2026, 11, 23, 8, tzinfo=UTC)
    work: dict[str, int] = field(default_factory=dict)
    """Nodes that are busy, by pool."""
    bad_images: set[str] = field(default_factory=set)
    objects: dict[ObjectKey, Manifest] = field(default_factory=dict)
    clusters: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Manifest] = field(default_factory=dict)
    dangling_since: dict[str, datetime] = field(default_factory=dict)
    capacity: dict[str, int] = field(default_factory=dict)
    """Machines for a pool's nodes; what is not named has as many as it takes."""
    num_made: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    """Pods that ran and were deleted by the operator, and whose successor does not run yet, by group."""

    # What the operator sees and does.

    def world(self) -> World:
        """What a pass reads."""
        return World(
            namespace=NAMESPACE,
            tenant="default",
            platform=Resource(self.platform, PLATFORM_UID),
            models=tuple(Resource(model, f"uid-{model.name}") for model in self.models),
            live=Live(
                dict(self.objects),
                dict(self.clusters),
                tuple(self.pods.values()),
                frozenset({ROUTES}) if self.knows_routes else frozenset(),
            ),
        )

    def do(self, action: Action) -> None:
        """What the API server makes of an action; a write that comes too late changes nothing."""
        if action.verb is Verb.DELETE:
            self._delete(action)
        elif action.verb is Verb.APPLY:
            self._apply(action)
        else:
            self._patch(action)

    def _delete(self, action: Action) -> None:
        if action.key.kind != "Pod":
            if self.objects[action.key]["metadata"]["uid"] == action.uid:
                del self.objects[action.key]
            return
        pod = self.pods.get(action.key.name)
        if pod is None or pod["metadata"]["uid"] != action.uid or _is_ending(pod):
            return
        if _is_up(pod):
            group = group_of(pod)
            self.taken[group] = self.taken.get(group, 0) + 1
        self._end(pod)

    def _apply(self, action: Action) -> None:
        live = self.objects.get(action.key)
        made = _defaulted(copy.deepcopy(action.body))
        if live is None:
            made["metadata"] |= {"uid": self._name("uid"), "generation": 1, "resourceVersion": self._name("")}
        else:
            metadata = {**live["metadata"], **made["metadata"], "resourceVersion": self._name("")}
            metadata["generation"] = live["metadata"]["generation"] + (live["spec"] != made["spec"])
            made = {**live, **made, "metadata": metadata}
        self.objects[action.key] = made

    def _patch(self, action: Action) -> None:
        objects: dict[Any, Manifest] = self.clusters if action.key.kind == "RayCluster" else self.objects  # type: ignore[assignment]
        key = action.key.name if action.key.kind == "RayCluster" else action.key
        live = objects.get(key)
        if live is None or live["metadata"]["resourceVersion"] != action.body["metadata"]["resourceVersion"]:
            return
        objects[key] = _merged(live, action.body)
        objects[key]["metadata"]["resourceVersion"] = self._name("")

    # What KubeRay does.

    @property
    def service(self) -> Manifest | None:
        """The RayService."""
        return self.objects.get(ObjectKey("ray.io/v1", "RayService", self.platform.name))

    def names(self) -> tuple[str, str]:
        """(active, pending)."""
        status = (self.service or {}).get("status") or {}
        parts = ("activeServiceStatus", "pendingServiceStatus")
        active, pending = ((status.get(part) or {}).get("rayClusterName", "") for part in parts)
        return active, pending

    @property
    def percent(self) -> int:
        """Of the traffic, that the second cluster has."""
        status = (self.service or {}).get("status") or {}
        return int((status.get("pendingServiceStatus") or {}).get("trafficRoutedPercent") or 0)

    def reconcile(self) -> None:
        """One round of KubeRay over the service, its clusters and their pods."""
        if self.service is not None:
            self._reconcile_service(self.service)
        self._clean_up()
        for cluster in list(self.clusters.values()):
            self._reconcile_pods(cluster)

    def _reconcile_service(self, service: Manifest) -> None:
        active, pending = self.names()
        spec, kind = service["spec"], service["spec"]["upgradeStrategy"]["type"]
        if pending and pending not in self.clusters:
            self.clusters[pending] = self._cluster(pending, service, is_second=bool(active))
        elif active and not pending and self._is_prefix(spec, self.clusters[active]):
            self._overwrite(active, service)
        elif pending and self._is_prefix(spec, self.clusters[pending]):
            self._overwrite(pending, service)
        active, pending = self._moved(service, active, pending)
        newest = self.clusters.get(pending) or self.clusters.get(active)
        if newest is None and not pending:
            pending = self._name(f"{service['metadata']['name']}-")
        elif newest is not None and kind != "None" and not self._is_same(spec, newest):
            is_back = active and pending and self._is_same(spec, self.clusters[active])
            if not self._is_prefix(spec, newest) and not is_back:
                pending = self._name(f"{service['metadata']['name']}-")
        percent = self.percent if pending == self.names()[1] else 0
        applications = {"gateway": {"status": "RUNNING", "serveDeploymentStatuses": {}}}
        service["status"] = {
            "observedGeneration": service["metadata"]["generation"],
            "activeServiceStatus": {"rayClusterName": active, "applicationStatuses": applications} if active else {},
            "pendingServiceStatus": {"rayClusterName": pending, "trafficRoutedPercent": percent} if pending else {},
        }

    def _moved(self, service: Manifest, active: str, pending: str) -> tuple[str, str]:
        """(active, pending) after a step of traffic, and the change of roles when there is none left to move."""
        if not pending or pending not in self.clusters:
            return active, pending
        if active and self.percent == 0 and self._is_same(service["spec"], self.clusters[active]):
            return active, ""
        if not self._has_head(pending):
            return active, pending
        if not active or service["spec"]["upgradeStrategy"]["type"] == "None":
            return (pending, "") if self._is_able(pending, 100) else (active, pending)
        is_back = self._is_same(service["spec"], self.clusters[active])
        step = -_STEP if is_back else _STEP
        percent = min(max(self.percent + step, 0), 100)
        if self._is_able(active if is_back else pending, 100 - percent if is_back else percent):
            service["status"]["pendingServiceStatus"]["trafficRoutedPercent"] = percent
        if is_back and self.percent == 0:
            return active, ""
        return (pending, "") if not is_back and self.percent == 100 else (active, pending)

    def _is_able(self, cluster: str, percent: int) -> bool:
        """Whether a cluster has the nodes for its share of the work."""
        groups = {group["groupName"] for group in self.clusters[cluster]["spec"]["workerGroupSpecs"]}
        return all(
            sum(1 for pod in self._pods(cluster, group) if _is_up(pod)) >= math.ceil(work * percent / 100)
            for group, work in self.work.items()
            if group in groups
        )

    def _has_head(self, cluster: str) -> bool:
        return any(_is_up(pod) for pod in self._pods(cluster, ""))

    def _clean_up(self) -> None:
        for name in list(self.clusters):
            if name in self.names():
                self.dangling_since.pop(name, None)
            elif self.now - self.dangling_since.setdefault(name, self.now) > timedelta(seconds=60):
                del self.clusters[name]
                for pod in self._pods(name):
                    self._end(pod)

    def _reconcile_pods(self, cluster: Manifest) -> None:
        name, spec = cluster["metadata"]["name"], cluster["spec"]
        if not self._pods(name, ""):
            self._make_pod(name, "", spec["headGroupSpec"]["template"])
        for group in spec["workerGroupSpecs"]:
            wanted = min(max(group.get("replicas") or 0, group["minReplicas"]), group["maxReplicas"])
            for _ in range(wanted - len(self._pods(name, group["groupName"]))):
                self._make_pod(name, group["groupName"], group["template"])

    def _cluster(self, name: str, service: Manifest, is_second: bool) -> Manifest:
        spec = copy.deepcopy(service["spec"]["rayClusterConfig"])
        if is_second:
            for group in spec["workerGroupSpecs"]:
                group["replicas"] = 0
        annotations = {_HASH: _hash(spec), _GROUPS: str(len(spec["workerGroupSpecs"]))}
        version = self._name("")
        metadata = {"name": name, "uid": self._name("uid"), "resourceVersion": version, "annotations": annotations}
        return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}

    def _overwrite(self, name: str, service: Manifest) -> None:
        self.clusters[name] = self._cluster(name, service, is_second=False)

    def _is_same(self, spec: Manifest, cluster: Manifest) -> bool:
        return cluster["metadata"]["annotations"][_HASH] == _hash(spec["rayClusterConfig"])

    def _is_prefix(self, spec: Manifest, cluster: Manifest) -> bool:
        """Whether it is the same but for groups more at the end: KubeRay overwrites the cluster then."""
        annotations, config = cluster["metadata"]["annotations"], spec["rayClusterConfig"]
        first = {**config, "workerGroupSpecs": config["workerGroupSpecs"][: int(annotations[_GROUPS])]}
        return not self._is_same(spec, cluster) and annotations[_HASH] == _hash(first)

    # What the autoscaler and the nodes do.

    def autoscale(self) -> None:
        """One round of every cluster's autoscaler."""
        active, pending = self.names()
        for name, cluster in self.clusters.items():
            share = 100 if name == active and not pending else self._share(name)
            for group in cluster["spec"]["workerGroupSpecs"]:
                nodes = math.ceil(self.work.get(group["groupName"], 0) * share / 100)
                replicas = min(max(nodes, group["minReplicas"]), group["maxReplicas"])
                if replicas != group.get("replicas"):
                    group["replicas"] = replicas
                    cluster["metadata"]["resourceVersion"] = self._name("")
                idle = [pod for pod in self._pods(name, group["groupName"]) if not _is_ending(pod)][replicas:]
                for pod in idle:
                    self._end(pod)
        # A pod that nothing wants any more is not missed, and one that is wanted later is another.
        self.taken = {group: self.away(group) for group in self.taken}

    def _share(self, name: str) -> int:
        active, pending = self.names()
        if name == active:
            return 100 - self.percent
        return min(self.percent + 25, 100) if name == pending and active else 100 if name == pending else 0

    def start(self, num: int) -> None:
        """A pod starts, if it can: the `num`-th of those that do not run."""
        waiting = [pod for pod in self.pods.values() if not _is_up(pod) and not _is_ending(pod)]
        if not waiting:
            return
        pod = waiting[num % len(waiting)]
        taken = sum(1 for each in self.pods.values() if group_of(each) == group_of(pod) and "nodeName" in each["spec"])
        if "nodeName" not in pod["spec"] and taken >= self.capacity.get(group_of(pod), taken + 1):
            unscheduled = {"type": "PodScheduled", "status": "False", "message": "Insufficient nvidia.com/gpu"}
            pod["status"] = {"phase": "Pending", "conditions": [unscheduled]}
            return
        pod["spec"]["nodeName"] = "node"
        if pod["spec"]["image"] in self.bad_images:
            state: Manifest = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "ray", "state": state}]}
            return
        conditions = [{"type": "Ready", "status": "True"}]
        running: Manifest = {"name": "ray", "state": {"running": {}}}
        pod["status"] = {"phase": "Running", "containerStatuses": [running], "conditions": conditions}
        group = group_of(pod)
        self.taken[group] = max(self.taken.get(group, 0) - 1, 0)

    def finish(self, num: int) -> None:
        """A pod that ends is gone: the `num`-th of them."""
        ending = [name for name, pod in self.pods.items() if _is_ending(pod)]
        if ending:
            del self.pods[ending[num % len(ending)]]

    def away(self, group: str) -> int:
        """Pods that the operator deleted while they ran, that are wanted, and that have no successor yet."""
        serving = next((self.clusters[name] for name in self.names() if name in self.clusters), None)
        groups = serving["spec"]["workerGroupSpecs"] if serving else []
        wanted = next((wanted_nodes(each) for each in groups if each["groupName"] == group), 0) if group else 1
        up = sum(1 for pod in self.pods.values() if group_of(pod) == group and _is_up(pod))
        return min(self.taken.get(group, 0), max(wanted - up, 0))

    def nodes(self, pool: str) -> int:
        """Pods of a pool, over all clusters."""
        return sum(1 for pod in self.pods.values() if group_of(pod) == pool)

    def _pods(self, cluster: str, group: str | None = None) -> list[Manifest]:
        mine = [pod for pod in self.pods.values() if pod["metadata"]["labels"]["ray.io/cluster"] == cluster]
        return [pod for pod in mine if group is None or group_of(pod) == group]

    def _make_pod(self, cluster: str, group: str, template: Manifest) -> None:
        name = self._name(f"{cluster}-{group or 'head'}-")
        labels = {"ray.io/cluster": cluster, "ray.io/group": group or "headgroup"}
        labels["ray.io/node-type"] = "worker" if group else "head"
        image = template["spec"]["containers"][0]["image"]
        self.pods[name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": name, "uid": self._name("uid"), "labels": labels},
            "spec": {"image": image},
            "status": {"phase": "Pending"},
        }

    def _end(self, pod: Manifest) -> None:
        pod["metadata"] = {**pod["metadata"], "deletionTimestamp": self.now.isoformat()}

    def _name(self, prefix: str) -> str:
        self.num_made += 1
        return f"{prefix}{self.num_made}"


def group_of(pod: Manifest) -> str:
    """The pool; the head's is empty."""
    labels = pod["metadata"]["labels"]
    return "" if labels["ray.io/node-type"] == "head" else str(labels["ray.io/group"])


def _is_ending(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _is_up(pod: Manifest) -> bool:
    return pod["status"]["phase"] == "Running" and not _is_ending(pod)


def _hash(config: Manifest) -> str:
    """KubeRay's: blind to numbers of nodes and to tolerations."""
    bare = copy.deepcopy(config)
    for group in [bare["headGroupSpec"], *bare["workerGroupSpecs"]]:
        for key in _MUTED:
            group.pop(key, None)
        group["template"]["spec"].pop("tolerations", None)
    return json.dumps(bare, sort_keys=True)


def _defaulted(manifest: Manifest) -> Manifest:
    if manifest["kind"] == "RayService":
        for group in manifest["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
            for key, value in (("replicas", 0), ("numOfHosts", 1), ("priority", 0)):
                group.setdefault(key, value)
    return manifest


def _merged(live: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
