"""Joining nodes: by the keyboard alone, by hand, and refused with the reason."""

import re
from collections.abc import Callable

from fakes.page_acts import card, open_workflow, save_workflow, saved_workflow
from fakes.page_documents import greeting, with_resizing
from fakes.platform import TestPlatform
from playwright.sync_api import Locator, Page, expect


def test_two_nodes_are_joined_by_the_keyboard_alone(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "by-keyboard", greeting(linked=False))
    page = window(signed_in=True)
    open_workflow(page, "by-keyboard")
    page.keyboard.press("Shift+O")
    outline = page.get_by_role("region", name="Outline")
    expect(outline.get_by_role("button", name=re.compile("^(Words|Loud) ")).first).to_be_focused()
    _tab_to(page, outline.get_by_role("button", name="Connect Words", exact=True))
    page.keyboard.press("Enter")
    _pick(page, "Text")
    _pick(page, "Loud: Text")
    expect(outline.get_by_text("Text from Words: Text")).to_be_visible()
    expect(page.get_by_text("Joined Words: Text to Loud: Text.")).to_be_attached()
    _expect_saved(page)
    assert '"text": {"$ref": ["words", "text"]}' in saved_workflow(site, "by-keyboard")


def test_only_what_fits_is_offered(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "what-fits", with_resizing(greeting(linked=False)))
    page = window(signed_in=True)
    open_workflow(page, "what-fits")
    page.keyboard.press("Shift+O")
    page.get_by_role("button", name="Connect Words", exact=True).click()
    page.get_by_role("menuitem", name="Text", exact=True).click()
    expect(page.get_by_role("menuitem", name="Loud: Text")).to_be_visible()
    expect(page.get_by_role("menuitem", name=re.compile("^Size: Image"))).to_have_count(0)


def test_a_link_drawn_to_what_does_not_take_it_is_refused_with_the_reason(
    window: Callable[..., Page], site: TestPlatform
) -> None:
    document = with_resizing(greeting(linked=False))
    save_workflow(site, "refused", document)
    page = window(signed_in=True)
    open_workflow(page, "refused")
    _draw(page, _port(page, "Words", "output Text"), _port(page, "Size", "input Image"))
    expect(page.get_by_text("Not joined: a text cannot go where an image goes").first).to_be_visible()
    assert "$ref" not in saved_workflow(site, "refused")


def test_a_link_drawn_to_what_takes_it_holds_and_the_occupied_input_is_replaced(
    window: Callable[..., Page], site: TestPlatform
) -> None:
    document = greeting()
    document["nodes"]["other"] = {"type": "op:text.template", "inputs": {"template": "Good night"}}
    document["layout"]["nodes"]["other"] = {"x": 0, "y": 320, "title": "Other"}
    save_workflow(site, "replaced", document)
    page = window(signed_in=True)
    open_workflow(page, "replaced")
    _draw(page, _port(page, "Other", "output Text"), _port(page, "Loud", "input Text"))
    expect(page.get_by_text("Joined Other: Text to Loud: Text in place of what was there.")).to_be_attached()
    _expect_saved(page)
    assert '"text": {"$ref": ["other", "text"]}' in saved_workflow(site, "replaced")


def test_a_link_dropped_on_the_canvas_offers_what_takes_it(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "dropped", greeting())
    page = window(signed_in=True)
    open_workflow(page, "dropped")
    below = card(page, "Loud").bounding_box()
    assert below is not None
    _drag(page, _port(page, "Loud", "output Text"), below["x"] + 20, below["y"] + below["height"] + 60)
    dialog = page.get_by_role("dialog", name="Add a node for text (text)")
    expect(dialog.get_by_role("option", name=re.compile("^Trim text"))).to_be_visible()
    expect(dialog.get_by_role("option", name=re.compile("^Blur"))).to_have_count(0)
    page.keyboard.type("trim")
    page.keyboard.press("Enter")
    expect(card(page, "Trim text")).to_be_visible()
    _expect_saved(page)
    assert '"text": {"$ref": ["loud", "text"]}' in saved_workflow(site, "dropped")


def _expect_saved(page: Page) -> None:
    expect(page.get_by_text(re.compile("^draft, saved"))).to_be_visible()


def _tab_to(page: Page, wanted: Locator) -> None:
    for _ in range(30):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(wanted).to_be_focused()


def _pick(page: Page, item: str) -> None:
    """An item of the open menu, with the arrow keys."""
    wanted = page.get_by_role("menuitem", name=item, exact=True)
    expect(page.get_by_role("menuitem").first).to_be_focused()
    for _ in range(30):
        if wanted.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def _port(page: Page, title: str, port: str) -> Locator:
    """A port's mark on a card: it says in its title what it is."""
    return card(page, title).get_by_title(re.compile(rf"^{port}, "))


def _draw(page: Page, start: Locator, end: Locator) -> None:
    box = end.bounding_box()
    assert box is not None
    _drag(page, start, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def _drag(page: Page, start: Locator, x: float, y: float) -> None:
    start.hover()
    page.mouse.down()
    page.mouse.move(x, y, steps=12)
    page.mouse.up()
