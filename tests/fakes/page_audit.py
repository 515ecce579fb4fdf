"""What axe-core finds on a page as it stands."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_AXE = Path(__file__).parents[2] / "serve/web/node_modules/axe-core/axe.min.js"
_SERIOUS = ("serious", "critical")


def serious_findings(page: Page) -> list[str]:
    """One line for each rule that is broken badly: its name, what it asks, and where."""
    # Evaluated by the debugger, which the page's policy does not bind.
    page.evaluate(_AXE.read_text())
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {rule['help']}: {', '.join(str(node['target'][0]) for node in rule['nodes'][:5])}"
        for rule in found["violations"]
        if rule["impact"] in _SERIOUS
    ]


def settle(page: Page) -> None:
    """Wait until nothing is on its way: no request for half a second, no skeleton."""
    page.wait_for_load_state("networkidle")
    page.locator(".skeleton").first.wait_for(state="detached")
