"""What surrounds the RayService: the way in, budgets for drains, and how Prometheus finds the pods."""

from typing import Any

import pytest
from fakes.documents import platform

from operators.desired.objects import OPTIONAL_KINDS, desired_objects
from operators.desired.strategy import Strategy
from operators.state import Live, Manifest, ObjectKey, Resource, World
from serve.telemetry.scraping import GATEWAY_JOB, RAY_JOB, RELABELLING


def objects(
    strategy: Strategy = Strategy.IN_PLACE,
    active: str = "",
    kinds: frozenset[tuple[str, str]] = OPTIONAL_KINDS,
    **spec: Any,
) -> dict[str, Manifest]:
    """By kind and name."""
    service = {"status": {"activeServiceStatus": {"rayClusterName": active}}} if active else {}
    live = Live({ObjectKey("ray.io/v1", "RayService", "slipway"): service}, known_kinds=kinds)
    world = World("models", "default", platform=Resource(platform(**spec), uid="u"), live=live)
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in desired_objects(world, strategy)}


@pytest.mark.parametrize(
    ("strategy", "active", "cluster"),
    [
        pytest.param(Strategy.IN_PLACE, "", None, id="none yet"),
        pytest.param(Strategy.IN_PLACE, "slipway-x", "slipway-x", id="the active one alone"),
        pytest.param(Strategy.INCREMENTAL, "slipway-x", None, id="both while traffic moves"),
    ],
)
def test_the_service_goes_to_pods_that_serve(strategy: Strategy, active: str, cluster: str | None) -> None:
    spec = objects(strategy, active)["Service/slipway-gateway"]["spec"]
    expected = {"slipway.dev/platform": "slipway", "ray.io/serve": "true"}
    assert spec["selector"] == expected | ({"ray.io/cluster": cluster} if cluster else {})
    assert [(port["port"], port["targetPort"]) for port in spec["ports"]] == [(8000, 8000)]


def test_the_service_is_of_the_type_that_is_asked_for() -> None:
    gateway = {"serviceType": "LoadBalancer", "annotations": {"example.com/scheme": "internal"}}
    service = objects(gateway=gateway)["Service/slipway-gateway"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {"example.com/scheme": "internal"}


def test_an_ingress_has_a_host_and_its_certificate() -> None:
    gateway = {"expose": "ingress", "host": "llm.example.com", "ingressClass": "nginx", "tlsSecret": "cert"}
    spec = objects(gateway=gateway)["Ingress/slipway-gateway"]["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"secretName": "cert", "hosts": ["llm.example.com"]}]
    (rule,) = spec["rules"]
    assert rule["host"] == "llm.example.com"
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "slipway-gateway", "port": {"name": "http"}}}


def test_a_route_hangs_on_the_gateway_that_is_named() -> None:
    parent = {"name": "public", "namespace": "edge", "section": "https"}
    spec = objects(gateway={"expose": "gateway", "host": "llm.example.com", "parent": parent})[
        "HTTPRoute/slipway-gateway"
    ]["spec"]
    group = "gateway.networking.k8s.io"
    assert spec["parentRefs"] == [
        {"group": group, "kind": "Gateway", "name": "public", "namespace": "edge", "sectionName": "https"}
    ]
    assert spec["hostnames"] == ["llm.example.com"]
    (rule,) = spec["rules"]
    assert [(each["name"], each["port"]) for each in rule["backendRefs"]] == [("slipway-gateway", 8000)]
    assert rule["timeouts"] == {"request": "0s"}


def test_a_cluster_that_does_not_know_a_kind_gets_none_of_it() -> None:
    found = objects(kinds=frozenset(), gateway={"expose": "gateway", "parent": {"name": "public"}})
    assert not [key for key in found if key.startswith(("HTTPRoute", "PodMonitor"))]


def test_nothing_more_is_exposed_than_is_asked_for() -> None:
    assert not [key for key in objects() if key.startswith(("Ingress", "HTTPRoute"))]


def test_a_drain_takes_one_node_of_a_pool_that_keeps_several() -> None:
    pools = [{"name": "one", "minNodes": 1, "maxNodes": 9}, {"name": "three", "minNodes": 3, "maxNodes": 9}]
    found = objects(pools=pools)
    assert "PodDisruptionBudget/slipway-one" not in found, "a budget over one pod would keep its node for ever"
    spec = found["PodDisruptionBudget/slipway-three"]["spec"]
    assert spec["minAvailable"] == 2
    assert spec["selector"] == {"matchLabels": {"slipway.dev/platform": "slipway", "slipway.dev/pool": "three"}}
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_head_that_nothing_survives_stays_where_it_is() -> None:
    spec = objects()["PodDisruptionBudget/slipway-ray-head"]["spec"]
    assert spec["minAvailable"] == 1
    assert spec["selector"]["matchLabels"]["ray.io/node-type"] == "head"
    tolerant = objects(ray={"faultTolerance": {"redisAddress": "redis:6379"}})
    assert "PodDisruptionBudget/slipway-ray-head" not in tolerant


def endpoints(**spec: Any) -> dict[str, Manifest]:
    """Of the PodMonitor, by port."""
    monitor = objects(**spec)["PodMonitor/slipway-ray"]["spec"]
    assert monitor["selector"]["matchLabels"] == {"slipway.dev/platform": "slipway"}
    return {each["port"]: each for each in monitor["podMetricsEndpoints"]}


def test_prometheus_keeps_what_it_keeps_on_one_machine() -> None:
    ray = endpoints()["metrics"]
    steps = ray["metricRelabelings"]
    assert [step["regex"] for step in steps] == [step["regex"] for step in RELABELLING]
    assert all(key[0].islower() and "_" not in key for step in steps for key in step)
    assert ray["relabelings"] == [{"targetLabel": "job", "replacement": RAY_JOB}]


def test_prometheus_asks_gateways_with_the_token_and_only_where_there_are_any() -> None:
    assert "serve" not in endpoints()
    pools = [{"name": "h200", "gpusPerNode": 8}, {"name": "small", "cpu": True}]
    secret = {"name": "metrics", "key": "token"}
    gateways = endpoints(pools=pools, observability={"metricsSecret": secret})["serve"]
    assert gateways["path"] == "/metrics"
    assert gateways["authorization"] == {"type": "Bearer", "credentials": secret}
    kept = {step["sourceLabels"][0]: step["regex"] for step in gateways["relabelings"] if step.get("action") == "keep"}
    assert kept == {
        "__meta_kubernetes_pod_label_slipway_dev_pool": "small",
        "__meta_kubernetes_pod_ready": "true",
    }
    assert gateways["relabelings"][-1] == {"targetLabel": "job", "replacement": GATEWAY_JOB}


def test_a_monitor_can_be_declined() -> None:
    assert "PodMonitor/slipway-ray" not in objects(observability={"podMonitor": False})
