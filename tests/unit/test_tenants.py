"""Tenants: names, secrets, and that one name is made once."""

import asyncio
import base64

import pytest
from fakes.clock import ManualClock
from sqlalchemy import select

from serve.auth.tenants import Tenant, Tenants
from serve.domain.errors import Conflict, InvalidRequest, NotFound
from serve.storage.records import Records
from serve.storage.tables import projects


async def test_a_tenant_comes_with_a_signing_secret_and_a_default_project(records: Records, clock: ManualClock) -> None:
    tenants = Tenants(records, clock, random_bytes=lambda count: b"s" * count)
    made = await tenants.create("acme")
    assert made == Tenant("acme", "whsec_" + base64.b64encode(b"s" * 32).decode(), clock.now_ms())
    assert await tenants.get("acme") == made
    async with records.read() as connection:
        assert (await connection.execute(select(projects.c.tenant, projects.c.name))).all() == [("acme", "default")]


async def test_secrets_differ_and_stay_out_of_the_repr(records: Records, clock: ManualClock) -> None:
    tenants = Tenants(records, clock)
    one, two = await tenants.create("one"), await tenants.create("two")
    assert one.webhook_secret != two.webhook_secret
    assert "whsec_" not in repr(one)
    assert [tenant.name for tenant in await tenants.list()] == ["one", "two"]


async def test_of_many_who_make_the_same_tenant_one_succeeds(records: Records, clock: ManualClock) -> None:
    tenants = Tenants(records, clock)
    results = await asyncio.gather(*(tenants.create("acme") for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == [Conflict.__name__] * 4 + [Tenant.__name__]


@pytest.mark.parametrize("name", ["", "Acme", "-a", "a" * 41, "a/b", "a\x00"], ids=repr)
async def test_a_bad_name_is_refused_and_never_found(records: Records, clock: ManualClock, name: str) -> None:
    tenants = Tenants(records, clock)
    with pytest.raises(InvalidRequest) as caught:
        await tenants.create(name)
    assert caught.value.param == "name"
    with pytest.raises(NotFound):
        await tenants.get(name)
