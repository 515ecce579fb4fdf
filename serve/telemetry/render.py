"""`python -m serve.telemetry.render FOLDER`: writes rules, scrape configuration and dashboards as files."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from serve.telemetry.dashboards import DASHBOARDS
from serve.telemetry.grafana import dashboard_json
from serve.telemetry.rules import rule_groups
from serve.telemetry.scraping import RULES_FILE, SCRAPE_FILE, scrape_config

_HEAD = "# Written by `make render` from serve/telemetry. Do not edit.\n"
PROMETHEUS = "prometheus"


def as_yaml(document: Mapping[str, Any]) -> str:
    """The text of a generated YAML file."""
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def prometheus_files() -> dict[str, str]:
    """Text by file name: what a Prometheus needs, but for its targets."""
    return {SCRAPE_FILE: as_yaml(scrape_config()), RULES_FILE: as_yaml(rule_groups())}


def files() -> dict[str, str]:
    """Text by path, of everything that is rendered."""
    rendered = {f"{PROMETHEUS}/{name}": text for name, text in prometheus_files().items()}
    for dashboard in DASHBOARDS:
        rendered[f"dashboards/{dashboard.uid}.json"] = json.dumps(dashboard_json(dashboard), indent=2) + "\n"
    return rendered


def write(folder: Path) -> None:
    """Write all files under `folder`."""
    for path, text in files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
