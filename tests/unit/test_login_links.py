"""Links that sign one browser in to the web app, once."""

import io
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.gateway import Gateway, gateway, settings_in
from sqlalchemy import select, update

from serve.auth.access import DEFAULT_SCOPES, Scope
from serve.settings import AuthSettings, GatewaySettings
from serve.storage.tables import login_links

PATH = "/v1/session/link"


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(
        tmp_path, settings=settings_in(tmp_path, gateway=GatewaySettings(key_cache_seconds=0))
    ) as running:
        yield running


async def new_link(made: Gateway, key: str | None = None) -> dict[str, Any]:
    async with made.client(key) as owner:
        answer = await owner.post("/v1/login-links")
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    link: dict[str, Any] = answer.json()
    return link


async def refusal(browser: httpx.AsyncClient, code: str, **headers: str) -> tuple[int, str]:
    answer = await browser.post(PATH, json={"code": code}, headers=headers)
    assert "set-cookie" not in answer.headers
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_link_signs_in_the_local_administrator_once(made: Gateway) -> None:
    link = await new_link(made)
    assert link["url"] == f"http://slipway/signin#code={link['code']}"
    async with made.client("") as browser:
        answer = await browser.post(PATH, json={"code": link["code"]})
        assert answer.status_code == 201, answer.text
        me = answer.json()
        assert (me["user"]["name"], me["tenant"], me["administrator"]) == ("Local administrator", "default", True)
        assert {"tenant": "default", "role": "owner"} in me["tenants"]
        assert me == (await browser.get("/v1/me")).json()
        assert (await browser.post("/v1/keys", json={"title": "x"})).status_code == 403
        browser.headers["x-csrf-token"] = me["csrf_token"]
        assert (await browser.post("/v1/keys", json={"title": "x"})).status_code == 201
    async with made.client("") as other:
        assert await refusal(other, link["code"]) == (401, "login_link_not_valid")


async def test_two_links_sign_in_one_person(made: Gateway) -> None:
    async with made.client("") as first, made.client("") as second:
        answers = [await each.post(PATH, json={"code": (await new_link(made))["code"]}) for each in (first, second)]
    assert len({answer.json()["user"]["id"] for answer in answers}) == 1


async def test_looking_at_the_address_spends_nothing(made: Gateway) -> None:
    link = await new_link(made)
    async with made.client("") as preview:
        for method in ("GET", "HEAD"):
            for path in ("/signin", PATH, f"{PATH}?code={link['code']}"):
                assert (await preview.request(method, path)).status_code in (404, 405)
    async with made.client("") as browser:
        assert (await browser.post(PATH, json={"code": link["code"]})).status_code == 201


async def test_a_link_ends(made: Gateway) -> None:
    link = await new_link(made)
    async with made.services.records.write() as connection:
        now_ms = made.services.clock.now_ms()
        assert (await connection.scalar(select(login_links.c.expires_ms))) - now_ms > 800_000
        await connection.execute(update(login_links).values(expires_ms=now_ms))
    async with made.client("") as browser:
        assert await refusal(browser, link["code"]) == (401, "login_link_not_valid")


@pytest.mark.parametrize("code", ["", "x", "a" * 43, "a" * 42 + "é", "' OR 1=1 --", "a" * 200])
async def test_a_wrong_code_opens_nothing(made: Gateway, code: str) -> None:
    await new_link(made)
    async with made.client("") as browser:
        assert await refusal(browser, code) == (401, "login_link_not_valid")


async def test_another_site_cannot_sign_a_browser_in(made: Gateway) -> None:
    code = (await new_link(made))["code"]
    async with made.client("") as browser:
        assert await refusal(browser, code, origin="https://evil.example") == (403, "csrf_failed")
        assert await refusal(browser, code, **{"sec-fetch-site": "cross-site"}) == (403, "csrf_failed")
        assert (await browser.post(PATH, json={"code": code}, headers={"origin": "http://slipway"})).status_code == 201


async def test_only_administrators_make_links(made: Gateway) -> None:
    assert made.other_key
    for key, status in ((made.other_key, 403), ("", 401)):
        async with made.client(key) as other:
            assert (await other.post("/v1/login-links")).status_code == status


async def test_a_link_ends_with_the_key_that_made_it(made: Gateway) -> None:
    keys = made.services.keys
    admin = await keys.authenticate(made.key)
    info, token = await keys.create(
        tenant="default", project="default", title="x", scopes=DEFAULT_SCOPES | {Scope.ADMIN}, parent=admin
    )
    kept, ended = await new_link(made), await new_link(made, token)
    await keys.revoke("default", info.id)
    async with made.client("") as browser:
        assert await refusal(browser, ended["code"]) == (401, "login_link_not_valid")
        assert (await browser.post(PATH, json={"code": kept["code"]})).status_code == 201


async def test_a_link_ends_when_the_person_who_made_it_is_no_administrator_any_more(made: Gateway) -> None:
    async with made.client("") as first:
        me = (await first.post(PATH, json={"code": (await new_link(made))["code"]})).json()
        first.headers["x-csrf-token"] = me["csrf_token"]
        link = (await first.post("/v1/login-links")).json()
    await made.services.people.users.set_admin(me["user"]["id"], False)
    async with made.client("") as browser:
        assert await refusal(browser, link["code"]) == (401, "login_link_not_valid")


async def test_signing_in_again_ends_the_session_that_the_browser_had(made: Gateway) -> None:
    async with made.client("") as browser:
        await browser.post(PATH, json={"code": (await new_link(made))["code"]})
        old = browser.cookies["slipway"]
        await browser.post(PATH, json={"code": (await new_link(made))["code"]})
        assert browser.cookies["slipway"] != old
    assert await made.services.people.sessions.find(old) is None


async def test_the_cookie_is_for_this_address_alone(tmp_path: Path) -> None:
    auth = AuthSettings(public_url="https://models.example.com")
    async with gateway(tmp_path, settings=settings_in(tmp_path, auth=auth)) as made, made.client("") as browser:
        link = await new_link(made)
        assert link["url"].startswith("https://models.example.com/signin#code=")
        answer = await browser.post(PATH, json={"code": link["code"]})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-slipway=")
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))


async def test_neither_the_database_nor_the_log_has_the_code(made: Gateway) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger().addHandler(handler)
    logging.getLogger("slipway").addHandler(handler)
    try:
        code = (await new_link(made))["code"]
        async with made.client("") as browser:
            async with made.services.records.read() as connection:
                assert code not in repr((await connection.execute(select(login_links))).all())
            await browser.post(PATH, json={"code": code})
            await browser.post(PATH, json={"code": code})
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger("slipway").removeHandler(handler)
    assert code not in written.getvalue()
