"""An operator is not alone: another one, KubeRay, people, and a namespace that ends."""

import asyncio
from typing import Any

import pytest
from fakes.kubernetes import Key, Manifest, Refused, Server, names
from fakes.operator import Bench, model, platform, workflow
from fakes.ray_controllers import KubeRay, condition

from operators.cluster import ClusterError

CPU_POOL = {"name": "default", "cpu": True, "minNodes": 2, "maxNodes": 2}


def told(manifest: Manifest, kind: str) -> Manifest:
    """A condition of a status."""
    found: Manifest = next(one for one in manifest["status"]["conditions"] if one["type"] == kind)
    return found


async def test_two_operators_come_to_rest(bench: Bench) -> None:
    bench.server.edit(platform())
    for number in range(3):
        bench.server.edit(model(f"m{number}"))
    async with bench.operator() as one, bench.operator() as two:
        await asyncio.gather(one.pass_(), two.pass_())
        await asyncio.gather(one.pass_(), two.pass_())
        await one.settle()
        before = bench.server.version
        bench.server.requests.clear()
        await asyncio.gather(two.pass_(), one.pass_())
    assert (bench.server.version, bench.server.writes()) == (before, [])
    assert len(bench.server.of("RayService")) == 1


async def test_what_is_deleted_while_the_operator_is_down_is_deleted_when_it_is_back(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    bench.server.edit(workflow("greet"))
    async with bench.operator() as operator:
        await operator.settle()
    bench.server.delete("Model", "one")
    bench.server.delete("Workflow", "greet")
    bench.calls.clear()
    async with bench.operator() as operator:
        await operator.settle()
    deleted = ["DELETE /v1/admin/documents/Model/one", "DELETE /v1/admin/documents/Workflow/greet"]
    assert sorted(bench.calls) == deleted


async def test_a_namespace_that_ends_is_not_held_up(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.settle()
        bench.server.delete_namespace()
        assert bench.server.objects == {}
        await operator.settle()
    assert bench.server.objects == {}


async def test_a_namespace_that_ends_amid_a_pass_stops_nothing(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.reconciler.reader.read()
        bench.server.delete_namespace()
        await operator.reconciler.pass_()
        await operator.settle()
    assert bench.server.objects == {}


async def test_kuberays_status_is_followed_through_every_condition(bench: Bench) -> None:
    bench.server.edit(platform())
    reasons = [
        (False, "Initializing"),
        (False, "InitializingTimeout"),
        (False, "ValidationFailed"),
        (False, "ZeroServeEndpoints"),
        (True, "NonZeroServeEndpoints"),
    ]
    async with bench.operator() as operator:
        await operator.settle()
        for is_ready, reason in reasons:
            status = {"conditions": [condition("Ready", is_ready, reason, f"It is {reason}.")]}
            status["pendingServiceStatus"] = {"rayClusterName": "main-1"}
            bench.server.set_status("RayService", "main", status)
            writes = len(bench.server.writes())
            await operator.settle()
            assert set(bench.server.writes()[writes:]) <= {
                "PATCH /apis/slipway.dev/v1alpha1/namespaces/slipway/platforms/main/status"
            }
            if not is_ready:
                assert told(bench.server.get("Platform", "main"), "RayCluster")["reason"] == reason


async def test_a_new_image_replaces_pods_one_after_another_within_the_same_cluster(bench: Bench) -> None:
    kuberay = KubeRay(bench.server)
    bench.server.edit(platform(pools=[CPU_POOL]))
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        for _ in range(6):
            await operator.settle()
            kuberay.step()
            bench.clock.advance(60)
        assert len(bench.server.of("Pod")) == 3
        first = {pod["metadata"]["uid"] for pod in bench.server.of("Pod")}
        bench.server.edit(platform(pools=[CPU_POOL], image={"tag": "0.1.1-cpu"}))
        fewest = 3
        for _ in range(40):
            await operator.reconciler.reader.read()
            await operator.reconciler.pass_()
            fewest = min(fewest, len(bench.server.of("Pod")))
            kuberay.step()
            bench.clock.advance(60)
            if not first & {pod["metadata"]["uid"] for pod in bench.server.of("Pod")}:
                break
        await operator.settle()
    images = {pod["spec"]["containers"][0]["image"] for pod in bench.server.of("Pod")}
    assert (fewest, len(bench.server.of("RayCluster"))) == (2, 1)
    assert all(image.endswith(":0.1.1-cpu") for image in images)
    assert len(bench.server.of("Pod")) == 3


async def test_a_pools_bounds_reach_the_live_cluster(bench: Bench) -> None:
    kuberay = KubeRay(bench.server)
    bench.server.edit(platform(pools=[CPU_POOL]))
    async with bench.operator() as operator:
        for _ in range(4):
            await operator.settle()
            kuberay.step()
            bench.clock.advance(60)
        [before] = names(bench.server.of("RayCluster"))
        bench.server.edit(platform(pools=[CPU_POOL | {"minNodes": 3, "maxNodes": 5}]))
        await operator.settle()
        kuberay.step()
    [cluster] = bench.server.of("RayCluster")
    [group] = cluster["spec"]["workerGroupSpecs"]
    assert (cluster["metadata"]["name"], group["minReplicas"], group["maxReplicas"]) == (before, 3, 5)


async def test_nothing_outside_of_the_role_is_asked_for(bench: Bench) -> None:
    kuberay = KubeRay(bench.server)
    bench.server.edit(platform(pools=[CPU_POOL], gateway={"expose": "ingress"}))
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        for _ in range(4):
            await operator.settle()
            kuberay.step()
        with pytest.raises(ClusterError) as refused:
            await operator.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}})
    assert (refused.value.status, bench.server.refused) == (403, ["create pods"])


