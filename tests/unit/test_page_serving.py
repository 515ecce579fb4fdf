"""The page as the gateway serves it: what is cached for how long, in which form, and what is never given out."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fakes.gateway import Gateway, gateway

from serve.gateway.app import create_app
from serve.gateway.page.policy import CONTENT_SECURITY_POLICY

TITLE = "The page of this build"
SCRIPT = "/assets/index-Ab12Cd34.js"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def build(folder: Path, words: str = TITLE) -> Path:
    """A built page in `folder`."""
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(f"<!doctype html><title>{words}</title>")
    (folder / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    script = assets / SCRIPT.rpartition("/")[2]
    script.write_text("plain")
    script.with_name(f"{script.name}.br").write_bytes(b"as brotli")
    script.with_name(f"{script.name}.gz").write_bytes(b"as gzip")
    return folder


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    return build(tmp_path / "dist")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as made:
        yield made


def browser_of(running: Gateway, dist: Path, **headers: str) -> httpx.AsyncClient:
    """A browser without a key at a gateway that has this page."""
    transport = httpx.ASGITransport(create_app(running.services, dist))
    return httpx.AsyncClient(transport=transport, base_url="http://slipway", headers=headers or HTML)


@pytest.fixture
async def browser(running: Gateway, dist: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(running, dist) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/models", "/models/shapes-sd", "/w/banner/api", "/signin", "/a/b/c/d", "/é"])
async def test_every_route_of_the_page_is_its_document(browser: httpx.AsyncClient, path: str):
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert TITLE in answer.text
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-cache", "accept, accept-encoding")


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/nothing", "/v1/models/x/y/z", "/openapi.json/x.js", "/robots.txt", "/a.map"]
)
async def test_what_is_the_apis_or_a_file_that_is_not_there_is_no_document(browser: httpx.AsyncClient, path: str):
    answer = await browser.get(path)
    assert answer.status_code in (401, 404)
    assert answer.headers["content-type"] == "application/json"


async def test_programs_and_other_methods_get_the_apis_answer(running: Gateway, dist: Path):
    async with browser_of(running, dist, accept="application/json") as program:
        assert (await program.get("/models")).status_code == 404
        assert TITLE in (await program.get("/")).text
    async with browser_of(running, dist) as browser:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await browser.request(method, "/models")).status_code == 404
            assert (await browser.request(method, SCRIPT)).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/livez", "/metrics", "/login"])
async def test_the_apis_own_pages_are_not_the_pages(browser: httpx.AsyncClient, path: str):
    assert TITLE not in (await browser.get(path)).text


@pytest.mark.parametrize(
    ("accept", "encoding", "body"),
    [("br, gzip", "br", b"as brotli"), ("gzip", "gzip", b"as gzip"), ("", None, b"plain"), ("br;q=0", None, b"plain")],
)
async def test_a_file_comes_in_the_form_that_was_built_for_the_browser(
    running: Gateway, dist: Path, accept: str, encoding: str | None, body: bytes
):
    async with (
        browser_of(running, dist, **{"accept-encoding": accept}) as browser,
        browser.stream("GET", SCRIPT) as answer,
    ):
        assert b"".join([chunk async for chunk in answer.aiter_raw()]) == body
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


async def test_a_browser_that_has_a_file_is_told_so_for_the_form_that_it_has(running: Gateway, dist: Path):
    async with browser_of(running, dist, **{"accept-encoding": "identity"} | HTML) as browser:
        for path in (SCRIPT, "/", "/favicon.svg"):
            first = await browser.get(path)
            for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
                again = await browser.get(path, headers={"if-none-match": known})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == first.headers["etag"]
            assert (await browser.get(path, headers={"if-none-match": '"other"'})).status_code == 200
        tags = set()
        for accept in ("br", "gzip", "identity"):
            tags.add((await browser.head(SCRIPT, headers={"accept-encoding": accept})).headers["etag"])
        assert len(tags) == 3


async def test_head_says_what_get_would_and_sends_nothing(browser: httpx.AsyncClient):
    for path in ("/", "/models", "/favicon.svg"):
        got, asked = await browser.get(path), await browser.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        changing = ("x-request-id", "openai-processing-ms")
        assert [each for each in asked.headers.items() if each[0] not in changing] == [
            each for each in got.headers.items() if each[0] not in changing
        ]


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../index.html",
        "/assets/../../secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/..\\..\\secret.txt",
        "//etc/passwd",
        "/assets/link.js",
        "/assets/",
        f"{SCRIPT}.br",
        f"{SCRIPT}.gz",
        f"{SCRIPT}%00",
        "/index.html",
    ],
)
async def test_nothing_else_of_the_disk_is_given_out(running: Gateway, dist: Path, path: str):
    (dist.parent / "secret.txt").write_text("secret")
    (dist / "assets/link.js").symlink_to(dist.parent / "secret.txt")
    async with browser_of(running, dist, accept="*/*") as browser:
        url = httpx.URL(f"http://slipway{path}")
        answer = await browser.send(httpx.Request("GET", url, extensions={"raw_path": path.encode()}))
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_the_documents_policy_lets_it_run_its_own_files_alone(browser: httpx.AsyncClient):
    headers = (await browser.get("/models")).headers
    policy = dict(part.partition(" ")[::2] for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["font-src"] == "'self'"
    assert (policy["base-uri"], policy["frame-ancestors"], policy["object-src"]) == ("'none'",) * 3
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert not [source for value in policy.values() for source in value.split() if ":" in source.rstrip(":")]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_file_that_is_opened_by_itself_runs_nothing(browser: httpx.AsyncClient):
    headers = (await browser.get("/favicon.svg")).headers
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_build_shows_at_the_next_request_and_the_old_page_stays_until_it_is_there(
    browser: httpx.AsyncClient, dist: Path
):
    assert TITLE in (await browser.get("/")).text
    (dist / "index.html").unlink()
    assert TITLE in (await browser.get("/")).text
    build(dist, "another page")
    assert "another page" in (await browser.get("/")).text
    late = dist / "assets/late-12345678.js"
    late.write_text("late")
    os.utime(dist / "assets", ns=(1, 1))  # whatever the clock's grain
    assert (await browser.get("/assets/late-12345678.js")).text == "late"


async def test_a_build_that_takes_away_what_is_being_read_is_shown_once_it_is_done(
    browser: httpx.AsyncClient, dist: Path, monkeypatch: pytest.MonkeyPatch
):
    assert TITLE in (await browser.get("/")).text
    build(dist, "another page")
    with monkeypatch.context() as during:
        during.setattr(Path, "read_bytes", lambda path: os.stat(f"{path}.gone"))
        assert TITLE in (await browser.get("/")).text
    assert "another page" in (await browser.get("/")).text


async def test_without_a_page_the_root_says_that_the_platform_runs_and_how_to_get_one(running: Gateway, tmp_path: Path):
    async with browser_of(running, tmp_path / "nothing") as browser:
        answer = await browser.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "make ui" in answer.text
        assert "/docs" in answer.text
        assert (await browser.get("/models")).status_code == 404
    async with browser_of(running, tmp_path / "nothing", accept="*/*") as program:
        told = (await program.get("/")).json()
        assert (told["name"], told["docs"]) == ("Slipway", "/docs")
        assert "make ui" in told["page"]


async def test_the_log_names_pages_and_files_by_their_kind(running: Gateway, browser: httpx.AsyncClient):
    await browser.get("/models/whatever")
    await browser.head(SCRIPT)
    text = (await _metrics(running)).decode()
    assert 'route="/{page}"' in text
    assert 'route="/assets/{file}"' in text
    assert "whatever" not in text


async def _metrics(running: Gateway) -> bytes:
    async with running.client() as client:
        return (await client.get("/metrics")).content
