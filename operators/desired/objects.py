"""Everything that should be there for a Platform and its Models."""

from collections.abc import Collection

from operators.desired.checks import problems
from operators.desired.disruption import disruption_budgets
from operators.desired.exposure import HTTP_ROUTE_API, exposure
from operators.desired.metadata import Owner
from operators.desired.monitoring import POD_MONITOR_API, pod_monitor
from operators.desired.ray_service import ray_service
from operators.desired.settings import valid_settings
from operators.desired.strategy import Strategy
from operators.state import RAY_API, Live, Manifest, ObjectKey, World
from serve.domain.documents import ModelDocument

OPTIONAL_KINDS = frozenset({(HTTP_ROUTE_API, "HTTPRoute"), (POD_MONITOR_API, "PodMonitor")})
"""(apiVersion, kind) that a cluster may know or not, and that are made where it does."""


def desired_objects(world: World, strategy: Strategy) -> tuple[Manifest, ...]:
    """The manifests, the RayService first; none without a Platform, or while it is deleted: what it owns goes with it.

    Models with a fatal problem are left out, as `problems` says.
    """
    if world.platform is None or world.platform.is_deleting:
        return ()
    owner, namespace = valid_settings(world.platform), world.namespace
    monitors = [pod_monitor(owner, namespace)] if _wants_monitor(owner, world.live.known_kinds) else []
    knows_routes = (HTTP_ROUTE_API, "HTTPRoute") in world.live.known_kinds
    return (
        ray_service(owner, namespace, served_models(world), strategy),
        *exposure(owner, namespace, active_cluster(world.live, owner.name), strategy, knows_routes),
        *disruption_budgets(owner, namespace),
        *monitors,
    )


def served_models(world: World) -> list[ModelDocument]:
    """Those that are in Serve's configuration."""
    refused = {problem.key for problem in problems(world) if problem.is_fatal}
    return [
        model.document
        for model in world.models
        if not model.is_deleting and ObjectKey(model.document.api_version, "Model", model.name) not in refused
    ]


def active_cluster(live: Live, platform: str) -> str:
    """The RayCluster that serves; empty while there is none."""
    service = live.objects.get(ObjectKey(RAY_API, "RayService", platform), {})
    active = (service.get("status") or {}).get("activeServiceStatus") or {}
    return str(active.get("rayClusterName") or "")


def _wants_monitor(owner: Owner, known_kinds: Collection[tuple[str, str]]) -> bool:
    return owner.document.spec.observability.pod_monitor and (POD_MONITOR_API, "PodMonitor") in known_kinds
