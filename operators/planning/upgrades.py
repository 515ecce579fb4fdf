"""How a change of the Ray cluster reaches it, and what becomes of it in this pass.

KubeRay knows two ways, and each harms where it does not fit. Left to itself it answers nearly every change with a
second cluster: twice the GPUs. Told not to, it does nothing at all. So the operator changes the live cluster itself
where that is enough, and lets KubeRay make a second one only where every pool has room for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from operators.desired.exposure import HTTP_ROUTE_API
from operators.desired.ray_service import ray_cluster
from operators.desired.strategy import Strategy
from operators.planning.arranging import (
    ANNOTATION_PATCHED,
    Bounds,
    Change,
    arranged,
    bounded,
    change,
    cluster_patch,
    managed,
)
from operators.planning.comparing import differs
from operators.planning.headroom import cap, frozen, shortfalls
from operators.planning.outcome import Event, Upgrade, UpgradeState
from operators.planning.revisions import HEAD, revisions_of, with_revisions
from operators.planning.rolling import ANNOTATION_REPLACING, begun, next_step
from operators.planning.sight import Cluster, Sight, sight_of
from operators.state import RAY_API, Action, Manifest, ObjectKey, Verb, World
from serve.domain.documents import ModelDocument
from serve.domain.platform import PlatformDocument


@dataclass(frozen=True, slots=True)
class _Case:
    """What every decision is made from."""

    platform: PlatformDocument
    world: World
    sight: Sight
    service: Manifest
    """The RayService that is wanted, with revisions."""
    strategy: Strategy
    now: datetime

    @property
    def config(self) -> Manifest:
        config: Manifest = self.service["spec"]["rayClusterConfig"]
        return config


def choose_strategy(world: World, config: Manifest | None = None) -> Strategy:
    """Which way a change goes now. It stays what it is until a change needs other pods: the way in which clients
    come in hangs on it.

    Args:
        config: the Ray cluster that is wanted, with revisions, where it is not the platform's own.
    """
    if world.platform is None:
        return Strategy.IN_PLACE
    sight, platform = sight_of(world), world.platform.document
    live, requested = sight.strategy, platform.spec.upgrade.strategy
    if live is Strategy.INCREMENTAL and (sight.is_upgrading or not sight.is_observed):
        return live
    if requested == "InPlace" or not _can_move_traffic(world, platform):
        return Strategy.IN_PLACE
    if live is None or sight.serving is None:
        return Strategy.INCREMENTAL
    return _way_of(world, platform, sight, sight.serving, config or _stamped(platform))


def _can_move_traffic(world: World, platform: PlatformDocument) -> bool:
    return platform.spec.upgrade.gateway_class is not None and (HTTP_ROUTE_API, "HTTPRoute") in world.live.known_kinds


def _way_of(world: World, platform: PlatformDocument, sight: Sight, serving: Cluster, config: Manifest) -> Strategy:
    what = _change_of(config, platform, sight, serving)
    is_stuck_in_place = sight.strategy is Strategy.IN_PLACE and (
        ANNOTATION_REPLACING in serving.annotations
        or (ANNOTATION_PATCHED in serving.annotations and not what.is_new_cluster)
    )
    if is_stuck_in_place or (sight.active is None and what.is_new_cluster):
        return Strategy.IN_PLACE
    if platform.spec.upgrade.strategy == "Incremental":
        return Strategy.INCREMENTAL
    if not what.is_new_cluster:
        return sight.strategy or Strategy.INCREMENTAL
    if what is Change.OPTIONS or shortfalls(platform.spec, _models(world), serving):
        return Strategy.IN_PLACE
    return Strategy.INCREMENTAL


def _models(world: World) -> list[ModelDocument]:
    return [model.document for model in world.models]


def _stamped(platform: PlatformDocument) -> Manifest:
    config: Manifest = with_revisions({"spec": {"rayClusterConfig": ray_cluster(platform)}})["spec"]["rayClusterConfig"]
    return config


def _change_of(config: Manifest, platform: PlatformDocument, sight: Sight, cluster: Cluster) -> Change:
    wanted = bounded(arranged(config, list(cluster.groups.values())), cap(platform.spec, sight.others))
    return change(wanted, cluster.spec)


def upgrade(service: Manifest, world: World, platform: PlatformDocument, now: datetime) -> Upgrade:
    """What becomes of the Ray cluster, given the RayService that is wanted."""
    sight = sight_of(world)
    kind = service["spec"]["upgradeStrategy"]["type"]
    strategy = next(each for each in Strategy if each.upgrade_type == kind)
    case = _Case(platform, world, sight, with_revisions(service), strategy, now)
    serving = sight.serving
    if sight.service is None or serving is None:
        first = bounded(case.config, cap(platform.spec, sight.clusters))
        return Upgrade(_with_config(case, first), UpgradeState(strategy, reason="NoCluster"))
    if sight.is_upgrading and sight.active is not None and sight.pending is not None:
        return _moving(case, sight.active, sight.pending)
    if sight.is_upgrading or (sight.strategy is Strategy.INCREMENTAL and not sight.is_observed):
        # Whether there are two clusters by now is not known yet, and so not what one of them may have.
        return Upgrade(
            _live_service(case), _named(case, UpgradeState(strategy, True, reason="NewCluster", message=_SOON))
        )
    if strategy is Strategy.IN_PLACE:
        return _in_place(case, serving)
    if _change_of(case.config, platform, sight, serving).is_new_cluster:
        return _second_cluster(case, serving)
    return _scaled(case, serving)


_SOON = "A second cluster is about to be there."


def _in_place(case: _Case, serving: Cluster) -> Upgrade:
    bounds = cap(case.platform.spec, case.sight.others)
    target = bounded(arranged(case.config, list(serving.groups.values())), bounds)
    what = change(target, serving.spec)
    if what is Change.VERSION:
        return _refused_version(case, serving)
    service = _with_config(case, target)
    if what is Change.NONE:
        step = next_step(serving, case.sight.unsettled(), case.now)
        state = UpgradeState(
            Strategy.IN_PLACE, step.is_running, step.is_blocked, step.reason, step.message, step.replaced, step.total
        )
        return Upgrade(service, _named(case, state), step.actions, _head_warning(case, serving, step.is_running))
    marks: dict[str, str | None] = {ANNOTATION_PATCHED: "true"} if what.is_new_cluster else {}
    if what is Change.PODS and ANNOTATION_REPLACING not in serving.annotations:
        marks[ANNOTATION_REPLACING] = begun(case.now)
    why, event = _IN_PLACE[what]
    patch = _patch(serving, target, marks, why, event)
    is_running = what is Change.PODS
    state = UpgradeState(Strategy.IN_PLACE, is_running, False, "UpgradeStarted" if is_running else "Changed", why)
    return Upgrade(service, _named(case, state), (patch,), _head_warning(case, serving, is_running))


_IN_PLACE: Mapping[Change, tuple[str, str]] = {
    Change.PODS: ("Pods are replaced one after another, within the nodes there are.", "UpgradeStarted"),
    Change.OPTIONS: ("The running cluster takes the change as it is; no pod is replaced.", "ClusterChanged"),
    Change.GROUPS: ("The running cluster gets pools more; no pod is replaced.", "PoolsAdded"),
    Change.SCALE: ("The running cluster gets the pools' new bounds: KubeRay would not tell it.", "PoolsScaled"),
}


def _head_warning(case: _Case, serving: Cluster, is_running: bool) -> tuple[Event, ...]:
    revision = revisions_of(case.config)[HEAD]
    is_outdated = any(pod.group == HEAD and pod.revision != revision for pod in serving.pods)
    if not (is_running and is_outdated) or case.platform.spec.ray.fault_tolerance is not None:
        return ()
    message = (
        "spec.ray.faultTolerance is not set: when the head is replaced, the last of all pods, every replica ends with "
        "it and starts anew. Nothing is served meanwhile."
    )
    return (_warning(case, "HeadReplacementInterrupts", message),)


def _refused_version(case: _Case, serving: Cluster) -> Upgrade:
    before, after = serving.spec.get("rayVersion"), case.config.get("rayVersion")
    missing = "; ".join(str(each) for each in shortfalls(case.platform.spec, _models(case.world), serving))
    room = f"There is no room for one now: {missing}. Raise surgeNodes" if missing else "Set spec.upgrade.gatewayClass"
    message = (
        f"Ray {before} -> {after} needs a second cluster, since nodes of two versions do not form one. {room} and set "
        "spec.upgrade.strategy to Auto or Incremental. Or do without service until the new cluster is up: kubectl "
        f"delete rayservice {case.platform.name} -n {case.world.namespace}. Until then the cluster stays as it is, and "
        "models are served."
    )
    state = UpgradeState(Strategy.IN_PLACE, False, True, "RayVersionNeedsNewCluster", message)
    return _held(case, serving, state)


def _second_cluster(case: _Case, serving: Cluster) -> Upgrade:
    spec = case.platform.spec
    if missing := shortfalls(spec, _models(case.world), serving):
        message = (
            "An incremental upgrade runs a second cluster beside the first, and there is no room for one: "
            f"{'; '.join(str(each) for each in missing)}. Raise surgeNodes, or set spec.upgrade.strategy to InPlace or "
            "Auto. Until then the cluster stays as it is, and models are served."
        )
        return _held(case, serving, UpgradeState(Strategy.INCREMENTAL, False, True, "NotEnoughRoom", message))
    state = UpgradeState(Strategy.INCREMENTAL, True, reason="MakingRoom", message="The cluster gets no nodes more.")
    freeze = _bounding(serving, frozen(serving), "The rest of the nodes is for the new cluster.", "UpgradeStarted")
    if freeze:
        return Upgrade(_live_service(case), _named(case, state), freeze)
    fresh = bounded(case.config, cap(spec, (serving, *case.sight.others)))
    state = UpgradeState(Strategy.INCREMENTAL, True, reason="NewCluster", message=_SOON)
    return Upgrade(_with_config(case, fresh), _named(case, state))


def _scaled(case: _Case, serving: Cluster) -> Upgrade:
    """Nothing that needs another cluster. KubeRay itself appends groups; numbers and taints it leaves to the
    operator."""
    target = bounded(arranged(case.config, list(serving.groups.values())), cap(case.platform.spec, case.sight.others))
    present = len(serving.groups)
    known = {**target, "workerGroupSpecs": target["workerGroupSpecs"][:present]}
    state = _named(case, UpgradeState(Strategy.INCREMENTAL))
    if change(known, serving.spec) is Change.NONE:
        return Upgrade(_with_config(case, target), state)
    why, event = _IN_PLACE[Change.SCALE]
    return Upgrade(_with_config(case, target), state, (_patch(serving, known, {}, why, event),))


def _moving(case: _Case, active: Cluster, pending: Cluster) -> Upgrade:
    """Two clusters, and KubeRay moves traffic from one to the other. What they may have together stays within the
    pools' limits: the one that goes gets no node again, and the other gets what that gave up."""
    live: Manifest = (case.sight.service or {})["spec"]["rayClusterConfig"]
    is_back = not change(arranged(live, list(active.groups.values())), active.spec).is_new_cluster
    source, target = (pending, active) if is_back else (active, pending)
    others = (source, *case.sight.others)
    actions = (
        *_bounding(source, frozen(source), "Nodes that it gives up go to the other cluster.", ""),
        *_bounding(target, cap(case.platform.spec, others), "Nodes that the other cluster gave up are free.", ""),
    )
    state = _movement(case, active, pending, is_back)
    if state.reason == "UpgradeAbandoned" and not is_back:
        # Should KubeRay take it for a third cluster, that one gets no node before the others have given theirs up.
        back = bounded(managed(active.spec), cap(case.platform.spec, case.sight.clusters))
        return Upgrade(_with_config(case, back, keep_strategy=True), state, actions)
    return Upgrade(_live_service(case), state, actions)


