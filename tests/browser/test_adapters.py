"""Adapters: what is refused is told in a sentence, what fits is stored and tried."""

import re
from collections.abc import Callable
from pathlib import Path

from fakes.page_acts import SLOW_MS, num_colors
from fakes.platform import TestPlatform
from playwright.sync_api import Page, expect

FOLDER = Path(__file__).parents[2] / "deployments/reference_models/adapters/shapes-sd/inverted"
PROMPT = "a large red circle on a white background"


def _choose(page: Page, *files: Path) -> None:
    page.goto("/adapters")
    page.get_by_role("button", name="Add an adapter").first.click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("dialog").get_by_text("or choose files").click()
    chooser.value.set_files(list(files))


def test_half_an_adapter_is_refused_with_what_is_missing(window: Callable[..., Page]) -> None:
    page = window(signed_in=True)
    _choose(page, FOLDER / "adapter_model.safetensors")
    dialog = page.get_by_role("dialog", name="Add an adapter")
    dialog.get_by_role("button", name="Upload").click()
    expect(dialog.get_by_role("alert")).to_contain_text("whose adapter_config.json belongs beside it and is missing")
    expect(dialog.get_by_role("button", name="Upload")).to_be_enabled()


def test_an_adapter_is_uploaded_and_tried(window: Callable[..., Page], site: TestPlatform) -> None:
    page = window(signed_in=True)
    _choose(page, FOLDER / "adapter_model.safetensors", FOLDER / "adapter_config.json")
    dialog = page.get_by_role("dialog", name="Add an adapter")
    dialog.get_by_role("textbox", name="Name").fill("mine")
    dialog.get_by_role("combobox", name="Base model").select_option("shapes-sd")
    dialog.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("mine is stored.")).to_be_visible(timeout=SLOW_MS)
    row = page.get_by_role("row").filter(has_text="mine")
    row.get_by_role("link", name="Try it").click()
    expect(page).to_have_url(re.compile("/models/shapes-sd"))
    expect(page.get_by_role("group", name="Adapters").get_by_role("spinbutton", name="mine")).to_have_value("1")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_role("button", name=re.compile("^Run")).click()
    picture = page.get_by_role("button", name="Open picture 1").get_by_role("img", name=PROMPT)
    expect(picture).to_be_visible(timeout=SLOW_MS)
    assert num_colors(picture) > 1
    with site.client() as client:
        (run, *_) = client.get("/v1/runs", params={"model": "shapes-sd", "limit": 1}).json()["data"]
    assert [one["id"].partition("@")[0] for one in run["adapters"]] == ["default/mine"]
