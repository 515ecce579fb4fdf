"""KubeRay and a kubelet, as far as the operator can see them: RayClusters and pods come of a RayService, and go."""

import copy
import hashlib
import json
from typing import Any

import yaml
from fakes.kubernetes import Manifest, Server

RAY = "ray.io/v1"
_MUTED = ("replicas", "minReplicas", "maxReplicas")
"""A change of these alone makes no new cluster, and reaches none either."""


class KubeRay:
    """Acts when it is told to: `step` is what its controllers do in a few seconds."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._num_made = 0
        self.is_well = True
        """Whether what is deployed comes to run."""

    def step(self) -> None:
        """Every RayService gets a cluster, every cluster its pods, and either its status."""
        for service in self._server.of("RayService"):
            self._serve(service)

    def _serve(self, service: Manifest) -> None:
        name, status = service["metadata"]["name"], copy.deepcopy(service.get("status") or {})
        active = status.get("activeServiceStatus", {}).get("rayClusterName", "")
        pending = status.get("pendingServiceStatus", {}).get("rayClusterName", "")
        if not pending and (not active or self._wants_another(service, active)):
            pending = self._new_cluster(service)
        elif pending and self.is_well and self._pods(pending, "headgroup"):
            if active:
                self._server.delete("RayCluster", active)
            active, pending = pending, ""
        for cluster in filter(None, (active, pending)):
            self._fill(self._server.get("RayCluster", cluster))
        self._server.set_status("RayService", name, self._status(service, active, pending))

    def _wants_another(self, service: Manifest, active: str) -> bool:
        if (service["spec"].get("upgradeStrategy") or {}).get("type") == "None":
            return False
        annotations = self._server.get("RayCluster", active)["metadata"]["annotations"]
        return bool(annotations["fake/hash"] != _hash(service["spec"]["rayClusterConfig"]))

    def _new_cluster(self, service: Manifest) -> str:
        self._num_made += 1
        metadata, name = service["metadata"], f"{service['metadata']['name']}-{self._num_made:05}"
        config = service["spec"]["rayClusterConfig"]
        labels = {**metadata.get("labels", {}), "ray.io/originated-from-cr-name": metadata["name"]}
        body = {
            "apiVersion": RAY,
            "kind": "RayCluster",
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": {"fake/hash": _hash(config)},
                "ownerReferences": [_owner(service)],
            },
            "spec": copy.deepcopy(config),
        }
        self._server.create(body, "kuberay-operator")
        return name

    def _fill(self, cluster: Manifest) -> None:
        wanted = [("headgroup", 1, cluster["spec"]["headGroupSpec"]["template"], "head")]
        for group in cluster["spec"].get("workerGroupSpecs", []):
            num = min(max(group.get("replicas") or 0, group["minReplicas"]), group["maxReplicas"])
            wanted.append((group["groupName"], num, group["template"], "worker"))
        for group, num, template, kind in wanted:
            pods = self._pods(cluster["metadata"]["name"], group)
            for _ in range(num - len(pods)):
                self._new_pod(cluster, group, template, kind)
            for pod in pods[num:]:
                self._server.delete("Pod", pod["metadata"]["name"])
        head = condition("HeadPodReady", self.is_well, "HeadPodRunningAndReady" if self.is_well else "HeadPodNotFound")
        self._server.set_status("RayCluster", cluster["metadata"]["name"], {"conditions": [head]})

    def _pods(self, cluster: str, group: str) -> list[Manifest]:
        labels = {"ray.io/cluster": cluster, "ray.io/group": group}
        return [pod for pod in self._server.of("Pod") if labels.items() <= pod["metadata"]["labels"].items()]

    def _new_pod(self, cluster: Manifest, group: str, template: Manifest, kind: str) -> None:
        self._num_made += 1
        name = f"{cluster['metadata']['name']}-{group}-{self._num_made:05}"
        own = {"ray.io/cluster": cluster["metadata"]["name"], "ray.io/group": group, "ray.io/node-type": kind}
        metadata = copy.deepcopy(template.get("metadata") or {})
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": {**metadata.get("labels", {}), **own},
                "annotations": metadata.get("annotations", {}),
                "ownerReferences": [_owner(cluster)],
            },
            "spec": {**copy.deepcopy(template["spec"]), "nodeName": "node-1"},
        }
        self._server.create(body, "kuberay-operator")
        started = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        containers = [{"name": one["name"], "ready": True, "state": started} for one in template["spec"]["containers"]]
        ready = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "conditions": ready, "containerStatuses": containers}
        self._server.set_status("Pod", name, status, "kubelet")

    def _status(self, service: Manifest, active: str, pending: str) -> Manifest:
        is_ready = bool(active) and self.is_well
        status: dict[str, Any] = {
            "observedGeneration": service["metadata"]["generation"],
            "numServeEndpoints": 2 if is_ready else 0,
            "conditions": [
                condition("Ready", is_ready, "NonZeroServeEndpoints" if is_ready else "Initializing"),
                condition("UpgradeInProgress", bool(active and pending), "BothActivePendingClustersExist"),
            ],
        }
        if active:
            status["activeServiceStatus"] = {"rayClusterName": active, "applicationStatuses": self._apps(service)}
        if pending:
            status["pendingServiceStatus"] = {"rayClusterName": pending, "applicationStatuses": {}}
        return status

    def _apps(self, service: Manifest) -> Manifest:
        word = "RUNNING" if self.is_well else "DEPLOY_FAILED"
        apps = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
        return {app["name"]: {"status": word, "serveDeploymentStatuses": {}} for app in apps}


def condition(kind: str, is_true: bool, reason: str, message: str = "") -> Manifest:
    """A condition, as KubeRay writes them."""
    return {
        "type": kind,
        "status": "True" if is_true else "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def _owner(manifest: Manifest) -> Manifest:
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "name": manifest["metadata"]["name"],
        "uid": manifest["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _hash(config: Manifest) -> str:
    bare = copy.deepcopy(config)
    for group in bare.get("workerGroupSpecs", []):
        for field in _MUTED:
            group.pop(field, None)
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:32]
