"""The chart, the definitions and the operator on an API server that keeps Kubernetes' rules."""

import asyncio
import copy
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.chart import CHART, HELM, NO_HELM, ROOT, render
from fakes.documents import envelope
from fakes.ray_controllers import KubeRay
from fakes.strict import patches
from fakes.strict.shapes import Manifest
from fakes.strict.store import Write
from fakes.strict_cluster import (
    NAMESPACE,
    OPERATOR,
    OURS,
    RAY,
    View,
    at_rest,
    definitions,
    install,
    operator,
    prepare,
    readings,
    until,
)
from fakes.strict_kubernetes import StrictServer, strict_server

from operators.chart.rendering import PRESETS

pytestmark = pytest.mark.skipif(HELM is None, reason=NO_HELM)


@pytest.fixture
async def server() -> AsyncIterator[StrictServer]:
    """A server with the definitions and the namespace."""
    async with strict_server() as made:
        prepare(made)
        yield made


def condition(manifest: Manifest, kind: str) -> Manifest:
    """A condition of a status; empty where there is none."""
    conditions = (manifest.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


def told(server: StrictServer) -> Manifest:
    """The Platform's condition Ready."""
    return condition(server.get(OURS, "Platform", NAMESPACE, "slipway"), "Ready")


@pytest.mark.parametrize("preset", PRESETS)
async def test_every_object_of_the_chart_is_taken(server: StrictServer, preset: str) -> None:
    for manifest in render(preset=preset):
        server.put(manifest)
    again = server.store.version
    for manifest in render(preset=preset):
        if manifest["kind"] != "Secret":
            server.put(manifest)
    assert server.store.version == again


@pytest.mark.parametrize("preset", PRESETS)
async def test_the_operator_needs_no_more_than_its_role_and_comes_to_rest(
    server: StrictServer, preset: str, tmp_path: Path
) -> None:
    async with operator(server, tmp_path, install(server, preset)):
        await until(lambda: told(server), "a status of the Platform")
        await at_rest(server)
        before = server.writes(OPERATOR)
        await readings(server, 3)
    assert server.writes(OPERATOR) == before
    assert server.refused(403) == []
    assert [one for one in server.asked if one.code >= 400 and one.code != 404] == []
    owners = server.get(RAY, "RayService", NAMESPACE, "slipway")["metadata"]["ownerReferences"]
    assert [(owner["kind"], owner["name"]) for owner in owners] == [("Platform", "slipway")]
    assert server.get("v1", "Service", NAMESPACE, "slipway-gateway")
    assert all("conditions" in one["status"] for one in server.all(OURS, "Model"))
    if preset == "laptop":
        assert server.all("policy/v1", "PodDisruptionBudget")


async def test_a_cluster_that_kuberay_makes_is_followed_and_left_alone(server: StrictServer, tmp_path: Path) -> None:
    view = View(server)
    kuberay = KubeRay(view)  # type: ignore[arg-type]
    async with operator(server, tmp_path, install(server, "laptop")):
        await at_rest(server)
        for _ in range(3):
            run(view, kuberay)
            await at_rest(server)
        before = server.writes(OPERATOR)
        kuberay.step()
        await readings(server, 3)
    assert server.writes(OPERATOR) == before
    platform: Any = server.get(OURS, "Platform", NAMESPACE, "slipway")
    assert condition(platform, "RayCluster")["status"] == "True"
    assert platform["status"]["activeCluster"] == "slipway-00001"
    assert server.refused(403) == []


@pytest.mark.long
async def test_pods_are_replaced_in_place(server: StrictServer, tmp_path: Path) -> None:
    view = View(server)
    kuberay = KubeRay(view)  # type: ignore[arg-type]
    manifests = install(server, "laptop")
    platform = next(one for one in manifests if one["kind"] == "Platform")
    async with operator(server, tmp_path, manifests):
        await at_rest(server)
        run(view, kuberay)
        await at_rest(server)
        before = {pod["metadata"]["name"] for pod in view.of("Pod")}
        server.put(platform | {"spec": {**platform["spec"], "image": {"tag": "another"}}})
        for _ in range(400):
            await readings(server, 1)
            run(view, kuberay)
            images = {one["image"] for pod in view.of("Pod") for one in pod["spec"]["containers"]}
            if all(image.endswith(":another") for image in images):
                break
        await at_rest(server)
    assert before.isdisjoint(pod["metadata"]["name"] for pod in view.of("Pod"))
    assert [cluster["metadata"]["name"] for cluster in view.of("RayCluster")] == ["slipway-00001"]
    assert [one for one in server.asked if one.code >= 400 and one.code != 404] == []


def run(view: View, kuberay: KubeRay) -> None:
    """KubeRay and the kubelets do what there is to do."""
    kuberay.step()
    for cluster in view.of("RayCluster"):
        head = {"type": "HeadPodReady", "status": "True", "reason": "HeadPodRunningAndReady"}
        view.set_status("RayCluster", cluster["metadata"]["name"], {"state": "ready", "conditions": [head]})


async def test_a_field_that_an_older_kuberay_lacks_is_told_of(server: StrictServer, tmp_path: Path) -> None:
    service = copy.deepcopy(next(one for one in definitions() if one["metadata"]["name"] == "rayservices.ray.io"))
    for version in service["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"] = {"type": "object", "properties": {}}
    server.put(service)
    async with operator(server, tmp_path, install(server, "laptop")):
        await until(lambda: told(server), "a status of the Platform")
    assert told(server)["status"] == "False"
    assert "field not declared in schema" in told(server)["message"]


async def test_an_edit_of_a_child_is_set_back_and_told(server: StrictServer, tmp_path: Path) -> None:
    async with operator(server, tmp_path, install(server, "laptop")):
        await at_rest(server)
        before = {one: bare(server, *one) for one in CHILDREN}
        for api_version, kind, name, edit in EDITS:
            change(server, api_version, kind, name, edit)
            await until(
                lambda: bare(server, api_version, kind, name) == before[api_version, kind, name],  # noqa: B023
                f"{kind} set back",
            )
        await at_rest(server)
        server.store.delete(server.store.kind("v1", "Service"), NAMESPACE, "slipway-gateway", {})
        await until(lambda: server.get("v1", "Service", NAMESPACE, "slipway-gateway"), "a new Service")
        await at_rest(server)
    reasons = [one["reason"] for one in server.all("events.k8s.io/v1", "Event")]
    assert reasons.count("HandEditReverted") == len(EDITS)


SERVICE, RAY_SERVICE = ("v1", "Service", "slipway-gateway"), (RAY, "RayService", "slipway")
BUDGET = ("policy/v1", "PodDisruptionBudget", "slipway-ray-head")
CHILDREN = (SERVICE, RAY_SERVICE, BUDGET)


def with_host_network(manifest: Manifest) -> Manifest:
    """An edit deep within the worker groups, which are one value."""
    groups = copy.deepcopy(manifest["spec"]["rayClusterConfig"]["workerGroupSpecs"])
    groups[0]["template"]["spec"]["hostNetwork"] = True
    return {"spec": {"rayClusterConfig": {"workerGroupSpecs": groups}}}


EDITS: tuple[tuple[str, str, str, Any], ...] = (
    (*RAY_SERVICE, with_host_network),
    (*SERVICE, {"spec": {"type": "NodePort"}}),
    (*SERVICE, {"spec": {"selector": {"app": "another"}}}),
    (*SERVICE, {"spec": {"selector": None}}),
    (*SERVICE, {"metadata": {"labels": {"slipway.dev/platform": None}}}),
    (*SERVICE, {"metadata": {"ownerReferences": None}}),
    (*RAY_SERVICE, {"spec": {"serveConfigV2": "applications: []"}}),
    (*RAY_SERVICE, {"spec": {"rayClusterConfig": {"suspend": True}}}),
    (*RAY_SERVICE, {"spec": {"rayClusterConfig": {"headGroupSpec": {"rayStartParams": {"num-cpus": "8"}}}}}),
    (*BUDGET, {"spec": {"minAvailable": None, "maxUnavailable": 1}}),
)


def change(server: StrictServer, api_version: str, kind: str, name: str, edit: Any) -> None:
    """`kubectl patch --type=merge`."""
    known = server.store.kind(api_version, kind)
    live = server.store.get(known, NAMESPACE, name)
    body = patches.merge(live, edit(live) if callable(edit) else edit)
    server.store.update(known, NAMESPACE, name, body, Write("kubectl-patch"))


def bare(server: StrictServer, api_version: str, kind: str, name: str) -> Manifest:
    """An object without what every write changes."""
    manifest = server.get(api_version, kind, NAMESPACE, name)
    gone = ("resourceVersion", "generation", "managedFields")
    return manifest | {"metadata": {key: one for key, one in manifest["metadata"].items() if key not in gone}}


async def test_a_platform_that_is_deleted_takes_its_children_along(server: StrictServer, tmp_path: Path) -> None:
    manifests = install(server, "laptop")
    async with operator(server, tmp_path, manifests):
        await at_rest(server)
        server.store.delete(server.store.kind(OURS, "Platform"), NAMESPACE, "slipway", {})
        for api_version, kind, name in CHILDREN:
            await until(lambda: gone(server, api_version, kind, name), f"{kind} gone")  # noqa: B023
        await readings(server, 2)
        assert all(gone(server, *child) for child in CHILDREN)
        server.put(next(one for one in manifests if one["kind"] == "Platform"))
        await until(lambda: told(server), "a new Platform's status")
        await at_rest(server)
        assert not any(gone(server, *child) for child in CHILDREN)
    assert server.refused(403) == []


def gone(server: StrictServer, api_version: str, kind: str, name: str) -> bool:
    """Whether an object is no more."""
    return name not in [one["metadata"]["name"] for one in server.all(api_version, kind, NAMESPACE)]


async def test_a_namespace_ends_with_everything_in_it(server: StrictServer, tmp_path: Path) -> None:
    async with operator(server, tmp_path, install(server, "laptop")):
        await at_rest(server)
        server.store.delete(server.store.kind("v1", "Namespace"), "", NAMESPACE, {})
        await until(lambda: gone(server, "v1", "Namespace", NAMESPACE), "the namespace gone")
    assert not [key for key in server.store.objects if key[1] == NAMESPACE]


class Program:
    """A real one, as the administrator."""

    def __init__(self, program: str, server: StrictServer, folder: Path) -> None:
        self._program = program
        self._config = server.kubeconfig(folder / f"{Path(program).name}.config", namespace=NAMESPACE)
        self._home = folder

    async def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """Its exit status, and what it says."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            *arguments,
            env={"KUBECONFIG": str(self._config), "HOME": str(self._home), "PATH": os.environ["PATH"]},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(stdin.encode())
        return process.returncode or 0, said.decode()


async def test_helm_installs_upgrades_and_removes_the_chart(tmp_path: Path) -> None:
    where = ("slipway", str(CHART), "-n", NAMESPACE, "-f", str(CHART / "values-laptop.yaml"))
    async with strict_server() as server:
        for definition in definitions():
            if definition["spec"]["group"] == "ray.io":
                server.put(definition)
        helm = Program(str(HELM), server, tmp_path)
        status, said = await helm("install", *where, "--create-namespace")
        assert status == 0, said
        secrets = secret_values(server)
        async with operator(server, tmp_path, render(preset="laptop")):
            await at_rest(server)
            installed = server.get(OURS, "Platform", NAMESPACE, "slipway")
            status, said = await helm("upgrade", *where)
            assert status == 0, said
            await readings(server, 3)
        assert server.get(OURS, "Platform", NAMESPACE, "slipway") == installed
        assert secret_values(server) == secrets
        assert server.refused(403) == []
        status, said = await helm("uninstall", "slipway", "-n", NAMESPACE)
        assert status == 0, said
        await until(lambda: gone(server, *RAY_SERVICE), "the RayService gone")
        status, said = await helm("install", *where)
        assert status == 0, said
        assert secret_values(server) == secrets


def secret_values(server: StrictServer) -> dict[str, Manifest]:
    """What the chart's Secrets hold."""
    found = [one for one in server.all("v1", "Secret", NAMESPACE) if one["type"] == "Opaque"]
    assert found
    return {one["metadata"]["name"]: one["data"] for one in found}


KUBECTL = shutil.which("kubectl")
SAMPLES = ROOT / "k8s/samples"


@pytest.fixture
def kubectl(server: StrictServer, tmp_path: Path) -> Program:
    """It is asked to do things by hand."""
    if KUBECTL is None:
        pytest.skip("kubectl is not on PATH")
    return Program(KUBECTL, server, tmp_path)


async def test_kubectl_applies_shows_scales_waits_and_explains(server: StrictServer, kubectl: Program) -> None:
    for way in (["--server-side"], ["--server-side"], []):
        status, said = await kubectl("apply", *way, "-f", str(SAMPLES))
        assert status == 0, said
    status, said = await kubectl("get", "slipway")
    assert status == 0, said
    assert "model.slipway.dev/echo" in said
    status, said = await kubectl("get", "models", "-o", "wide")
    assert said.split()[:7] == ["NAME", "READY", "REASON", "REPLICAS", "WANTED", "POOL", "GPUS"]
    status, said = await kubectl("scale", "model/echo", "--replicas=3")
    assert status == 0, said
    assert server.get(OURS, "Model", NAMESPACE, "echo")["spec"]["scaling"]["replicas"] == 3
    status, said = await kubectl("explain", "model.spec.scaling")
    assert status == 0, said
    assert "minReplicas" in said
    model = server.get(OURS, "Model", NAMESPACE, "echo")
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": ""}
    server.set_status(model, {"conditions": [ready | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}, "test")
    status, said = await kubectl("wait", "--for=condition=Ready", "model/echo", "--timeout=30s")
    assert status == 0, said


async def test_kubectl_says_why_a_document_is_refused(server: StrictServer, kubectl: Program) -> None:
    told = {}
    for name, (kind, change_of_spec, sentence) in WRONG.items():
        body = envelope(kind, "a" * 60 if name == "a long name" else "wrong", GOOD[kind] | change_of_spec)
        for way in (["--server-side"], []):
            status, said = await kubectl("apply", *way, "-f", "-", stdin=yaml.safe_dump(body))
            assert status == 1, name
            told[name, *way] = said
            assert sentence in said, said
    assert not server.all(OURS, "Model", NAMESPACE)


GOOD: dict[str, Manifest] = {
    "Model": {"family": "llm", "tasks": ["chat"], "card": {"title": "Echo"}, "engine": {"kind": "echo"}},
    "Platform": {"pools": [{"name": "h200", "gpusPerNode": 8}]},
}
WRONG: dict[str, tuple[str, Manifest, str]] = {
    "a long name": ("Model", {}, "metadata.name"),
    "a number and a range": ("Model", {"scaling": {"replicas": 2, "minReplicas": 1}}, "replicas is a fixed number"),
    "a misspelt field": ("Model", {"placment": {}}, "placment"),
    "no such engine": ("Model", {"engine": {"kind": "magic"}}, "spec.engine.kind"),
    "a part of several GPUs": ("Model", {"placement": {"gpus": 1.5}}, "gpus above 1 is a whole number"),
    "two pools of a name": ("Platform", {"pools": [{"name": "a"}, {"name": "a"}]}, "uplicate"),
}


async def test_what_is_fixed_stays(server: StrictServer, kubectl: Program) -> None:
    body = envelope("Model", "echo", dict(GOOD["Model"]))
    assert (await kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body)))[0] == 0
    body["spec"] |= {"family": "text_to_image", "tasks": ["text_to_image"]}
    status, said = await kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body))
    assert status == 1
    assert "the family is fixed" in said
    assert server.get(OURS, "Model", NAMESPACE, "echo")["metadata"]["generation"] == 1


