"""What a Prometheus on this machine needs, beside the platform's state: rules, scrape configuration, and targets.

`prometheus --config.file=$STATE/prometheus/scrape.yaml` shows every series; the targets are those of the platform that
was started last.
"""

import json

from serve.settings import Settings
from serve.telemetry.render import PROMETHEUS, prometheus_files
from serve.telemetry.scraping import GATEWAY_JOB, RAY_JOB, TOKEN_FILE, targets, targets_file

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def write_files(settings: Settings, metrics_port: int, token: str) -> None:
    """Write them. Ray's agent offers the metrics of its processes at `metrics_port`; `token` opens the gateway's."""
    folder = settings.storage.state_dir / PROMETHEUS
    host = _ANY_ADDRESS.get(settings.gateway.host, settings.gateway.host)
    files = prometheus_files() | {
        targets_file(GATEWAY_JOB): json.dumps(targets(f"{host}:{settings.gateway.port}")),
        targets_file(RAY_JOB): json.dumps(targets(f"127.0.0.1:{metrics_port}")),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / TOKEN_FILE).touch(mode=0o600)
    (folder / TOKEN_FILE).write_text(token)
