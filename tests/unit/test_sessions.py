"""Browser sessions: what is stored, how long they last, what they may do, and keys that log in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.gateway import Gateway, gateway, settings_in
from sqlalchemy import select

from serve.auth.access import ALL_SCOPES, Scope
from serve.auth.groups import Grants
from serve.auth.keys import Keys
from serve.auth.limits import Limits
from serve.auth.logins import MAX_LOGINS, Logins
from serve.auth.people import People, open_people
from serve.auth.roles import Role
from serve.auth.sessions import MAX_SESSIONS_OF_ONE
from serve.auth.tenants import Tenants
from serve.auth.tokens import sha256_of
from serve.auth.users import Identity
from serve.domain.errors import NotFound, Unauthenticated
from serve.domain.names import TenantName
from serve.settings import GatewaySettings
from serve.storage.records import Records
from serve.storage.tables import logins, sessions

HOUR = 3600.0
CACHE_SECONDS = 5.0


@pytest.fixture
def keys(records: Records, clock: ManualClock) -> Keys:
    return Keys(records, clock, CACHE_SECONDS)


@pytest.fixture
async def people(records: Records, clock: ManualClock, ids: CountingIds, keys: Keys, tmp_path: Path) -> People:
    """An installation with the tenants `acme` and `rival`, whose sessions last twelve hours."""
    for name in ("acme", "rival"):
        await Tenants(records, clock).create(name)
    return open_people(settings_in(tmp_path), records, clock, ids, keys)


async def session_of(people: People, records: Records, grants: Grants, subject: str = "ada") -> str:
    """The token of somebody with these grants."""
    async with records.write() as connection:
        user = await people.users.logged_in(connection, Identity("https://id.example", subject))
        await people.members.follow_groups(connection, user, grants)
        return await people.sessions.start(connection, user)


def developer(tenant: str = "acme") -> Grants:
    return Grants(False, {TenantName(tenant): Role.DEVELOPER})


async def test_the_database_holds_the_hash_of_the_token_and_never_the_token(people: People, records: Records) -> None:
    token = await session_of(people, records, developer())
    async with records.read() as connection:
        row = (await connection.execute(select(sessions))).mappings().one()
    assert row["sha256"] == sha256_of(token)
    assert token not in repr(dict(row))


async def test_a_session_that_is_used_lives_for_its_hours_and_one_that_is_not_for_half_of_them(
    people: People, records: Records, clock: ManualClock
) -> None:
    used, idle = await session_of(people, records, developer()), await session_of(people, records, developer(), "bob")
    for hours in range(1, 12):
        clock.advance(HOUR)
        assert await people.sessions.find(used) is not None, hours
    assert await people.sessions.find(idle) is None
    clock.advance(HOUR)
    assert await people.sessions.find(used) is None


async def test_sessions_that_have_ended_are_cleared_away(people: People, records: Records, clock: ManualClock) -> None:
    await session_of(people, records, developer())
    clock.advance(13 * HOUR)
    await session_of(people, records, developer(), "bob")
    async with records.read() as connection:
        assert len((await connection.execute(select(sessions.c.sha256))).all()) == 1


async def test_a_session_is_checked_in_memory_for_the_cache_time(
    people: People, records: Records, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await session_of(people, records, developer())
    first = await people.sessions.find(token)
    monkeypatch.setattr(people.sessions, "_find", None)
    assert await people.sessions.find(token) == first
    clock.advance(CACHE_SECONDS)
    with pytest.raises(TypeError):
        await people.sessions.find(token)


@pytest.mark.parametrize("token", [None, "", "a" * 42, "a" * 44, "a" * 42 + "\n", "x' OR 1=1", "\x00" * 43, "é" * 43])
async def test_what_cannot_be_a_session_reaches_no_query(
    people: People, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people.sessions, "_find", None)
    assert await people.sessions.find(token) is None


async def test_ending_a_session_works_at_once_here_and_within_the_cache_time_elsewhere(
    people: People, records: Records, clock: ManualClock, ids: CountingIds, keys: Keys, tmp_path: Path
) -> None:
    elsewhere = open_people(settings_in(tmp_path), records, clock, ids, keys)
    token = await session_of(people, records, developer())
    session = await people.sessions.find(token)
    assert session is not None
    assert await elsewhere.sessions.find(token) is not None
    await people.sessions.end(session)
    assert await people.sessions.find(token) is None
    clock.advance(CACHE_SECONDS)
    assert await elsewhere.sessions.find(token) is None


async def test_a_role_that_changes_shows_within_the_cache_time(
    people: People, records: Records, clock: ManualClock
) -> None:
    token = await session_of(people, records, developer())
    session = await people.sessions.find(token)
    assert session is not None
    assert Scope.INFERENCE in session.caller().scopes
    async with records.write() as connection:
        await people.members.follow_groups(connection, session.user, Grants(False, {}))
    clock.advance(CACHE_SECONDS)
    after = await people.sessions.find(token)
    assert after is not None
    assert (after.caller().tenant, after.caller().scopes) == ("", frozenset())


async def test_a_session_moves_only_to_tenants_of_its_person(people: People, records: Records) -> None:
    token = await session_of(people, records, developer())
    session = await people.sessions.find(token)
    assert session is not None
    for name in ("rival", "nowhere", "", "\x00"):
        with pytest.raises(NotFound):
            await people.sessions.switch(session, name)
    both = Grants(False, {TenantName("acme"): Role.VIEWER, TenantName("rival"): Role.OWNER})
    await session_of(people, records, both)
    people.sessions.forget(session.user.id)
    session = await people.sessions.find(token)
    assert session is not None
    moved = await people.sessions.switch(session, "rival")
    assert moved.caller().tenant == "rival"
    found = await people.sessions.find(token)
    assert found is not None
    assert found.caller() == moved.caller()
    assert session.csrf != moved.csrf == found.csrf


async def test_an_administrator_of_the_installation_is_one_in_every_tenant(people: People, records: Records) -> None:
    session = await people.sessions.find(await session_of(people, records, Grants(True, {})))
    assert session is not None
    assert session.caller().scopes == ALL_SCOPES
    for tenant in ("acme", "rival"):
        assert (await people.sessions.switch(session, tenant)).caller().is_admin


async def test_a_caller_of_a_session_brings_the_limits_of_tenant_and_project(
    people: People, records: Records, clock: ManualClock
) -> None:
    limits = Limits(requests_per_minute=7)
    await Tenants(records, clock).change("acme", limits=limits)
    session = await people.sessions.find(await session_of(people, records, developer()))
    assert session is not None
    assert session.caller().tenant_limits == limits
    assert len(session.caller().key_id) <= 24


# Keys that log in


async def made_key(keys: Keys, **changes: object) -> tuple[str, str]:
    wanted = {"tenant": "acme", "project": "search", "title": "k", "scopes": [Scope.READ]} | changes
    info, token = await keys.create(parent=None, **wanted)
    return info.id, token


async def test_a_session_of_a_key_is_as_good_as_the_key_and_ends_with_it(
    people: People, keys: Keys, clock: ManualClock
) -> None:
    key_id, token = await made_key(keys, models=["m"], limits=Limits(tokens_per_minute=9))
    caller = await keys.authenticate(token)
    session_token = await people.sessions.start_with_key(caller)
    session = await people.sessions.find(session_token)
    assert session is not None
    assert session.caller() == caller
    await keys.revoke("acme", key_id)
    clock.advance(CACHE_SECONDS)
    assert await people.sessions.find(session_token) is None


async def test_a_session_of_a_key_that_expires_ends_on_time(people: People, keys: Keys, clock: ManualClock) -> None:
    _, token = await made_key(keys, expires_ms=clock.now_ms() + 2000)
    session_token = await people.sessions.start_with_key(await keys.authenticate(token))
    assert await people.sessions.find(session_token) is not None
    clock.advance(2)
    assert await people.sessions.find(session_token) is None


async def test_only_an_admin_keys_session_goes_to_other_tenants(people: People, keys: Keys) -> None:
    for scopes, may in (([Scope.READ], False), ([Scope.ADMIN], True)):
        _, token = await made_key(keys, scopes=scopes)
        session = await people.sessions.find(await people.sessions.start_with_key(await keys.authenticate(token)))
        assert session is not None
        if may:
            assert (await people.sessions.switch(session, "rival")).caller().project == "default"
        else:
            with pytest.raises(NotFound):
                await people.sessions.switch(session, "rival")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    settings = settings_in(tmp_path, gateway=GatewaySettings(key_cache_seconds=0))
    async with gateway(tmp_path, settings=settings) as running:
        yield running


async def test_a_person_logs_a_browser_in_with_a_key(made: Gateway) -> None:
    async with made.client() as client:
        me = (await client.post("/v1/session")).json()
        assert (me["administrator"], me["user"], me["tenant"]) == (True, None, "default")
    async with made.client("") as browser:
        answer = await browser.post("/v1/session", headers={"authorization": f"Bearer {made.other_key}"})
        assert (answer.status_code, answer.json()["tenant"]) == (201, "other")
        assert (await browser.get("/v1/models")).status_code == 200
        again = await browser.post("/v1/session", headers={"x-csrf-token": answer.json()["csrf_token"]})
        assert (again.status_code, again.json()["error"]["code"]) == (400, "has_session")
        elsewhere = {"authorization": f"Bearer {made.other_key}", "origin": "https://evil.example"}
        assert (await browser.post("/v1/session", headers=elsewhere)).status_code == 403


async def test_logging_in_with_a_key_again_ends_the_session_before(made: Gateway) -> None:
    async with made.client("") as browser:
        key = {"authorization": f"Bearer {made.key}"}
        await browser.post("/v1/session", headers=key)
        before = browser.cookies["slipway"]
        assert (await browser.post("/v1/session", headers=key)).status_code == 201
    async with made.client("") as thief:
        assert (await thief.get("/v1/me", headers={"cookie": f"slipway={before}"})).status_code == 401


async def test_the_sessions_of_one_are_bounded_and_the_oldest_end(
    people: People, records: Records, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_SESSIONS_OF_ONE >= 20
    monkeypatch.setattr("serve.auth.sessions.MAX_SESSIONS_OF_ONE", 3)
    other = await session_of(people, records, developer(), "bob")
    tokens = []
    for _ in range(5):
        clock.advance(1)
        tokens.append(await session_of(people, records, developer()))
    alive = [await people.sessions.find(token) is not None for token in tokens]
    assert alive == [False, False, True, True, True]
    assert await people.sessions.find(other) is not None


async def test_a_key_has_no_tenant_to_switch_and_nobody_comes_in_without_either(made: Gateway) -> None:
    async with made.client() as client, made.client("") as nobody:
        answer = await client.post("/v1/session/tenant", json={"tenant": "other"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_session")
        assert (await nobody.post("/v1/session")).status_code == 401
        me = (await client.get("/v1/me")).json()
    assert (me["csrf_token"], me["tenants"]) == (None, [{"tenant": "default", "role": None}])


async def test_two_cookies_of_one_name_open_nothing(made: Gateway) -> None:
    async with made.client("") as browser:
        await browser.post("/v1/session", headers={"authorization": f"Bearer {made.key}"})
        token = browser.cookies["slipway"]
    async with made.client("") as other:
        assert (await other.get("/v1/me", headers={"cookie": f"slipway={token}"})).status_code == 200
        twice = {"cookie": f"slipway={token}; slipway={token}"}
        assert (await other.get("/v1/me", headers=twice)).status_code == 401


# Logins on their way


async def test_a_login_that_takes_too_long_is_over(records: Records, clock: ManualClock) -> None:
    begun, browser = Logins(records, clock), "b" * 43
    asked = await begun.begin(browser, "/")
    clock.advance(600)
    with pytest.raises(Unauthenticated):
        await begun.take(asked.state, browser)


async def test_logins_that_nobody_finishes_are_bounded(
    records: Records, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_LOGINS >= 1000
    monkeypatch.setattr("serve.auth.logins.MAX_LOGINS", 3)
    begun, browser = Logins(records, clock), "b" * 43
    for _ in range(6):
        clock.advance(1)
        last = await begun.begin(browser, "/")
    async with records.read() as connection:
        assert len((await connection.execute(select(logins.c.nonce))).all()) == 3
    assert (await begun.take(last.state, browser)).asked == last
