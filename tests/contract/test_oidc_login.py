"""Login by OpenID Connect against a real provider: the whole code flow, and everything that must not get through."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fakes.clock import ManualClock
from fakes.gateway import Gateway, gateway, settings_in
from fakes.oidc_provider import Claims, OidcProvider, provider, query_of, shared_secret
from joserfc.jwk import RSAKey

from serve.auth.id_tokens import key_set
from serve.auth.oidc import Provider
from serve.auth.provider_fetch import ProviderFetch
from serve.domain.errors import LoginUnavailable
from serve.settings import AuthSettings, GatewaySettings

__all__ = ["provider"]
GROUP_ROLES = "ml-team=acme:developer, leads=acme:owner, ml-team=lab:viewer, root=*:admin"
ADDRESS = "http://slipway"


@pytest.fixture
async def made(tmp_path: Path, provider: OidcProvider) -> AsyncIterator[Gateway]:
    """A gateway whose people log in at `provider`."""
    auth = AuthSettings(
        issuer=provider.url,
        client_id="slipway",
        client_secret="s3cr+t/=",
        group_roles=GROUP_ROLES,
        allow_insecure_issuer=True,
    )
    settings = settings_in(tmp_path, auth=auth, gateway=GatewaySettings(key_cache_seconds=0))
    async with gateway(tmp_path, settings=settings) as running:
        yield running


async def begin(browser: httpx.AsyncClient, provider: OidcProvider, subject: str = "ada", return_to: str = "/") -> str:
    """From /login to the provider and back: the address that the provider sends the browser to."""
    answer = await browser.get("/login", params={"return_to": return_to})
    assert answer.status_code == 302, answer.text
    return await provider.approve(answer.headers["location"], subject)


async def log_in(browser: httpx.AsyncClient, provider: OidcProvider, subject: str = "ada") -> dict[str, Any]:
    """Log in, and who one is then."""
    answer = await browser.get(await begin(browser, provider, subject))
    assert answer.status_code == 302, answer.text
    me = (await browser.get("/v1/me")).json()
    browser.headers["x-csrf-token"] = me["csrf_token"]
    return me


async def refused(browser: httpx.AsyncClient, provider: OidcProvider) -> dict[str, Any]:
    """The error of a login that does not succeed, and leaves no session."""
    answer = await browser.get(await begin(browser, provider))
    assert answer.status_code in (401, 503), answer.text
    assert (await browser.get("/v1/me")).status_code == 401
    return answer.json()["error"]


async def test_a_person_logs_in_and_is_what_the_groups_say(made: Gateway, provider: OidcProvider) -> None:
    provider.has("ada", email="ada@example.com", name="Ada", groups=["ml-team", "unrelated"])
    async with made.client("") as browser:
        back = await begin(browser, provider, return_to="/usage?by=model")
        answer = await browser.get(back)
        assert (answer.status_code, answer.headers["location"]) == (302, "/usage?by=model")
        me = (await browser.get("/v1/me")).json()
        assert (await browser.get("/v1/runs")).status_code == 200
        assert (await browser.get("/v1/keys")).status_code == 403
    assert me["user"] == {"id": me["user"]["id"], "email": "ada@example.com", "name": "Ada"}
    assert me["tenants"] == [{"tenant": "acme", "role": "developer"}, {"tenant": "lab", "role": "viewer"}]
    assert (me["tenant"], me["scopes"], me["administrator"]) == (
        "acme",
        ["adapters.write", "inference", "read", "workflows.write"],
        False,
    )
    assert len(me["key_id"]) <= 24


async def test_the_code_is_redeemed_with_its_verifier_and_the_request_carries_its_digest(
    made: Gateway, provider: OidcProvider
) -> None:
    async with made.client("") as browser:
        sent = query_of((await browser.get("/login")).headers["location"])
        await log_in(browser, provider)
    assert (sent["response_type"], sent["code_challenge_method"]) == ("code", "S256")
    assert sent["redirect_uri"] == f"{ADDRESS}/login/callback"
    assert len(sent["code_challenge"]) == len(sent["nonce"]) == len(sent["state"]) == 43
    [form] = provider.forms
    assert (form["grant_type"], len(form["code_verifier"])) == ("authorization_code", 43)


async def test_the_session_cookie_is_for_this_host_and_out_of_scripts_reach(
    tmp_path: Path, provider: OidcProvider
) -> None:
    auth = AuthSettings(
        issuer=provider.url,
        client_id="slipway",
        client_secret="s",
        allow_insecure_issuer=True,
        public_url="https://slipway.example/",
    )
    async with gateway(tmp_path, settings=settings_in(tmp_path, auth=auth)) as made:
        transport = httpx.ASGITransport(made.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://slipway.example") as browser:
            answer = await browser.get(await begin(browser, provider))
            assert set(answer.headers["set-cookie"].split("; ")) >= {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"}
            assert answer.headers["set-cookie"].startswith("__Host-slipway=")
            assert "domain" not in answer.headers["set-cookie"].lower()
            assert (await browser.get("/v1/me")).status_code == 200
            token = browser.cookies["__Host-slipway"]
        async with httpx.AsyncClient(transport=transport, base_url="https://slipway.example") as other:
            tossed = await other.get("/v1/me", headers={"cookie": f"slipway={token}"})
            assert tossed.status_code == 401, "any host of the domain could have set a cookie of this name"


async def test_what_changes_state_needs_the_sessions_token_and_our_own_origin(
    made: Gateway, provider: OidcProvider
) -> None:
    provider.has("ada", email="a@example.com", groups=["leads"])
    async with made.client("") as browser:
        me = await log_in(browser, provider)
        csrf, body = browser.headers.pop("x-csrf-token"), {"title": "t", "scopes": ["read"]}
        right = {"x-csrf-token": csrf}
        for headers in (
            {},
            {"x-csrf-token": ""},
            {"x-csrf-token": csrf[:-1] + "x"},
            {"x-csrf-token": "\xff"},
            right | {"origin": "https://evil.example"},
            right | {"origin": "null"},
            right | {"sec-fetch-site": "cross-site"},
        ):
            sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            answer = await browser.post("/v1/keys", json=body, headers=sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf_failed"), headers
        for headers in (right, right | {"origin": ADDRESS, "sec-fetch-site": "same-origin"}):
            assert (await browser.post("/v1/keys", json=body, headers=headers)).status_code == 201
        with_key = {"authorization": f"Bearer {made.key}", "origin": "https://evil.example"}
        assert (await browser.post("/v1/keys", json=body, headers=with_key)).status_code == 201
    assert me["csrf_token"] == csrf


async def test_a_wrong_key_is_not_made_good_by_a_cookie(made: Gateway, provider: OidcProvider) -> None:
    async with made.client("") as browser:
        await log_in(browser, provider)
        assert (await browser.get("/v1/me", headers={"authorization": "Bearer slw_x"})).status_code == 401


async def test_roles_from_groups_follow_them_at_the_next_login_and_those_by_hand_stay(
    made: Gateway, provider: OidcProvider
) -> None:
    provider.has("ada", email="a@example.com", groups=["ml-team", "root"])
    await made.services.tenants.create("byhand")
    async with made.client("") as browser, made.client() as admin:
        first = await log_in(browser, provider)
        assert first["administrator"]
        path = f"/v1/members/{first['user']['id']}?tenant=byhand"
        assert (await admin.put(path, json={"role": "owner"})).status_code == 200
        provider.has("ada", email="new@example.com", groups=["leads"])
        second = await log_in(browser, provider)
    assert second["user"] == first["user"] | {"email": "new@example.com"}
    assert not second["administrator"]
    found = {member["tenant"]: member["role"] for member in second["tenants"]}
    assert found == {"acme": "owner", "byhand": "owner"}


async def test_somebody_in_no_group_is_let_in_to_see_who_that_is_and_nothing_else(
    made: Gateway, provider: OidcProvider
) -> None:
    async with made.client("") as browser:
        me = await log_in(browser, provider)
        assert (me["tenant"], me["tenants"], me["scopes"]) == (None, [], [])
        for path in ("/v1/models", "/v1/runs", "/v1/projects", "/v1/members", "/v1/admin/tenants"):
            refused = await browser.get(path)
            assert refused.status_code == 403
            assert "GET /v1/me" in refused.text, "with what to do next"
        assert (await browser.post("/v1/session/tenant", json={"tenant": "default"})).status_code == 404


async def test_a_session_moves_between_ones_own_tenants_only(made: Gateway, provider: OidcProvider) -> None:
    provider.has("ada", groups=["ml-team"])
    async with made.client("") as browser:
        await log_in(browser, provider)
        moved = await browser.post("/v1/session/tenant", json={"tenant": "lab"})
        assert (moved.json()["tenant"], moved.json()["scopes"]) == ("lab", ["read"])
        assert (await browser.get("/v1/me")).json()["tenant"] == "lab"
        late = await browser.post("/v1/session/tenant", json={"tenant": "lab"})
        assert late.json()["error"]["code"] == "csrf_failed", (
            "a page that still shows the tenant before changes nothing"
        )
        browser.headers["x-csrf-token"] = moved.json()["csrf_token"]
        answers = [(await browser.post("/v1/session/tenant", json={"tenant": name})) for name in ("default", "nowhere")]
    words = {answer.text.replace("default", "T").replace("nowhere", "T") for answer in answers}
    assert ({answer.status_code for answer in answers}, len(words)) == ({404}, 1)


async def test_logging_out_ends_the_session_and_says_where_to_end_the_providers(
    made: Gateway, provider: OidcProvider
) -> None:
    async with made.client("") as browser:
        await log_in(browser, provider)
        token = browser.cookies["slipway"]
        csrf = browser.headers.pop("x-csrf-token")
        assert (await browser.post("/logout")).status_code == 403
        answer = await browser.post("/logout", headers={"x-csrf-token": csrf})
        assert answer.json()["provider_logout_url"].startswith(f"{provider.url}/oauth2/end_session?")
        assert "slipway" not in browser.cookies
        assert (await browser.get("/v1/me", headers={"cookie": f"slipway={token}"})).status_code == 401
        assert (await browser.post("/logout")).status_code == 200


async def test_no_other_site_has_a_browser_forget_its_session(made: Gateway) -> None:
    async with made.client("") as without_cookie:  # a browser sends none from another site, and takes one
        answer = await without_cookie.post("/logout", headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf_failed")
    assert "set-cookie" not in answer.headers


async def test_logging_out_everywhere_ends_the_sessions_of_every_browser_of_the_person(
    made: Gateway, provider: OidcProvider
) -> None:
    async with made.client("") as here, made.client("") as there, made.client("") as other:
        await log_in(here, provider)
        await log_in(there, provider)
        await log_in(other, provider, "bob")
        assert (await here.post("/logout?everywhere=true")).status_code == 200
        statuses = [(await browser.get("/v1/me")).status_code for browser in (here, there, other)]
    assert statuses == [401, 401, 200]


async def test_a_new_login_ends_the_session_before_it(made: Gateway, provider: OidcProvider) -> None:
    async with made.client("") as browser:
        await log_in(browser, provider)
        before = browser.cookies["slipway"]
        await log_in(browser, provider)
        assert browser.cookies["slipway"] != before
    async with made.client("") as thief:
        assert (await thief.get("/v1/me", headers={"cookie": f"slipway={before}"})).status_code == 401


# What must not get through


@pytest.mark.parametrize(
    "return_to",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/" + "a" * 400,
        "/é",
        "/a\x00",
    ],
    ids=ascii,
)
async def test_nobody_is_sent_elsewhere_after_a_login(made: Gateway, return_to: str) -> None:
    async with made.client("") as browser:
        answer = await browser.get("/login", params={"return_to": return_to})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "return_to")


async def test_a_login_begun_in_another_browser_is_not_finished_in_this_one(
    made: Gateway, provider: OidcProvider
) -> None:
    async with made.client("") as attacker, made.client("") as victim:
        back = await begin(attacker, provider, "mallory")
        answer = await victim.get(back)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "login_not_begun")
        await victim.get("/login")
        assert (await victim.get(back)).status_code == 401
        assert "slipway" not in victim.cookies
        assert (await attacker.get(back)).status_code == 302


async def test_a_login_is_finished_once_and_two_at_a_time_both_work(made: Gateway, provider: OidcProvider) -> None:
    async with made.client("") as browser:
        first, second = await begin(browser, provider), await begin(browser, provider)
        assert (await browser.get(first)).status_code == 302
        assert (await browser.get(second)).status_code == 302
        assert (await browser.get(first)).status_code == 401
    assert len(provider.forms) == 2, "a state that was used asks nothing of the provider"


@pytest.mark.parametrize(
    "change",
    [{"state": "x" * 43}, {"state": ""}, {"iss": "https://evil.example"}, {"error": "access_denied"}, {"code": ""}],
    ids=["another-state", "no-state", "another-issuer", "denied", "no-code"],
)
async def test_an_answer_that_is_not_the_providers_to_this_login_is_refused(
    made: Gateway, provider: OidcProvider, change: dict[str, str]
) -> None:
    async with made.client("") as browser:
        back = await begin(browser, provider)
        answer = await browser.get("/login/callback", params=query_of(back) | change)
        assert answer.status_code == 401
    assert provider.forms == []


async def test_a_code_that_the_provider_does_not_know_is_refused(made: Gateway, provider: OidcProvider) -> None:
    async with made.client("") as browser:
        back = query_of(await begin(browser, provider))
        answer = await browser.get("/login/callback", params=back | {"code": "invented"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "login_refused")


FORGERIES: dict[str, Callable[[Claims], Claims]] = {
    "nonce": lambda claims: claims | {"nonce": "another"},
    "no-nonce": lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
    "audience": lambda claims: claims | {"aud": "another-client"},
    "shared-audience": lambda claims: claims | {"aud": ["slipway", "another-client"]},
    "party": lambda claims: claims | {"azp": "another-client"},
    "issuer": lambda claims: claims | {"iss": "https://evil.example"},
    "expired": lambda claims: claims | {"exp": int(time.time()) - 120},
    "no-expiry": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "from-tomorrow": lambda claims: claims | {"iat": int(time.time()) + 86_400},
    "no-subject": lambda claims: {name: value for name, value in claims.items() if name != "sub"},
    "odd-subject": lambda claims: claims | {"sub": ["ada"]},
    "subject-that-no-database-holds": lambda claims: claims | {"sub": "a\x00da"},
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_a_token_that_is_not_of_this_login_for_us_and_in_time_is_refused(
    made: Gateway, provider: OidcProvider, forge: Callable[[Claims], Claims]
) -> None:
    provider.rewrite = forge
    async with made.client("") as browser:
        assert (await refused(browser, provider))["code"] == "invalid_id_token"


async def test_a_token_for_several_that_was_made_for_us_is_taken(made: Gateway, provider: OidcProvider) -> None:
    provider.rewrite = lambda claims: claims | {"aud": ["slipway", "other"], "azp": "slipway"}
    async with made.client("") as browser:
        assert (await log_in(browser, provider))["user"]["email"] == "ada"


async def test_tokens_of_no_signature_or_a_shared_secret_are_refused(made: Gateway, provider: OidcProvider) -> None:
    provider.key, provider.algorithm = shared_secret(), "HS256"
    provider.published = [RSAKey.generate_key(2048, auto_kid=True)]
    async with made.client("") as browser:
        assert (await refused(browser, provider))["code"] == "invalid_id_token"
        provider.published = [provider.key]
        assert (await refused(browser, provider))["code"] == "invalid_id_token"


async def test_a_token_signed_by_another_key_is_refused(made: Gateway, provider: OidcProvider) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": provider.key.kid})
    provider.key, provider.published = stranger, [provider.key]
    async with made.client("") as browser:
        assert (await refused(browser, provider))["code"] == "invalid_id_token"


async def test_a_provider_may_change_its_keys_at_any_moment(made: Gateway, provider: OidcProvider) -> None:
    async with made.client("") as browser:
        await log_in(browser, provider)
        await log_in(browser, provider)
        assert provider.num_key_reads == 1
        provider.key = RSAKey.generate_key(2048, auto_kid=True)
        await log_in(browser, provider)
        provider.key = RSAKey.generate_key(2048, {"kid": provider.key.kid})
        await log_in(browser, provider)
    assert provider.num_key_reads == 3


async def test_groups_that_only_the_userinfo_has_are_read_there(made: Gateway, provider: OidcProvider) -> None:
    provider.has("ada", email="a@example.com", groups=["leads"])
    provider.rewrite = lambda claims: {name: claims[name] for name in claims if name not in ("groups", "email")}
    async with made.client("") as browser:
        me = await log_in(browser, provider)
    assert (me["tenants"], me["user"]["email"]) == ([{"tenant": "acme", "role": "owner"}], "a@example.com")


# A provider that is away, or not one


async def with_issuer(tmp_path: Path, **auth: Any) -> httpx.Response:
    settings = settings_in(tmp_path, auth=AuthSettings(client_id="slipway", **auth))
    async with gateway(tmp_path, settings=settings) as made, made.client("") as browser:
        return await browser.get("/login")


async def test_a_provider_by_plain_http_is_not_asked(tmp_path: Path, provider: OidcProvider) -> None:
    answer = await with_issuer(tmp_path, issuer=provider.url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "login_unavailable")
    assert "https" in answer.json()["error"]["message"]


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(tmp_path: Path, provider: OidcProvider) -> None:
    answer = await with_issuer(tmp_path, issuer=provider.url + "/", allow_insecure_issuer=True)
    assert (answer.status_code, "last slash" in answer.json()["error"]["message"]) == (503, True)


@pytest.mark.parametrize("where", ["https://[", "https://xn--/token", "https://id.example/\n"], ids=ascii)
async def test_an_address_that_is_none_is_not_asked(where: str) -> None:
    with pytest.raises(LoginUnavailable):
        await ProviderFetch(allow_insecure=False).get(where, "token endpoint")


@pytest.mark.parametrize("kind", [["RSA"], {}, None, 5], ids=str)
def test_keys_that_we_do_not_understand_are_left_out(kind: Any) -> None:
    assert not key_set({"keys": [{"kty": kind}, kind]})


async def test_a_provider_that_does_not_answer_is_asked_once_by_all_who_wait(tmp_path: Path) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ReadTimeout("slow")

    clock = ManualClock()
    settings = AuthSettings(issuer="https://id.example", client_id="slipway")
    provider = Provider(settings, clock, ProviderFetch(False, httpx.MockTransport(answer)))
    waiting = await asyncio.gather(*(provider.endpoints() for _ in range(20)), return_exceptions=True)
    assert {type(error) for error in waiting} == {LoginUnavailable}
    assert len(asked) == 1
    clock.advance(6)
    with pytest.raises(LoginUnavailable):
        await provider.endpoints()
    assert len(asked) == 2


async def test_logins_that_wait_for_the_provider_leave_places_for_callers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        auth = AuthSettings(issuer=issuer, client_id="slipway", allow_insecure_issuer=True)
        settings = settings_in(tmp_path, auth=auth, gateway=GatewaySettings(max_in_flight=8))
        async with gateway(tmp_path, settings=settings) as made, made.client() as client:
            waiting = asyncio.create_task(client.get("/login"))
            silent.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            refused = [(await client.get("/login")).status_code for _ in range(8)]
            assert (set(refused), (await client.get("/v1/models")).status_code) == ({429}, 200)
            waiting.cancel()
            connection.close()


async def test_a_provider_that_is_away_is_said_so_and_keys_work_on(tmp_path: Path) -> None:
    auth = AuthSettings(issuer="http://127.0.0.1:9", client_id="slipway", allow_insecure_issuer=True)
    async with gateway(tmp_path, settings=settings_in(tmp_path, auth=auth)) as made, made.client() as client:
        answer = await client.get("/login")
        assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
        assert (await client.get("/v1/models")).status_code == 200


async def test_without_a_provider_login_says_how_to_come_in(tmp_path: Path) -> None:
    answer = await with_issuer(tmp_path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "login_not_configured")
    assert "/v1/session" in answer.json()["error"]["message"]


async def test_no_address_that_a_login_answers_with_is_strange(made: Gateway, provider: OidcProvider) -> None:
    async with made.client("") as browser:
        for headers in ({"host": "slipway"}, {"host": "SLIPWAY"}):
            location = (await browser.get("/login", headers=headers)).headers["location"]
            assert urlsplit(location).netloc == urlsplit(provider.url).netloc
            assert query_of(location)["redirect_uri"] == f"{ADDRESS}/login/callback"
