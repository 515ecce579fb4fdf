"""axe-core finds nothing serious on any view, in either theme; everything is reached and seen by the keyboard."""

from collections.abc import Callable

import pytest
from fakes.page_acts import choose, open_workflow, save_workflow
from fakes.page_audit import serious_findings, settle, walk_by_tab
from fakes.page_documents import greeting, with_resizing
from fakes.platform import TestPlatform
from playwright.sync_api import Page, expect

EDITOR = ("/w/audited", "/w/audited/app", "/w/audited/api", "/w/audited/versions", "/w/audited/runs")
MODELS = (
    "/models",
    "/models/shapes-sd",
    "/models/shapes-sd?tab=api",
    "/models/shapes-sd?tab=about",
    "/models/smollm2-135m-instruct",
    "/models/minilm-l6-v2",
)
RUN = "/runs/:id"
PAGES = ("/w", "/runs", RUN, "/adapters", "/usage", "/keys", "/people", "/platform", "/signin", "/design", "/nowhere")
SIGNED_OUT = (*MODELS, "/w", "/signin")
THEMES = ("dark", "light")


@pytest.fixture(scope="session")
def run(site: TestPlatform) -> str:
    """Of a workflow with a problem, a note and a group, and a version."""
    document = greeting()
    save_workflow(site, "audited", document)
    with site.client() as client:
        client.post("/v1/workflows/audited/versions", json={"note": "The first."}).raise_for_status()
        made = client.post("/v1/workflows/audited/runs", json={"input": {}})
        made.raise_for_status()
    changed = with_resizing(document)
    changed["layout"] |= {
        "notes": [{"text": "Words about it", "x": 0, "y": 260}],
        "groups": [{"title": "Both", "nodes": ["words", "loud"]}],
    }
    save_workflow(site, "audited", changed)
    return str(made.json()["id"])


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_serious_for_a_newcomer(window: Callable[..., Page], theme: str) -> None:
    page = window(theme=theme)
    assert _found(page, SIGNED_OUT) == {}


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_serious_for_who_is_signed_in(window: Callable[..., Page], run: str, theme: str) -> None:
    page = window(signed_in=True, theme=theme)
    assert _found(page, (*PAGES, *EDITOR), run) == {}


@pytest.mark.parametrize("width", [1024, 390])
def test_nothing_serious_on_narrow_screens(window: Callable[..., Page], run: str, width: int) -> None:
    page = window(signed_in=True, width=width)
    assert _found(page, (*PAGES, *EDITOR, "/models", "/models/shapes-sd"), run) == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.usefixtures("run")
def test_nothing_serious_with_the_editors_panels_open(window: Callable[..., Page], theme: str) -> None:
    page = window(signed_in=True, theme=theme)
    open_workflow(page, "audited")
    choose(page, "Loud")
    page.keyboard.press("Shift+O")
    expect(page.get_by_role("region", name="Outline")).to_be_visible()
    assert serious_findings(page) == []
    page.get_by_role("button", name="Keys", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert serious_findings(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("toolbar", name="Canvas tools").get_by_role("button", name="Add a node").click()
    expect(page.get_by_role("dialog", name="Add a node")).to_be_visible()
    assert serious_findings(page) == []


@pytest.mark.parametrize("path", [*PAGES, *EDITOR, *MODELS])
def test_every_action_is_reached_by_the_keyboard_and_seen(window: Callable[..., Page], run: str, path: str) -> None:
    page = window(signed_in=True)
    _open(page, path, run)
    walk = walk_by_tab(page)
    assert walk.trapped_at is None
    assert walk.missed == []
    assert walk.unseen == []


def _open(page: Page, path: str, run: str) -> None:
    page.goto(path.replace(":id", run))
    settle(page)


def _found(page: Page, paths: tuple[str, ...], run: str = "") -> dict[str, list[str]]:
    """What axe-core finds where; only where it finds anything."""
    found: dict[str, list[str]] = {}
    for path in paths:
        _open(page, path, run)
        if findings := serious_findings(page):
            found[path] = findings
    return found
