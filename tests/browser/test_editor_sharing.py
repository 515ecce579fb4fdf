"""Several at one workflow, and workflows that come from elsewhere."""

import io
import json
import re
from collections.abc import Callable
from typing import Any

from fakes.comfyui import comfy_graph
from fakes.page_acts import card, choose, open_workflow, save_workflow, saved_workflow
from fakes.page_documents import greeting
from fakes.platform import TestPlatform
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect


def test_what_somebody_else_saves_is_shown(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "shared", greeting())
    page = window(signed_in=True)
    open_workflow(page, "shared")
    save_workflow(site, "shared", greeting(template="Good night"))
    page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    expect(page.get_by_text(re.compile("has changed this workflow; what you see is the new state"))).to_be_visible()
    expect(card(page, "Words")).to_contain_text("Good night")


def test_two_who_change_the_same_are_asked_which_is_kept(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "both", greeting())
    first, second = window(signed_in=True), window(signed_in=True)
    open_workflow(first, "both")
    open_workflow(second, "both")
    choose(second, "Words").get_by_role("textbox", name="Template", exact=True).fill("of the second")
    expect(second.get_by_text(re.compile("^draft, saved"))).to_be_visible()
    choose(first, "Words").get_by_role("textbox", name="Template", exact=True).fill("of the first")
    expect(first.get_by_role("alert")).to_contain_text("Which one is to be kept?")
    first.get_by_role("button", name="Keep mine").click()
    expect(first.get_by_text(re.compile("^draft, saved"))).to_be_visible()
    assert "of the first" in saved_workflow(site, "both")


def test_a_picture_of_comfyui_is_imported_with_its_warnings(window: Callable[..., Page], site: TestPlatform) -> None:
    page = window(signed_in=True)
    page.goto("/w")
    _import(page, "castle.png", _picture(prompt=comfy_graph("lora_model_only")))
    dialog = page.get_by_role("dialog", name="Import a workflow")
    expect(dialog).to_contain_text(re.compile(r"The file holds a workflow of \d+ nodes?\."))
    expect(dialog).to_contain_text("Done otherwise here than there")
    dialog.get_by_role("textbox", name="Name").fill("castle")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("toolbar", name="Canvas tools")).to_be_visible()
    expect(page.get_by_role("article").first).to_be_visible()
    assert "nodes" in saved_workflow(site, "castle")


def test_a_file_without_a_workflow_is_refused_in_a_sentence(window: Callable[..., Page]) -> None:
    page = window(signed_in=True)
    page.goto("/w")
    _import(page, "plain.png", _picture())
    dialog = page.get_by_role("dialog", name="Import a workflow")
    expect(dialog.get_by_role("alert")).to_contain_text("workflow")


def _import(page: Page, name: str, data: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import", exact=True).click()
    chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})


def _picture(**texts: Any) -> bytes:
    """As ComfyUI saves it: the graph is in the picture's texts."""
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, json.dumps(text))
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
