"""API keys: what opens, what does not, and that authority never grows by delegation."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fakes.clock import ManualClock
from fakes.effort import effort
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from serve.auth.access import ALL_SCOPES, ROUTE_SCOPES, Caller, Scope, require, require_group
from serve.auth.key_grants import KeyInfo, bounded_by, check_attenuation
from serve.auth.keys import Keys
from serve.auth.limits import Limits
from serve.auth.tenants import Tenants
from serve.auth.tokens import ALPHABET, checksum, key_id_of, make_token, sha256_of
from serve.domain.errors import InvalidRequest, NotFound, PermissionDenied, SlipwayError, Unauthenticated
from serve.domain.names import KeyId, ProjectName, TenantName
from serve.storage.records import Records
from serve.storage.tables import keys as keys_table

CACHE_SECONDS = 5.0

WEIRD_TOKENS = {
    "sql": "x' OR (SELECT pg_sleep(8)) IS NOT NULL --",
    "sql-in-the-secret": "slw_abcdefghijkm_' OR '1'='1",
    "sql-in-the-id": "slw_'; DROP TABLE keys; --_" + "1" * 43,
    "very-long": "slw_" + "a" * 5_000_000,
    "non-ascii": "slw_\u00e4\u00f6\u00fc\u6f22_" + "\u0661" * 43,
    "fullwidth-digits": "slw_" + "\uff11" * 12 + "_" + "1" * 43,
    "lone-surrogate": "slw_\udcff\ud800",
    "nul": "slw_\x00\x00",
    "newline-at-the-end": "slw_111111111111_" + "1" * 43 + "\n",
    "only-the-prefix": "slw_",
    "another-service": "sk-proj-0123456789",
    "blanks": "   ",
}


class CountingKeys(Keys):
    """Keys that count the questions they ask the database."""

    num_queries = 0

    async def _find(self, key_id: KeyId, digest: str) -> KeyInfo | None:
        self.num_queries += 1
        await asyncio.sleep(0)
        return await super()._find(key_id, digest)


@pytest.fixture
async def store(records: Records, clock: ManualClock) -> CountingKeys:
    """An installation with the tenant `acme` and no keys."""
    await Tenants(records, clock).create("acme")
    return CountingKeys(records, clock, CACHE_SECONDS)


async def make(store: Keys, parent: Caller | None = None, **changes: object) -> tuple[KeyInfo, str]:
    wanted = {"tenant": "acme", "project": "default", "title": "a key", "scopes": [Scope.INFERENCE]} | changes
    return await store.create(parent=parent, **wanted)


def with_another_secret(token: str) -> str:
    """A token of the same id with a good checksum and a wrong secret."""
    body = token[:17] + ("2" if token[17] != "2" else "3") + token[18:-6]
    return body + checksum(body)


async def test_a_new_key_opens_as_its_tenant_and_project(store: CountingKeys) -> None:
    info, token = await make(store, scopes=[Scope.READ, Scope.INFERENCE], project="search")
    caller = await store.authenticate(token)
    assert caller == Caller(
        TenantName("acme"), ProjectName("search"), info.id, frozenset({Scope.READ, Scope.INFERENCE})
    )


async def test_the_database_holds_the_hash_and_never_the_secret(store: CountingKeys, records: Records) -> None:
    _, token = await make(store)
    async with records.read() as connection:
        row = (await connection.execute(select(keys_table))).mappings().one()
    assert row["secret_sha256"] == sha256_of(token)
    assert token.rsplit("_", 1)[1] not in repr(dict(row))


@pytest.mark.parametrize("token", WEIRD_TOKENS.values(), ids=WEIRD_TOKENS.keys())
async def test_what_cannot_be_a_key_is_refused_at_once_and_without_a_query(store: CountingKeys, token: str) -> None:
    await make(store)
    with effort() as spent, pytest.raises(Unauthenticated):
        await store.authenticate(token)
    assert spent.seconds < 0.5
    assert store.num_queries == 0


@given(st.text(max_size=200))
async def test_no_text_is_a_key_by_chance(text: str) -> None:
    assert key_id_of(text) is None
    assert len(sha256_of(text)) == 64


@given(st.integers(0, 59), st.sampled_from(ALPHABET))
def test_a_single_wrong_character_is_found_by_the_checksum(place: int, character: str) -> None:
    token = make_token(lambda alphabet: alphabet[7]).text
    changed = token[:place] + character + token[place + 1 :]
    assert (key_id_of(changed) is not None) == (changed == token)


def test_tokens_have_the_documented_form_and_differ() -> None:
    made = {make_token().text for _ in range(100)}
    assert len(made) == 100
    assert all([len(part) for part in text.split("_")] == [3, 12, 43] for text in made)


async def test_unknown_wrong_expired_and_revoked_keys_answer_alike(store: CountingKeys, clock: ManualClock) -> None:
    _, live = await make(store)
    revoked, revoked_token = await make(store)
    await store.revoke("acme", revoked.id)
    _, expired_token = await make(store, expires_ms=clock.now_ms() + 1000)
    clock.advance(1)
    answers = set()
    for token in (make_token().text, with_another_secret(live), revoked_token, expired_token):
        with pytest.raises(Unauthenticated) as caught:
            await store.authenticate(token)
        answers.add((str(caught.value), caught.value.code))
    assert len(answers) == 1
    assert "slipway keys create" in answers.pop()[0]


@pytest.mark.parametrize("token", [None, ""], ids=["none", "empty"])
async def test_no_key_says_how_to_send_one(store: CountingKeys, token: str | None) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer") as caught:
        await store.authenticate(token)
    assert caught.value.code == "missing_api_key"


async def test_a_checked_key_is_trusted_for_the_cache_time_and_no_longer(
    store: CountingKeys, clock: ManualClock
) -> None:
    _, token = await make(store)
    for _ in range(3):
        await store.authenticate(token)
    assert store.num_queries == 1
    clock.advance(CACHE_SECONDS)
    await store.authenticate(token)
    assert store.num_queries == 2


async def test_a_cached_key_still_expires_on_time(store: CountingKeys, clock: ManualClock) -> None:
    _, token = await make(store, expires_ms=clock.now_ms() + 2000)
    await store.authenticate(token)
    clock.advance(2)
    with pytest.raises(Unauthenticated):
        await store.authenticate(token)


async def test_revoking_here_works_at_once_and_elsewhere_within_the_cache_time(
    store: CountingKeys, records: Records, clock: ManualClock
) -> None:
    elsewhere = Keys(records, clock, CACHE_SECONDS)
    info, token = await make(store)
    await store.authenticate(token)
    await elsewhere.authenticate(token)
    await store.revoke("acme", info.id)
    with pytest.raises(Unauthenticated):
        await store.authenticate(token)
    clock.advance(CACHE_SECONDS)
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(token)


async def test_unknown_keys_are_remembered_briefly(store: CountingKeys, clock: ManualClock) -> None:
    token = make_token().text
    for seconds in (0.0, 0.5, 0.6):
        clock.advance(seconds)
        with pytest.raises(Unauthenticated):
            await store.authenticate(token)
    assert store.num_queries == 2


async def test_a_flood_of_invented_keys_leaves_the_real_ones_cached(
    store: CountingKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._cache, "_max_entries", 4)
    _, token = await make(store)
    await store.authenticate(token)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await store.authenticate(make_token().text)
    num_queries = store.num_queries
    await store.authenticate(token)
    assert store.num_queries == num_queries


async def test_questions_that_come_together_become_one_query(store: CountingKeys) -> None:
    _, token = await make(store)
    callers = await asyncio.gather(*(store.authenticate(token) for _ in range(50)))
    assert len(set(callers)) == 1
    assert store.num_queries == 1


async def test_a_caller_who_leaves_takes_nobody_along(store: CountingKeys) -> None:
    _, token = await make(store)
    first, second = (asyncio.create_task(store.authenticate(token)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).tenant == "acme"


async def test_a_key_revoked_while_it_is_looked_up_is_not_remembered(
    store: CountingKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, token = await make(store)
    find = store._find

    async def find_slowly(key_id: KeyId, digest: str) -> KeyInfo | None:
        found = await find(key_id, digest)
        await store.revoke("acme", info.id)
        return found

    monkeypatch.setattr(store, "_find", find_slowly)
    await store.authenticate(token)
    monkeypatch.setattr(store, "_find", find)
    with pytest.raises(Unauthenticated):
        await store.authenticate(token)


# Delegation


scopes = st.frozensets(st.sampled_from(Scope))
names = st.sampled_from(["acme", "rival"])
ends = st.none() | st.integers(1, 3)


def key_info(tenant: str, project: str, held: frozenset[Scope], expires_ms: int | None = None) -> KeyInfo:
    return KeyInfo(KeyId("k"), TenantName(tenant), ProjectName(project), "t", held, 0, expires_ms)


@given(scopes, names, names, scopes, names, names)
def test_a_child_can_do_nothing_that_its_parent_cannot(
    held: frozenset[Scope], tenant: str, project: str, asked: frozenset[Scope], for_tenant: str, for_project: str
) -> None:
    parent = key_info(tenant, project, held).caller()
    child = key_info(for_tenant, for_project, asked)
    try:
        check_attenuation(parent, child)
    except PermissionDenied:
        same_place = (tenant, project) == (for_tenant, for_project)
        assert not parent.is_admin
        assert not (asked <= held and same_place)
        return
    assert all(parent.has(scope) for scope in Scope if child.caller().has(scope))
    assert parent.is_admin or (child.tenant, child.project) == (parent.tenant, parent.project)


@given(ends, ends)
def test_a_child_never_outlives_its_parent(parent_ends: int | None, child_ends: int | None) -> None:
    parent, child = key_info("a", "a", ALL_SCOPES, parent_ends), key_info("a", "a", ALL_SCOPES, child_ends)
    try:
        bounded = bounded_by(child, parent)
    except PermissionDenied:
        assert parent_ends is not None
        assert child_ends is not None
        assert child_ends > parent_ends
        return
    assert replace(bounded, expires_ms=child_ends) == child
    for now in range(5):
        assert parent.is_live(now) or not bounded.is_live(now)


async def test_a_key_makes_lesser_keys_and_no_greater_ones(store: CountingKeys) -> None:
    _, token = await make(store, scopes=[Scope.KEYS, Scope.READ])
    caller = await store.authenticate(token)
    lesser, _ = await make(store, caller, scopes=[Scope.READ])
    assert lesser.scopes == {Scope.READ}
    with pytest.raises(PermissionDenied, match="inference"):
        await make(store, caller, scopes=[Scope.INFERENCE])
    with pytest.raises(PermissionDenied, match="project"):
        await make(store, caller, scopes=[Scope.READ], project="other")


async def test_a_revoked_key_that_is_still_cached_makes_no_more_keys(store: CountingKeys) -> None:
    info, token = await make(store, scopes=[Scope.ADMIN])
    caller = await store.authenticate(token)
    await store.revoke("acme", info.id)
    with pytest.raises(Unauthenticated):
        await make(store, caller)


BAD_REQUESTS: dict[str, tuple[dict[str, object], type[SlipwayError], str]] = {
    "no-scopes": ({"scopes": []}, InvalidRequest, "scopes"),
    "unknown-scope": ({"scopes": ["root"]}, InvalidRequest, "scopes"),
    "empty-title": ({"title": " "}, InvalidRequest, "title"),
    "long-title": ({"title": "x" * 121}, InvalidRequest, "title"),
    "nul-in-title": ({"title": "a\x00b"}, InvalidRequest, "title"),
    "bad-tenant": ({"tenant": "Acme!"}, InvalidRequest, "tenant"),
    "bad-project": ({"project": "../x"}, InvalidRequest, "project"),
    "unknown-tenant": ({"tenant": "nobody"}, NotFound, "tenant"),
    "past-expiry": ({"expires_ms": 1}, InvalidRequest, "expires_at"),
}


@pytest.mark.parametrize(("changes", "error", "param"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_a_key_that_makes_no_sense_is_refused_with_the_field(
    store: CountingKeys, changes: dict[str, object], error: type[SlipwayError], param: str
) -> None:
    with pytest.raises(error) as caught:
        await make(store, **changes)
    assert caught.value.param == param


# Listing and revoking


async def test_keys_are_listed_per_tenant_and_per_project(
    store: CountingKeys, records: Records, clock: ManualClock
) -> None:
    await Tenants(records, clock).create("rival")
    await make(store, title="one")
    clock.advance(1)
    await make(store, title="two", project="search")
    await make(store, title="theirs", tenant="rival")
    assert [info.title for info in await store.list("acme")] == ["two", "one"]
    assert [info.title for info in await store.list("acme", "search")] == ["two"]


@pytest.mark.parametrize("key_id", ["", "nope", "1" * 12, "' OR 1=1", "\x00" * 12], ids=repr)
async def test_revoking_an_unknown_key_is_not_found(store: CountingKeys, key_id: str) -> None:
    with pytest.raises(NotFound):
        await store.revoke("acme", key_id)


async def test_another_tenants_key_is_as_unknown_as_no_key(
    store: CountingKeys, records: Records, clock: ManualClock
) -> None:
    await Tenants(records, clock).create("rival")
    info, token = await make(store)
    with pytest.raises(NotFound):
        await store.revoke("rival", info.id)
    assert (await store.authenticate(token)).key_id == info.id


async def test_a_key_cannot_revoke_one_that_it_could_not_make(store: CountingKeys) -> None:
    admin, _ = await make(store, scopes=[Scope.ADMIN])
    other, _ = await make(store, project="other")
    _, token = await make(store, scopes=[Scope.KEYS, Scope.INFERENCE])
    caller = await store.authenticate(token)
    with pytest.raises(PermissionDenied):
        await store.revoke("acme", admin.id, by=caller)
    with pytest.raises(NotFound):
        await store.revoke("acme", other.id, by=caller)
    await store.revoke("acme", caller.key_id, by=caller)


@pytest.mark.parametrize(
    "wider", [{"models": ["a", "b"]}, {"limits": Limits(requests_per_minute=9)}], ids=["models", "limits"]
)
async def test_a_key_does_not_revoke_one_that_may_use_more(store: CountingKeys, wider: dict[str, Any]) -> None:
    asked = {"tenant": "acme", "project": "default", "title": "t", "scopes": [Scope.KEYS], "parent": None}
    narrow = {"models": ["a"], "limits": Limits(requests_per_minute=5)}
    _, token = await store.create(**asked | narrow)
    other, _ = await store.create(**asked | narrow | wider)
    like, _ = await store.create(**asked | narrow)
    by = await store.authenticate(token)
    with pytest.raises(PermissionDenied):
        await store.revoke("acme", other.id, by)
    await store.revoke("acme", like.id, by)


@pytest.mark.parametrize("made_keys", [False, True])
async def test_a_key_that_got_out_is_revoked_with_what_it_made(store: CountingKeys, made_keys: bool) -> None:
    asked = {"tenant": "acme", "project": "default", "title": "t", "scopes": [Scope.KEYS]}
    first, token = await store.create(**asked, parent=None)
    line = []
    for _ in range(3):
        _, token = await store.create(**asked, parent=await store.authenticate(token))
        line.append(token)
        await store.authenticate(token)
    await store.revoke("acme", first.id, made_keys=made_keys)
    for token in line:
        if made_keys:
            with pytest.raises(Unauthenticated):
                await store.authenticate(token)
        else:
            assert (await store.authenticate(token)).project == "default"


async def test_the_first_start_makes_one_key_with_every_scope(records: Records, clock: ManualClock) -> None:
    starters = [Keys(records, clock, CACHE_SECONDS) for _ in range(4)]
    tokens = [token for token in await asyncio.gather(*(keys.bootstrap() for keys in starters)) if token]
    assert len(tokens) == 1
    caller = await starters[0].authenticate(tokens[0])
    assert (caller.tenant, caller.project, caller.scopes) == ("default", "default", ALL_SCOPES)
    async with records.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(keys_table)) == 1


async def test_an_installation_with_a_revoked_key_makes_no_new_first_key(records: Records, clock: ManualClock) -> None:
    keys = Keys(records, clock, CACHE_SECONDS)
    await keys.bootstrap()
    [first] = await keys.list("default")
    await keys.revoke("default", first.id)
    assert await keys.bootstrap() is None


# Scopes


@given(scopes, st.sampled_from(Scope))
def test_a_scope_opens_what_asks_for_it_and_admin_opens_all(held: frozenset[Scope], asked: Scope) -> None:
    caller = key_info("a", "a", held).caller()
    if asked in held or Scope.ADMIN in held:
        require(caller, asked)
    else:
        with pytest.raises(PermissionDenied, match=asked.value):
            require(caller, asked)


@pytest.mark.parametrize("group", ROUTE_SCOPES)
def test_every_group_of_routes_refuses_a_key_without_its_scope(group: str) -> None:
    lacking = ALL_SCOPES - {ROUTE_SCOPES[group], Scope.ADMIN}
    with pytest.raises(PermissionDenied):
        require_group(key_info("a", "a", lacking).caller(), group)
