"""How clients reach the platform: a Service whose name stays, and an Ingress or HTTPRoute where one is asked for."""

from typing import Any

from operators.desired.metadata import Owner, gateway_service_name, object_metadata
from operators.desired.strategy import Strategy
from operators.state import LABEL_PLATFORM, Manifest
from serve.serving.ray_environment import SERVE_PORT

SERVICE_PORT = 8000
SERVE_LABEL = "ray.io/serve"
CLUSTER_LABEL = "ray.io/cluster"
HTTP_ROUTE_API = "gateway.networking.k8s.io/v1"


def exposure(
    owner: Owner, namespace: str, active_cluster: str, strategy: Strategy, knows_routes: bool
) -> list[Manifest]:
    """The Service, and what brings clients to it."""
    found = [gateway_service(owner, namespace, active_cluster, strategy)]
    if owner.document.spec.gateway.expose == "ingress":
        found.append(ingress(owner, namespace))
    if owner.document.spec.gateway.expose == "gateway" and knows_routes:
        found.append(http_route(owner, namespace))
    return found


def gateway_service(owner: Owner, namespace: str, active_cluster: str, strategy: Strategy) -> Manifest:
    """KubeRay's own Service can lose all of its endpoints during an upgrade; this one is for clients.

    It goes to the active cluster, so that one which is still starting gets no request. While traffic moves in steps,
    both serve, as far as their proxies say that they are ready.
    """
    gateway = owner.document.spec.gateway
    selector = {LABEL_PLATFORM: owner.name, SERVE_LABEL: "true"}
    if active_cluster and strategy is Strategy.IN_PLACE:
        selector[CLUSTER_LABEL] = active_cluster
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object_metadata(owner, namespace, gateway_service_name(owner.name), "gateway", gateway.annotations),
        "spec": {
            "type": gateway.service_type,
            "selector": selector,
            "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": SERVE_PORT, "protocol": "TCP"}],
        },
    }


def ingress(owner: Owner, namespace: str) -> Manifest:
    """For clusters with an ingress controller."""
    gateway = owner.document.spec.gateway
    backend = {"service": {"name": gateway_service_name(owner.name), "port": {"name": "http"}}}
    rule: dict[str, Any] = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec: dict[str, Any] = {"rules": [({"host": gateway.host} if gateway.host else {}) | rule]}
    if gateway.ingress_class is not None:
        spec["ingressClassName"] = gateway.ingress_class
    if gateway.tls_secret is not None:
        spec["tls"] = [{"secretName": gateway.tls_secret} | ({"hosts": [gateway.host]} if gateway.host else {})]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": object_metadata(owner, namespace, gateway_service_name(owner.name), "gateway", gateway.annotations),
        "spec": spec,
    }


def http_route(owner: Owner, namespace: str) -> Manifest:
    """For clusters with the Gateway API."""
    gateway = owner.document.spec.gateway
    parent: dict[str, Any] = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    if gateway.parent is not None:
        parent |= {"name": gateway.parent.name}
        parent |= {"namespace": gateway.parent.namespace} if gateway.parent.namespace else {}
        parent |= {"sectionName": gateway.parent.section} if gateway.parent.section else {}
    backend = {
        "group": "",
        "kind": "Service",
        "name": gateway_service_name(owner.name),
        "port": SERVICE_PORT,
        "weight": 1,
    }
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [backend],
        # No end: some gateways cut a request off after 15 seconds, and streams and cold starts last longer.
        "timeouts": {"request": "0s"},
    }
    return {
        "apiVersion": HTTP_ROUTE_API,
        "kind": "HTTPRoute",
        "metadata": object_metadata(owner, namespace, gateway_service_name(owner.name), "gateway", gateway.annotations),
        "spec": {
            "parentRefs": [parent],
            **({"hostnames": [gateway.host]} if gateway.host else {}),
            "rules": [rule],
        },
    }
