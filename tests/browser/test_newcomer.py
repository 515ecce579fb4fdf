"""The way of somebody who has never been here: from the first look to a program that calls what he has made."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fakes.page_acts import SLOW_MS, card, choose, num_colors, run_workflow, sign_in
from fakes.platform import TestPlatform
from PIL import Image
from playwright.sync_api import Page, expect

PROMPT = "a large red circle on a white background"
IDEA = "a green tent in yellow sand"


def test_from_the_first_look_to_a_program_of_ones_own(
    window: Callable[..., Page], site: TestPlatform, tmp_path: Path
) -> None:
    page = window()
    _paint_without_a_key(page)
    sign_in(page, site)
    _open_the_template(page)
    _run_and_change_one_node(page)
    _publish(page)
    told = {language: _called_by(page, site, language, tmp_path) for language in ("curl", "Python, httpx")}
    run = json.loads(told["curl"])
    assert (run["status"], run["workflow"]) == ("succeeded", "newcomer@1")
    assert run["output"]["prompt"].startswith("a large green ")
    with Image.open(tmp_path / "banner.png") as banner:
        assert banner.width > banner.height


def _paint_without_a_key(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Shapes (Stable Diffusion)", exact=True).click()
    left = page.get_by_text(re.compile(r"\d+ of \d+ calls left today without signing in"))
    before = _first_number(left.inner_text())
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_role("button", name=re.compile("^Run")).click()
    picture = page.get_by_role("button", name="Open picture 1").get_by_role("img", name=PROMPT)
    expect(picture).to_be_visible(timeout=SLOW_MS)
    assert num_colors(picture) > 1
    expect(left).to_contain_text(f"{before - 1} of ")
    expect(page.get_by_role("region", name="History")).to_contain_text(PROMPT)


def _first_number(text: str) -> int:
    found = re.search(r"\d+", text)
    assert found is not None, text
    return int(found[0])


def _open_the_template(page: Page) -> None:
    page.get_by_role("link", name="Workflows").click()
    page.get_by_role("button", name=re.compile("^Prompt to banner")).click()
    page.get_by_role("textbox", name="Name").fill("newcomer")
    page.get_by_role("button", name="Create").click()
    page.wait_for_url("**/w/newcomer")


def _run_and_change_one_node(page: Page) -> None:
    page.get_by_role("button", name="Values", exact=True).click()
    values = page.get_by_role("dialog", name="Values for this run")
    values.get_by_label("Idea").fill(IDEA)
    values.get_by_role("button", name="Close").click()
    run_workflow(page)
    cards = page.get_by_role("article")
    expect(cards).to_have_count(8)
    expect(cards.filter(has_text=re.compile("waiting|running|failed|skipped|cached|stale"))).to_have_count(0)
    assert num_colors(page.get_by_role("img", name="result of Enlarge")) > 1
    inspector = choose(page, "The prompt")
    inspector.get_by_role("textbox", name="Template", exact=True).fill(
        "a large green {color} circle on a {ground} background"
    )
    expect(page.get_by_role("region", name="Run", exact=True)).to_contain_text("4 run, 3 cached")
    run_workflow(page)
    for title in ("The thing's colour", "The colour behind it", "What is around it"):
        expect(card(page, title)).to_contain_text("cached")
    expect(card(page, "Paint")).not_to_contain_text("cached")


def _publish(page: Page) -> None:
    """With one input more: the seed of the picture."""
    inspector = choose(page, "Paint")
    inspector.get_by_role("button", name="Expose Seed as input").click()
    expect(inspector.get_by_role("textbox", name="Name of the workflow's input for Seed")).to_have_value("seed")
    page.get_by_role("button", name="Publish", exact=True).click()
    dialog = page.get_by_role("dialog", name="Publish a version")
    dialog.get_by_role("textbox", name="Note").fill("The first one.")
    dialog.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("newcomer@1 is published.")).to_be_visible()
    page.get_by_role("link", name="API", exact=True).click()


def _called_by(page: Page, site: TestPlatform, language: str, folder: Path) -> str:
    """What the snippet prints, as the page has put it on the clipboard."""
    page.get_by_role("button", name=language, exact=True).click()
    page.get_by_role("button", name="Wait for it").click()
    page.get_by_role("button", name="Copy", exact=True).first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    snippet = page.evaluate("() => navigator.clipboard.readText()")
    assert snippet == page.get_by_role("region", name="Snippet").text_content()
    command = ["bash", "-c", snippet] if language == "curl" else [sys.executable, "-c", snippet]
    environment = site.environment | {"SLIPWAY_API_KEY": site.key}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, snippet + done.stdout + done.stderr
    return str(done.stdout)
