"""What keys and tenants promise where databases differ: races, and text that PostgreSQL takes for an error."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.clock import ManualClock

from serve.auth.keys import Keys
from serve.auth.tenants import Tenant, Tenants
from serve.domain.errors import Conflict, NotFound, Unauthenticated
from serve.storage.records import Records

NUM_PROCESSES = 4


@pytest.fixture(params=["sqlite", "postgresql"])
async def processes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Records]]:
    """One migrated database, as several processes hold it."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.db'}" if is_sqlite else request.getfixturevalue("postgres_url")
    async with AsyncExitStack() as stack:
        made = [Records(url) for _ in range(NUM_PROCESSES)]
        for records in made:
            stack.push_async_callback(records.close)
        await made[0].migrate()
        yield made


@pytest.mark.parametrize("has_tenant", [False, True], ids=["empty", "tenant-without-keys"])
async def test_processes_that_start_together_get_one_first_key(
    processes: list[Records], clock: ManualClock, has_tenant: bool
) -> None:
    if has_tenant:
        await Tenants(processes[0], clock).create("default")
    starters = [Keys(records, clock, 5) for records in processes]
    tokens = [token for token in await asyncio.gather(*(keys.bootstrap() for keys in starters)) if token]
    assert len(tokens) == 1
    assert {(await keys.authenticate(tokens[0])).is_admin for keys in starters} == {True}


async def test_processes_that_make_the_same_tenant_agree_on_who_did(
    processes: list[Records], clock: ManualClock
) -> None:
    makers = (Tenants(records, clock).create("acme") for records in processes)
    results = await asyncio.gather(*makers, return_exceptions=True)
    assert [type(result) for result in results if not isinstance(result, Tenant)] == [Conflict] * 3


@pytest.mark.parametrize("token", ["x' OR (SELECT pg_sleep(8)) IS NOT NULL --", "slw_\x00", "\udcff"], ids=ascii)
async def test_strange_tokens_and_names_are_refused_quickly(
    processes: list[Records], clock: ManualClock, token: str
) -> None:
    began = time.perf_counter()
    with pytest.raises(Unauthenticated):
        await Keys(processes[0], clock, 5).authenticate(token)
    with pytest.raises(NotFound):
        await Tenants(processes[0], clock).get(token)
    with pytest.raises(NotFound):
        await Keys(processes[0], clock, 5).revoke("default", token)
    assert time.perf_counter() - began < 0.5
