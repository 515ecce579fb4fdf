"""Talking to a model: its words as they come, a stop that is heeded, and what it took."""

import re
from collections.abc import Callable

import pytest
from fakes.page_acts import SLOW_MS
from fakes.platform import TestPlatform, echo_document
from playwright.sync_api import Page, expect

SMOLLM = "/models/smollm2-135m-instruct"


@pytest.fixture(scope="session")
def slow_model(site: TestPlatform) -> str:
    """Says again what it is told, at a pace that leaves time to stop it."""
    card = {"title": "Slow", "playground": True}
    site.apply(echo_document("slow", card=card, engine={"tokenMs": 200}))
    return "slow"


def _ask_briefly(page: Page) -> None:
    """What is most likely, and little of it."""
    settings = page.get_by_role("complementary", name="Settings")
    settings.get_by_role("spinbutton", name="Temperature").fill("0")
    settings.get_by_role("spinbutton", name="Max tokens").fill("24")


def _say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def test_an_answer_says_what_it_took(window: Callable[..., Page]) -> None:
    page = window(signed_in=True)
    page.goto(SMOLLM)
    _ask_briefly(page)
    _say(page, "What is the capital of France?")
    expect(page.get_by_role("button", name="Answer anew")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("Paris").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ tokens in, \d+ out")).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"first word after ")).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"\$0\.\d+")).first).to_be_visible()


def test_an_answer_comes_word_by_word_and_can_be_stopped(window: Callable[..., Page], slow_model: str) -> None:
    page = window()
    page.goto(f"/models/{slow_model}")
    said = " ".join(f"word{number}" for number in range(300))
    _say(page, said)
    answer = page.get_by_role("log", name="Conversation").get_by_text(re.compile(r"^word0 word1(?!.*word299)"))
    expect(answer).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text(re.compile("stopped$"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Send"))).to_be_visible()
    expect(answer).to_be_visible()


def test_a_conversation_is_there_after_a_reload(window: Callable[..., Page]) -> None:
    page = window()
    page.goto(SMOLLM)
    _ask_briefly(page)
    _say(page, "What is the capital of Italy?")
    expect(page.get_by_role("button", name="Answer anew")).to_be_visible(timeout=SLOW_MS)
    page.reload()
    expect(page.get_by_text("What is the capital of Italy?").first).to_be_visible()
    expect(page.get_by_role("button", name="Answer anew")).to_be_visible()
