"""What the web app is told when it opens: who is there, how to sign in, and what is left without a key."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fakes.clock import ManualClock
from fakes.engines import ScriptedEngine
from fakes.gateway import Gateway, gateway, model_document, settings_in

from serve.domain.generation import Completed, Finished, TextDelta
from serve.domain.usage import Quantities
from serve.metering.rates.limits import DAY, MINUTE, SLICE_MS, Limit
from serve.metering.rates.rates import Rates
from serve.settings import AnonymousSettings, AuthSettings
from serve.storage.records import Records

OPEN = "open-chat"
CALL = {"model": OPEN, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
CAPS = AnonymousSettings(
    requests_per_minute=8, requests_per_day=10, client_requests_per_minute=3, client_requests_per_day=20
)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A platform with one model that needs no key."""
    engine = ScriptedEngine([TextDelta("a")], [Finished("stop"), Completed(Quantities(prompt_tokens=1))])
    async with gateway(tmp_path, {OPEN: engine}, settings_in(tmp_path, anonymous=CAPS)) as running:
        document = model_document(OPEN, ["chat"], card={"title": OPEN, "playground": True})
        await running.services.catalog.apply(document, "api")
        yield running


def stranger(made: Gateway, peer: str = "203.0.113.9") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(made.app, client=(peer, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://slipway")


async def left(made: Gateway, peer: str) -> list[tuple[str, str, int, int]]:
    """(whose, window, limit, left) as the site tells it."""
    async with stranger(made, peer) as client:
        site = (await client.get("/v1/site")).json()
    assert site["playground"]["enabled"] is True
    return [(each["of"], each["window"], each["limit"], each["left"]) for each in site["playground"]["requests"]]


async def test_a_stranger_is_told_what_is_left_and_looking_takes_nothing(made: Gateway) -> None:
    for _ in range(3):
        assert await left(made, "203.0.113.9") == [("client", "minute", 3, 3), ("everybody", "day", 10, 10)]
    async with stranger(made) as client:
        assert (await client.post("/v1/chat/completions", json=CALL)).status_code == 200
        site = (await client.get("/v1/site")).json()
    assert await left(made, "203.0.113.9") == [("client", "minute", 3, 2), ("everybody", "day", 10, 9)]
    assert await left(made, "203.0.113.77") == [("client", "minute", 3, 3), ("everybody", "day", 10, 9)]
    assert all(each["resets_at"] for each in site["playground"]["requests"])


async def test_where_nothing_needs_no_key_the_site_says_so_and_still_answers(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, stranger(made) as client:
        answer = await client.get("/v1/site")
        assert answer.json()["playground"] == {"enabled": False, "requests": []}
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers


async def test_the_site_says_who_has_a_session_or_a_key(made: Gateway) -> None:
    async with made.client() as owner:
        told = (await owner.get("/v1/site")).json()
        assert told["me"] == (await owner.get("/v1/me")).json()
        assert told["playground"] == {"enabled": True, "requests": []}
        await owner.post("/v1/session")
        del owner.headers["authorization"]
        told = (await owner.get("/v1/site")).json()
        assert told["me"] == (await owner.get("/v1/me")).json()
        assert told["me"]["csrf_token"]
    async with made.client("slw_wrong") as other:
        assert (await other.get("/v1/site")).status_code == 401


async def test_a_session_that_has_ended_is_taken_back_so_that_the_playground_works_again(made: Gateway) -> None:
    async with stranger(made) as client:
        ended = {"cookie": f"slipway={'x' * 43}"}
        assert (await client.get("/v1/catalog", headers=ended)).status_code == 401
        site = await client.get("/v1/site", headers=ended)
        assert (site.status_code, site.json()["me"]) == (200, None)
        assert {'slipway=""', "Max-Age=0", "Path=/"} <= set(site.headers["set-cookie"].split("; "))
        assert (await client.get("/v1/catalog")).status_code == 200


@pytest.mark.parametrize(("name", "label"), [("", "id.example.com:8443"), ("Acme's accounts", "Acme's accounts")])
async def test_the_identity_provider_is_offered_by_a_name_that_people_know(tmp_path: Path, name: str, label: str):
    auth = AuthSettings(issuer="https://id.example.com:8443/realm", client_id="x", provider_name=name)
    async with gateway(tmp_path, settings=settings_in(tmp_path, auth=auth)) as made, stranger(made) as client:
        assert (await client.get("/v1/site")).json()["login"] == {
            "openid": {"url": "/login", "label": label},
            "link": True,
            "key": True,
        }


async def test_what_is_left_counts_over_gateways_and_comes_back(records: Records, clock: ManualClock) -> None:
    one, other = Rates(records, clock), Rates(records, clock)
    limits = [Limit("client:x", "requests", 5, "x"), Limit("client:x", "requests", 9, "x", DAY)]
    await one.take([(limit, 2) for limit in limits])
    for rates in (one, other):
        assert [(each.limit.window, each.remaining) for each in await rates.look(limits)] == [(MINUTE, 3), (DAY, 7)]
    [minute, day] = await other.look(limits)
    assert 60 < minute.reset_seconds <= (MINUTE.reach_ms + MINUTE.slot_ms) / 1000
    assert day.reset_seconds > 86_000
    clock.advance((MINUTE.reach_ms + MINUTE.slot_ms + SLICE_MS) / 1000)
    assert [each.remaining for each in await other.look(limits)] == [5, 7]
    assert [each.reset_seconds for each in await other.look(limits[:1])] == [0.0]
