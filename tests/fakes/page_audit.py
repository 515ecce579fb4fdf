"""What axe-core finds on a page as it stands, and where the keyboard gets in it."""

from dataclasses import dataclass
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
    # The page of samples shows some for good.
    if not page.url.endswith("/design"):
        page.locator(".skeleton").first.wait_for(state="detached")


@dataclass(frozen=True, slots=True)
class Walk:
    """What pressing Tab from the first to the last came by."""

    trapped_at: str | None
    """Where it did not go on."""
    missed: list[str]
    """What can be pressed, and was never focused."""
    unseen: list[str]
    """What had the focus, and looked as it does without."""


# Of several that are one for the keyboard (radio buttons, tabs, a toolbar with arrow keys) one is a stop of Tab; menus'
# items and those that scripts focus say so by a tabindex below 0. A list of tabs hands the focus on to one of them.
_ACTIONS = """() => {
  const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")];
  const isThere = (one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({visibilityProperty: true})
    && !one.closest("[inert]") && (one.type !== "radio" || one.checked)
    && one.role !== "tablist";
  window.walked = all.filter(isThere);
  document.activeElement?.blur();
  return window.walked.length;
}"""
_NAME = """(one) => `${one.tagName.toLowerCase()} ${one.getAttribute("aria-label") ?? one.textContent.slice(0, 40)}`"""
_STEP = """() => {
  const at = document.activeElement;
  if (at === null || at === document.body) return null;
  const looks = (one) => ["outlineStyle", "outlineWidth", "boxShadow", "borderColor", "backgroundColor", "color",
    "textDecorationLine"].map((name) => getComputedStyle(one)[name]).join();
  const chain = [at, at.parentElement, at.parentElement?.parentElement, at.closest("li, label, form")].filter(Boolean);
  const settled = () => document.getAnimations().forEach((one) => one.finish());
  settled();
  const focused = chain.map(looks).join(";");
  at.blur();
  settled();
  const plain = chain.map(looks).join(";");
  at.focus({focusVisible: true, preventScroll: true});
  return {index: window.walked.indexOf(at), isSeen: focused !== plain, name: (NAME)(at)};
}""".replace("NAME", _NAME)
_MISSED = "(seen) => window.walked.filter((one, index) => one.isConnected && !seen.includes(index)).map(NAME)".replace(
    "NAME", _NAME
)


def walk_by_tab(page: Page) -> Walk:
    """Tab from the top of the page to its end."""
    num: int = page.evaluate(_ACTIONS)
    seen: list[int] = []
    unseen: list[str] = []
    last: dict[str, Any] | None = None
    for _ in range(2 * num + 10):
        page.keyboard.press("Tab")
        at: dict[str, Any] | None = page.evaluate(_STEP)
        if at is None or (seen and at["index"] == seen[0]):
            return Walk(None, page.evaluate(_MISSED, seen), unseen)
        if last is not None and at == last:
            break
        last = at
        seen.append(at["index"])
        if not at["isSeen"]:
            unseen.append(at["name"])
    return Walk(last["name"] if last else "nothing", page.evaluate(_MISSED, seen), unseen)
