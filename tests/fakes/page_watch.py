"""What goes wrong in the windows of a test: errors, what the page's policy refuses, requests to anybody else."""

import re
from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, Request


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