async def test_wrong_documents_of_several_resources_get_a_condition(server: StrictServer, tmp_path: Path) -> None:
    manifests = install(server, "laptop")
    for name, spec in {
        "nowhere": {"placement": {"pool": "nowhere"}},
        "greedy": {"placement": {"pool": "default", "gpus": 2}},
    }.items():
        server.put(with_namespace(envelope("Model", name, GOOD["Model"] | spec)))
    adapter = envelope("Adapter", "other", {"weights": {"uri": "hf://org/lora"}, "base": "nobody"})
    server.put(with_namespace(adapter))
    server.put(with_namespace(envelope("Platform", "younger", GOOD["Platform"])))
    async with operator(server, tmp_path, manifests):
        await at_rest(server)
    for kind, name in (("Model", "nowhere"), ("Model", "greedy"), ("Adapter", "other"), ("Platform", "younger")):
        accepted = condition(server.get(OURS, kind, NAMESPACE, name), "Accepted")
        assert accepted["status"] == "False", (name, accepted)
        assert accepted["message"], name
        assert condition(server.get(OURS, kind, NAMESPACE, name), "Ready")["status"] == "False", name


def with_namespace(manifest: Manifest) -> Manifest:
    """The manifest in the platform's namespace."""
    return manifest | {"metadata": manifest["metadata"] | {"namespace": NAMESPACE}}
