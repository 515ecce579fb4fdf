"""How an installation is, as its Platform says it."""

from collections.abc import Iterable, Mapping
from typing import Any

from operators.conditions.pods import is_over, is_ready, troubles
from operators.conditions.rolling import READY, Finding, condition_in, conditions, moment, reason_of, summed_up
from operators.conditions.seen import GATEWAY, Seen, accepted, key_of
from operators.desired.exposure import HTTP_ROUTE_API, SERVICE_PORT
from operators.desired.metadata import gateway_service_name
from operators.desired.objects import active_cluster
from operators.planning.sight import sight_of
from operators.state import LABEL_POOL, RAY_API, Manifest, ObjectKey, Resource
from serve.domain.platform import PlatformDocument, Pool

Platform = Resource[PlatformDocument]


def platform_status(platform: Platform, seen: Seen, models: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The status of the Platform that counts; `models` are the statuses of its Models."""
    status: dict[str, Any] = {
        "observedGeneration": platform.generation,
        "endpoint": f"http://{gateway_service_name(platform.name)}.{seen.world.namespace}.svc:{SERVICE_PORT}",
        "models": _counted(list(models)),
        "pools": [_pool(pool, seen.world.live.pods) for pool in platform.document.spec.pools],
    }
    if url := _url(platform, seen):
        status["url"] = url
    if version := seen.catalogue.version or platform.status.get("version"):
        status["version"] = version
    if cluster := active_cluster(seen.world.live, platform.name):
        status["activeCluster"] = cluster
    if upgrade := _upgrade(platform, seen):
        status["upgrade"] = upgrade
    status["conditions"] = conditions(_findings(platform, seen), platform.status, platform.generation, seen.now)
    return status


def other_platform_status(platform: Platform, seen: Seen) -> dict[str, Any]:
    """The status of a Platform beside the one that counts."""
    finding = accepted(seen.problems.get(key_of(platform), ()))
    findings = summed_up([finding], finding)
    found = conditions(findings, platform.status, platform.generation, seen.now)
    return {"observedGeneration": platform.generation, "conditions": found}


def _findings(platform: Platform, seen: Seen) -> list[Finding]:
    agreed = accepted(seen.problems.get(key_of(platform), ()))
    needed = [agreed, *_refused(platform, seen), _ray_cluster(platform, seen), _gateway(seen)]
    ready = Finding(READY, "True", "Serving", "The gateway answers.")
    return [*summed_up(needed, ready), *_nodes(seen), *_upgrading(seen)]


def _refused(platform: Platform, seen: Seen) -> list[Finding]:
    """What the API server does not take of what the Platform needs."""
    refusal = seen.refusal_of(platform.document)
    return [Finding("Applied", "False", reason_of(refusal.code), refusal.message)] if refusal is not None else []


def _ray_cluster(platform: Platform, seen: Seen) -> Finding:
    live = seen.world.live
    service = live.objects.get(ObjectKey(RAY_API, "RayService", platform.name))
    if service is None:
        return Finding("RayCluster", "False", "NotCreated", "There is no RayService yet.")
    if complaint := sight_of(seen.world).complaint:
        return Finding("RayCluster", "False", "ValidationFailed", f"KubeRay takes no change now: {complaint}")
    name = active_cluster(live, platform.name)
    cluster = live.ray_clusters.get(name, {}) if name else next(iter(live.ray_clusters.values()), {})
    if name and _is_up(cluster):
        return Finding("RayCluster", "True", "Running", f"The RayCluster {name} runs.")
    found = troubles(seen.world.live.pods)
    if found:
        return Finding("RayCluster", "False", found[0].reason, f"Pod {found[0].pod}, {found[0].message}")
    if failure := _failure(live.ray_clusters.values()):
        return failure.of_type("RayCluster")
    told = condition_in(service.get("status") or {}, READY) or {}
    if not told and "status" not in service:
        waits = "Nothing has happened to the RayService yet: is KubeRay's operator running in this cluster?"
        return Finding("RayCluster", "False", "WaitingForKubeRay", waits)
    return Finding("RayCluster", "False", told.get("reason") or "Starting", told.get("message") or "It is starting.")


def _is_up(cluster: Manifest) -> bool:
    status = cluster.get("status") or {}
    head = condition_in(status, "HeadPodReady")
    return head["status"] == "True" if head is not None else status.get("state") == "ready"


def _gateway(seen: Seen) -> Finding:
    if seen.catalogue.is_answering:
        return Finding(GATEWAY, "True", "Answering", "The platform's API answers.")
    return Finding(GATEWAY, "False", "NotAnswering", seen.catalogue.message or "The platform has not been asked yet.")


def _nodes(seen: Seen) -> list[Finding]:
    """Beside the sum: an installation serves while one of its pools cannot grow."""
    if failure := _failure(seen.world.live.ray_clusters.values()):
        return [failure]
    if not seen.world.live.pods:
        return []
    found = troubles(seen.world.live.pods)
    if not found:
        return [Finding("Nodes", "True", "AsWanted", "Every pod runs, or is about to.")]
    more = f" {len(found) - 1} more pods cannot run." if len(found) > 1 else ""
    return [Finding("Nodes", "False", found[0].reason, f"Pod {found[0].pod}, {found[0].message}{more}")]


def _failure(clusters: Iterable[Manifest]) -> Finding | None:
    """A pod that cannot even be made: a quota is used up, or a policy of the namespace forbids it."""
    for cluster in clusters:
        told = condition_in(cluster.get("status") or {}, "ReplicaFailure") or {}
        if told.get("status") == "True":
            return Finding("Nodes", "False", told.get("reason") or "ReplicaFailure", told.get("message") or "")
    return None


def _upgrading(seen: Seen) -> list[Finding]:
    upgrade = seen.upgrade
    if upgrade.is_blocked:
        return [Finding("Upgrading", "False", upgrade.reason, upgrade.message)]
    return [Finding("Upgrading", "True", upgrade.reason, upgrade.message)] if upgrade.is_running else []


def _upgrade(platform: Platform, seen: Seen) -> dict[str, Any] | None:
    upgrade = seen.upgrade
    if not upgrade.is_running and not upgrade.is_blocked:
        return None
    before = (platform.status.get("upgrade") or {}).get("startedAt")
    found = {
        "strategy": upgrade.strategy.value if upgrade.strategy is not None else None,
        "reason": upgrade.message[:1024],
        "replaced": upgrade.replaced,
        "total": upgrade.total,
        "trafficPercent": upgrade.traffic_percent,
        "startedAt": before or moment(seen.now),
    }
    return {key: value for key, value in found.items() if value is not None}


def _counted(models: list[Mapping[str, Any]]) -> dict[str, int]:
    ready = [condition_in(status, READY) for status in models]
    return {"ready": sum(one is not None and one["status"] == "True" for one in ready), "total": len(models)}


def _pool(pool: Pool, pods: Iterable[Manifest]) -> dict[str, Any]:
    mine = [pod for pod in pods if _pool_of(pod) == pool.name and not is_over(pod)]
    return {
        "name": pool.name,
        "nodes": len(mine),
        "readyNodes": sum(is_ready(pod) for pod in mine),
        "maxNodes": pool.max_nodes,
        "gpus": len(mine) * pool.gpus_per_node,
    }


def _pool_of(pod: Manifest) -> str:
    return str((pod["metadata"].get("labels") or {}).get(LABEL_POOL, ""))


def _url(platform: Platform, seen: Seen) -> str:
    """The address outside of the cluster: the host that was asked for, or the one that a load balancer got."""
    gateway, live = platform.document.spec.gateway, seen.world.live
    name = gateway_service_name(platform.name)
    if gateway.expose == "ingress":
        host = gateway.host or _balanced(live.objects.get(ObjectKey("networking.k8s.io/v1", "Ingress", name)))
        return f"{'https' if gateway.tls_secret else 'http'}://{host}" if host else ""
    if gateway.expose == "gateway":
        is_known = (HTTP_ROUTE_API, "HTTPRoute") in live.known_kinds
        is_tls = gateway.parent is not None and "https" in (gateway.parent.section or "")
        return f"{'https' if is_tls else 'http'}://{gateway.host}" if gateway.host and is_known else ""
    if gateway.service_type == "LoadBalancer":
        host = _balanced(live.objects.get(ObjectKey("v1", "Service", name)))
        return f"http://{host}:{SERVICE_PORT}" if host else ""
    return ""


def _balanced(manifest: Manifest | None) -> str:
    """Of an object that a load balancer stands before: its address."""
    status = (manifest or {}).get("status") or {}
    places = (status.get("loadBalancer") or {}).get("ingress") or [{}]
    return str(places[0].get("hostname") or places[0].get("ip") or "")
