"""The key that an installation's Secret holds, or is made from."""

import pytest
from fakes.clock import ManualClock
from hypothesis import given
from hypothesis import strategies as st

from serve.auth.access import ALL_SCOPES
from serve.auth.keys import Keys
from serve.auth.tenants import DEFAULT_TENANT
from serve.auth.tokens import admin_token, key_id_of, make_token
from serve.domain.errors import Unauthenticated
from serve.storage.records import Records

SEED, OTHER = "a1B2" * 8, "z9Y8" * 8


def test_a_key_stands_for_itself():
    made = make_token()
    assert admin_token(f"{made.text}\n") == made


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=32, max_size=80))
def test_random_characters_make_a_key_and_always_the_same(text: str):
    made = admin_token(text)
    assert key_id_of(made.text) == made.key_id
    assert admin_token(f"  {text}\n") == made
    assert admin_token(f"{text}x").text != made.text
    assert text not in made.text


@pytest.mark.parametrize("text", ["", "short", "x" * 31, make_token(max).text[:-1], "slw_" + "1" * 60])
def test_what_is_neither_is_refused_without_repeating_it(text: str):
    with pytest.raises(ValueError, match="the admin secret") as refused:
        admin_token(text)
    assert not text or text not in str(refused.value)


@pytest.fixture
def store(records: Records, clock: ManualClock) -> Keys:
    return Keys(records, clock, 0)


async def test_the_secret_opens_everything_and_again_is_no_change(store: Keys):
    token = admin_token(SEED)
    assert await store.ensure_admin(token)
    assert await store.ensure_admin(token)
    caller = await store.authenticate(token.text)
    assert (caller.scopes, caller.tenant) == (ALL_SCOPES, DEFAULT_TENANT)
    assert len(await store.list(DEFAULT_TENANT)) == 1


async def test_another_secret_ends_the_one_before(store: Keys):
    first, second = admin_token(SEED), admin_token(OTHER)
    assert await store.bootstrap() is not None
    await store.ensure_admin(first)
    assert await store.ensure_admin(second)
    with pytest.raises(Unauthenticated):
        await store.authenticate(first.text)
    assert (await store.authenticate(second.text)).is_admin
    assert sum(key.revoked_ms is None for key in await store.list(DEFAULT_TENANT)) == 2


async def test_a_revoked_secret_stays_revoked(store: Keys):
    token = admin_token(SEED)
    await store.ensure_admin(token)
    await store.revoke(DEFAULT_TENANT, token.key_id)
    assert not await store.ensure_admin(token)
    with pytest.raises(Unauthenticated):
        await store.authenticate(token.text)


async def test_a_key_that_exists_already_may_be_the_secret(store: Keys):
    text = await store.bootstrap()
    assert text is not None
    assert await store.ensure_admin(admin_token(text))
