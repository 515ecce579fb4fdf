"""A dashboard as Grafana's JSON. What a panel's series mean is told in its description, in the words of `series`."""

import re
from typing import Any

from serve.telemetry.dashboards import Dashboard, Panel
from serve.telemetry.rules import RECORDINGS
from serve.telemetry.series import ALL

_SOURCE = {"type": "prometheus", "uid": "${source}"}
_COLUMNS = 24
_HEIGHT = 8
_EXPRS = {recording.name: recording.expr for recording in RECORDINGS}
_HELP = {name: declared.help for declared in ALL for name in declared.sample_names}
_HELP["up"] = "1 where Prometheus was answered."


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """As Grafana imports it (schema 39: Grafana 10.3 and later)."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["slipway"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source_variable(), *(_variable(*variable) for variable in dashboard.variables)]},
        "panels": [_questions(dashboard.questions), *_placed(dashboard.panels, 2 + len(dashboard.questions))],
    }


def _questions(questions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": 1,
        "type": "text",
        "title": "",
        "gridPos": {"x": 0, "y": 0, "w": _COLUMNS, "h": 2 + len(questions)},
        "options": {"mode": "markdown", "content": "\n".join(f"- {question}" for question in questions)},
    }


def _placed(panels: tuple[Panel, ...], y: int) -> list[dict[str, Any]]:
    placed, x = [], 0
    for number, panel in enumerate(panels, 2):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        placed.append(_panel(panel) | {"id": number, "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}})
        x += panel.width
    return placed


def _panel(panel: Panel) -> dict[str, Any]:
    is_instant = panel.kind != "timeseries"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": _description(panel),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel.kind),
        "targets": [
            {"refId": chr(ord("A") + i), "expr": query.expr, "legendFormat": query.legend or panel.title}
            | {"datasource": _SOURCE, "instant": is_instant, "range": not is_instant}
            for i, query in enumerate(panel.queries)
        ],
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    is_line = panel.kind == "timeseries"
    made = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    return made | ({"custom": {"thresholdsStyle": {"mode": "line" if len(steps) > 1 else "off"}}} if is_line else {})


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        legend = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    reduced = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return reduced | ({"orientation": "horizontal"} if kind == "bargauge" else {"colorMode": "value"})


def _description(panel: Panel) -> str:
    names = dict.fromkeys(name for query in panel.queries for name in _series_of(query.expr))
    return "\n".join(f"- `{name}`: {_HELP[name]}" for name in names)


def _series_of(expr: str) -> list[str]:
    """The declared series that PromQL asks for, by itself or through a recording rule."""
    found: list[str] = []
    for name in re.findall(r"[a-z_]*:[a-z0-9_:]+|slipway_[a-z0-9_]+|up(?={)", expr):
        found += _series_of(_EXPRS[name]) if name in _EXPRS else [name]
    return [name for name in found if name in _HELP]


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(label: str, series: str) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "label": label,
        "query": {"query": f"label_values({series}, {label})", "refId": label},
        "definition": f"label_values({series}, {label})",
        "refresh": 2,
        "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]},
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }
