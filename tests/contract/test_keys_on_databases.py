"""What keys, tenants and people promise where databases differ: races, and text that PostgreSQL takes for an error."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fakes.clock import ManualClock
from fakes.databases import new_sqlite
from fakes.gateway import gateway, settings_in
from pydantic import SecretStr

from serve.auth.access import ALL_SCOPES, Caller, Scope
from serve.auth.groups import Grants
from serve.auth.keys import Keys
from serve.auth.logins import Logins
from serve.auth.people import open_people
from serve.auth.roles import ROLE_SCOPES, Role
from serve.auth.tenants import Tenant, Tenants
from serve.auth.users import Identity
from serve.clock import Uuid7Ids
from serve.domain.errors import Conflict, NotFound, Unauthenticated
from serve.domain.names import KeyId, ProjectName, TenantName
from serve.gateway.app import create_app
from serve.settings import StorageSettings
from serve.storage.records import Records

NUM_PROCESSES = 4


@pytest.fixture(params=["sqlite", "postgresql"])
async def processes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Records]]:
    """One migrated database, as several processes hold it."""
    is_sqlite = request.param == "sqlite"
    url = new_sqlite(tmp_path / "a.db") if is_sqlite else request.getfixturevalue("migrated_postgres_url")
    async with AsyncExitStack() as stack:
        made = [Records(url) for _ in range(NUM_PROCESSES)]
        for records in made:
            stack.push_async_callback(records.close)
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


@pytest.mark.parametrize("token", ["x' OR (SELECT pg_sleep(600)) IS NOT NULL --", "slw_\x00", "\udcff"], ids=ascii)
async def test_strange_tokens_and_names_are_refused_quickly(
    processes: list[Records], clock: ManualClock, token: str
) -> None:
    async with asyncio.timeout(120):
        with pytest.raises(Unauthenticated):
            await Keys(processes[0], clock, 5).authenticate(token)
        with pytest.raises(NotFound):
            await Tenants(processes[0], clock).get(token)
        with pytest.raises(NotFound):
            await Keys(processes[0], clock, 5).revoke("default", token)


async def test_of_rotations_at_once_one_makes_a_key(processes: list[Records], clock: ManualClock) -> None:
    first = await Keys(processes[0], clock, 5).bootstrap()
    made = [Keys(records, clock, 5) for records in processes]
    admin = await made[0].authenticate(first)
    rotations = (keys.rotate("default", admin.key_id, 60, admin) for keys in made)
    results = await asyncio.gather(*rotations, return_exceptions=True)
    assert [type(result) for result in results if isinstance(result, Exception)] == [Conflict] * 3
    assert len(await made[0].list("default")) == 2


async def test_a_person_who_logs_in_everywhere_at_once_is_one_person(
    processes: list[Records], clock: ManualClock, tmp_path: Path
) -> None:
    who, grants = Identity("https://id.example", "ada"), Grants(False, {TenantName("acme"): Role.OWNER})

    async def log_in(records: Records) -> str:
        people = open_people(settings_in(tmp_path), records, clock, Uuid7Ids(), Keys(records, clock, 5))
        async with records.write() as connection:
            user = await people.users.logged_in(connection, who)
            await people.members.follow_groups(connection, user, grants)
            token = await people.sessions.start(connection, user)
        session = await people.sessions.find(token)
        assert session is not None
        assert session.caller().scopes == ROLE_SCOPES[Role.OWNER]
        return session.user.id

    assert len(set(await asyncio.gather(*(log_in(records) for records in processes)))) == 1


async def test_a_login_is_taken_once_whoever_asks(processes: list[Records], clock: ManualClock) -> None:
    made, browser = [Logins(records, clock) for records in processes], "b" * 43
    asked = await made[0].begin(browser, "/")
    taken = await asyncio.gather(*(one.take(asked.state, browser) for one in made), return_exceptions=True)
    assert [type(result) for result in taken if isinstance(result, Exception)] == [Unauthenticated] * 3


async def test_strange_names_of_people_and_projects_are_just_unknown(
    processes: list[Records], clock: ManualClock, tmp_path: Path
) -> None:
    records, admin = processes[0], Caller(TenantName("a"), ProjectName("p"), KeyId("k"), ALL_SCOPES)
    people = open_people(settings_in(tmp_path), records, clock, Uuid7Ids(), Keys(records, clock, 5))
    for asking in (
        people.members.set_role("a", "\x00", Role.VIEWER, admin),
        people.members.remove("a", "\x00", admin),
        people.users.get("\x00"),
        people.projects.get("a", "\x00"),
    ):
        with pytest.raises(NotFound):
            await asking
    assert await people.sessions.find("\x00" * 43) is None


async def test_a_line_of_keys_ends_whole_on_every_database(processes: list[Records], clock: ManualClock) -> None:
    keys = Keys(processes[0], clock, 0)
    await Tenants(processes[0], clock).create("acme")
    asked = {"tenant": "acme", "project": "default", "title": "t", "scopes": [Scope.KEYS]}
    first, token = await keys.create(**asked, parent=None)
    _, other = await keys.create(**asked, parent=None)
    for _ in range(5):
        _, token = await keys.create(**asked, parent=await keys.authenticate(token))
    await keys.revoke("acme", first.id, made_keys=True)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(token)
    assert (await keys.authenticate(other)).tenant == "acme"


@pytest.mark.parametrize("text", ["%00", "a%00b", "%F0%9F%92%A5", "%FF"])
async def test_no_text_in_an_address_is_a_fault_of_ours(
    request: pytest.FixtureRequest, tmp_path: Path, text: str
) -> None:
    url = request.getfixturevalue("migrated_postgres_url")
    storage = StorageSettings(data_dir=tmp_path / "data", database_url=SecretStr(url))
    paths = create_app(None).openapi()["paths"]
    settings = settings_in(tmp_path).model_copy(update={"storage": storage})
    async with gateway(tmp_path, settings=settings) as made, made.client() as client:
        for path, operations in paths.items():
            for method in operations.keys() & {"get", "delete"}:
                named = [one["name"] for one in operations[method].get("parameters", []) if one["in"] == "query"]
                filled = re.sub(r"\{[^}]+\}", text, path)
                for url in (filled, *(f"{filled}?{name}={text}" for name in named)):
                    status = (await client.request(method, url)).status_code
                    assert status < 500 or path == "/readyz", (method, url, status)
        for path, body in (("budgets", {"key_id": "\x00"}), ("admin/credits", {"tenant": "\x00"})):
            answer = await client.post(f"/v1/{path}", json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, *body)
