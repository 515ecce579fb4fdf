"""axe-core finds nothing serious on any view, in either theme."""

from collections.abc import Callable

import pytest
from fakes.page_audit import serious_findings, settle
from playwright.sync_api import Page

SIGNED_IN = ("/models", "/w", "/runs", "/adapters", "/usage", "/keys", "/people", "/platform", "/design", "/nowhere")
SIGNED_OUT = ("/models", "/models/shapes-sd", "/models/smollm2-135m-instruct", "/models/minilm-l6-v2", "/w", "/signin")
THEMES = ("dark", "light")


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_serious_for_a_newcomer(window: Callable[..., Page], theme: str) -> None:
    page = window(theme=theme)
    found = {path: _audited(page, path) for path in SIGNED_OUT}
    assert {path: findings for path, findings in found.items() if findings} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_nothing_serious_for_who_is_signed_in(window: Callable[..., Page], theme: str) -> None:
    page = window(signed_in=True, theme=theme)
    found = {path: _audited(page, path) for path in SIGNED_IN}
    assert {path: findings for path, findings in found.items() if findings} == {}


@pytest.mark.parametrize("width", [1024, 390])
def test_nothing_serious_on_narrow_screens(window: Callable[..., Page], width: int) -> None:
    page = window(signed_in=True, width=width)
    found = {path: _audited(page, path) for path in (*SIGNED_IN, "/models/shapes-sd")}
    assert {path: findings for path, findings in found.items() if findings} == {}


def _audited(page: Page, path: str) -> list[str]:
    page.goto(path)
    settle(page)
    return serious_findings(page)
