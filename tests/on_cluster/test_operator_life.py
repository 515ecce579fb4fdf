"""Every kind is created, changed, scaled, deleted and made again; and where nothing changes, nothing is written."""

from typing import Any

import pytest
import yaml
from fakes.kubernetes import Manifest, names
from fakes.operator import Bench, Operator, adapter, model, platform, workflow
from fakes.ray_controllers import KubeRay


def served(bench: Bench) -> list[str]:
    """The models of the RayService."""
    config = yaml.safe_load(bench.server.get("RayService", "main")["spec"]["serveConfigV2"])
    return [app["name"] for app in config["applications"]]


def condition(manifest: Manifest, kind: str) -> Manifest:
    """A condition of a status."""
    found: Manifest = next(one for one in manifest["status"]["conditions"] if one["type"] == kind)
    return found


async def stored(bench: Bench, kind: str) -> list[str]:
    """Names of the documents that the platform has."""
    async with bench.gateway.client() as client:
        rows = (await client.get("/v1/admin/documents", params={"kind": kind})).json()["data"]
    return [row["document"]["metadata"]["name"] for row in rows]


async def test_a_platform_and_its_models_become_one_ray_service(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    bench.server.edit(model("two"))
    async with bench.operator() as operator:
        await operator.settle()
    assert any("one" in app for app in served(bench))
    assert any("two" in app for app in served(bench))
    assert await stored(bench, "Model") == ["one", "two"]
    for kind, name in (("RayService", "main"), ("Service", "main-gateway")):
        [owner] = bench.server.get(kind, name)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Platform", "main", True)
    assert bench.server.get("Model", "one")["status"]["observedGeneration"] == 1
    assert not bench.server.refused


async def test_a_steady_state_makes_no_writes(bench: Bench) -> None:
    kuberay = KubeRay(bench.server)
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await settle_with(operator, kuberay)
        bench.server.requests.clear()
        bench.calls.clear()
        for _ in range(3):
            bench.clock.advance(60)
            await operator.pass_()
    async with bench.operator() as restarted:
        await restarted.pass_()
    assert bench.server.writes() == []
    assert bench.calls == []


async def settle_with(operator: Operator, kuberay: KubeRay) -> None:
    """Until neither the operator nor KubeRay has anything to do."""
    for _ in range(60):
        version = operator.bench.server.version
        await operator.settle()
        kuberay.step()
        operator.bench.clock.advance(60)
        await operator.settle()
        if operator.bench.server.version == version:
            return
    raise AssertionError("it never comes to rest")


CHANGES = {
    "title": {"card": {"title": "another"}},
    "prices": {"prices": {"prompt": "1", "completion": "2"}},
    "scaling": {"scaling": {"minReplicas": 2, "maxReplicas": 3}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
async def test_a_changed_model_reaches_the_platform_and_the_ray_service(bench: Bench, change: dict[str, Any]) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.settle()
        before = bench.server.get("RayService", "main")["spec"]["serveConfigV2"]
        bench.server.edit(model("one", **change))
        await operator.settle()
    assert bench.server.get("RayService", "main")["spec"]["serveConfigV2"] != before
    assert bench.server.get("Model", "one")["status"]["observedGeneration"] == 2
    card = (await bench.gateway.services.catalog.card("one")).document.spec
    assert {"another", 2} & {card.card.title, card.scaling.min_replicas, 2 if card.prices else 0}


async def test_a_deleted_model_is_gone_from_both_and_can_be_made_again(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    bench.server.edit(model("two"))
    async with bench.operator() as operator:
        await operator.settle()
        first = served(bench)
        bench.server.delete("Model", "two")
        await operator.settle()
        assert await stored(bench, "Model") == ["one"]
        assert not any("two" in app for app in served(bench))
        bench.server.edit(model("two"))
        await operator.settle()
    assert await stored(bench, "Model") == ["one", "two"]
    assert served(bench) == first


async def test_adapters_and_workflows_live_in_the_platform(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one", adapters={"enabled": True}))
    bench.server.edit(adapter("tone", "one", bench.folder))
    bench.server.edit(workflow("greet"))
    async with bench.operator() as operator:
        await operator.settle()
        assert await stored(bench, "Adapter") == ["tone"]
        assert await stored(bench, "Workflow") == ["greet"]
        for kind, name in (("Adapter", "tone"), ("Workflow", "greet")):
            assert condition(bench.server.get(kind, name), "Ready")["status"] == "True"
        bench.server.edit(workflow("greet", title="Greets again"))
        await operator.settle()
        assert bench.server.get("Workflow", "greet")["status"]["version"] == 2
        bench.server.delete("Adapter", "tone")
        bench.server.delete("Workflow", "greet")
        await operator.settle()
        assert (await stored(bench, "Adapter"), await stored(bench, "Workflow")) == ([], [])
        bench.server.edit(adapter("tone", "one", bench.folder))
        bench.server.edit(workflow("greet"))
        await operator.settle()
    assert (await stored(bench, "Adapter"), await stored(bench, "Workflow")) == (["tone"], ["greet"])


async def test_a_deleted_platform_takes_its_children_along_and_comes_back(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        await operator.settle()
        bench.server.delete("Platform", "main")
        assert not bench.server.of("RayService")
        await operator.settle()
        assert not bench.server.of("RayService")
        assert condition(bench.server.get("Model", "one"), "Ready")["status"] != "True"
        bench.server.edit(platform())
        await operator.settle()
    assert names(bench.server.of("RayService")) == ["main"]


async def test_the_oldest_platform_counts(bench: Bench) -> None:
    bench.server.edit(platform("zeta"))
    bench.server.edit(platform("alpha"))
    async with bench.operator() as operator:
        await operator.settle()
        assert names(bench.server.of("RayService")) == ["zeta"]
        assert condition(bench.server.get("Platform", "alpha"), "Ready")["status"] == "False"
        bench.server.delete("Platform", "zeta")
        await operator.settle()
    assert names(bench.server.of("RayService")) == ["alpha"]


async def test_a_platform_that_cannot_be_read_is_not_replaced_by_a_younger_one(bench: Bench) -> None:
    bench.server.edit(platform("zeta"))
    async with bench.operator() as operator:
        await operator.settle()
        bench.server.edit(platform("alpha"))
        bench.server.edit(platform("zeta", unheard=True))
        await operator.settle()
        assert names(bench.server.of("RayService")) == ["zeta"]
        assert condition(bench.server.get("Platform", "alpha"), "Ready")["reason"] == "AnotherPlatform"
        assert condition(bench.server.get("Platform", "zeta"), "Ready")["reason"] == "InvalidDocument"


async def test_a_model_that_was_applied_over_http_is_a_resource_too(bench: Bench) -> None:
    bench.server.edit(platform())
    async with bench.operator() as operator, bench.gateway.client() as client:
        await operator.settle()
        await client.put("/v1/admin/documents/Model/mine", json=model("mine"))
        await operator.settle()
        resource = bench.server.get("Model", "mine")
        assert resource["metadata"]["annotations"]["slipway.dev/managed-by"] == "api"
        assert any("mine" in app for app in served(bench))
        bench.server.edit(model("mine", card={"title": "edited by hand"}))
        await operator.settle()
        assert bench.server.get("Model", "mine")["spec"]["card"]["title"] == "mine"
        assert "SetBack" in {event["reason"] for event in bench.server.of("Event")}
        await client.delete("/v1/admin/documents/Model/mine")
        await operator.settle()
    assert not bench.server.of("Model")


async def test_a_hand_edit_of_a_child_is_reverted_and_told(bench: Bench) -> None:
    bench.server.edit(platform())
    async with bench.operator() as operator:
        await operator.settle()
        before = bench.server.get("RayService", "main")["spec"]
        edit = {"kind": "RayService", "metadata": {"name": "main"}, "spec": {"serveConfigV2": "applications: []"}}
        bench.server.edit(edit)
        await operator.settle()
        bench.server.edit(
            {"kind": "Service", "metadata": {"name": "main-gateway", "labels": {"slipway.dev/platform": None}}}
        )
        await operator.settle()
    assert bench.server.get("RayService", "main")["spec"] == before
    assert bench.server.get("Service", "main-gateway")["metadata"]["labels"]["slipway.dev/platform"] == "main"
    assert "HandEditReverted" in {event["reason"] for event in bench.server.of("Event")}


async def test_a_deleted_child_is_made_again(bench: Bench) -> None:
    bench.server.edit(platform())
    async with bench.operator() as operator:
        await operator.settle()
        kinds = sorted({key[0] for key in bench.server.objects} - {"Event", "Platform"})
        for kind in kinds:
            for name in names(bench.server.of(kind)):
                bench.server.delete(kind, name)
        await operator.settle()
    assert set(kinds) <= {key[0] for key in bench.server.objects}


async def test_what_no_document_can_be_read_from_is_told_of_and_serves_on(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one"))
    bench.server.edit(model("broken", family="nothing"))
    async with bench.operator() as operator:
        await operator.settle()
        bench.server.edit(model("one", family="nothing"))
        await operator.settle()
    assert condition(bench.server.get("Model", "broken"), "Accepted")["reason"] == "InvalidDocument"
    assert await stored(bench, "Model") == ["one"]


async def test_a_namespace_says_whose_its_adapters_are(bench: Bench) -> None:
    bench.server.annotations["slipway.dev/tenant"] = "other"
    bench.server.edit(platform())
    bench.server.edit(workflow("greet"))
    async with bench.operator() as operator:
        await operator.settle()
    assert await stored(bench, "Workflow") == []
    async with bench.gateway.client() as client:
        rows = (await client.get("/v1/admin/documents", params={"kind": "Workflow", "tenant": "other"})).json()
    assert [row["document"]["metadata"]["name"] for row in rows["data"]] == ["greet"]
