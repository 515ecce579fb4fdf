"""What people and models write is text; what one person may see, the next one at this browser may not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.page_acts import SLOW_MS, kept_by, open_workflow, save_workflow, sign_in
from fakes.page_audit import settle
from fakes.platform import TestPlatform, echo_document
from playwright.sync_api import Page, expect

HOSTILE = "<img src=x onerror=\"window.hacked='img'\"><script>window.hacked='script'</script>{{7*7}}"
SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" onload="window.hacked='svg'"><script>window.hacked='svg'</script>
<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><img src="x" onerror="window.hacked='svg'"/></body>
</foreignObject></svg>"""


@pytest.fixture
def unhurt() -> Any:
    """Says of a page that nothing of what it was shown has run in it."""

    def check(page: Page) -> None:
        assert page.evaluate("() => window.hacked") is None

    return check


@pytest.fixture(scope="session")
def hostile_model(site: TestPlatform) -> str:
    """A model whose card tries everything; it answers with what it is asked, which may be no better."""
    card = {
        "title": f"Hostile {HOSTILE}",
        "description": HOSTILE,
        "tags": ["x"],
        "license": HOSTILE[:60],
        "playground": True,
    }
    site.apply(echo_document("hostile", card=card))
    return "hostile"


def test_a_hostile_card_is_text(
    window: Callable[..., Page], hostile_model: str, unhurt: Callable[[Page], None]
) -> None:
    page = window()
    for path in ("/models", f"/models/{hostile_model}", f"/models/{hostile_model}?tab=about"):
        page.goto(path)
        expect(page.get_by_text("<script>window.hacked='script'</script>").first).to_be_visible()
        unhurt(page)


def test_a_hostile_message_and_its_answer_are_text(
    window: Callable[..., Page], hostile_model: str, unhurt: Callable[[Page], None]
) -> None:
    page = window()
    page.goto(f"/models/{hostile_model}")
    page.get_by_role("textbox", name="Message", exact=True).fill(HOSTILE)
    page.get_by_role("button", name=re.compile("^Send")).click()
    expect(page.get_by_role("button", name="Answer anew")).to_be_visible(timeout=SLOW_MS)
    assert page.get_by_text("onerror=").count() >= 2
    unhurt(page)


def test_a_hostile_prompt_is_text(window: Callable[..., Page], unhurt: Callable[[Page], None]) -> None:
    page = window(signed_in=True)
    page.goto("/models/shapes-sd")
    page.get_by_label("Prompt", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("button", name="Open picture 1").get_by_role("img")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("region", name="History")).to_contain_text("onerror=")
    unhurt(page)
    page.goto("/runs")
    expect(page.get_by_role("row").filter(has_text="onerror=").first).to_be_visible()
    unhurt(page)


def test_a_hostile_workflow_is_text(
    window: Callable[..., Page], site: TestPlatform, unhurt: Callable[[Page], None]
) -> None:
    document = {
        "title": HOSTILE,
        "description": HOSTILE,
        "interface": {
            "inputs": [{"name": "idea", "type": "text", "title": HOSTILE, "description": HOSTILE, "default": HOSTILE}],
            "outputs": [{"name": "said", "from": ["say", "text"], "title": HOSTILE}],
        },
        "nodes": {
            "say": {"type": "op:text.template", "inputs": {"template": HOSTILE, "value_idea": {"$input": "idea"}}}
        },
        "layout": {
            "nodes": {"say": {"x": 0, "y": 0, "title": HOSTILE}},
            "notes": [{"text": HOSTILE, "x": 0, "y": 300}],
        },
    }
    save_workflow(site, "hostile", document)
    page = window(signed_in=True)
    for path in ("/w", "/w/hostile/app", "/w/hostile/api", "/w/hostile/versions", "/w/hostile/runs", "/w/hostile"):
        page.goto(path)
        settle(page)
        unhurt(page)
    expect(page.get_by_role("heading", name=HOSTILE).first).to_be_visible()


def test_a_hostile_error_is_text(
    window: Callable[..., Page], site: TestPlatform, unhurt: Callable[[Page], None]
) -> None:
    """It repeats what was given, as errors do."""
    save_workflow(
        site, "hostile-error", {"nodes": {"read": {"type": "op:json.path", "inputs": {"value": {}, "path": HOSTILE}}}}
    )
    with site.client() as client:
        client.post("/v1/runs", json={"workflow": "hostile-error@draft", "input": {}})
    page = window(signed_in=True)
    for path in ("/runs", "/w/hostile-error"):
        page.goto(path)
        settle(page)
        unhurt(page)


def test_an_svg_is_no_picture_here(
    window: Callable[..., Page], site: TestPlatform, unhurt: Callable[[Page], None]
) -> None:
    page = window(signed_in=True)
    page.goto("/models/shapes-sd?task=image_to_image")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").first.click()
    chooser.value.set_files({"name": f"{HOSTILE}.svg", "mimeType": "image/svg+xml", "buffer": SVG})
    expect(page.get_by_text("PNG, JPEG and WebP").first).to_be_visible()
    unhurt(page)