def test_the_fake_server_keeps_the_rules_of_field_owners(bench: Bench) -> None:
    server, key = bench.server, ("Service", "x")
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"type": "ClusterIP", "a": 1}}
    server.apply(key, body, "ours", "", is_forced=False)
    server.edit({"kind": "Service", "metadata": {"name": "x"}, "spec": {"a": 2, "b": 3}}, "theirs")
    with pytest.raises(Refused, match="theirs"):
        server.apply(key, body, "ours", "", is_forced=False)
    server.apply(key, body, "ours", "", is_forced=True)
    assert server.get(*key)["spec"] == {"type": "ClusterIP", "a": 1, "b": 3}
    server.apply(key, body | {"spec": {"type": "ClusterIP"}}, "ours", "", is_forced=True)
    assert server.get(*key)["spec"] == {"type": "ClusterIP", "b": 3}


async def test_a_webhook_that_changes_what_is_applied_is_told_of_and_not_fought(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mutated(server: Server, key: Key, body: Manifest, *rest: Any, **options: Any) -> Manifest:
        changed = body | {"spec": body["spec"] | {"type": "NodePort"}} if key[0] == "Service" else body
        return applied(server, key, changed, *rest, **options)

    applied = Server.apply
    monkeypatch.setattr(Server, "apply", mutated)
    bench.server.edit(platform())
    async with bench.operator() as operator:
        for _ in range(6):
            await operator.reconciler.pass_()
            await operator.reconciler.settle()
        services = [write for write in bench.server.writes() if "/services" in write]
        bench.server.edit({"kind": "Service", "metadata": {"name": "main-gateway", "labels": {"mine": "1"}}})
        bench.server.edit(platform(gateway={"annotations": {"a": "b"}}))
        await operator.pass_()
    assert len(services) == 1
    assert "NotAsApplied" in {event["reason"] for event in bench.server.of("Event")}
    assert bench.server.get("Service", "main-gateway")["metadata"]["annotations"]["a"] == "b", "it goes on"
