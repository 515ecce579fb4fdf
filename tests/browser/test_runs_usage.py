"""What was run and what it cost; keys, which are shown once."""

import re
from collections.abc import Callable

from fakes.page_acts import SLOW_MS, kept_by
from fakes.page_audit import settle
from fakes.platform import TestPlatform
from playwright.sync_api import Page, expect


def _paint(site: TestPlatform, prompt: str) -> str:
    with site.client() as client:
        body = {"input": {"prompt": prompt, "seed": 7, "steps": 4}}
        answer = client.post("/v1/models/shapes-sd/runs", json=body)
        answer.raise_for_status()
        return str(answer.json()["id"])


def test_a_run_is_listed_inspected_and_run_again(window: Callable[..., Page], site: TestPlatform) -> None:
    run = _paint(site, "a small purple square on a white background")
    page = window(signed_in=True)
    page.goto("/runs")
    row = page.get_by_role("row").filter(has_text="a small purple square").first
    expect(row).to_contain_text("succeeded", timeout=SLOW_MS)
    page.goto(f"/runs/{run}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run of shapes-sd")
    expect(page.get_by_text("a small purple square on a white background").first).to_be_visible()
    expect(page.get_by_role("img").first).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(run))
    expect(page.get_by_text("succeeded").first).to_be_visible(timeout=SLOW_MS)


def test_runs_are_filtered_by_status(window: Callable[..., Page], site: TestPlatform) -> None:
    _paint(site, "a small black star on a white background")
    page = window(signed_in=True)
    page.goto("/runs")
    page.get_by_role("combobox", name="Status").select_option(label="canceled")
    expect(page.get_by_text("No run matches these filters").or_(page.get_by_role("table")).first).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="succeeded")).to_have_count(0)


def test_what_was_used_is_on_the_page(window: Callable[..., Page], site: TestPlatform) -> None:
    run = _paint(site, "a small green star on a white background")
    page = window(signed_in=True)
    page.goto(f"/runs/{run}")
    expect(page.get_by_text(re.compile(r"\$0\.0*[1-9]")).first).to_be_visible(timeout=SLOW_MS)
    page.goto("/usage")
    row = page.get_by_role("row").filter(has_text="shapes-sd")
    expect(row.first).to_contain_text(re.compile(r"\$0\.0*[1-9]"), timeout=SLOW_MS)
    expect(page.get_by_text("List price", exact=True)).to_be_visible()


def test_a_key_is_shown_once_and_can_be_revoked(window: Callable[..., Page], site: TestPlatform) -> None:
    page = window(signed_in=True)
    page.goto("/keys")
    page.get_by_role("button", name="Create a key").first.click()
    page.get_by_role("textbox", name="What it is for").fill("a test of keys")
    page.get_by_role("button", name="Create", exact=True).click()
    shown = page.get_by_role("dialog", name="Your new key")
    key = shown.get_by_role("region", name="Your new key").inner_text().strip()
    assert key.startswith("slw_")
    with site.client(key) as client:
        assert client.get("/v1/models").is_success
    shown.get_by_role("button", name="I have copied it").click()
    row = page.get_by_role("row").filter(has_text="a test of keys")
    expect(row).to_contain_text("live")
    page.reload()
    settle(page)
    assert key not in page.content() + kept_by(page)
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("a test of keys is revoked.")).to_be_visible()
    with site.client(key) as client:
        assert client.get("/v1/models").status_code == 401
