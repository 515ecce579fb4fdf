"""What KubeRay does with a change that it is given as it is, and what the operator does instead."""

from datetime import timedelta
from typing import Any

import pytest
from fakes.ray_cluster import NAMESPACE, RayCluster

from operators.desired.objects import desired_objects
from operators.desired.strategy import Strategy
from operators.planning.plan import Plan, choose_strategy, plan
from operators.state import Action, Manifest, ObjectKey, Problem, Verb
from serve.domain.documents import API_VERSION
from serve.domain.platform import PlatformDocument

CPU = {"name": "cpu", "cpu": True, "minNodes": 1, "maxNodes": 1}
GPU = {"name": "gpu", "gpusPerNode": 8, "minNodes": 2, "maxNodes": 2}
REDIS = {"faultTolerance": {"redisAddress": "redis:6379"}}


def document(**spec: Any) -> PlatformDocument:
    """A Platform; `upgrade`, `image`, `pools`, `ray` as its spec has them."""
    fields = {"pools": [CPU, GPU], "ray": REDIS, "image": {"tag": "1", "gpuTag": "1"}, **spec}
    return PlatformDocument.model_validate(
        {"apiVersion": API_VERSION, "kind": "Platform", "metadata": {"name": "main"}, "spec": fields}
    )


def planned(ray: RayCluster) -> Plan:
    """What a pass does now."""
    world = ray.world()
    return plan(desired_objects(world, choose_strategy(world)), world, (), ray.now)


def round_(ray: RayCluster) -> Plan:
    """A pass and all that comes of it."""
    made = planned(ray)
    for action in made.actions:
        ray.do(action)
    ray.reconcile()
    ray.autoscale()
    ray.reconcile()
    for _ in range(len(ray.pods)):
        ray.finish(0)
        ray.start(0)
    ray.now += timedelta(minutes=1)
    return made


def settled(ray: RayCluster) -> Plan:
    """Rounds until nothing was done in four of them; the last plan."""
    num_quiet = 0
    for _ in range(100):
        made = round_(ray)
        num_quiet = 0 if made.actions else num_quiet + 1
        if num_quiet == 4:
            return made
    raise AssertionError(made)


def running(**spec: Any) -> RayCluster:
    """A platform that is up."""
    ray = RayCluster(document(**spec), work={"cpu": 1, "gpu": 2}, bad_images={"slipway:bad"})
    settled(ray)
    return ray


def rayish(actions: tuple[Action, ...]) -> list[tuple[str, str]]:
    """(verb, kind) of what is done to the Ray cluster."""
    kinds = ("RayService", "RayCluster", "Pod")
    return [(action.verb, action.key.kind) for action in actions if action.key.kind in kinds]


def cluster(ray: RayCluster) -> Manifest:
    """The one RayCluster."""
    [found] = ray.clusters.values()
    return found


def groups(manifest: Manifest) -> list[str]:
    """Names of worker groups, with their bounds."""
    spec = manifest["spec"].get("rayClusterConfig") or manifest["spec"]
    return [f"{each['groupName']} {each['minReplicas']}-{each['maxReplicas']}" for each in spec["workerGroupSpecs"]]


INCREMENTAL = {"strategy": "Incremental", "gatewayClass": "envoy"}
AUTO = {"strategy": "Auto", "gatewayClass": "envoy"}
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


@pytest.mark.parametrize("upgrade", [{"strategy": "InPlace"}, INCREMENTAL], ids=["in place", "incremental"])
@pytest.mark.parametrize("change", [{"maxNodes": 5}, {"minNodes": 0}, {"tolerations": [TOLERATION]}], ids=str)
def test_bounds_and_tolerations_reach_the_live_cluster_and_no_pod_goes(
    upgrade: dict[str, str], change: dict[str, Any]
) -> None:
    ray = running(upgrade=upgrade)
    ray.platform = document(upgrade=upgrade, pools=[CPU, {**GPU, **change}])
    made = planned(ray)
    assert rayish(made.actions) == [(Verb.APPLY, "RayService"), (Verb.PATCH, "RayCluster")]
    [patch] = [action.body for action in made.actions if action.verb is Verb.PATCH]
    assert patch["metadata"] == {"resourceVersion": cluster(ray)["metadata"]["resourceVersion"]}
    assert [group["replicas"] for group in patch["spec"]["workerGroupSpecs"]] == [1, 2]
    round_(ray)
    assert planned(ray).actions == ()
    assert not made.upgrade.is_running


