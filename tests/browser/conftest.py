"""The page in Debian's Chromium, over a platform as `make up` starts it, with its real models.

Each test has browsers' windows of its own. Whatever it does, no window may log an error, be refused something by the
page's policy, or ask anybody but the platform for anything.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from fakes.page_acts import admit
from fakes.page_watch import Watch
from fakes.platform import TestPlatform, running_platform
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PATIENCE_MS = 60_000
"""For whatever the page does by itself on a machine that has other work: only a bound, nothing is measured."""
DIST = Path(__file__).parents[2] / "serve/web/dist/index.html"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """A platform with the models that come with it, and room for the anonymous visits of all these tests."""
    if not DIST.exists():
        _lacking("the page is not built: make ui")
    settings = {"anonymous_client_requests_per_minute": "1000", "anonymous_client_requests_per_day": "100000"}
    with running_platform(tmp_path_factory.mktemp("site"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        _lacking("no Chromium on the PATH: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def watch(site: TestPlatform) -> Iterator[Watch]:
    """Fails a test that did well, and whose page did not."""
    watching = Watch(site.url)
    yield watching
    assert watching.complaints == []


@pytest.fixture
def window(chromium: Browser, site: TestPlatform, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Opens windows: `window()` of a newcomer, `window(signed_in=True)` of the administrator; each its own browser."""
    contexts: list[BrowserContext] = []

    def opened(
        *, signed_in: bool = False, theme: str = "dark", width: int = 1440, height: int = 900, reduced: bool = True
    ) -> Page:
        context = chromium.new_context(
            base_url=site.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce" if reduced else "no-preference",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if signed_in:
            admit(context, site)
        page = context.new_page()
        watch.page(page)
        return page

    yield opened
    for context in contexts:
        context.close()


def _lacking(reason: str) -> NoReturn:
    """Where the machine is meant to have it, a test that is skipped tells nothing."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