def _movement(case: _Case, active: Cluster, pending: Cluster, is_back: bool) -> UpgradeState:
    percent = case.sight.traffic_percent() or 0
    is_wanted = not _change_of(case.config, case.platform, case.sight, pending).is_new_cluster
    is_old_wanted = not _change_of(case.config, case.platform, case.sight, active).is_new_cluster
    can_go_back = ANNOTATION_PATCHED not in active.annotations
    reason, message = (
        "MovingTraffic",
        f"{percent} % of the traffic go to {pending.name}, which is to replace {active.name}.",
    )
    if is_back or (not is_wanted and can_go_back and (is_old_wanted or percent == 0)):
        reason, message = (
            "UpgradeAbandoned",
            f"{pending.name} is given up: the document has changed. {active.name} serves.",
        )
    elif not is_wanted:
        message += " The document has changed since; that comes after."
    up = sum(1 for pod in pending.pods if pod.is_up)
    return _named(
        case,
        UpgradeState(Strategy.INCREMENTAL, True, False, reason, message, up, len(pending.pods), percent),
    )


def _held(case: _Case, serving: Cluster, state: UpgradeState) -> Upgrade:
    """The cluster stays as it is but for the numbers of its nodes; what it serves goes on changing."""
    events = (_warning(case, state.reason, state.message),) if state.is_blocked else ()
    live: Manifest = (case.sight.service or {})["spec"]["rayClusterConfig"]
    bounds = cap(case.platform.spec, [each for each in case.sight.clusters if each is not serving])
    service = _with_config(case, bounded(live, bounds), keep_strategy=True)
    why, event = _IN_PLACE[Change.SCALE]
    return Upgrade(service, _named(case, state), _bounding(serving, bounds, why, event), events)


