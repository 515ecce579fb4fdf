"""The page in Debian's Chromium, over a platform as `make up` starts it, with its real models.

Each test has browsers' windows of its own. Whatever it does, no window may log an error, be refused something by the
page's policy, or ask anybody but the platform for anything.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.platform import TestPlatform, running_platform
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

DIST = Path(__file__).parents[2] / "serve/web/dist/index.html"


@dataclass
class Watch:
    """What went wrong in the windows of one test."""

    origin: str
    told: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    """Patterns of what a test brings about on purpose."""

    def page(self, page: Page) -> None:
        """Look at `page` from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.told.append(f"an exception: {error}"))
        page.on("request", self._request)

    def excuse(self, pattern: str) -> None:
        """What matches `pattern` is meant to happen in this test."""
        self.excused.append(pattern)

    @property
    def complaints(self) -> list[str]:
        """What nobody excused."""
        return [one for one in self.told if not any(re.search(pattern, one) for pattern in self.excused)]

    def _console(self, message: ConsoleMessage) -> None:
        # The browser tells of every answer that is no success, also of those that the page handles.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.told.append(f"the console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.told.append(f"a request to {request.url}")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """A platform with the models that come with it, and room for the anonymous visits of all these tests."""
    if not DIST.exists():
        pytest.skip("the page is not built: make ui")
    settings = {"anonymous_client_requests_per_minute": "1000", "anonymous_client_requests_per_day": "100000"}
    with running_platform(tmp_path_factory.mktemp("site"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
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
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        watch.page(page)
        if signed_in:
            sign_in(page, site)
        return page

    yield opened
    for context in contexts:
        context.close()


def sign_in(page: Page, site: TestPlatform) -> None:
    """As `make up` has it: by a link that opens once."""
    told = site.run("login-link")
    assert told.returncode == 0, told.stderr
    found = re.search(r"http://\S+/signin#code=\S+", told.stdout)
    assert found is not None, told.stdout
    page.goto(found[0])
    page.wait_for_url(re.compile(r"/(models)?$"))