def test_pools_in_another_order_are_the_same_cluster() -> None:
    ray = running(upgrade=INCREMENTAL)
    ray.platform = document(upgrade=INCREMENTAL, pools=[GPU, CPU])
    assert rayish(planned(ray).actions) == []


@pytest.mark.parametrize("upgrade", [{"strategy": "InPlace"}, INCREMENTAL], ids=["in place", "incremental"])
def test_a_new_pool_comes_last_and_one_that_is_gone_stays_closed(upgrade: dict[str, str]) -> None:
    ray = running(upgrade=upgrade)
    name = cluster(ray)["metadata"]["name"]
    more = {"name": "a", "cpu": True, "maxNodes": 3}
    ray.platform = document(upgrade=upgrade, pools=[more, CPU])
    settled(ray)
    assert cluster(ray)["metadata"]["name"] == name
    assert groups(cluster(ray)) == ["cpu 1-1", "gpu 0-0", "a 0-3"]
    assert ray.service is not None
    assert groups(ray.service) == ["cpu 1-1", "gpu 0-0", "a 0-3"]
    assert planned(ray).actions == ()


def test_a_pool_that_comes_back_opens_in_its_place() -> None:
    ray = running()
    for pools in ([CPU], [CPU, GPU]):
        ray.platform = document(pools=pools)
        settled(ray)
    assert groups(cluster(ray)) == ["cpu 1-1", "gpu 2-2"]


def test_another_image_replaces_pods_one_by_one_the_head_last() -> None:
    ray = running()
    ray.platform = document(image={"tag": "2", "gpuTag": "2"})
    deleted: list[str] = []
    for _ in range(40):
        made = round_(ray)
        gone = [action.key.name for action in made.actions if action.verb is Verb.DELETE]
        assert len(gone) <= 1
        deleted += gone
    assert [("head" in name, "cpu" in name) for name in deleted[-1:]] == [(True, False)]
    assert len(deleted) == 4
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:2"}
    assert (made.upgrade.reason, made.upgrade.replaced, made.upgrade.total) == ("UpToDate", 4, 4)


def test_an_image_that_does_not_start_costs_one_pod_until_it_is_set_right() -> None:
    ray = running()
    ray.platform = document(image={"tag": "bad", "gpuTag": "bad"})
    made = settled(ray)
    assert sum(pod["spec"]["image"] == "slipway:1" for pod in ray.pods.values()) == 3
    assert (made.upgrade.is_blocked, made.upgrade.reason) == (True, "NewPodDoesNotStart")
    assert "ErrImagePull no such image" in made.upgrade.message
    ray.platform = document(image={"tag": "2", "gpuTag": "2"})
    made = settled(ray)
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:2"}


def test_a_successor_that_no_node_has_room_for_holds_the_others_up() -> None:
    ray = running()
    ray.platform = document(image={"tag": "2", "gpuTag": "2"})
    ray.capacity = {"gpu": 1}
    made = settled(ray)
    assert (made.upgrade.is_blocked, made.upgrade.reason) == (True, "NewPodDoesNotStart")
    assert "Insufficient nvidia.com/gpu" in made.upgrade.message
    ray.capacity = {"gpu": 2}
    assert not settled(ray).upgrade.is_blocked
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:2"}


def test_an_operator_that_ends_between_saying_and_deleting_goes_on_with_the_same_pod() -> None:
    ray = running()
    ray.platform = document(image={"tag": "2", "gpuTag": "2"})
    named: set[str] = set()
    for _ in range(6):
        for action in planned(ray).actions:
            if action.verb is Verb.DELETE:
                named.add(action.key.name)
            else:
                ray.do(action)
        ray.now += timedelta(minutes=1)
    assert len(named) == 1


