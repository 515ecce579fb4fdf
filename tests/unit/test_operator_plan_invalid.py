"""A RayService that KubeRay does not take as valid: it begins nothing, so nothing is waited for."""

from typing import Any

from fakes.ray_cluster import RayCluster

from operators.desired.objects import desired_objects
from operators.desired.strategy import Strategy
from operators.planning.plan import choose_strategy, plan
from operators.planning.sight import sight_of
from operators.state import Action, Verb
from serve.domain.documents import API_VERSION
from serve.domain.platform import PlatformDocument


def document(**upgrade: Any) -> PlatformDocument:
    metadata = {"name": "main"}
    return PlatformDocument.model_validate(
        {"apiVersion": API_VERSION, "kind": "Platform", "metadata": metadata, "spec": {"upgrade": upgrade}}
    )


def applied(ray: RayCluster) -> list[Action]:
    """What a pass writes of the RayService; carried out."""
    world = ray.world()
    made = plan(desired_objects(world, choose_strategy(world)), world, (), ray.now)
    for action in made.actions:
        ray.do(action)
    return [action for action in made.actions if (action.verb, action.key.kind) == (Verb.APPLY, "RayService")]


def test_a_way_of_upgrading_that_kuberay_refuses_can_be_taken_back() -> None:
    ray = RayCluster(document(strategy="InPlace"))
    applied(ray)
    for _ in range(3):
        ray.reconcile()
        ray.start(0)
        ray.start(0)
    ray.platform = document(strategy="Incremental", gatewayClass="envoy")
    assert len(applied(ray)) == 1
    service = ray.service
    assert service is not None
    before = service["status"]["observedGeneration"]
    told = {"type": "Ready", "status": "False", "reason": "ValidationFailed", "message": "the feature gate is off"}
    service["status"]["conditions"] = [told]
    assert sight_of(ray.world()).complaint == "the feature gate is off"
    assert service["metadata"]["generation"] > before, "KubeRay has not acted upon it"
    ray.platform = document(strategy="InPlace")
    [action] = applied(ray)
    assert action.body["spec"]["upgradeStrategy"]["type"] == Strategy.IN_PLACE.upgrade_type
