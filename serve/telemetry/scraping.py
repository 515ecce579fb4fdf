"""How Prometheus finds a platform and what it keeps, as data.

Ray's agents offer the series of every process under a prefix and with labels of their own; the gateways offer the
platform's. Targets are read from files beside the configuration, `targets/*.json`: `slipway up` writes those of this
machine. In a cluster a PodMonitor with the same relabelling takes this configuration's place.
"""

from typing import Any

GATEWAY_JOB = "slipway-gateway"
RAY_JOB = "slipway-ray"
RULES_FILE = "rules.yaml"
SCRAPE_FILE = "scrape.yaml"
TOKEN_FILE = "token"
"""Holds what a gateway asks of those who read its metrics: SLIPWAY_GATEWAY_METRICS_TOKEN."""
_NOISE = "Version|SessionName|Component|JobId|otel_scope_.*"

RELABELLING: tuple[dict[str, Any], ...] = (
    {"source_labels": ["__name__"], "regex": "ray_slipway_.*", "action": "keep"},
    {"source_labels": ["__name__"], "regex": "ray_(slipway_.*)", "target_label": "__name__", "replacement": "$1"},
    {"regex": _NOISE, "action": "labeldrop"},
)
"""Of what Ray's agents offer. `WorkerId` stays: it is what tells two replicas on a node apart."""


def targets_file(job: str) -> str:
    """Where the targets of a job are listed, beside the configuration."""
    return f"targets/{job}.json"


def scrape_config() -> dict[str, Any]:
    """Prometheus's configuration."""
    return {
        "global": {"scrape_interval": "10s", "evaluation_interval": "15s"},
        "rule_files": [RULES_FILE],
        "scrape_configs": [
            {
                "job_name": GATEWAY_JOB,
                "authorization": {"credentials_file": TOKEN_FILE},
                "file_sd_configs": [{"files": [targets_file(GATEWAY_JOB)]}],
            },
            {
                "job_name": RAY_JOB,
                "file_sd_configs": [{"files": [targets_file(RAY_JOB)]}],
                "metric_relabel_configs": [dict(step) for step in RELABELLING],
            },
        ],
    }


def targets(address: str) -> list[dict[str, Any]]:
    """A file of targets with one of them, host:port."""
    return [{"targets": [address]}]
