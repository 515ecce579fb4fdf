"""What fails is told in a sentence, with the way on: no raw exception, and nothing that turns for ever."""

from collections.abc import Callable

import pytest
from fakes.page_acts import SLOW_MS, save_workflow
from fakes.page_documents import greeting
from fakes.platform import TestPlatform
from playwright.sync_api import Page, Route, expect

TRACE = "Traceback (most recent call last): File '/srv/app.py', line 1, in answer KeyError: 'x'"
VIEWS = (
    "/models",
    "/models/shapes-sd",
    "/w",
    "/w/faulty",
    "/runs",
    "/adapters",
    "/usage",
    "/keys",
    "/people",
    "/platform",
)


@pytest.fixture(scope="session")
def faulty_workflow(site: TestPlatform) -> None:
    """Nothing is wrong with it: what is asked about it is not answered."""
    save_workflow(site, "faulty", greeting())


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.usefixtures("faulty_workflow")
def test_a_view_whose_calls_fail_says_so_and_tries_again(window: Callable[..., Page], path: str) -> None:
    page = window(signed_in=True)
    page.route("**/v1/**", _fail)
    page.goto(path)
    again = page.get_by_role("main").get_by_role("button", name="Try again")
    expect(again.first).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(".skeleton")).to_have_count(0, timeout=SLOW_MS)
    assert "Traceback" not in page.content()
    page.unroute("**/v1/**")
    num_failed = again.count()
    again.first.click()
    # Each part of a view is asked for by itself.
    expect(again).not_to_have_count(num_failed, timeout=SLOW_MS)


def _fail(route: Route) -> None:
    """Who one is, is known; all else breaks."""
    if route.request.url.endswith("/v1/site"):
        route.continue_()
    else:
        route.fulfill(status=500, content_type="text/plain", body=TRACE)