@pytest.mark.parametrize("state", ["UNHEALTHY", "DEPLOYING"])
def test_models_that_are_not_well_hold_the_next_pod_up_but_not_for_ever(state: str) -> None:
    ray = running()
    ray.platform = document(image={"tag": "2", "gpuTag": "2"})
    round_(ray)
    assert ray.service is not None
    for minutes, is_held in ((1, True), (27, True), (2, False)):
        ray.now += timedelta(minutes=minutes)
        applications = ray.service["status"]["activeServiceStatus"]["applicationStatuses"]
        applications["model-one"] = {"status": state}
        made = planned(ray)
        assert (made.upgrade.reason == "WaitingForModels") is is_held
        assert ("model-one" in made.upgrade.message) is is_held


def test_a_head_without_fault_tolerance_warns_before_it_goes() -> None:
    ray = running(ray={})
    ray.platform = document(ray={}, image={"tag": "2", "gpuTag": "2"})
    [event] = planned(ray).events
    assert (event.reason, event.is_warning) == ("HeadReplacementInterrupts", True)
    assert "spec.ray.faultTolerance" in event.message


def test_what_the_autoscaler_reads_of_the_cluster_replaces_no_pod() -> None:
    ray = running(upgrade=AUTO)
    ray.platform = document(upgrade=AUTO, ray={**REDIS, "idleTimeoutSeconds": 60})
    made = round_(ray)
    assert rayish(made.actions) == [(Verb.APPLY, "RayService"), (Verb.PATCH, "RayCluster")]
    assert not made.upgrade.is_running
    assert rayish(planned(ray).actions) == []
    assert cluster(ray)["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] == 60


@pytest.mark.parametrize(
    ("upgrade", "strategy"),
    [
        ({"strategy": "InPlace", "gatewayClass": "envoy"}, Strategy.IN_PLACE),
        ({"strategy": "Incremental"}, Strategy.IN_PLACE),
        ({"strategy": "Auto"}, Strategy.IN_PLACE),
        (AUTO, Strategy.INCREMENTAL),
        (INCREMENTAL, Strategy.INCREMENTAL),
    ],
    ids=["in place", "no gateway class", "auto without", "auto", "incremental"],
)
def test_traffic_moves_only_where_a_gateway_can_move_it(upgrade: dict[str, str], strategy: Strategy) -> None:
    ray = RayCluster(document(upgrade=upgrade))
    assert choose_strategy(ray.world()) is strategy
    ray.knows_routes = False
    assert choose_strategy(ray.world()) is Strategy.IN_PLACE


def test_auto_replaces_in_place_where_a_second_cluster_has_no_room() -> None:
    ray = running(upgrade=AUTO)
    ray.platform = document(upgrade=AUTO, image={"tag": "2", "gpuTag": "2"})
    assert choose_strategy(ray.world()) is Strategy.IN_PLACE
    for _ in range(30):
        round_(ray)
        assert len(ray.clusters) == 1
        assert ray.nodes("gpu") <= 2
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:2"}


def test_incremental_without_room_is_refused_with_what_is_missing_and_models_go_on() -> None:
    ray = running(upgrade=INCREMENTAL)
    ray.platform = document(upgrade=INCREMENTAL, image={"tag": "2", "gpuTag": "2"}, runner={"replicas": 2})
    made = planned(ray)
    assert (made.upgrade.is_blocked, made.upgrade.reason) == (True, "NotEnoughRoom")
    assert (
        "the pool gpu has 2 nodes in use, needs 1 more beside them, and may have 0 more (maxNodes + surgeNodes)"
        in made.upgrade.message
    )
    assert [event.message for event in made.events] == [made.upgrade.message]
    assert rayish(made.actions) == [(Verb.APPLY, "RayService")]
    settled(ray)
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:1"}
    assert ray.service is not None
    assert '"num_replicas":2' in ray.service["spec"]["serveConfigV2"]
    assert planned(ray).actions == ()


ROOM = [{**CPU, "surgeNodes": 1}, {**GPU, "surgeNodes": 2}]


def test_with_room_the_first_cluster_is_capped_before_the_second_is_made() -> None:
    ray = running(upgrade=AUTO, pools=[ROOM[0], {**ROOM[1], "maxNodes": 4}])
    ray.platform = document(
        upgrade=AUTO, pools=[ROOM[0], {**ROOM[1], "maxNodes": 4}], image={"tag": "2", "gpuTag": "2"}
    )
    made = round_(ray)
    assert (Verb.PATCH, "RayCluster") in rayish(made.actions)
    assert made.upgrade.reason == "MakingRoom"
    assert len(ray.clusters) == 1
    assert groups(cluster(ray)) == ["cpu 1-1", "gpu 2-2"]
    made = round_(ray)
    assert rayish(made.actions) == [(Verb.APPLY, "RayService")]
    assert groups(made.actions[0].body) == ["cpu 1-1", "gpu 2-4"]
    shares: list[int] = []
    for _ in range(20):
        made = round_(ray)
        shares.append(made.upgrade.traffic_percent or 0)
        assert ray.nodes("gpu") <= 6
    assert shares[-1] == 0
    assert max(shares) >= 60
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:2"}
    assert groups(cluster(ray)) == ["cpu 1-1", "gpu 2-4"]


def test_a_second_cluster_that_does_not_come_up_is_given_up_when_the_document_changes() -> None:
    ray = running(upgrade=AUTO, pools=ROOM)
    first = ray.names()[0]
    ray.platform = document(upgrade=AUTO, pools=ROOM, image={"tag": "bad", "gpuTag": "bad"})
    for _ in range(10):
        made = round_(ray)
    assert ray.names()[0] == first
    assert made.upgrade.reason == "MovingTraffic"
    ray.platform = document(upgrade=AUTO, pools=ROOM, image={"tag": "2", "gpuTag": "2"})
    assert planned(ray).upgrade.reason == "UpgradeAbandoned"
    for _ in range(60):
        round_(ray)
        assert ray.nodes("gpu") <= 4
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:2"}


def test_another_ray_is_refused_in_place_with_what_to_do() -> None:
    ray = running()
    ray.platform = document(ray={**REDIS, "version": "2.61.0"}, image={"tag": "2", "gpuTag": "2"})
    made = planned(ray)
    assert (made.upgrade.is_blocked, made.upgrade.reason) == (True, "RayVersionNeedsNewCluster")
    assert f"kubectl delete rayservice main -n {NAMESPACE}" in made.upgrade.message
    round_(ray)
    assert planned(ray).actions == ()
    assert {pod["spec"]["image"] for pod in ray.pods.values()} == {"slipway:1"}
    del ray.objects[ObjectKey("ray.io/v1", "RayService", "main")]
    for _ in range(20):
        round_(ray)
        assert ray.nodes("gpu") <= 2
    assert cluster(ray)["spec"]["rayVersion"] == "2.61.0"
    assert planned(ray).actions == ()


def test_a_cluster_that_kuberay_overwrote_is_left_as_it_is() -> None:
    ray = running()
    ray.platform = document(image={"tag": "2", "gpuTag": "2"})
    settled(ray)
    assert ray.service is not None
    ray._overwrite(ray.names()[0], ray.service)
    assert rayish(planned(ray).actions) == []


def test_problems_become_events_and_without_a_platform_nothing_is_done() -> None:
    ray = RayCluster(document())
    problem = Problem(ObjectKey(API_VERSION, "Model", "one"), "UnknownPool", "spec.placement.pool: there is none.")
    world = ray.world()
    made = plan([], world, [problem], ray.now)
    assert [(event.key.name, event.reason, event.is_warning) for event in made.events] == [("one", "UnknownPool", True)]
    assert plan([], type(world)(namespace="models", tenant="default"), [problem], ray.now) == Plan()