def _bounding(cluster: Cluster, bounds: Mapping[str, Bounds], why: str, event: str) -> tuple[Action, ...]:
    target = bounded(managed(cluster.spec), bounds)
    if not differs({"spec": target}, {"spec": cluster.spec}):
        return ()
    return (_patch(cluster, target, {}, why, event),)


def _patch(cluster: Cluster, target: Manifest, marks: Mapping[str, str | None], why: str, event: str) -> Action:
    key = ObjectKey(RAY_API, "RayCluster", cluster.name)
    return Action(Verb.PATCH, key, why, cluster_patch(target, cluster, marks), event)


def _live_service(case: _Case) -> Manifest:
    live: Manifest = (case.sight.service or {})["spec"]["rayClusterConfig"]
    return _with_config(case, live, keep_strategy=True)


def _with_config(case: _Case, config: Manifest, keep_strategy: bool = False) -> Manifest:
    spec = {**case.service["spec"], "rayClusterConfig": config}
    if keep_strategy and case.sight.service is not None:
        spec["upgradeStrategy"] = case.sight.service["spec"].get("upgradeStrategy") or spec["upgradeStrategy"]
    return {**case.service, "spec": spec}


def _named(case: _Case, state: UpgradeState) -> UpgradeState:
    active, pending = (None if each is None else each.name for each in (case.sight.active, case.sight.pending))
    return replace(state, active_cluster=active, pending_cluster=pending)


def _warning(case: _Case, reason: str, message: str) -> Event:
    return Event(ObjectKey(case.platform.api_version, "Platform", case.platform.name), reason, message, is_warning=True)
