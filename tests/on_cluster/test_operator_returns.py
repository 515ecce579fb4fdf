"""What was there before comes back, and what came while nobody looked is found; documents that are wrong say how."""

from typing import Any

import pytest
from fakes.gateway import CHAT
from fakes.kubernetes import Manifest, names
from fakes.operator import Bench, adapter, model, platform, workflow
from fakes.ray_controllers import KubeRay

ROUTES = {"strategy": "Incremental", "gatewayClass": "envoy"}


def condition(manifest: Manifest, kind: str) -> Manifest:
    """A condition of a status."""
    found: Manifest = next(one for one in manifest["status"]["conditions"] if one["type"] == kind)
    return found


def ready(bench: Bench) -> dict[str, str]:
    """By resource, what its condition Ready says."""
    kinds = ("Platform", "Model", "Adapter", "Workflow")
    found = [one for kind in kinds for one in bench.server.of(kind)]
    return {f"{one['kind']}/{one['metadata']['name']}": condition(one, "Ready")["status"] for one in found}


async def test_a_platform_that_is_made_again_has_its_models_adapters_and_workflows_again(bench: Bench) -> None:
    kuberay = KubeRay(bench.server)
    documents = [
        platform(),
        model(CHAT, adapters={"enabled": True}),
        adapter("tone", CHAT, bench.folder),
        workflow("greet"),
    ]
    for document in documents:
        bench.server.edit(document)
    async with bench.operator() as operator:
        for _ in range(4):
            await operator.settle()
            kuberay.step()
        expected = {"Platform/main": "True", f"Model/{CHAT}": "True", "Adapter/tone": "True", "Workflow/greet": "True"}
        assert ready(bench) == expected
        before = bench.server.get("RayService", "main")["spec"]
        bench.server.delete("Platform", "main")
        await operator.settle()
        assert set(ready(bench).values()) == {"False"}
        bench.server.edit(platform())
        for _ in range(4):
            await operator.settle()
            kuberay.step()
        assert ready(bench) == expected
    assert bench.server.get("RayService", "main")["spec"] == before


async def test_a_model_that_was_applied_over_http_while_the_operator_was_down_becomes_a_resource(bench: Bench) -> None:
    bench.server.edit(platform())
    async with bench.operator() as operator:
        await operator.settle()
    async with bench.gateway.client() as client:
        await client.put(f"/v1/admin/documents/Model/{CHAT}", json=model(CHAT))
    async with bench.operator() as operator:
        await operator.settle()
    assert f"model-{CHAT}" in bench.server.get("RayService", "main")["spec"]["serveConfigV2"]
    assert condition(bench.server.get("Model", CHAT), "Ready")["status"] == "True"


async def test_an_incremental_upgrade_ends_with_one_cluster_of_the_new_image(bench: Bench) -> None:
    kuberay = KubeRay(bench.server)
    pool = {"name": "default", "cpu": True, "minNodes": 1, "maxNodes": 2, "surgeNodes": 1}
    bench.server.edit(platform(pools=[pool], upgrade=ROUTES))
    bench.server.edit(model("one"))
    async with bench.operator() as operator:
        for _ in range(4):
            await operator.settle()
            kuberay.step()
            bench.clock.advance(60)
        [first] = names(bench.server.of("RayCluster"))
        bench.server.edit(platform(pools=[pool], upgrade=ROUTES, image={"tag": "0.1.1-cpu"}))
        told, most = set[str](), 0
        for _ in range(12):
            await operator.settle()
            kuberay.step()
            bench.clock.advance(60)
            most = max(most, len(bench.server.of("RayCluster")))
            found = bench.server.get("Platform", "main")["status"]["conditions"]
            told |= {one["reason"] for one in found if one["type"] == "Upgrading"}
        await operator.settle()
    [last] = names(bench.server.of("RayCluster"))
    images = {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in bench.server.of("Pod")}
    assert (most, last != first, images) == (2, True, {"0.1.1-cpu"})
    assert {"NewCluster", "MovingTraffic"} & told
    status = bench.server.get("Platform", "main")["status"]
    assert "Upgrading" not in {one["type"] for one in status["conditions"]}
    assert status["activeCluster"] == last
    assert "ray.io/cluster" not in bench.server.get("Service", "main-gateway")["spec"]["selector"], "both served"


GPU_POOL = {"name": "h200", "gpusPerNode": 8, "resources": {"cpu": "32", "memory": "256Gi"}}
VLLM: dict[str, Any] = {"weights": {"uri": "hf://org/model"}, "engine": {"kind": "vllm"}}
WRONG = [
    pytest.param({"placement": {"pool": "a100"}}, "UnknownPool", "it has h200", id="unknown pool"),
    pytest.param(
        VLLM | {"placement": {"pool": "h200", "gpus": 16}}, "GpusOverPool", "h200 has 8 on each node", id="GPUs"
    ),
    pytest.param(
        VLLM | {"weights": {"uri": "s3://b/m"}, "placement": {"pool": "h200", "gpus": 1}},
        "NoCredentials",
        "spec.stores.objects.endpoint",
        id="no credentials",
    ),
]


@pytest.mark.parametrize(("spec", "reason", "says"), WRONG)
async def test_a_model_that_cannot_be_is_told_once_what_to_do_and_keeps_nobody_up(
    bench: Bench, spec: dict[str, Any], reason: str, says: str
) -> None:
    bench.server.edit(platform(pools=[GPU_POOL]))
    bench.server.edit(model(CHAT, placement={"pool": "h200"}))
    bench.server.edit(model("wrong", **spec))
    async with bench.operator() as operator:
        await operator.settle()
        wrong = bench.server.get("Model", "wrong")
        assert says in condition(wrong, "Ready")["message"]
        assert (condition(wrong, "Ready")["reason"], condition(wrong, "Accepted")["status"]) == (reason, "False")
        [event] = [one for one in bench.server.of("Event") if one["regarding"]["name"] == "wrong"]
        assert (event["type"], event["reason"]) == ("Warning", reason)
        assert condition(bench.server.get("Model", CHAT), "Ready")["status"] == "True"
        assert "model-wrong" not in bench.server.get("RayService", "main")["spec"]["serveConfigV2"]


async def test_an_adapter_for_another_base_says_so_and_is_taken_when_it_names_the_right_one(bench: Bench) -> None:
    bench.server.edit(platform())
    bench.server.edit(model("one", adapters={"enabled": True}))
    lora = adapter("tone", "nobody", bench.folder)
    bench.server.edit(lora)
    async with bench.operator() as operator:
        await operator.settle()
        told = condition(bench.server.get("Adapter", "tone"), "Ready")
        assert (told["status"], told["reason"]) == ("False", "UnknownBase")
        assert "name one of: one" in told["message"]
        bench.server.edit(lora | {"spec": lora["spec"] | {"base": "one"}})
        await operator.settle()
    assert condition(bench.server.get("Adapter", "tone"), "Ready")["status"] == "True"
    assert bench.server.get("Adapter", "tone")["status"]["base"] == "one"
