"""Keys' models, limits and rotation, and the law that no chain of keys ends with more than it began with."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.clock import ManualClock
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway, settings_in
from hypothesis import given
from hypothesis import strategies as st

from serve.auth.access import Caller, Scope
from serve.auth.key_grants import KeyInfo, bounded_by, check_attenuation, narrowed
from serve.auth.keys import Keys
from serve.auth.limits import Limits
from serve.auth.model_lists import lets_pass, valid_models
from serve.auth.tenants import Tenants
from serve.domain.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, Unauthenticated
from serve.domain.names import KeyId, ProjectName, TenantName
from serve.settings import GatewaySettings
from serve.storage.records import Records

CHAT_BODY = {"model": CHAT, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def keys(records: Records, clock: ManualClock) -> Keys:
    await Tenants(records, clock).create("acme")
    return Keys(records, clock, 0)


async def make(keys: Keys, parent: Caller | None = None, **changes: object) -> tuple[KeyInfo, str]:
    wanted = {"tenant": "acme", "project": "default", "title": "t", "scopes": [Scope.READ, Scope.KEYS]} | changes
    return await keys.create(parent=parent, **wanted)


# The law

names = st.sampled_from(["a", "b"])
models = st.none() | st.lists(st.sampled_from(["x", "x:*", "y", "y:*"]), min_size=1, max_size=3).map(tuple)
rates = st.none() | st.integers(0, 3)
infos = st.builds(
    KeyInfo,
    st.just(KeyId("k")),
    names.map(TenantName),
    names.map(ProjectName),
    st.just("t"),
    st.frozensets(st.sampled_from(Scope)),
    st.just(0),
    st.none() | st.integers(1, 3),
    models=models,
    limits=st.builds(Limits, rates, rates, rates),
)


def allows(info: KeyInfo, call: tuple[str, bool], rate: int, now_ms: int) -> tuple[bool, ...]:
    """What a key lets pass: a call of a model, so many requests, tokens and images, at a moment."""
    within = [most is None or rate <= most for _, most in info.limits.items()]
    return (info.is_live(now_ms), lets_pass(info.models, *call), *within)


@given(infos, st.lists(infos, min_size=1, max_size=5))
def test_no_chain_of_keys_gives_more_than_the_first_maker_had(first: KeyInfo, asked: list[KeyInfo]) -> None:
    last = first
    for wanted in asked:
        try:
            made = narrowed(wanted, last.caller())
            check_attenuation(last.caller(), made)
            last = bounded_by(made, last)
        except PermissionDenied:
            continue
    had, has = first.caller(), last.caller()
    assert all(had.has(scope) for scope in Scope if has.has(scope))
    assert had.is_admin or (has.tenant, has.project) == (had.tenant, had.project)
    for call in [(name, with_adapters) for name in "xy" for with_adapters in (False, True)]:
        for rate in range(5):
            pairs = zip(allows(first, call, rate, rate), allows(last, call, rate, rate), strict=True)
            assert all(before or not after for before, after in pairs)


@given(infos, infos)
def test_a_key_may_always_make_another_like_itself(info: KeyInfo, other: KeyInfo) -> None:
    check_attenuation(info.caller(), info)
    assert bounded_by(info, info) == info
    mixed = replace(other, scopes=info.scopes, tenant=info.tenant, project=info.project, models=None, limits=Limits())
    made = narrowed(mixed, info.caller())
    check_attenuation(info.caller(), made)
    assert (made.models, made.limits) == (info.models, info.limits)


# Models and limits of keys


async def test_models_and_limits_are_kept_and_come_in_with_the_caller(keys: Keys, records: Records) -> None:
    limits = Limits(requests_per_minute=6, images_per_minute=0)
    info, token = await make(keys, models=["b", "a:*", "b"], limits=limits)
    caller = await keys.authenticate(token)
    assert (caller.models, caller.limits) == (("a:*", "b"), limits)
    assert [key for key in await keys.list("acme") if key.id == info.id] == [info]


async def test_the_limits_of_project_and_tenant_come_with_the_key(
    keys: Keys, records: Records, clock: ManualClock
) -> None:
    _, token = await make(keys)
    assert (await keys.authenticate(token)).tenant_limits == Limits()
    await Tenants(records, clock).change("acme", limits=Limits(tokens_per_minute=100))
    assert (await keys.authenticate(token)).tenant_limits == Limits(tokens_per_minute=100)


async def test_what_a_key_does_not_name_is_its_makers(keys: Keys) -> None:
    _, token = await make(keys, models=["a"], limits=Limits(tokens_per_minute=9))
    child, _ = await make(keys, await keys.authenticate(token), limits=Limits(requests_per_minute=1))
    assert (child.models, child.limits) == (("a",), Limits(requests_per_minute=1, tokens_per_minute=9))


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"models": ["b"]}, "models"),
        ({"models": ["a:*"]}, "models"),
        ({"limits": Limits(tokens_per_minute=10)}, "limits.tokens_per_minute"),
    ],
    ids=["model", "adapters", "limit"],
)
async def test_a_key_cannot_give_what_it_lacks(keys: Keys, wanted: dict[str, object], param: str) -> None:
    _, token = await make(keys, models=["a"], limits=Limits(tokens_per_minute=9))
    with pytest.raises(PermissionDenied) as caught:
        await make(keys, await keys.authenticate(token), **wanted)
    assert caught.value.param == param


@pytest.mark.parametrize("models", [[], ["A"], ["a:b"], ["*"], [":*"], ["a:*:*"], ["a\x00"], ["m", "x" * 41]], ids=repr)
def test_a_list_of_what_cannot_be_models_is_refused(models: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        valid_models(models)
    assert caught.value.param == "models"


# Rotation


async def test_a_rotated_key_has_the_same_grants_and_the_old_one_ends_after_its_grace(
    keys: Keys, clock: ManualClock
) -> None:
    admin = await keys.authenticate((await make(keys, scopes=[Scope.ADMIN]))[1])
    expires_ms = clock.now_ms() + 100_000
    old, old_token = await make(keys, models=["a"], limits=Limits(1, 2, 3), expires_ms=expires_ms)
    new, new_token = await keys.rotate("acme", old.id, 60, admin)
    same = replace(new, id=old.id, created_ms=old.created_ms, made_by=None, family=None)
    assert same == replace(old, made_by=None)
    assert new.family == old.id
    assert (await keys.authenticate(old_token)).key_id == old.id
    [stored] = [key for key in await keys.list("acme") if key.id == old.id]
    assert (stored.replaced_by, stored.expires_ms) == (new.id, clock.now_ms() + 60_000)
    clock.advance(60)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(old_token)
    assert (await keys.authenticate(new_token)).models == ("a",)


async def test_grace_never_makes_a_key_live_longer(keys: Keys, clock: ManualClock) -> None:
    old, token = await make(keys, expires_ms=clock.now_ms() + 1000)
    await keys.rotate("acme", old.id, 3600, await keys.authenticate(token))
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(token)


async def test_a_key_is_rotated_once_and_never_when_it_is_dead(keys: Keys, clock: ManualClock) -> None:
    admin = await keys.authenticate((await make(keys, scopes=[Scope.ADMIN]))[1])
    rotated, revoked = (await make(keys))[0].id, (await make(keys))[0].id
    expired = (await make(keys, expires_ms=clock.now_ms() + 1))[0].id
    await keys.rotate("acme", rotated, 60, admin)
    await keys.revoke("acme", revoked)
    clock.advance(1)
    for key_id in (rotated, revoked, expired):
        with pytest.raises(Conflict):
            await keys.rotate("acme", key_id, 60, admin)
    for key_id in ("999999999999", "\x00"):
        with pytest.raises(NotFound):
            await keys.rotate("acme", key_id, 60, admin)
    with pytest.raises(InvalidRequest):
        await keys.rotate("acme", rotated, -1, admin)


async def test_nobody_rotates_a_key_with_more_than_they_have(keys: Keys, clock: ManualClock) -> None:
    weak = await keys.authenticate((await make(keys))[1])
    brief = await keys.authenticate((await make(keys, expires_ms=clock.now_ms() + 5000))[1])
    strong, equal = (await make(keys, scopes=[Scope.ADMIN]))[0].id, (await make(keys))[0].id
    elsewhere = (await make(keys, project="other"))[0].id
    with pytest.raises(PermissionDenied):
        await keys.rotate("acme", strong, 0, weak)
    with pytest.raises(PermissionDenied, match="ends before"):
        await keys.rotate("acme", equal, 0, brief)
    with pytest.raises(NotFound):
        await keys.rotate("acme", elsewhere, 0, weak)


# The list of models, on every route that names one


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Gateway]:
    settings = settings_in(tmp_path, gateway=GatewaySettings(key_cache_seconds=0))
    async with gateway(tmp_path, settings=settings) as running:
        yield running


async def limited(made: Gateway, *models: str) -> str:
    async with made.client() as client:
        answer = await client.post(
            "/v1/keys", json={"title": "t", "models": list(models), "scopes": ["inference", "read"]}
        )
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]


@pytest.mark.parametrize("model", [CHAT, f"{CHAT}:stripes", "nowhere"])
async def test_a_model_off_the_list_is_refused_on_every_route_whether_there_is_one_or_not(
    made: Gateway, model: str
) -> None:
    messages = {"messages": [{"role": "user", "content": "hi"}]}
    async with made.client(await limited(made, EMBEDDER)) as client:
        answers = [
            await client.post("/v1/chat/completions", json={"model": model} | messages),
            await client.post("/v1/completions", json={"model": model, "prompt": "hi"}),
            await client.post("/v1/embeddings", json={"model": model, "input": "hi"}),
            await client.post("/v1/images/generations", json={"model": model, "prompt": "hi"}),
            await client.post("/v1/images/edits", data={"model": model, "prompt": "hi"}, files={"image": b"x"}),
            await client.post(f"/v1/models/{model}/runs", json={"input": messages}),
            await client.get(f"/v1/models/{model}"),
            await client.get(f"/v1/catalog/{model}"),
            await client.get(f"/v1/prices/{model.partition(':')[0]}"),
            await client.post("/v1/prices/check", json={"model": model, "quantities": {}}),
            await client.post(f"/v1/models/{model}/plan", json={"input": messages}),
        ]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed"), answer.request.url
        assert model.partition(":")[0] in answer.json()["error"]["message"]


async def test_lists_show_what_the_key_may_use_and_calls_of_it_pass(made: Gateway) -> None:
    async with made.client(await limited(made, CHAT)) as client:
        assert [model["id"] for model in (await client.get("/v1/models")).json()["data"]] == [CHAT]
        assert [model["name"] for model in (await client.get("/v1/catalog")).json()["data"]] == [CHAT]
        assert [price["model"] for price in (await client.get("/v1/prices")).json()["data"]] == [CHAT]
        assert (await client.post("/v1/chat/completions", json=CHAT_BODY)).status_code == 200
        adapted = await client.post("/v1/chat/completions", json=CHAT_BODY | {"model": f"{CHAT}:stripes"})
        assert adapted.status_code in (403, 404, 422)


async def test_a_key_is_made_rotated_and_shown_over_http(made: Gateway) -> None:
    body = {"title": "t", "models": [CHAT], "limits": {"requests_per_minute": 5}, "scopes": ["read"]}
    async with made.client() as client:
        key = (await client.post("/v1/keys", json=body)).json()
        rotated = await client.post(f"/v1/keys/{key['id']}/rotate", json={"grace_seconds": 0})
        shown = {one["id"]: one for one in (await client.get("/v1/keys")).json()["data"]}
        bad = await client.post("/v1/keys", json=body | {"limits": {"requests_per_minute": -1}})
    assert rotated.status_code == 201
    new = rotated.json()
    assert (new["models"], new["limits"]["requests_per_minute"], new["scopes"]) == ([CHAT], 5, ["read"])
    assert (shown[key["id"]]["replaced_by"], "key" in shown[key["id"]]) == (new["id"], False)
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "limits.requests_per_minute")
    async with made.client(key["key"]) as old, made.client(new["key"]) as fresh:
        assert (await old.get("/v1/models")).status_code == 401
        assert (await fresh.get("/v1/models")).status_code == 200
