"""What the operator is told by its environment: SLIPWAY_OPERATOR_*."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def _own_namespace() -> str:
    file = _ACCOUNT / "namespace"
    return file.read_text().strip() if file.is_file() else "default"


class OperatorSettings(BaseSettings):
    """Settings of one operator. It looks after one namespace."""

    model_config = SettingsConfigDict(
        env_prefix="SLIPWAY_OPERATOR_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    namespace: str = Field(default_factory=_own_namespace)
    """The namespace whose resources count: the pod's own."""
    tenant: str = ""
    """Whose the namespace's Adapters and Workflows are; empty: what the namespace's annotation slipway.dev/tenant says,
    or else `default`."""
    admin_file: Path = Path("/var/run/secrets/slipway/admin")
    """The platform's admin secret, mounted. It is read at each pass: a new one needs no restart."""
    platform_url: str = ""
    """Where the platform answers; empty: its Service. For an operator that runs outside of the cluster."""
    poll_seconds: float = Field(default=5.0, gt=0)
    """Between passes when nothing in the cluster changes: how soon what is applied over HTTP reaches it."""
    debounce_seconds: float = Field(default=0.5, ge=0)
    """After a change, before the pass: `kubectl apply -f` of a folder is one pass rather than fifty."""
    resync_seconds: float = Field(default=300.0, gt=0)
    """Between full readings of the cluster: what a broken watch has missed is found then, and what the platform has
    refused is tried again."""
    max_backoff_seconds: float = Field(default=60.0, gt=0)
    """The longest pause after passes that failed."""
    request_seconds: float = Field(default=30.0, gt=0)
    """For one request to the Kubernetes API."""
    page_size: int = Field(default=500, ge=1, le=5000)
    """Objects of one page of a list."""
    num_parallel_writes: int = Field(default=8, ge=1, le=64)
    """Statuses and documents that are written at the same time."""
    host: str = "0.0.0.0"
    """Address that health and metrics listen on."""
    health_port: int = Field(default=8081, ge=0, le=65535)
    """/healthz and /readyz."""
    metrics_port: int = Field(default=9090, ge=0, le=65535)
    """/metrics, for Prometheus."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
