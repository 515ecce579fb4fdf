"""Files of the chart that are made: path within the chart, and text."""

import json
from pathlib import Path

import yaml

from operators.chart.reference import with_table
from operators.chart.schema import values_schema
from operators.permissions import PERMISSIONS
from serve.telemetry import render as telemetry

_HEAD = "# Written by `make render`. Do not edit.\n"


def chart_files(chart: Path) -> dict[str, str]:
    """Text by path, for the chart in that folder: its README is written by hand, but for a table."""
    return {
        "README.md": with_table((chart / "README.md").read_text(), (chart / "values.yaml").read_text()),
        "values.schema.json": json.dumps(values_schema(), indent=1, sort_keys=True) + "\n",
        "files/permissions.yaml": _permissions(),
        **_telemetry(),
    }


def write_files(chart: Path) -> None:
    """Write them into the chart."""
    for path, text in chart_files(chart).items():
        (chart / path).parent.mkdir(parents=True, exist_ok=True)
        (chart / path).write_text(text)


def _permissions() -> str:
    rows = [
        {"group": row.group, "resource": row.resource, "verbs": list(row.verbs), "why": row.why} for row in PERMISSIONS
    ]
    return _HEAD + yaml.safe_dump(rows, sort_keys=False, width=110)


def _telemetry() -> dict[str, str]:
    """Rules and dashboards, the latter without the spaces that people need: a ConfigMap is for Grafana."""
    found = {}
    for path, text in telemetry.files().items():
        if path.startswith("dashboards/"):
            found[f"files/{path}"] = json.dumps(json.loads(text), separators=(",", ":")) + "\n"
        elif path.endswith("rules.yaml"):
            found["files/rules.yaml"] = text
    return found