def test_a_stored_svg_is_a_download(site: TestPlatform) -> None:
    """Whoever opens its address gets a file, and no document of this origin."""
    with site.client() as client:
        sent = client.post("/v1/assets", files={"file": ("x.svg", SVG, "image/svg+xml")})
        sent.raise_for_status()
        answer = client.get(f"/v1/assets/{sent.json()['id']}/content", headers={"accept": "text/html"})
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_is_in_nobodys_frame(site: TestPlatform) -> None:
    for path in ("/", "/models", "/signin", "/w/any"):
        answer = httpx.get(site.url + path, headers={"accept": "text/html"}, trust_env=False)
        assert answer.status_code == 200
        assert answer.headers["x-frame-options"] == "DENY"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_a_strange_page_can_change_nothing(window: Callable[..., Page], site: TestPlatform) -> None:
    """A form of another site brings the cookie along, and cannot know the token."""
    page = window(signed_in=True)
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    answer = page.request.post("/v1/keys", data={"title": "stolen", "scopes": ["read"]})
    assert (answer.status, answer.json()["error"]["code"]) == (403, "csrf_failed")


def test_a_link_signs_in_once(window: Callable[..., Page], site: TestPlatform) -> None:
    link = re.search(r"http://\S+/signin#code=\S+", site.run("login-link").stdout)
    assert link is not None
    first, second = window(), window()
    first.goto(link[0])
    expect(first.get_by_role("button", name=re.compile("^Account: "))).to_be_visible()
    second.goto(link[0])
    expect(second.get_by_role("alert")).to_contain_text("This link does not sign in.")
    assert "code=" not in second.url


def test_a_key_is_kept_nowhere(window: Callable[..., Page], site: TestPlatform) -> None:
    page = window()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto("/signin")
    page.get_by_role("textbox", name="API key").fill(site.key)
    page.get_by_role("button", name="Sign in with the key").click()
    expect(page.get_by_role("button", name=re.compile("^Account"))).to_be_visible()
    for path in ("/keys", "/models", "/w"):
        page.goto(path)
        settle(page)
        assert site.key not in page.content() + page.url
    assert site.key not in kept_by(page) + "".join(said)
    logs = _logs(site)
    assert logs
    assert [path for path in logs if site.key.encode() in path.read_bytes()] == []


def _logs(site: TestPlatform) -> list[Path]:
    """All that the platform's processes write down as they run."""
    (server, *_) = site.pids("gcs_server")
    words = Path(f"/proc/{server}/cmdline").read_text().split("\0")
    (folder,) = (word.partition("=")[2] for word in words if word.startswith("--log_dir="))
    return [path for path in (*Path(folder).rglob("*"), *site.folder.glob("state/**/*.log")) if path.is_file()]


def test_a_code_of_a_link_is_kept_nowhere(window: Callable[..., Page], site: TestPlatform) -> None:
    page = window()
    visited: list[str] = []
    page.on("request", lambda request: visited.append(request.url))
    sign_in(page, site)
    assert "code=" not in kept_by(page)
    assert not [url for url in visited if "code=" in url.partition("#")[0]]


def test_who_signs_out_leaves_nothing(window: Callable[..., Page], site: TestPlatform) -> None:
    secret = "a-title-that-only-this-tenant-knows"
    save_workflow(site, "secret", {"title": secret, "nodes": {}})
    page = window(signed_in=True)
    page.goto("/w")
    expect(page.get_by_role("link", name=secret)).to_be_visible()
    open_workflow(page, "secret")
    page.get_by_role("button", name=re.compile("^Account: ")).click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.get_by_role("link", name="Workflows").click()
    expect(page.get_by_text("Workflows need an account")).to_be_visible()
    page.go_back()
    settle(page)
    assert secret not in page.content() + kept_by(page)


def test_another_tenant_sees_nothing_of_the_first(window: Callable[..., Page], site: TestPlatform) -> None:
    secret = "a-title-that-only-the-first-tenant-knows"
    save_workflow(site, "secret-two", {"title": secret, "nodes": {}})
    page = window(signed_in=True)
    page.goto("/w")
    expect(page.get_by_role("link", name=secret)).to_be_visible()
    page.goto("/signin")
    page.get_by_role("button", name=re.compile("^Account: ")).click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.get_by_role("link", name="Sign in").first.click()
    page.get_by_role("textbox", name="API key").fill(site.new_key("other"))
    page.get_by_role("button", name="Sign in with the key").click()
    expect(page.get_by_role("button", name=re.compile("^Account: "))).to_be_visible()
    page.get_by_role("link", name="Workflows").click()
    expect(page.get_by_text("No workflows yet")).to_be_visible()
    assert secret not in page.content() + kept_by(page)
    page.goto("/w/secret-two")
    settle(page)
    assert secret not in page.content()
