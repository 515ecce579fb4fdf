"""What people do on the page, by the names that they see and hear."""

import json
import re
from typing import Any

from fakes.platform import TestPlatform
from playwright.sync_api import BrowserContext, Locator, Page, expect

SLOW_MS = 90_000
"""For what a model does on a machine that has other work: only a bound, nothing is measured."""


def admit(context: BrowserContext, site: TestPlatform) -> None:
    """A session in the browser's cookie, for who comes to do something else than to sign in."""
    answer = context.request.post("/v1/session", headers={"authorization": f"Bearer {site.key}"})
    assert answer.status == 201, answer.text()


def sign_in(page: Page, site: TestPlatform) -> None:
    """By a link that opens once, as `slipway up` prints one."""
    with site.client() as client:
        made = client.post("/v1/login-links")
        made.raise_for_status()
    page.goto(made.json()["url"])
    expect(page.get_by_role("button", name=re.compile("^Account: "))).to_be_visible()
    expect(page).not_to_have_url(re.compile("signin"))


_NUM_COLORS = """async (picture) => {
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return new Set(pixels).size;
}"""


def num_colors(picture: Locator) -> int:
    """How many different colours a picture has, once it is there: a blank one has one."""
    expect(picture).to_be_visible()
    found: int = picture.evaluate(_NUM_COLORS)
    return found


def kept_by(page: Page) -> str:
    """All that this browser keeps of the page where a script can read it, in one text."""
    kept: str = page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
    )
    return kept


def save_workflow(site: TestPlatform, name: str, document: dict[str, Any]) -> None:
    """A draft, new or in place of what there is."""
    with site.client() as client:
        path = f"/v1/workflows/{name}/draft"
        headers = {"if-match": "*"} if client.get(path).is_success else {"if-none-match": "*"}
        client.put(path, json=document, headers=headers).raise_for_status()


def saved_workflow(site: TestPlatform, name: str) -> str:
    """The draft's document as it is stored: its text, the keys in their order."""
    with site.client() as client:
        answer = client.get(f"/v1/workflows/{name}/draft")
        answer.raise_for_status()
        return json.dumps(answer.json()["workflow"])


def open_workflow(page: Page, name: str) -> None:
    """The editor, ready to be worked in."""
    page.goto(f"/w/{name}")
    expect(page.get_by_role("toolbar", name="Canvas tools")).to_be_visible()


def card(page: Page, title: str) -> Locator:
    """A node's card on the canvas."""
    return page.get_by_role("article", name=re.compile(rf"^{re.escape(title)}, "))


def choose(page: Page, title: str) -> Locator:
    """Selects a node by its card's title; gives the inspector, which then shows it."""
    card(page, title).get_by_role("heading", name=title).click()
    return page.get_by_role("complementary", name="Inspector")


def run_workflow(page: Page) -> None:
    """Runs what is on the canvas, to a good end."""
    bar = start_workflow(page)
    expect(bar).to_contain_text(re.compile("done *took"), timeout=SLOW_MS)


def start_workflow(page: Page) -> Locator:
    """Runs what is on the canvas; gives the bar, which from then on tells of this run."""
    bar = page.get_by_role("region", name="Run", exact=True)
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/runs")):
        bar.get_by_role("button", name="Run", exact=True).click()
    return bar
