"""Takes the README's pictures of the web app: `pytest tests/browser/take_pictures.py` writes `serve/web/pictures`.

No test by its name, so the suite leaves it alone. What is in the pictures has happened: the models' own answers, on a
platform that was started for them.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path

from fakes.page_acts import SLOW_MS, open_workflow, run_workflow
from fakes.platform import TestPlatform
from PIL import Image
from playwright.sync_api import Page, expect

PICTURES = Path(__file__).parents[2] / "serve/web/pictures"
SMOLLM = "/models/smollm2-135m-instruct"
PROMPT = "a red square to the left of a green circle on a white background"
WIDTH, HEIGHT = 1280, 800
PHONE = (390, 844)


def _keep(page: Page, name: str) -> None:
    """As WebP: a page is flat grounds and small letters, which it keeps sharp in a tenth of the bytes."""
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")
    PICTURES.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(page.screenshot(animations="disabled"))) as taken:
        taken.convert("RGB").save(PICTURES / f"{name}.webp", quality=82, method=6)


def _themed(page: Page, name: str, take: Callable[[Page, str], None] = _keep) -> None:
    """In both themes: the page follows the browser's."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        take(page, f"{name}-{theme}")


def test_pictures(window: Callable[..., Page], site: TestPlatform) -> None:
    page = window(signed_in=True, width=WIDTH, height=HEIGHT)
    _playground(page)
    _chat(page)
    _catalogue(page)
    _workflow(page)
    _usage(page)
    _phone(window(signed_in=True, width=PHONE[0], height=PHONE[1]))


def _playground(page: Page) -> None:
    page.goto("/models/shapes-sd")
    for prompt, images in (("a small yellow star on a purple background", "1"), (PROMPT, "4")):
        page.get_by_label("Prompt", exact=True).fill(prompt)
        page.get_by_role("spinbutton", name="Images").fill(images)
        page.get_by_role("button", name="Run", exact=True).click()
        shown = page.get_by_role("button", name=re.compile("^Open picture"))
        expect(shown).to_have_count(int(images), timeout=SLOW_MS)
    _themed(page, "playground")


def _chat(page: Page) -> None:
    page.goto(SMOLLM)
    for question in ("What is the capital of France?", "What is it known for?"):
        page.get_by_role("textbox", name="Message", exact=True).fill(question)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=SLOW_MS)
        expect(page.get_by_role("button", name="Answer anew").last).to_be_visible(timeout=SLOW_MS)
    _themed(page, "chat")


def _catalogue(page: Page) -> None:
    page.goto("/models")
    expect(page.get_by_role("link", name="Shapes (Stable Diffusion)", exact=True)).to_be_visible()
    _themed(page, "catalogue")


def _workflow(page: Page) -> None:
    page.goto("/w")
    page.get_by_role("button", name=re.compile("^Prompt to banner")).click()
    page.get_by_role("textbox", name="Name").fill("banner")
    page.get_by_role("button", name="Create").click()
    open_workflow(page, "banner")
    run_workflow(page)
    page.get_by_role("article", name=re.compile("^Paint, ")).get_by_role("heading").click()
    _themed(page, "editor")
    page.goto("/w/banner/app")
    page.get_by_label("Idea").fill("a green tent in yellow sand")
    page.get_by_role("button", name="Run", exact=True).click()
    outputs = page.get_by_role("region", name="Outputs")
    expect(outputs.get_by_role("img").first).to_be_visible(timeout=SLOW_MS)
    expect(outputs).to_have_attribute("aria-busy", "false", timeout=SLOW_MS)
    _themed(page, "app")


def _usage(page: Page) -> None:
    page.goto("/usage")
    expect(page.get_by_role("region", name="Usage")).to_contain_text("shapes-sd", timeout=SLOW_MS)
    _themed(page, "usage")


def _phone(page: Page) -> None:
    page.goto("/models/shapes-sd")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    _keep(page, "phone-dark")
