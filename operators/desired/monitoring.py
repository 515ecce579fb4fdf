"""How Prometheus finds the platform's pods."""

from typing import Any

from operators.desired.metadata import Owner, object_metadata
from operators.state import LABEL_PLATFORM, LABEL_POOL, Manifest
from serve.telemetry.scraping import RELABELLING

POD_MONITOR_API = "monitoring.coreos.com/v1"


def pod_monitor(owner: Owner, namespace: str) -> Manifest:
    """Ray's agents on every pod, relabelled as the local scrape configuration does it."""
    return {
        "apiVersion": POD_MONITOR_API,
        "kind": "PodMonitor",
        "metadata": object_metadata(owner, namespace, f"{owner.name}-ray", "ray"),
        "spec": {
            "selector": {"matchLabels": {LABEL_PLATFORM: owner.name}},
            "podTargetLabels": [LABEL_PLATFORM, LABEL_POOL],
            "podMetricsEndpoints": [{"port": "metrics", "metricRelabelings": [_camel(step) for step in RELABELLING]}],
        },
    }


def _camel(step: dict[str, Any]) -> dict[str, Any]:
    names = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    return {names.get(key, key): value for key, value in step.items()}
