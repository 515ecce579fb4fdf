"""How Prometheus finds the platform's pods."""

from typing import Any

from operators.desired.metadata import Owner, object_metadata
from operators.state import LABEL_PLATFORM, LABEL_POOL, Manifest
from serve.domain.platform import SecretKey
from serve.telemetry.scraping import GATEWAY_JOB, RAY_JOB, RELABELLING

POD_MONITOR_API = "monitoring.coreos.com/v1"
_POOL = "__meta_kubernetes_pod_label_slipway_dev_pool"
_READY = "__meta_kubernetes_pod_ready"


def pod_monitor(owner: Owner, namespace: str) -> Manifest:
    """Jobs and series are named as the local scrape configuration names them: alerts and dashboards go by that."""
    spec = owner.document.spec
    endpoints = [_of_ray()]
    if spec.observability.metrics_secret is not None:
        endpoints.append(_of_gateways(spec.observability.metrics_secret, spec.parts_pool.name))
    return {
        "apiVersion": POD_MONITOR_API,
        "kind": "PodMonitor",
        "metadata": object_metadata(owner, namespace, f"{owner.name}-ray", "ray"),
        "spec": {
            "selector": {"matchLabels": {LABEL_PLATFORM: owner.name}},
            "podTargetLabels": [LABEL_PLATFORM, LABEL_POOL],
            "podMetricsEndpoints": endpoints,
        },
    }


def _of_ray() -> dict[str, Any]:
    """Ray's agent on every pod, with the series of its processes."""
    return {
        "port": "metrics",
        "relabelings": [_job(RAY_JOB)],
        "metricRelabelings": [_camel(step) for step in RELABELLING],
    }


def _of_gateways(token: SecretKey, pool: str) -> dict[str, Any]:
    """The platform's own series, the same from every gateway. Pods that are not ready have no proxy, and would be
    reported as gateways that are down."""
    return {
        "port": "serve",
        "path": "/metrics",
        "authorization": {"type": "Bearer", "credentials": {"name": token.name, "key": token.key}},
        "relabelings": [
            {"sourceLabels": [_POOL], "regex": pool, "action": "keep"},
            {"sourceLabels": [_READY], "regex": "true", "action": "keep"},
            _job(GATEWAY_JOB),
        ],
    }


def _job(name: str) -> dict[str, Any]:
    return {"targetLabel": "job", "replacement": name}


def _camel(step: dict[str, Any]) -> dict[str, Any]:
    """A step of Prometheus's own configuration, as the resource writes it."""
    names = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    renamed = {names.get(key, key): value for key, value in step.items()}
    return {key: list(value) if isinstance(value, list) else value for key, value in renamed.items()}
