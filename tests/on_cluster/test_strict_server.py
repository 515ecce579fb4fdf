"""The chart, the definitions and the operator on an API server that keeps Kubernetes' rules."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.chart import HELM, NO_HELM, render
from fakes.ray_controllers import KubeRay
from fakes.strict.shapes import Manifest
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
