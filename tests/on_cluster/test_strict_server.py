"""The chart, the definitions and the operator on an API server that keeps Kubernetes' rules."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.chart import HELM, NO_HELM, render
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
    kuberay = KubeRay(View(server))  # type: ignore[arg-type]
    async with operator(server, tmp_path, install(server, "laptop")):
        await at_rest(server)
        for _ in range(3):
            kuberay.step()
            await at_rest(server)
        before = server.writes(OPERATOR)
        kuberay.step()
        await readings(server, 3)
    assert server.writes(OPERATOR) == before
    platform: Any = server.get(OURS, "Platform", NAMESPACE, "slipway")
    assert condition(platform, "RayCluster")["status"] == "True"
    assert platform["status"]["activeCluster"] == "slipway-00001"
    assert server.refused(403) == []


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
    reasons = [one["reason"] for one in server.all("events.k8s.io/v1", "Event") if "kubectl" in one["note"]]
    assert reasons.count("HandEditReverted") == len(EDITS)


SERVICE, RAY_SERVICE = ("v1", "Service", "slipway-gateway"), (RAY, "RayService", "slipway")
BUDGET = ("policy/v1", "PodDisruptionBudget", "slipway-ray-head")
CHILDREN = (SERVICE, RAY_SERVICE, BUDGET)
EDITS: tuple[tuple[str, str, str, Manifest], ...] = (
    (*SERVICE, {"spec": {"type": "NodePort"}}),
    (*SERVICE, {"spec": {"selector": {"app": "another"}}}),
    (*SERVICE, {"spec": {"selector": None}}),
    (*SERVICE, {"metadata": {"labels": {"slipway.dev/platform": None}}}),
    (*SERVICE, {"metadata": {"ownerReferences": None}}),
    (*RAY_SERVICE, {"spec": {"serveConfigV2": "applications: []"}}),
    (*RAY_SERVICE, {"spec": {"rayClusterConfig": {"suspend": True}}}),
    (*RAY_SERVICE, {"spec": {"rayClusterConfig": {"workerGroupSpecs": []}}}),
    (*BUDGET, {"spec": {"minAvailable": None, "maxUnavailable": 1}}),
)


def change(server: StrictServer, api_version: str, kind: str, name: str, edit: Manifest) -> None:
    """`kubectl patch --type=merge`."""
    known = server.store.kind(api_version, kind)
    body = patches.merge(server.store.get(known, NAMESPACE, name), edit)
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
