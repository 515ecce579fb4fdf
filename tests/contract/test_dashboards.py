"""Every query of the dashboards and rules asks for series that exist, in a language that Prometheus understands."""

import re
from collections.abc import Iterator

import pytest
from fakes.prometheus import Prometheus, running_prometheus

from serve.telemetry import render, series
from serve.telemetry.dashboards import DASHBOARDS, Dashboard
from serve.telemetry.grafana import dashboard_json
from serve.telemetry.rules import ALERTS, RECORDINGS
from serve.telemetry.series import Place

KNOWN_BY_ALL = {"up"}
KNOWN = (
    KNOWN_BY_ALL | {name for declared in series.ALL for name in declared.sample_names} | {r.name for r in RECORDINGS}
)
WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset", "bool"}
QUERIES = [
    pytest.param(query.expr, id=f"{dashboard.uid}: {panel.title}, {number}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for number, query in enumerate(panel.queries)
]
RULES = [pytest.param(rule.expr, id=rule.name) for rule in (*RECORDINGS, *ALERTS)]
LABELS = {label for declared in series.ALL for label in declared.labels} | {"le", "job", "instance", "WorkerId"}


def names_in(expr: str) -> set[str]:
    """The series that PromQL asks for."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", expr)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\boffset\s+\w+|@\s*\w+\(\)|\b[0-9][0-9.e]*\b", " ", bare)
    return {name for name in re.findall(r"[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare) if name not in WORDS}


def labels_in(expr: str) -> set[str]:
    """The labels that PromQL groups by or selects with."""
    grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expr)
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expr)
    return {label.strip() for group in grouped for label in group.split(",") if label.strip()} | set(selected)


def test_names_are_found_in_promql():
    expr = 'sum by (a, b) (rate(x_total{c=~"d"}[5m])) / (y:z:w offset 1h or v @ start() * 1e6) unless on (q) up == 0'
    assert names_in(expr) == {"x_total", "y:z:w", "v", "up"}
    assert labels_in(expr) == {"a", "b", "c", "q"}


@pytest.mark.parametrize("expr", [*QUERIES, *RULES])
def test_a_query_asks_for_series_and_labels_that_are_declared(expr: str):
    assert names_in(expr) - KNOWN == set()
    assert names_in(expr)
    assert labels_in(expr) - LABELS == set()


def test_every_series_of_the_platform_is_looked_at_by_somebody():
    asked = {name for query in (*QUERIES, *RULES) for name in names_in(query.values[0])}
    unseen = {declared.name for declared in series.ALL if not asked & {declared.name, *declared.sample_names}}
    assert unseen == set()


def test_a_platforms_series_is_never_added_up_over_gateways():
    platform = {declared.name for declared in series.ALL if Place.PLATFORM in declared.places}
    for query in (*QUERIES, *RULES):
        expr = query.values[0]
        for name in names_in(expr) & platform:
            # `sum(max by (...) (x))` is right, `sum(x)` would count each gateway's answer.
            assert re.search(rf"max(?: by \([^)]*\))? ?\((?:abs\()?{name}\b", expr), expr


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    for name, text in render.prometheus_files().items():
        (folder / name).write_text(text)
    (folder / "token").write_text("secret")
    with running_prometheus(folder / "scrape.yaml", folder / "data") as running:
        yield running


def test_prometheus_understands_every_query(prometheus: Prometheus):
    for query in QUERIES:
        expr = re.sub(r"\$\w+", ".*", query.values[0])
        for path, parameters in (("query", {}), ("query_range", {"start": 0, "end": 60, "step": 30})):
            answer = prometheus.ask(path, query=expr, **parameters).json()
            assert answer["status"] == "success", (expr, answer)


def test_prometheus_has_loaded_every_rule(prometheus: Prometheus):
    groups = prometheus.ask("rules").json()["data"]["groups"]
    assert {rule["name"] for group in groups for rule in group["rules"]} == {
        rule.name for rule in (*RECORDINGS, *ALERTS)
    }


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_dashboard_begins_with_its_questions_and_no_panel_covers_another(dashboard: Dashboard):
    questions, *panels = dashboard_json(dashboard)["panels"]
    assert all(
        question in questions["options"]["content"] and question.endswith("?") for question in dashboard.questions
    )
    taken: set[tuple[int, int]] = set()
    for panel in (questions, *panels):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in (questions, *panels)}) == len(panels) + 1


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_panel_says_what_it_shows_and_each_of_its_lines_has_a_name(dashboard: Dashboard):
    for panel in dashboard_json(dashboard)["panels"][1:]:
        assert re.fullmatch(r"(- `\w+`: .+\.\n?)+", panel["description"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        values = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert target["instant"] is not target["range"]
            told = re.findall(r"{{(\w+)}}", target["legendFormat"])
            outermost = re.match(r"(?:topk\(10, )?(?:sum|max) by \(([^)]*)\)", target["expr"])
            assert outermost is None or set(told) == set(outermost[1].split(", ")), panel["title"]


def test_a_variable_begins_with_all_its_values():
    for dashboard in DASHBOARDS:
        source, *variables = dashboard_json(dashboard)["templating"]["list"]
        assert source["type"] == "datasource"
        used = set(
            re.findall(r"\$(\w+)", " ".join(query.expr for panel in dashboard.panels for query in panel.queries))
        )
        assert {variable["name"] for variable in variables} == used
        assert all(variable["current"]["value"] == ["$__all"] for variable in variables)
