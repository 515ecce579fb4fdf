"""Changing a workflow, and taking it back: the document is what it was, to the byte."""

import re
from collections.abc import Callable

from fakes.page_acts import card, choose, open_workflow, save_workflow, saved_workflow
from fakes.page_documents import greeting, with_resizing
from fakes.platform import TestPlatform, wait_for
from playwright.sync_api import Page, expect


def test_twenty_edits_undone_and_redone_are_the_same_to_the_byte(
    window: Callable[..., Page], site: TestPlatform
) -> None:
    save_workflow(site, "twenty", with_resizing(greeting()))
    page = window(signed_in=True)
    open_workflow(page, "twenty")
    before = saved_workflow(site, "twenty")
    num_edits = _edit_a_lot(page)
    assert num_edits >= 20
    _expect_saved(page)
    after = saved_workflow(site, "twenty")
    assert after != before
    undo, redo = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
    for _ in range(num_edits):
        undo.click()
    expect(undo).to_be_disabled()
    _expect_saved(page)
    assert saved_workflow(site, "twenty") == before
    for _ in range(num_edits):
        redo.click()
    expect(redo).to_be_disabled()
    _expect_saved(page)
    assert saved_workflow(site, "twenty") == after


def _edit_a_lot(page: Page) -> int:
    """Of every kind; each one step. Says how many."""
    inspector = choose(page, "Words")
    steps: list[Callable[[], object]] = [
        lambda: inspector.get_by_role("textbox", name="Title", exact=True).fill("First words"),
        lambda: inspector.get_by_role("textbox", name="Template", exact=True).fill("Good {value}"),
        lambda: inspector.get_by_role("button", name="Expose Template as input").click(),
        lambda: inspector.get_by_role("button", name="Do not expose Template").click(),
        lambda: inspector.get_by_role("switch", name="Output of the workflow: Text").click(),
        lambda: _press(page, "c"),
        lambda: _press(page, "c"),
        lambda: _press(page, "Control+d"),
        lambda: _press(page, "Delete"),
        lambda: _press(page, "n"),
        lambda: _select(page, "Loud", lambda: _group(page)),
        lambda: _press(page, "Control+Shift+g"),
        lambda: _press(page, "Shift+T"),
        lambda: _select(page, "Size", lambda: _press(page, "Control+x")),
        lambda: _press(page, "Control+v"),
        lambda: _press(page, "Control+d"),
        lambda: _select(page, "Loud", lambda: _value(page, "Case", "lower")),
        lambda: page.get_by_role("button", name="Disconnect Text", exact=True).click(),
        lambda: page.get_by_role("button", name="Reset Case", exact=True).click(),
        lambda: _select(page, "Loud", lambda: _press(page, "Delete")),
        lambda: _rename(page),
    ]
    for step in steps:
        step()
        expect(page.get_by_role("button", name="Undo", exact=True)).to_be_enabled()
    return len(steps)


def _press(page: Page, keys: str) -> None:
    page.get_by_role("toolbar", name="Canvas tools").evaluate("() => document.activeElement?.blur()")
    page.keyboard.press(keys)


def _select(page: Page, title: str, then: Callable[[], object]) -> None:
    choose(page, title)
    then()


def _group(page: Page) -> None:
    """It asks for a title at once, which may wait."""
    _press(page, "Control+g")
    expect(page.get_by_role("dialog", name="Rename the group")).to_be_visible()
    page.keyboard.press("Escape")


def _value(page: Page, field: str, choice: str) -> None:
    page.get_by_role("combobox", name=field, exact=True).select_option(label=choice)


def _rename(page: Page) -> None:
    page.get_by_role("button", name="Rename", exact=True).click()
    page.get_by_role("dialog").get_by_role("textbox", name="Title").fill("Another title")
    page.get_by_role("dialog").get_by_role("button", name="Done").click()


def test_a_drag_is_one_step(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "dragged", greeting())
    page = window(signed_in=True)
    open_workflow(page, "dragged")
    before = saved_workflow(site, "dragged")
    card(page, "Words").get_by_role("heading").hover()
    page.mouse.down()
    for distance in range(1, 20):
        page.mouse.move(300 + 5 * distance, 500 + 4 * distance)
    page.mouse.up()
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_enabled()
    _expect_saved(page)
    assert saved_workflow(site, "dragged") != before
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()
    _expect_saved(page)
    assert saved_workflow(site, "dragged") == before


def test_nodes_are_copied_from_one_workflow_to_another(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "copied-from", greeting())
    save_workflow(site, "copied-to", {"title": "Empty", "nodes": {}})
    page = window(signed_in=True)
    open_workflow(page, "copied-from")
    _press(page, "Control+a")
    expect(page.get_by_text("2 nodes selected").first).to_be_visible()
    page.evaluate("navigator.clipboard.writeText('')")
    _press(page, "Control+c")
    expect(page.get_by_text("Copied 2 nodes.")).to_be_attached()
    # What is said is heard before the system has taken it; a page that is left would take it back.
    wait_for(lambda: '"words"' in page.evaluate("navigator.clipboard.readText()"), 30, "the clipboard has the nodes")
    open_workflow(page, "copied-to")
    _press(page, "Control+v")
    expect(page.get_by_role("article")).to_have_count(2)
    _expect_saved(page)
    assert '"text": {"$ref": ["words", "text"]}' in saved_workflow(site, "copied-to")


def _expect_saved(page: Page) -> None:
    expect(page.get_by_text(re.compile("^draft, saved"))).to_be_visible()
